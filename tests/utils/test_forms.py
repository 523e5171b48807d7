import pytest

from rscc.utils.forms import check_form, shorten

TILES = {'size': range(1, 100), 'bands?': ([int], None), 'steps?': [[float, str]], 'images': [
    {'stem': str, 'split': {'train', 'test'}, 'files': {str: str}, 'note?': object}]}
SOUND = {'size': 8, 'images': [{'stem': 'a', 'split': 'test', 'files': {'from': 'x'}}], 'more': 1}


def test_sound_data_pass():
    check_form(SOUND, TILES, 'x')
    check_form({**SOUND, 'bands': None}, TILES, 'x')
    check_form({**SOUND, 'bands': [1, 2]}, TILES, 'x')
    check_form([1, 2.5], [float], 'x')
    check_form([[1.5, 'a'], [2, 'b']], [[float, str]], 'x')


@pytest.mark.parametrize(('data', 'message'), [
    ([], r"'t' is a list \(\[\]\); an object with 'size', 'images' was expected. Cut again"),
    ({'size': 8}, "'t' lacks 'images'. Cut again"),
    ({**SOUND, 'size': True}, r"'t': size is true or false \(True\); an integer from 1 to 99 was"),
    ({**SOUND, 'size': 100}, r"'t': size is an integer \(100\); an integer from 1 to 99 was"),
    ({**SOUND, 'bands': [1, 'x']}, r"'t': bands: 1 is a string \('x'\); an integer was"),
    ({**SOUND, 'bands': 3}, r'bands is an integer \(3\); a list \(each entry: an integer\) or n'),
    ({**SOUND, 'images': [SOUND['images'][0], {'stem': None}]}, r"'t': images: 1: stem is null"),
    ({**SOUND, 'images': [{**SOUND['images'][0], 'split': 'tset'}]},
     r"images: 0: split is a string \('tset'\); 'test' or 'train' was expected"),
    ({**SOUND, 'images': [{**SOUND['images'][0], 'split': []}]}, r'split is a list'),
    ({**SOUND, 'steps': [[1, 'a'], [2, 'b', 3]]},
     r"steps: 1 is a list \(\[2, 'b', 3\]\); a list of a number, a string was expected"),
    ({**SOUND, 'images': [{**SOUND['images'][0], 'files': {'to': 3}}]}, 'files: to is an integer'),
])
def test_the_first_difference_is_named_with_its_place(data, message):
    with pytest.raises(ValueError, match=message):
        check_form(data, TILES, "'t'", 'Cut again')


def test_integers_of_more_than_64_bits_are_none():
    with pytest.raises(ValueError, match=r'x is an integer .*; an integer was expected'):
        check_form(2**63, int, 'x')
    check_form(2**63 - 1, float, 'x')
    with pytest.raises(ValueError, match=r'x is an integer .*; a number was expected'):
        check_form(10**400, float, 'x')


def test_long_and_deep_values_are_shown_short():
    deep = []
    for _ in range(5000):
        deep = [deep]
    assert shorten(deep) == '[[[[...]]]]'
    assert len(shorten('x' * 1000)) <= 60 and len(shorten([list(range(99))] * 99)) < 400
