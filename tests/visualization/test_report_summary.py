import pytest

from rscc.visualization.report import interface_words
from rscc.visualization.report_cards import Judgement
from rscc.visualization.report_summary import failure_page, headline_numbers, verdict

WORDS = interface_words('en', {})
PAIR = {'img_path_from': 'a', 'img_path_to': 'b'}
RIGHT, MISSED = Judgement(True, True, []), Judgement(True, False, ['missed_change'])
INVENTED = Judgement(False, True, ['invented_change'])
COUNT = Judgement(True, True, ['wrong_count', 'wrong_place'])


@pytest.mark.parametrize(('judgements', 'metrics', 'said'), [
    ([RIGHT, RIGHT, MISSED, INVENTED], {},
     'Right about change in 2 of 4 pairs: 1 missed, 1 invented.'),
    ([RIGHT, COUNT], {},
     'Right about change in 2 of 2 pairs: 0 missed, 0 invented, 1 sentences wrong otherwise.'),
    ([Judgement(None, True, None), Judgement(None, False, None)], {'caption/all/CIDEr': 9.0},
     '1 of 2 pairs are said to have changed; there are no labels to compare with.'),
    ([Judgement(None, None, None)] * 2, {'change/F1_changed': 0.81, 'caption/all/CIDEr': 5.0},
     'Changed pixels are found with an F1 of 0.810 in 2 pairs.'),
    ([Judgement(None, None, None)] * 3, {'caption/all/CIDEr': 81.04},
     '3 images are described with a CIDEr of 81.0.'),
    ([], {}, '0 samples were tested; there is nothing to compare them with.')])
def test_the_verdict_says_what_can_be_said(judgements, metrics, said):
    assert verdict([PAIR] * len(judgements), judgements, metrics, WORDS) == said


def test_numbers_are_those_that_are_known():
    samples = [{**PAIR, 'doubt': {'sure': False}}, {**PAIR, 'doubt': {'sure': True}}, PAIR, PAIR]
    metrics = {'caption/changed/CIDEr': 110.0, 'change/F1_changed': 0.81, 'caption/all/CIDEr': 1.0,
               'reversal/reversible': 0.6}
    found = dict(reversed(pair) for pair in headline_numbers(
        samples, [RIGHT, MISSED, INVENTED, COUNT], metrics, WORDS))
    assert found == {'pairs': '4', 'right about change': '50.0 %', 'F1 of changed pixels': '0.810',
                     'sentences without a failure': '25.0 %', 'CIDEr of changed pairs': '110.0',
                     'reversible when dates are exchanged': '0.600',
                     'answers that are not sure': '1'}
    single = headline_numbers([{'img_path': 'a'}], [Judgement(None, None, None)],
                              {'caption/all/CIDEr': 81.04}, WORDS)
    assert single == [('1', 'images'), ('81.0', 'CIDEr')]


def test_failures_are_grouped_by_kind_the_most_frequent_first():
    cards = [{'failures': ['wrong_place'], 'scores': {'CIDEr': 20.0}},
             {'failures': [], 'scores': {}},
             {'failures': ['wrong_place'], 'scores': {'CIDEr': 5.0}},
             {'failures': ['wrong_place', 'wrong_count'], 'scores': {}}]
    judgements = [Judgement(True, True, card['failures']) for card in cards]
    # A failing sample that is not among the cards shown is counted.
    page = failure_page([*judgements, COUNT, Judgement(None, None, None)], cards, WORDS)
    assert (page['failing'], page['total']) == (4, 5)
    place, count, *others = page['kinds']
    assert (place['kind'], place['count'], place['num_cards']) == ('wrong_place', 4, 3)
    assert place['examples'] == [2, 0, 3] and place['share'] == 4 / 5
    assert (count['kind'], count['count'], count['examples']) == ('wrong_count', 2, [3])
    assert [kind['count'] for kind in others] == [0] * 4


def test_where_nobody_looked_for_failures_there_is_no_page():
    assert failure_page([Judgement(True, True, None)], [], WORDS) is None
