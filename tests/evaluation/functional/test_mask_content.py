"""What a mask shows, and captions judged by it."""
import numpy as np
import pytest

from rscc.evaluation.functional.mask_content import (
    groups_of,
    mask_content,
    place_on_mask,
    things_against_mask,
)

CLASSES = ('unchanged', 'building', 'road', 'vegetation')


def painted():
    """A building at the top left, a small road inside it."""
    mask = np.zeros((8, 8), np.uint8)
    mask[:4, :4] = 1
    mask[0, 0] = 2
    mask[7, 7] = 255
    return mask


def test_shares_of_things_and_where_they_are():
    shown = mask_content(painted(), CLASSES)
    assert set(shown) == {'any', 'building', 'road', 'tree'}
    assert shown['any'] == {'share': 0.25, 'top': 1.0, 'left': 1.0, 'center': 0.25}
    assert shown['road'] == {'share': round(1 / 64, 4), 'top': 1.0, 'left': 1.0, 'center': 0.0}
    assert shown['tree'] is None


def test_class_names_are_found_in_both_languages_and_writings():
    assert groups_of(['Building', 'bare_land', 'car-park', '水体', 'class 9']) == {
        'building': {'Building'}, 'bare land': {'bare_land'}, 'parking': {'car-park'},
        'water': {'水体'}}
    chinese = mask_content(painted(), ('未变化', '建筑', '道路', '水体'))
    assert chinese['building']['share'] == 0.2344


def test_labels_that_tell_of_no_change_do_not_count():
    mask = np.full((4, 4), 254, np.uint8)
    assert mask_content(mask)['any'] is None
    mask[0] = 253
    assert mask_content(mask)['any']['share'] == 0.25


def test_a_mask_without_names_knows_where_and_not_what():
    assert set(mask_content(painted())) == {'any'}
    assert set(mask_content(painted(), ('unchanged', 'changed'))) == {'any'}
    assert mask_content(np.zeros((4, 4), int), CLASSES)['any'] is None


@pytest.mark.parametrize(('sentence', 'language', 'expected'), [
    ('a house is built along the trees', 'en', ({'building'}, set(), set())),
    ('trees are planted', 'en', ({'tree'}, {'tree'}, {'building'})),
    ('a pond appears', 'en', (set(), set(), {'building'})),
    ('新建了一条道路', 'zh', ({'road'}, set(), {'building'}))])
def test_captions_are_judged_by_the_things_that_changed(sentence, language, expected):
    named, hallucinated, plain, missed = things_against_mask(
        sentence, mask_content(painted(), CLASSES), language)
    # The road is too small beside the house to be asked for.
    assert plain == {'building'}
    assert (named, hallucinated, missed) == expected


@pytest.mark.parametrize(('sentence', 'expected'), [
    ('a house in the top left corner', True), ('a house on the left', True),
    ('a house in the bottom left corner', False), ('a house in the center of the scene', False),
    ('a house is built', None)])
def test_places_are_looked_up_in_the_mask(sentence, expected):
    assert place_on_mask(sentence, mask_content(painted(), CLASSES)) is expected


def test_an_empty_mask_has_no_place():
    assert place_on_mask('on the left', mask_content(np.zeros((4, 4), int), CLASSES)) is None
