"""Kinds of failure, in both languages."""
import pytest

from rscc.evaluation.functional.failures import KINDS, count_gaps, failure_kinds, place_right
from rscc.evaluation.functional.statements import statements

REFERENCES = {
    'en': ['two houses are built on the left', 'two villas appear along the road',
           'two houses appear in the top left corner'],
    'zh': ['左侧新建了两栋房屋', '道路旁出现了两栋住宅', '左上角新建了两座房屋'],
}
SAME = {'en': ['there is no difference', 'no change has occurred'],
        'zh': ['没有差异', '没有发生变化']}


@pytest.mark.parametrize(('language', 'prediction', 'expected'), [
    ('en', 'two houses are built on the left', []),
    ('en', 'several houses are built', ['wrong_count']),
    ('en', 'some villas appear in the bottom left corner', []),
    ('en', 'two houses are removed on the right', ['wrong_direction', 'wrong_place']),
    ('en', 'a road is built', ['wrong_object']),
    ('en', 'a pond and two houses appear', ['wrong_object']),
    ('en', 'there is no difference', ['missed_change']),
    ('en', '', ['missed_change']),
    ('zh', '左侧新建了两栋房屋', []),
    ('zh', '新建了三栋房屋', ['wrong_count']),
    ('zh', '右侧的两栋房屋被拆除', ['wrong_direction', 'wrong_place']),
    ('zh', '出现了一个池塘', ['wrong_object']),
    ('zh', '没有差异', ['missed_change'])])
def test_a_changed_pair_is_judged_by_what_its_references_say(language, prediction, expected):
    assert failure_kinds(prediction, REFERENCES[language], True, language) == expected
    assert failure_kinds(prediction, REFERENCES[language], None, language) == expected


@pytest.mark.parametrize('language', ['en', 'zh'])
def test_an_unchanged_pair_knows_one_failure(language):
    changed = REFERENCES[language][0]
    assert failure_kinds(changed, SAME[language], False, language) == ['invented_change']
    assert failure_kinds(changed, SAME[language], None, language) == ['invented_change']
    assert failure_kinds(SAME[language][1], SAME[language], None, language) == []
    assert failure_kinds('', SAME[language], False, language) == []


def test_the_flag_of_the_pair_goes_before_its_references():
    assert failure_kinds('a house is built', SAME['en'], True) == []
    assert failure_kinds('no change has occurred', [], True) == ['missed_change']
    assert failure_kinds('a house is built', [], None) == []


def test_stock_sentences_of_the_dataset_say_no_change():
    assert failure_kinds('the image is as it was', REFERENCES['en'], True, 'en',
                         ['The image is as it was.']) == ['missed_change']


def test_kinds_come_in_their_order():
    found = failure_kinds('two ponds and five houses appear on the right and a house is removed',
                          REFERENCES['en'])
    assert found == ['wrong_object', 'wrong_direction', 'wrong_count', 'wrong_place']
    assert set(found) < set(KINDS)


def test_counts_are_compared_with_the_nearest_reference_of_the_same_thing():
    known = [statements('two houses are built'), statements('three houses and a road are built')]
    assert count_gaps(statements('six houses and a road are built'), known) == [3, 0]
    assert count_gaps(statements('a pond appears'), known) == []
    # Built houses are not counted against removed ones.
    assert count_gaps(statements('six houses are removed'), known) == []


def test_places_are_asked_for_only_where_both_sides_name_one():
    assert place_right('a house is built', ['a house on the left']) is None
    assert place_right('a house at the top', ['a house is built']) is None
    assert place_right('a house at the top', ['a house in the upper right corner']) is True
    assert place_right('a house in the middle', ['a house in the upper right corner']) is False
