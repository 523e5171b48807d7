"""Scores of answers that are known, on toy masks and on rendered pairs in the real layout."""
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from rscc.inference.result import InferenceResult
from rscc.structures import ScoredCaption
from tools.benchmark import real_scores
from tools.benchmark.real_scores import (
    answer_pairs,
    flag_rows,
    headline,
    judge,
    known_classes,
    languages_of,
    map_rows,
    map_scores,
    scores_of,
    sentence_rows,
    time_pair,
)
from tools.benchmark.real_sets import SETS, UNCHANGED_SETS, RealPair, RealSet, pairs_of

CLASSES = ('unchanged', 'building', 'road', 'vegetation')
ONE = RealSet('levir_cd_samples', 'LEVIR-CD', ('building',))
ANY = RealSet('dsifn_samples', 'DSIFN')
MCI = RealSet('levir_mci_figure_crops', 'LEVIR-MCI', ('building', 'road'),
              values={'building': 255, 'road': 128})


def result(mask, caption=None, probability=None, classes=CLASSES, values=None):
    """An answer whose probabilities are 0.7 for the class of the mask, and 0.1 for others."""
    mask = np.array(mask, np.uint8)
    if values is None:
        values = np.full((len(classes), *mask.shape), 0.1, np.float32)
        np.put_along_axis(values, mask[None].astype(int), 0.7, 0)
    return InferenceResult([np.zeros((*mask.shape, 3), np.uint8)] * 2, mask, classes=classes,
                           captions=[ScoredCaption(caption, 0.0)] if caption else [],
                           change_probability=probability, probabilities=values)


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


def test_classes_are_known_by_their_names():
    assert known_classes(CLASSES, ['road', 'building']) == [1, 2]
    assert known_classes(('unchanged', 'Buildings', 'nature'), ['building']) == [1]
    assert known_classes(('unchanged', 'nature', 'other'), ['building']) == []
    assert known_classes(('unchanged', 'building'), ['building']) == []


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
    assert scores['false_area'] == {'LEVIR-CD': {'pairs': 1, 'share': 0.25, 'any': 0.5},
                                    'NAIP': {'pairs': 1, 'share': 0, 'any': 0.25}}
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


class Model:
    """Stands in for an inferencer: the brighter date is where buildings are, in two languages."""
    decoding = dict(num_beams=1, language='en')
    meta, device = {}, 'cpu'
    model_pass = SimpleNamespace(loaded=SimpleNamespace(heads=['change_head', 'caption_head']))

    def __init__(self):
        self.calls = []

    def __call__(self, earlier, later, sentences=True, probabilities=False, language='en'):
        self.calls.append((sentences, language))
        frame = cv2.imread(later) if isinstance(later, str) else later
        if frame is None:
            raise ValueError(f"'{later}' cannot be read")
        mask = np.zeros(frame.shape[:2], np.uint8)
        return result(mask, {'en': 'no change', 'zh': '没有变化'}[language], 0.2)


def test_broken_images_and_labels_are_told_and_the_others_answered(real_roots):
    root, _ = real_roots
    (root / 'dsifn_samples/B/0_2.png').write_bytes(b'no picture')
    (root / 'egy_bcd_samples/test/label/test_1.png').write_bytes(b'no picture')
    cv2.imwrite(str(root / 'levir_cd_samples/label/test_2.png'), np.zeros((8, 9), np.uint8))
    pairs = [(one, each) for one in SETS if (root / one.folder).is_dir()
             for each in pairs_of(root, one)]
    shown = []
    judged, problems = answer_pairs(Model(), str(root), pairs, lambda *both: shown.append(both))
    assert len(judged) == len(shown) == len(pairs) - 3
    assert [problem.split(':')[0] for problem in problems] == [
        'levir_cd_samples/test_2', 'egy_bcd_samples/test/test_1', 'dsifn_samples/0_2']
    assert 'is (8, 9), its images are (64, 64) (height, width)' in problems[0]
    assert not any(str(root) in problem for problem in problems)


def test_a_model_of_two_languages_is_asked_in_both(real_roots):
    root, _ = real_roots
    captioned = next(one for one in SETS if one.title == 'LEVIR-CC')
    model = Model()
    judged, _ = answer_pairs(model, str(root), [(captioned, one)
                                                for one in pairs_of(root, captioned)])
    assert judged[0].sentences == {'en': 'no change', 'zh': '没有变化'}
    assert judged[1].hits['zh']['no_change'] and not judged[0].hits['en']['change']
    model.decoding, model.meta = dict(num_beams=1), dict(language='zh')
    assert languages_of(model) == {'zh': {}}
    model.model_pass = SimpleNamespace(loaded=SimpleNamespace(heads=['change_head']))
    assert languages_of(model) == {}


def test_the_mask_is_timed_alone_and_with_each_language(monkeypatch):
    model = Model()
    times = time_pair(model, [np.zeros((64, 80, 3), np.uint8)] * 2, rounds=2)
    assert list(times) == ['mask', 'with sentence (en)', 'with sentence (zh)']
    assert all(ms > 0 for ms in times.values())
    assert model.calls.count((False, 'en')) == model.calls.count((True, 'zh')) == 5
    assert real_scores.SOURCES == ('head', 'sentence', 'map')
