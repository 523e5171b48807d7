"""Scores of answers that are known, on toy masks: every number worked out by hand."""
import cv2
import numpy as np
import pytest
from real_pairs import result

from tools.benchmark.real_answers import judge
from tools.benchmark.real_scores import (
    flag_rows,
    headline,
    map_rows,
    map_scores,
    scores_of,
    sentence_rows,
)
from tools.benchmark.real_sets import SETS, UNCHANGED_SETS, RealPair, RealSet

ONE = RealSet('levir_cd_samples', 'LEVIR-CD', ('building',))
ANY = RealSet('dsifn_samples', 'DSIFN')
MCI = RealSet('levir_mci_figure_crops', 'LEVIR-MCI', ('building', 'road'),
              values={'building': 255, 'road': 128})


def pair(tmp_path, label=None, name='a', references=(), changed=None):
    path = None
    if label is not None:
        path = tmp_path / f'{name}.png'
        cv2.imwrite(str(path), np.array(label, np.uint8))
    return RealPair(name, tmp_path / 'A.png', tmp_path / 'B.png', path, tuple(references), changed)


def test_a_class_that_a_set_does_not_label_counts_in_the_column_of_any_class_alone(tmp_path):
    # Predicted: building right, building wrong, road; a labelled building is missed.
    judged = judge(ONE, pair(tmp_path, [[255, 0, 0, 255]]), {'': result([[1, 1, 2, 0]])})
    own, every = map_scores([judged]), map_scores([judged], any_class=True)
    assert own == pytest.approx({'F1': 1 / 2, 'IoU': 1 / 3, 'precision': 1 / 2, 'recall': 1 / 2,
                                 'AP': 1 / 2 * 1 / 2 + 1 / 2 * 2 / 4})
    # 1 - P(unchanged) is 0.9 three times and 0.3 once.
    assert every == pytest.approx({'F1': 2 / 5, 'IoU': 1 / 4, 'precision': 1 / 3, 'recall': 1 / 2,
                                   'AP': 1 / 2 * 1 / 3 + 1 / 2 * 2 / 4})


def test_where_any_change_is_labelled_both_ways_agree(tmp_path):
    judged = judge(ANY, pair(tmp_path, [[255, 0, 255, 255]]), {'': result([[1, 1, 2, 3]])})
    assert map_scores([judged]) == map_scores([judged], any_class=True)
    assert map_scores([judged])['F1'] == pytest.approx(2 * 3 / (2 * 3 + 1))


@pytest.mark.parametrize('classes', [('unchanged', 'changed'), ('unchanged', 'built'), ()])
def test_a_model_of_one_class_is_judged_by_it(tmp_path, classes):
    answer = result([[1, 0]], classes=classes, values=np.array([[0.8, 0.3]], np.float32))
    judged = judge(ONE, pair(tmp_path, [[255, 0]]), {'': answer})
    assert map_scores([judged]) == {'F1': 1, 'IoU': 1, 'precision': 1, 'recall': 1, 'AP': 1}
    assert map_rows([judged])['LEVIR-CD']['counted'] == []


def test_a_model_without_the_class_is_judged_by_any_of_its_own(tmp_path):
    answer = result([[1, 2]], classes=('unchanged', 'nature', 'other'))
    judged = judge(ONE, pair(tmp_path, [[255, 255]]), {'': answer})
    assert map_scores([judged])['F1'] == 1


def test_a_model_that_tells_classes_alone_is_ranked_by_its_map(tmp_path):
    answer = result([[1, 2, 0]], values=np.array([[1, 1, 0]], np.float32))
    judged = judge(ONE, pair(tmp_path, [[255, 0, 0]]), {'': answer})
    assert map_scores([judged])['AP'] == 1
    assert map_scores([judged], any_class=True)['AP'] == pytest.approx(1 / 2)


