import numpy as np
import pytest

from rscc.evaluation.functional.consistency import (
    MapFacts,
    Said,
    contradiction,
    counts_named,
    flag_disagreement,
    map_disagreements,
)

CLASSES = ('unchanged', 'building', 'road', 'tree', 'water', 'parking lot')
STOCK = ('the scene is the same as before',)


def facts(*boxes, classes=CLASSES, size=100):
    """Facts of a map with boxes (class, left, top, right, bottom)."""
    mask = np.zeros((size, size), np.uint8)
    for value, left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = value
    return MapFacts.of(mask, classes)


def strongest(sentence, *boxes, language='en', **options):
    found = map_disagreements(sentence, facts(*boxes), language, STOCK, **options)
    return max(found, key=found.get, default=None), found


def test_a_map_is_measured_by_class_region_and_half():
    found = facts((1, 0, 0, 10, 10), (1, 60, 60, 70, 70), (2, 0, 50, 100, 52), (3, 5, 30, 7, 32))
    assert found.shares == pytest.approx(
        {'building': 0.02, 'road': 0.02, 'tree': 0.0004})
    assert found.regions == {'building': 2, 'road': 1, 'tree': 0}  # 4 pixels are no thing
    assert (found.places['building']['top'], found.places['building']['left']) == (0.5, 0.5)
    assert found.places['road']['top'] == 0 and found.changed == pytest.approx(0.0404)


def test_pixels_without_data_do_not_count_and_windows_give_shares_of_their_own():
    mask, data = np.ones((10, 10), np.uint8), np.zeros((10, 10), bool)
    data[:, :5] = True
    assert MapFacts.of(mask, CLASSES, data).shares == {'building': 1.0}
    assert MapFacts.of(mask, CLASSES, pixels=50).shares == {'building': 2.0}
    assert MapFacts.of(mask, ()).shares == {'class 1': 1.0}
    assert MapFacts.of(np.zeros((4, 4), np.uint8), CLASSES).changed == 0


def test_no_change_over_a_changed_map_speaks_the_louder_the_more_changed():
    small, large = (strongest(STOCK[0], (1, 0, 0, side, side))[1]['denied'] for side in (5, 30))
    assert 0 < small < 0.5 < large < 1
    assert map_disagreements(STOCK[0], facts(), 'en', STOCK) == {'denied': 0.0}


def test_a_change_over_an_empty_map_is_unseen():
    assert strongest('a house is built') == ('unseen', {'unseen': 1.0})


@pytest.mark.parametrize(('sentence', 'language'), [('a road is built', 'en'),
                                                    ('修建了一条道路', 'zh')])
def test_naming_only_classes_that_the_map_lacks_is_told(sentence, language):
    name, found = strongest(sentence, (1, 0, 0, 20, 20), language=language)
    assert (name, found['absent'], found['silent']) == ('absent', 1.0, 1.0)
    # Beside what changed, other things may be named.
    _, found = strongest('a house is built beside the road', (1, 0, 0, 20, 20))
    assert found['absent'] == found['silent'] == 0


def test_a_map_of_one_class_knows_nothing_of_others():
    binary = facts((1, 0, 0, 20, 20), classes=('unchanged', 'building'))
    assert 'absent' not in map_disagreements('a road is built', binary)
    unnamed = facts((1, 0, 0, 20, 20), classes=('unchanged', 'changed'))
    assert 'absent' not in map_disagreements('a road is built', unnamed)


def test_leaving_out_most_of_the_change_is_told():
    _, found = strongest('a house is built', (1, 0, 0, 5, 5), (2, 0, 60, 100, 70))
    assert found['silent'] == pytest.approx(1000 / 1025) and found['absent'] == 0


@pytest.mark.parametrize(('sentence', 'place'), [
    ('a house is built in the top left corner', 0.0), ('a house is built on the right', 1.0),
    ('a house is built at the bottom left', 1.0), ('a house is built above the road', None),
    ('a house is built on the left and right sides', None)])
