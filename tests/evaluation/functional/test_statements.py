"""What captions state: things, what happened to them, how many, and where."""
import math
from itertools import product

import numpy as np
import pytest

from rscc.evaluation.functional.statements import (
    Statement,
    changed_things,
    count_gap,
    same_place,
    statements,
)
from rscc.synth.changes import BUILT, REMOVED, Change
from rscc.synth.mask_changes import sentences
from rscc.text.directions import places_named

MANY = math.inf
THINGS = {'house': 'building', 'building': 'building', 'road': 'road', 'pond': 'water',
          'parking lot': 'parking', 'trees': 'tree'}


def told(sentence, language='en'):
    return [(one.thing, one.action, one.count) for one in statements(sentence, language)]


@pytest.mark.parametrize(('sentence', 'expected'), [
    ('some trees are removed to build two houses on the left',
     [('tree', 'remove', (2, MANY)), ('building', 'appear', (2, 2))]),
    ('a building with a parking lot replaces the trees in the corner',
     [('building', 'appear', (1, 1)), ('parking', 'appear', (1, 1)),
      ('tree', 'remove', (2, MANY))]),
    ('trees are cut down and replaced by a house',
     [('tree', 'remove', (2, MANY)), ('building', 'appear', (1, 1))]),
    ('houses replace the trees and a road is built',
     [('building', 'appear', (2, MANY)), ('tree', 'remove', (2, MANY)),
      ('road', 'appear', (1, 1))]),
    ('the trees make way for a road', [('tree', 'remove', (2, MANY)), ('road', 'appear', (1, 1))]),
    ('a row of new houses is built along the road', [('building', 'appear', (3, MANY))]),
    ('some trees in the woods disappear', [('tree', 'remove', (2, MANY))]),
    ('there was a forest before', [('tree', 'remove', None)]),
    ('now there are two houses', [('building', 'appear', (2, 2))]),
    ('there are new houses', [('building', 'appear', (2, MANY))]),
    ('a pond is filled', [('water', 'remove', (1, 1))]),
    ('the scene is the same as before', [])])
def test_english_captions(sentence, expected):
    assert told(sentence) == expected


@pytest.mark.parametrize(('sentence', 'expected'), [
    ('道路两侧新建了几栋房屋和一条道路',
     [('building', 'appear', (3, MANY)), ('road', 'appear', (1, 1))]),
    ('左侧的两栋房屋被拆除了', [('building', 'remove', (2, 2))]),
    ('树木被砍伐，新建了一座大型建筑', [('tree', 'remove', None), ('building', 'appear', (1, 1))]),
    ('房屋取代了原来的树木', [('building', 'appear', None), ('tree', 'remove', None)]),
    ('一些树木被房屋取代', [('tree', 'remove', (2, MANY)), ('building', 'appear', None)]),
    ('下方的裸地变成了池塘', [('water', 'appear', None)]),
    ('拆除了三栋房屋', [('building', 'remove', (3, 3))]),
    ('几栋房屋出现在右上角的空地上', [('building', 'appear', (3, MANY))]),
    ('场景和之前一样', [])])
def test_chinese_captions(sentence, expected):
    assert told(sentence, 'zh') == expected


def recorded():
    """Changes of every kind, alone and in pairs that the recipes make, as the records of pairs."""
    def make(kind, action, count, where='top left'):
        things = [np.zeros(4)] * count
        return Change(kind, action, things, ground='meadow', where=where)

    single = [[make(kind, action, count)] for kind, action, count in product(
        ('house', 'building', 'road', 'pond', 'parking lot'), (BUILT, REMOVED), (1, 2))
        if count == 1 or kind in ('house', 'building')]
    together = [[make('road', BUILT, 1), make('house', BUILT, 4)],
                [make('building', BUILT, 1), make('parking lot', BUILT, 1)],
                [make('house', REMOVED, 2), make('building', BUILT, 1)],
                [make('pond', REMOVED, 1), make('house', BUILT, 2)]]
    return single + together


@pytest.mark.parametrize('language', ['en', 'zh'])
def test_captions_of_rendered_changes_state_what_their_records_say(language):
    checked = 0
    for changes in recorded():
        truth = {(THINGS[change.kind], {BUILT: 'appear', REMOVED: 'remove'}[change.action]):
                 change.count for change in changes}
        for sentence in sentences(changes, language, np.random.default_rng(0), 25):
            found = statements(sentence, language)
            assert found, sentence
            for one in found:
                assert (one.thing, one.action) in truth, sentence
                number = truth[one.thing, one.action]
                assert one.count is None or one.count[0] <= number <= one.count[1], sentence
            # Whatever place is named is the one of the record.
            assert all(same_place(place, frozenset({'top', 'left'}))
                       for place in places_named(sentence, language)), sentence
            checked += 1
    assert checked > 300


def test_a_thing_beside_which_something_changed_has_not_changed():
    assert changed_things('a house is built along the road and the woods') == {'building'}
    assert changed_things('路边新建了房屋', 'zh') == {'building'}
    assert changed_things('a playground appears') == set()
    assert changed_things('a playground appears', wide=True) == {'sports ground'}


@pytest.mark.parametrize(('sentence', 'language', 'expected'), [
    ('a house in the upper right corner and trees at the bottom', 'en',
     [{'top', 'right'}, {'bottom'}]),
    ('in the middle of the scene', 'en', [{'center'}]),
    ('in the middle of the road', 'en', []),
    ('two houses are left', 'en', []),
    ('on the left and right sides', 'en', [{'left'}, {'right'}]),
    ('to the north east', 'en', [{'top', 'right'}]),
    ('左上角和场景中央', 'zh', [{'left', 'top'}, {'center'}]),
    ('道路中间', 'zh', [{'center'}]),
    ('十个左右', 'zh', [])])
def test_places_are_sides_corners_and_the_center(sentence, language, expected):
    assert [set(place) for place in places_named(sentence, language)] == expected


def test_numbers_are_ranges():
    assert count_gap((2, 2), (3, MANY)) == count_gap((3, MANY), (2, 2)) == 1
    assert count_gap((2, MANY), (4, MANY)) == 0
    assert count_gap((1, 1), (4, 4)) == 3


def test_the_ground_is_a_thing_only_where_nothing_else_changed():
    assert told('the meadow turns into a pond') == [('water', 'appear', (1, 1))]
    assert told('左侧的草地变成了池塘', 'zh') == [('water', 'appear', None)]
    assert told('the grass has disappeared') == [('tree', 'remove', None)]


def test_a_side_and_its_corner_may_be_one_place():
    top, corner, left = (frozenset(names) for names in (['top'], ['top', 'left'], ['left']))
    assert same_place(top, corner) and same_place(corner, left) and not same_place(top, left)


def test_equal_statements_are_told_once():
    assert statements('a house is built, a house is built') == [
        Statement('building', 'appear', (1, 1))]