def test_pooled_scores_count_pixels_and_not_pairs(tmp_path):
    judged = [judge(one, pair(tmp_path, label, name), {'': result(mask)})
              for one, name, label, mask in (
                  (ONE, 'a', [[255]], [[1]]),
                  (MCI, 'b', [[255, 128, 0, 0]], [[1, 1, 1, 0]]))]
    rows = map_rows(judged)
    assert list(rows) == ['LEVIR-CD', 'LEVIR-MCI', 'LEVIR-MCI: building', 'LEVIR-MCI: road',
                          'LEVIR-CD + LEVIR-MCI', 'all with masks']
    assert rows['LEVIR-CD + LEVIR-MCI']['F1'] == pytest.approx(2 * 3 / (2 * 3 + 1))
    assert rows['LEVIR-CD + LEVIR-MCI']['changed'] == pytest.approx(3 / 5)
    assert rows['LEVIR-MCI: building']['precision'] == pytest.approx(1 / 3)
    assert rows['LEVIR-MCI: road']['recall'] == 0
    assert rows['LEVIR-MCI']['counted'] == ['building', 'road']
    assert rows['all with masks']['counted'] is None


def test_false_area_and_alarms_of_unchanged_pairs(tmp_path):
    judged = [judge(one, pair(tmp_path, label, name, changed=changed), {
        '': result(mask, probability=probability)}) for one, name, label, changed, mask, probability
        in ((ONE, 'a', [[0, 0, 0, 0]], None, [[1, 2, 0, 0]], 0.8),
            (ONE, 'b', [[255, 0, 0, 0]], None, [[1, 0, 0, 0]], 0.6),
            (UNCHANGED_SETS[1], 'c', None, False, [[0, 0, 0, 3]], 0.1))]
    scores = scores_of(judged)
    common = dict(pairs=1, counted=['building'])
    assert scores['false_area'] == {'LEVIR-CD': common | {'share': 0.25, 'any': 0.5},
                                    'NAIP': common | {'share': 0, 'any': 0.25}}
    assert scores['flags']['all with masks / head'] == {
        'changed': 1, 'unchanged': 1, 'hit_rate': 1, 'false_alarms': 1, 'balanced_accuracy': 0.5,
        'AUC': 0}
    assert scores['flags']['unchanged pairs / head'] == {
        'changed': 0, 'unchanged': 1, 'false_alarms': 0}
    assert scores['flags']['unchanged pairs / map']['false_alarms'] == 1
    assert dict(headline(scores))['false area NAIP'] == 0
    record = scores['pairs'][1]
    assert record['pair'] == 'b' and record['changed'] is True and record['F1'] == 1
    assert record['changed_share'] == record['called_share'] == 0.25


def test_sentences_are_counted_in_both_languages(tmp_path):
    levir, dubai = (next(one for one in SETS if one.title == title)
                    for title in ('LEVIR-CC', 'DUBAI-CC'))
    told = [(levir, ['a house is built'], True, 'houses are built', '房屋被拆除'),
            (levir, ['trees are removed'], True, 'a house is built', '树木被移除'),
            (levir, ['no change has occurred'], False, 'no change has occurred', '没有发生变化'),
            (dubai, ['the area is the same'], False, 'a road is built', '没有变化')]
    judged = [judge(one, pair(tmp_path, None, str(number), references, changed),
                    {'en': result([[0]], en), 'zh': result([[0]], zh)})
              for number, (one, references, changed, en, zh) in enumerate(told)]
    rows = sentence_rows(judged)
    english, chinese = rows['en']['LEVIR captions'], rows['zh']['LEVIR captions']
    assert (english['object'], english['object_of'], english['direction']) == (0.5, 2, 0.5)
    assert (english['no_change'], english['no_change_of'], english['change']) == (1, 1, 1)
    assert (chinese['object'], chinese['direction'], chinese['no_change']) == (1, 0.5, 1)
    assert english['constant']['direction'] == 0.5 and english['constant']['no_change'] == 0
    assert rows['en']['DUBAI-CC']['no_change'] == 0 and 'object' not in rows['en']['DUBAI-CC']
    flags = flag_rows(judged)
    assert flags['LEVIR captions / sentence'] == {
        'changed': 2, 'unchanged': 1, 'hit_rate': 1, 'false_alarms': 0, 'balanced_accuracy': 1}
    assert flags['DUBAI-CC / sentence']['false_alarms'] == 1
    assert 'LEVIR captions / head' not in flags