def test_the_named_half_is_compared_with_where_the_class_is(sentence, place):
    found = strongest(sentence, (1, 5, 5, 20, 20), (2, 60, 60, 99, 99))[1]
    assert found.get('place') == (None if place is None else pytest.approx(place))
    assert 'place' not in strongest(sentence, (1, 5, 5, 20, 20), places=False)[1]


@pytest.mark.parametrize(('sentence', 'count'), [
    ('two houses are built', 0.0), ('a house is built', 0.5), ('four villas appear', 0.5),
    ('some houses are built', None), ('a row of houses is built', None)])
def test_a_number_is_compared_with_the_regions(sentence, count):
    found = strongest(sentence, (1, 0, 0, 10, 10), (1, 20, 20, 30, 30))[1]
    assert found.get('count') == count


@pytest.mark.parametrize(('sentence', 'language', 'counts'), [
    ('two large white houses and a road appear', 'en', {'building': 2, 'road': 1}),
    ('a road with many houses beside it', 'en', {'road': 1}),
    ('three houses are removed and a building is built', 'en', {'building': 4}),
    ('a large building and a house are built', 'en', {'building': 2}),
    ('a large building and some houses are built beside a road', 'en', {}),
    ('many houses and a building are removed to build a road', 'en', {'road': 1}),
    ('建成了一座大型建筑和一栋房屋', 'zh', {'building': 2}),
    ('建成了一座大型建筑和很多房屋', 'zh', {}),
    ('a parking lot is paved and 2 ponds are dug', 'en', {'parking': 1, 'water': 2}),
    ('a number of houses', 'en', {}), ('a group of trees', 'en', {}),
    ('新建了一条道路，路边新建了两栋房子', 'zh', {'road': 1, 'building': 2}),
    ('一排房屋出现', 'zh', {}), ('几栋住宅出现了', 'zh', {})])
def test_exact_numbers_are_read_and_vague_ones_are_not(sentence, language, counts):
    assert counts_named(sentence, language) == counts


def test_the_flag_contradicts_what_it_calls_unlikely():
    assert flag_disagreement('a house is built', 0.9) == pytest.approx(0.1)
    assert flag_disagreement(STOCK[0], 0.9, 'en', STOCK) == pytest.approx(0.9)
    assert flag_disagreement('没有变化', 0.2, 'zh') == pytest.approx(0.2)


def test_other_sentences_contradict_in_change_object_direction_number_and_place():
    best = Said('a house is built', 'en', STOCK)
    others = {'a villa appears': 0.0, 'something is different': 0.0, 'two houses appear': 0.5,
              'a house is removed': 1.0, 'a road is built': 1.0, STOCK[0]: 1.0}
    for text, score in others.items():
        assert contradiction(best, [Said(text, 'en', STOCK)]) == score, text
    together = contradiction(best, [Said(text, 'en', STOCK) for text in others])
    assert together == pytest.approx(3.5 / 6)
    assert contradiction(best, []) is None
    assert contradiction(best, [Said('新建了一栋房屋', 'zh')]) == 0
    assert contradiction(best, [Said('新建了很多房屋', 'zh')]) == 0.5
    # A sentence in another language is an answer too: agreement of others does not hide it.
    assert contradiction(best, [Said('a villa appears', 'en', STOCK)] * 3 + [
        Said('两栋房屋被拆除', 'zh')]) == 1
    assert contradiction(best, [Said('没有变化', 'zh')]) == 1
    assert contradiction(best, [Said('一栋房屋被拆除', 'zh')]) == 1
    left, right = (Said(f'a house is built on the {side}') for side in ('left', 'right'))
    assert contradiction(left, [right]) == 0.5


def test_sentences_about_single_images_contradict_in_objects_alone():
    best = Said('houses beside a river')
    assert contradiction(best, [Said('a river with trees')], pairs=False) == 0
    assert contradiction(best, [Said('a parking lot')], pairs=False) == 1
