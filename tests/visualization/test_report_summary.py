import pytest

from rscc.visualization.report import interface_words
from rscc.visualization.report_cards import Judgement
from rscc.visualization.report_summary import (
    curve_name,
    failure_page,
    headline_numbers,
    score_name,
    score_text,
    verdict,
)

WORDS = interface_words('en', {})
PAIR = {'img_path_from': 'a', 'img_path_to': 'b'}
RIGHT, MISSED = Judgement(True, True, []), Judgement(True, False, ['missed_change'])
INVENTED = Judgement(False, True, ['invented_change'])
COUNT = Judgement(True, True, ['wrong_count', 'wrong_place'])


@pytest.mark.parametrize(('judgements', 'metrics', 'said'), [
    ([RIGHT, RIGHT, MISSED, INVENTED], {},
     'Right about change in 2 of 4 pairs: 1 missed, 1 invented.'),
    ([RIGHT, COUNT], {},
     'Right about change in 2 of 2 pairs: 0 missed, 0 invented, 1 sentence wrong otherwise.'),
    ([Judgement(None, True, None), Judgement(None, False, None)], {'caption/all/CIDEr': 9.0},
     'Said to have changed: 1 of 2 pairs; there are no labels to compare with.'),
    ([Judgement(None, None, None)] * 2, {'change/F1_changed': 0.81, 'caption/all/CIDEr': 5.0},
     'Changed pixels are found with an F1 of 81.0 % in 2 pairs.'),
    ([Judgement(None, None, None)] * 3, {'caption/all/CIDEr': 81.04},
     'CIDEr is 81.0 over the captions of 3 images.'),
    ([], {}, '0 samples tested; there is nothing to compare with.')])
def test_the_verdict_says_what_can_be_said(judgements, metrics, said):
    assert verdict([PAIR] * len(judgements), judgements, metrics, WORDS) == said


def test_numbers_are_those_that_are_known():
    samples = [{**PAIR, 'doubt': {'value': 0.6, 'sure': True}},
               {**PAIR, 'doubt': {'value': 0.1, 'sure': True}}, PAIR, PAIR]
    metrics = {'caption/changed/CIDEr': 110.0, 'change/F1_changed': 0.81, 'caption/all/CIDEr': 1.0,
               'reversal/reversible': 0.6}
    found = dict(reversed(pair) for pair in headline_numbers(
        samples, [RIGHT, MISSED, INVENTED, COUNT], metrics, WORDS))
    assert found == {'pairs': '4', 'right about change': '50.0 %', 'F1 of changed pixels': '81.0 %',
                     'sentences without a failure': '25.0 %', 'CIDEr of changed pairs': '110.0',
                     'reversible when dates are exchanged': '60.0 %',
                     'answers that are not sure': '1'}
    single = headline_numbers([{'img_path': 'a'}], [Judgement(None, None, None)],
                              {'caption/all/CIDEr': 81.04}, WORDS)
    assert single == [('1', 'images'), ('81.0', 'CIDEr')]


@pytest.mark.parametrize(('key', 'value', 'shown'), [
    ('Bleu_4', 0.005, '0.0'), ('CIDEr', 62.12, '62.1'), ('F1_changed', 0.8761, '87.6 %'),
    ('reversible', 1.0, '100.0 %'), ('model score', -0.81, '-0.810'),
    ('model score', -1e-5, '0.000')])
def test_numbers_of_a_row_are_of_one_scale(key, value, shown):
    assert score_text(key, value, WORDS) == shown


def test_a_model_without_calibration_does_not_look_sure():
    unknown = {**PAIR, 'doubt': {'value': None, 'sure': None, 'grade': 'uncalibrated'}}
    value, name = headline_numbers([unknown], [RIGHT], {}, WORDS)[-1]
    assert value == '–' and 'not calibrated' in name


@pytest.mark.parametrize(('key', 'english', 'chinese'), [
    ('Bleu_4', 'BLEU-4', 'BLEU-4'), ('not_sure', 'not sure', '不确定'),
    ('F1_changed', 'F1, changed', '变化 F1'), ('IoU_building', 'IoU building', 'IoU 建筑物'),
    ('IoU_parking_lot', 'IoU parking lot', 'IoU 停车场'),
    ('farmland_to_road', 'farmland → road', '农田 → 道路'),
    ('CIDEr_low', 'CIDEr, 95 % from', 'CIDEr，95 % 下限'), ('own_score', 'own score', 'own score'),
    ('SeK_from_to', 'SeK, from-to', 'SeK（转变计）')])
def test_scores_have_names_that_people_use(key, english, chinese):
    assert score_name(key, WORDS) == english
    assert score_name(key, interface_words('zh', {})) == chinese


@pytest.mark.parametrize(('key', 'english', 'chinese'), [
    ('loss', 'sum of the losses', '损失合计'), ('loss_caption', 'loss: caption', '损失：caption'),
    ('caption/changed/CIDEr', 'CIDEr, changed pairs', 'CIDEr, 有变化的影像对'),
    ('change/mIoU', 'mean IoU', '平均 IoU'), ('lr', 'Learning rate', '学习率')])
def test_curves_have_names_that_people_use(key, english, chinese):
    assert curve_name(key, WORDS) == english
    assert curve_name(key, interface_words('zh', {})) == chinese


def test_every_score_of_the_tables_has_a_name_in_both_languages():
    from rscc.evaluation import table
    keys = {*table._COLUMNS, *table._PUBLISHED, *table._SHARES, *table._REVERSAL, *table._CHANGE,
            *table._SEMANTIC, *table._SEMANTIC_MORE, *table._DOUBT}
    for language in ('en', 'zh'):
        assert keys <= set(interface_words(language, {})['score_names']), language


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


def test_one_of_anything_is_told_in_the_singular():
    assert verdict([PAIR], [RIGHT], {}, WORDS).startswith('Right about change in 1 of 1 pair:')
    assert verdict([PAIR], [Judgement(None, None, None)], {}, WORDS).startswith('1 sample tested')
