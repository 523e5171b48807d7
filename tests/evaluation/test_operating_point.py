import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from rscc.evaluation.operating_point import EDGES, f1_curve, fit_flag
from rscc.registry import METRICS
from rscc.structures import ChangeDataSample


def sample(logits, label, chance=None, flag=None):
    made = ChangeDataSample()
    made.seg_logits = PixelData(data=torch.tensor(logits, dtype=torch.float))
    made.gt_sem_seg = PixelData(data=torch.tensor(label)[None])
    if chance is not None:
        made.pred_change_score, made.gt_change_flag = chance, flag
    return made


def evaluate(samples):
    """Return the metrics without a limit of the false area."""
    metric = METRICS.build(dict(type='OperatingPointMetric'))
    metric.process({}, [one.to_dict() for one in samples])
    return metric.evaluate(len(samples))


def test_the_threshold_separates_what_can_be_separated():
    # Changed where the score is above 1.5, and ignored labels are no pixels at all.
    scores = [[-3.0, 0.5, 1.4, 1.6, 4.0, 9.0]]
    logits = [[[0.0] * 6], scores, [[-20.0] * 6]]
    found = evaluate([sample(logits, [[0, 0, 0, 1, 2, 254]])])
    assert found['point/F1_best'] == 1 and 1.4 <= found['point/threshold'] < 1.6
    assert found['point/F1_trained'] == pytest.approx(2 * 2 / (2 + 2 + 2))


def test_the_false_area_of_unchanged_pairs_can_be_limited():
    changed = sample([[[-1.0, 0.5, 2.0, 4.0]]], [[0, 1, 1, 1]])
    quiet = sample([[[-1.0, -1.0, 1.0, 3.0]]], [[0, 0, 0, 0]])
    free = evaluate([changed, quiet])
    assert free['point/false_area'] == 0.5
    metric = METRICS.build(dict(type='OperatingPointMetric', most_false_area=0.25))
    metric.process({}, [one.to_dict() for one in (changed, quiet)])
    found = metric.evaluate(2)
    assert found['point/false_area'] == 0.25
    assert found['point/threshold'] >= 1 and found['point/F1_best'] < free['point/F1_best']


def test_a_single_logit_is_its_own_score():
    found = evaluate([sample([[[-5.0, -2.0, -1.0, 3.0]]], [[0, 0, 1, 1]])])
    assert found['point/F1_best'] == 1 and -2 <= found['point/threshold'] < -1


def test_f1_of_every_threshold_is_that_of_the_mask_it_gives():
    draw = np.random.default_rng(0)
    scores, labels = draw.normal(0, 3, 400), draw.random(400) < 0.3
    place = np.digitize(scores, EDGES, right=True)
    changed, unchanged = (np.bincount(place[labels == kind], minlength=len(EDGES) + 1)
                          for kind in (True, False))
    curve = f1_curve(changed, unchanged)
    for index in (200, 480, 700):
        told = scores > EDGES[index]
        hits = (told & labels).sum()
        assert curve[index] == pytest.approx(2 * hits / (told.sum() + labels.sum()))


def test_the_flag_is_shifted_to_where_both_answers_are_right_alike():
    draw = np.random.default_rng(0)
    flags = (np.arange(400) < 40).astype(float)
    logits = np.where(flags == 1, draw.normal(4, 1, 400), draw.normal(1, 1, 400))
    slope, offset = fit_flag(logits, flags)
    assert slope > 0 and -offset / slope == pytest.approx(2.5, abs=0.4)


def test_flags_that_can_be_told_apart_give_finite_numbers():
    slope, offset = fit_flag(np.array([-2.0, -1, 1, 2]), np.array([0.0, 0, 1, 1]))
    assert np.isfinite([slope, offset]).all() and slope > 0


def test_a_flag_against_the_truth_has_no_negative_slope():
    assert fit_flag(np.array([-2.0, -1, 1, 2]), np.array([1.0, 1, 0, 0]))[0] == 0


def test_logits_that_tell_nothing_keep_their_scale():
    slope, offset = fit_flag(np.full(6, -0.3), np.array([0.0, 1, 0, 1, 0, 1]))
    assert slope == pytest.approx(1, abs=0.2) and abs(slope * -0.3 + offset) < 0.1


def test_the_metric_reads_flags_where_they_are_known():
    logits = [[[3.0]], [[0.0]]]
    samples = [sample(logits, [[0]], 0.9, True), sample(logits, [[0]], 0.2, False),
               sample(logits, [[0]])]
    found = evaluate(samples)
    assert found['point/flag_balanced_accuracy'] == 1 and 'point/threshold' not in found
