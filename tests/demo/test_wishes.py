import pytest

from rscc.demo.wishes import Asked, command_of, decoding_of, parse_bands, parse_scale
from rscc.demo.words import Problem


@pytest.mark.parametrize(('typed', 'bands'), [('', None), ('4 3 2', (4, 3, 2)),
                                              ('4, 3,2', (4, 3, 2)), ('1，1，1', (1, 1, 1))])
def test_bands_are_read_as_people_type_them(typed, bands):
    assert parse_bands(typed) == bands


@pytest.mark.parametrize('typed', ['red', '0 1 2', '-1', '1.5', '1 ' * 65, '١'])
def test_other_bands_are_a_problem(typed):
    with pytest.raises(Problem, match='Whole numbers counted from 1'):
        parse_bands(typed)


@pytest.mark.parametrize(('typed', 'scale'), [
    ('', None), ('0 3000', (0, 3000)), ('percentile', 'percentile'),
    ('0 1 0 2 0 3', ((0, 1), (0, 2), (0, 3)))])
def test_a_scale_is_read_as_people_type_it(typed, scale):
    assert parse_scale(typed) == scale


@pytest.mark.parametrize('typed', ['3000', '5 1', 'nan 1', '0 inf', 'low high', '1 2 3'])
def test_other_scales_are_a_problem(typed):
    with pytest.raises(Problem, match='Two rising numbers'):
        parse_scale(typed)


def test_a_search_gets_as_many_beams_as_sentences():
    known = dict(num_beams=2, num_captions=1, language=None)
    assert decoding_of(known, 3, 'zh') == dict(num_captions=3, num_beams=3, language='zh')
    assert decoding_of(known, 1, None) == {}
    assert decoding_of(dict(num_samples=8, num_captions=1), 3, None) == dict(num_captions=3,
                                                                              num_samples=8)
    assert decoding_of({}, 3, 'en') == {}


def test_the_command_quotes_what_a_shell_would_read(tmp_path):
    images = [tmp_path / "it's.png", tmp_path / 'after.png']
    command = command_of('rscc-small', images, Asked(force=True), None)
    assert command == ("rscc infer rscc-small --img-from 'it'\\''s.png' --img-to after.png "
                       '--nbest 3 --force --assume-same-grid --out out')
    dashed = command_of('rscc-small', [tmp_path / '-x.png'], Asked(), None, scene=True, forced=True)
    assert dashed == 'rscc infer rscc-small --img ./-x.png --force --out out'
