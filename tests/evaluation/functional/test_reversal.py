"""Reversibility of captions and maps."""
import numpy as np
import pytest

from rscc.evaluation.functional.reversal import caption_reversal, mask_reversal, reversal_scores

STOCK = ['the scene is the same as before']


@pytest.mark.parametrize(('forward', 'backward', 'language'), [
    ('two houses are built on the left', 'two villas are demolished', 'en'),
    ('some houses appear', 'three houses have been removed', 'en'),
    ('some trees are removed to build a house', 'a house is replaced by some trees', 'en'),
    ('a pond turns into the bareland', 'a pond appears', 'en'),
    ('now there are houses', 'before there were houses', 'en'),
    ('a stadium appears', 'the stadium disappears', 'en'),
    ('新建了两栋房屋', '两栋房屋被拆除了', 'zh'),
    ('树木被砍伐，新建了一条道路', '道路变成了树木', 'zh')])
def test_mirrored_captions_are_reversible(forward, backward, language):
    for one, other in ((forward, backward), (backward, forward)):
        found = caption_reversal(one, other, language)
        assert found['reversible'] and found['direction'] and found['object'], (one, other)
        assert not found['no_change_twice']


@pytest.mark.parametrize(('forward', 'backward', 'failing'), [
    ('a house is built', 'a house is built', 'direction'),
    ('a house', 'a house', 'direction'),
    ('trees are replaced by a house', 'trees are replaced by a house', 'direction'),
    ('a house is built and a road is removed', 'a house appears and a road disappears',
     'direction'),
    ('a house is built', 'a road is removed', 'object'),
    ('a house and a road are built', 'a house is removed', 'object'),
    ('two houses are built', 'four houses are removed', 'count')])
def test_what_is_not_mirrored_or_not_kept_fails(forward, backward, failing):
    found = caption_reversal(forward, backward)
    assert found[failing] is False and not found['reversible']
    assert all(found[name] is not False for name in {'direction', 'object', 'count'} - {failing})


def test_no_change_fails_once_and_twice():
    once = caption_reversal('a house is built', STOCK[0], 'en', STOCK)
    twice = caption_reversal(STOCK[0], '', 'en', STOCK)
    for found in (once, twice):
        assert (found['reversible'], found['direction'], found['object']) == (False,) * 3
    assert (once['no_change_twice'], twice['no_change_twice']) == (False, True)


def test_numbers_are_compared_only_where_both_give_one():
    assert caption_reversal('houses are built', 'grass and houses are removed')['count'] is True
    assert caption_reversal('grass appears', 'grass disappears')['count'] is None


def test_maps_agree_by_the_classes_of_changed_pixels():
    one = np.array([[0, 1, 1, 2]])
    assert mask_reversal(one, one) == 1
    assert mask_reversal(one, np.array([[0, 1, 2, 0]])) == pytest.approx(1 / 3)
    assert mask_reversal(one * 0, one * 0) == 0, 'nothing both times is a failure'


def test_shares_are_of_the_pairs_that_were_asked():
    answers = [caption_reversal('two houses are built', 'two houses are removed'),
               caption_reversal('grass appears', 'grass disappears'),
               caption_reversal(STOCK[0], STOCK[0])]
    assert reversal_scores(answers) == pytest.approx({
        'reversible': 2 / 3, 'direction': 2 / 3, 'object': 2 / 3, 'count': 1.0,
        'no_change_twice': 1 / 3, 'pairs': 3.0})
    assert reversal_scores([]) == {}
