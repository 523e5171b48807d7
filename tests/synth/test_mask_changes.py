import numpy as np
import pytest

from rscc.synth.captions_en import VOCABULARY as ENGLISH
from rscc.synth.captions_zh import VOCABULARY as CHINESE
from rscc.synth.mask_changes import building_changes, sentences


def mask(*boxes, size=(256, 256)):
    drawn = np.zeros(size, bool)
    for top, left, rows, columns in boxes:
        drawn[top:top + rows, left:left + columns] = True
    return drawn


EMPTY = mask()
TWO_HOUSES = mask((10, 10, 20, 24), (60, 10, 22, 24))
HALL = mask((180, 150, 60, 90))


def told(changes):
    return [(change.kind, change.action, change.count, change.where) for change in changes]


def test_small_roofs_are_houses_and_large_ones_buildings():
    assert told(building_changes(EMPTY, TWO_HOUSES, 0.5)) == [('house', 'built', 2, 'top left')]
    assert told(building_changes(HALL, EMPTY, 0.5)) == [('building', 'removed', 1, 'bottom right')]


def test_the_same_roof_is_a_house_or_a_building_by_its_size_on_the_ground():
    roof = mask((100, 100, 50, 50))
    kinds = [building_changes(EMPTY, roof, metres)[0].kind for metres in (0.2, 1.0)]
    assert kinds == ['house', 'building']


def test_what_replaces_what_is_told_of_both_dates():
    changes = building_changes(TWO_HOUSES, HALL, 0.5)
    assert {(change.kind, change.action) for change in changes} == {
        ('building', 'built'), ('house', 'removed')}
    assert changes[0].kind == 'building'  # the larger first


def test_nothing_is_told_of_what_nobody_can_see():
    assert building_changes(EMPTY, mask((5, 5, 4, 5)), 0.5) == []
    assert building_changes(EMPTY, EMPTY, 0.5) == []


@pytest.mark.parametrize('size', [(128, 128), (192, 256)])
def test_places_are_those_of_images_of_any_size(size):
    corner = mask((size[0] - 40, 5, 30, 30), size=size)
    assert building_changes(EMPTY[:size[0], :size[1]], corner, 0.5)[0].where == 'bottom left'


@pytest.mark.parametrize('language, words', [('en', ENGLISH), ('zh', CHINESE)])
def test_sentences_use_the_words_of_the_built_in_dataset_and_name_no_ground(language, words):
    known = ''.join(words) if language == 'zh' else set(words)
    for seed, (earlier, later) in enumerate(((EMPTY, TWO_HOUSES), (HALL, EMPTY),
                                             (TWO_HOUSES, HALL), (EMPTY, EMPTY))):
        for _ in range(6):
            draw = np.random.default_rng(seed)
            for text in sentences(building_changes(earlier, later, 0.5), language, draw):
                parts = text if language == 'zh' else text.split()
                assert all(part in known for part in parts)
                assert 'meadow' not in text and 'desert' not in text and '草地' not in text
