"""Direction words move with the picture, or the picture stays."""
import gzip
import json
import re

import pytest

from rscc.text.directions import OPERATIONS, SIDES, mentions_direction, sides_named, swap

BACK = {'hflip': 'hflip', 'vflip': 'vflip', 'rot180': 'rot180', 'rot90': 'rot270',
        'rot270': 'rot90'}


@pytest.mark.parametrize(('sentence', 'operation', 'expected'), [
    ('a house in the top left corner', 'hflip', 'a house in the top right corner'),
    ('a house in the top left corner', 'rot90', 'a house in the bottom left corner'),
    ('a house in the top left corner', 'rot270', 'a house in the top right corner'),
    ('a road from the bottom to the top', 'rot90', 'a road from the right to the left'),
    ('trees on the lower-right are removed', 'rot180', 'trees on the upper-left are removed'),
    ('in the upper left-hand corner', 'rot90', 'in the lower left-hand corner'),
    ('at the left bottom corner', 'vflip', 'at the left top corner'),
    ('a road at the top', 'rot90', 'a road at the left'),
    ('a road at the right', 'rot90', 'a road at the top'),
    ('houses on the left and right sides', 'hflip', 'houses on the right and left sides'),
    ('houses in the northeastern area', 'hflip', 'houses in the northwestern area'),
    ('the north and the east', 'rot90', 'the west and the north'),
    ('houses appear above the road', 'vflip', 'houses appear below the road'),
    ('an upper house', 'vflip', 'a lower house'),
    ('Top left', 'rot180', 'Bottom right'),
    ('the leftmost house', 'hflip', 'the rightmost house'),
    ('turn left at the right', 'hflip', 'turn right at the left'),
])
def test_english_words_follow_the_picture(sentence, operation, expected):
    assert swap(sentence, operation) == expected


@pytest.mark.parametrize('operation', OPERATIONS)
@pytest.mark.parametrize('sentence', [
    'only two houses are left behind', 'a road at a right angle', 'a house on top of the hill',
    'a small part of the forest is left', 'a house right next to the road',
    'the roof at the top of the building'])
def test_words_that_only_look_like_directions_stop_the_transform(sentence, operation):
    assert swap(sentence, operation) is None
    assert not mentions_direction(sentence)


@pytest.mark.parametrize('sentence', [
    'to the left of the road', 'a left turn', 'houses above the road', 'two vertical roads',
    'the top and bottom left corners', 'the top left and right', 'on the left-hand side'])
def test_quarter_turns_stop_where_the_words_would_read_wrong(sentence):
    assert swap(sentence, 'rot90') is None
    assert swap(sentence, 'rot270') is None
    assert swap(sentence, 'hflip') is not None


def test_higher_left_is_flipped_sideways_only():
    assert swap('in the higher left corner', 'hflip') == 'in the higher right corner'
    assert swap('in the higher left corner', 'vflip') is None


@pytest.mark.parametrize('operation', OPERATIONS)
def test_a_sentence_without_direction_is_returned_as_it_is(operation):
    sentence = 'houses show up near a leftover bridge and rights of stopping are kept'
    assert swap(sentence, operation) == sentence
    sentence = '道路上有一辆车，以上没有变化'
    assert swap(sentence, operation, 'zh') == sentence
    assert swap('东西很多', 'hflip', 'zh') == '东西很多'


def test_any_refuses_every_sentence_with_a_direction():
    assert swap('a house at the top', 'any') is None
    assert swap('左侧的房屋', 'any', 'zh') is None


@pytest.mark.parametrize(('sentence', 'operation', 'expected'), [
    ('左上角建了一座房屋', 'hflip', '右上角建了一座房屋'),
    ('左上角建了一座房屋', 'rot90', '左下角建了一座房屋'),
    ('右下方新建了道路', 'rot180', '左上方新建了道路'),
    ('道路上的房屋在上方', 'vflip', '道路上的房屋在下方'),
    ('道路左右两侧建了房屋', 'hflip', '道路左右两侧建了房屋'),
    ('道路左右两侧建了房屋', 'rot90', '道路上下两侧建了房屋'),
    ('北部和东南角', 'vflip', '南部和东北角'),
    ('图像顶部', 'vflip', '图像底部'),
    ('图像顶部', 'rot90', '图像左部'),
    ('上部的树木', 'rot270', '右部的树木'),
])
def test_chinese_words_follow_the_picture(sentence, operation, expected):
    assert swap(sentence, operation, 'zh') == expected
    assert mentions_direction(sentence, 'zh')


def test_chinese_on_top_and_about_are_no_places():
    assert swap('草地，上面有房屋', 'vflip', 'zh') is None
    assert swap('草地，上面有房屋', 'hflip', 'zh') == '草地，上面有房屋'
    assert swap('十栋左右的房屋', 'hflip', 'zh') is None
    assert not mentions_direction('以上', 'zh')


def test_unknown_operation_names_the_nearest():
    with pytest.raises(ValueError, match=r"operation='hflp' is unknown.*Did you mean 'hflip'"):
        swap('a house', 'hflp')
    with pytest.raises(ValueError, match="unknown language 'de'"):
        swap('ein Haus', 'hflip', 'de')


@pytest.fixture(scope='module')
def changed(samples):
    path = samples / 'levir_cc_captions' / 'LevirCCcaptions_rebuilt.json.gz'
    if not path.is_file():
        pytest.skip(f'no {path}')
    images = json.loads(gzip.decompress(path.read_bytes()))['images']
    return [' '.join(sentence['tokens']) for image in images if image['changeflag']
            for sentence in image['sentences']]


def test_between_a_fifth_and_a_quarter_of_the_real_changed_captions_name_a_direction(changed):
    share = sum(map(mentions_direction, changed)) / len(changed)
    assert 0.22 < share < 0.25


@pytest.mark.parametrize('operation', SIDES)
def test_swapping_back_restores_the_real_captions(changed, operation):
    refused = named = one_way = 0
    quarter = operation in ('rot90', 'rot270')
    for sentence in changed:
        moved = swap(sentence, operation)
        if mentions_direction(sentence):
            named += 1
            refused += moved is None
        if moved is None:
            continue
        back = swap(moved, BACK[operation])
        if quarter and back is None:
            one_way += 1
            continue
        # A quarter turn cannot tell "upper" from "top" on its way back; flips can.
        if quarter:
            back, sentence = (re.sub(r'upper\b', 'top', re.sub(r'lower\b', 'bottom', text))
                              for text in (back, sentence))
        assert back == sentence
    assert refused / named < (0.07 if quarter else 0.01)
    assert one_way / named < 0.005


@pytest.mark.parametrize(('sentence', 'language', 'sides'), [
    ('a house in the top left corner', 'en', {'top', 'left'}),
    ('houses at the bottom of the scene', 'en', {'bottom'}),
    ('a road in the north-east', 'en', {'top', 'right'}),
    ('a house above the road', 'en', set()), ('to the left of the house', 'en', set()),
    ('two houses are left', 'en', set()), ('on the left and right', 'en', {'left', 'right'}),
    ('右上角新建了房屋', 'zh', {'top', 'right'}), ('道路左右两侧', 'zh', set()),
    ('场景南部的道路', 'zh', {'bottom'}), ('道路上的车', 'zh', set())])
def test_sides_are_those_of_the_picture(sentence, language, sides):
    assert sides_named(sentence, language) == sides
