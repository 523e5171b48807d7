"""ChangeMetric inside MMEngine's evaluator."""
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData

from rscc.registry import METRICS
from rscc.structures import ChangeDataSample


def sample(name, prediction, target):
    made = ChangeDataSample(metainfo=dict(sample_id=name))
    if prediction is not None:
        made.pred_sem_seg = PixelData(data=torch.tensor([prediction]))
    if target is not None:
        made.gt_sem_seg = PixelData(data=torch.tensor([target]))
    return made


def evaluate(samples, classes=('unchanged', 'building'), **settings):
    metric = METRICS.build(dict(type='ChangeMetric', **settings))
    evaluator = Evaluator([metric])
    evaluator.dataset_meta = dict(classes=classes)
    evaluator.process(samples)
    assert all(set(kept) <= {'sample_id', 'matrix', 'empty'} for kept in metric.results)
    return evaluator.evaluate(len(samples))


def test_counts_are_summed_over_samples_of_any_size():
    scores = evaluate([sample('a', [[0, 1], [1, 1]], [[0, 1], [1, 255]]),
                       sample('b', [[0, 0, 1]], [[1, 0, 0]])])
    # Changed: 2 hits, 1 wrong, 1 missed.
    assert scores['change/F1_changed'] == pytest.approx(2 / 3)
    assert scores['change/IoU_building'] == pytest.approx(0.5)
    assert next(iter(scores)) == 'change/F1_changed'


def test_without_class_names_classes_are_numbered():
    scores = evaluate([sample('a', [[0, 2]], [[0, 1]]), sample('b', [[0, 1]], [[0, 1]])], None)
    assert {'change/IoU_0', 'change/IoU_1', 'change/IoU_2'} <= set(scores)


def test_without_any_mask_there_are_no_scores_and_no_crash():
    assert evaluate([sample('a', [[0, 1]], None), sample('b', None, [[0, 1]])]) == {}


def test_a_split_without_changed_pixels_works():
    scores = evaluate([sample('a', [[0, 0]], [[0, 0]])])
    assert 'change/F1_changed' not in scores and scores['change/OA'] == 1


def test_bad_maps_name_their_sample():
    with pytest.raises(ValueError, match=r"sample 'a': change map and mask differ in size"):
        evaluate([sample('a', [[0, 1]], [[0], [1]])])
    with pytest.raises(ValueError, match=r"sample 'a': mask holds \[7\]"):
        evaluate([sample('a', [[0, 1]], [[0, 7]])])
