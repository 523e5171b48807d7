"""Change map scores, by hand."""
import numpy as np
import pytest

from rscc.evaluation.functional.segmentation import change_scores, changed_f1, confusion_matrix

TARGET = np.array([[0, 0, 1], [1, 2, 255]])
PREDICTION = np.array([[0, 1, 1], [0, 1, 2]])


def test_the_matrix_counts_and_leaves_the_ignored_out():
    matrix = confusion_matrix(PREDICTION, TARGET, 3)
    assert matrix.tolist() == [[1, 1, 0], [1, 1, 0], [0, 1, 0]]
    assert matrix.dtype == np.int64


def test_all_scores_follow_from_the_matrix():
    scores = change_scores(np.array([[50, 10], [5, 35]]), ['unchanged', 'building'])
    assert scores == pytest.approx({
        'F1_changed': 70 / 85, 'IoU_changed': 35 / 50, 'precision_changed': 35 / 45,
        'recall_changed': 35 / 40, 'mF1': (100 / 115 + 70 / 85) / 2,
        'mIoU': (50 / 65 + 35 / 50) / 2, 'OA': 0.85,
        # Cohen: chance agreement .60 * .55 + .40 * .45 = .51
        'Kappa': (0.85 - 0.51) / 0.49, 'IoU_unchanged': 50 / 65, 'IoU_building': 0.7})


def test_changed_is_any_class_but_the_first():
    scores = change_scores(confusion_matrix(PREDICTION, TARGET, 3))
    # Truly changed 3 (one missed), predicted 3 (one wrong); the class itself does not matter.
    assert scores['F1_changed'] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert scores['IoU_2'] == 0


def test_equal_to_scikit_learn_formulas_on_random_maps():
    rng = np.random.default_rng(0)
    target, prediction = rng.integers(0, 2, (2, 64, 64))
    matrix = confusion_matrix(prediction, target, 2)
    hits = np.sum((target == 1) & (prediction == 1))
    assert changed_f1(matrix) == pytest.approx(2 * hits / (target.sum() + prediction.sum()))


def test_nothing_changed_and_nothing_said_leaves_the_changed_scores_out():
    scores = change_scores(np.array([[9, 0], [0, 0]]), ['unchanged', 'parking lot'])
    assert scores == {'mF1': 1.0, 'mIoU': 1.0, 'OA': 1.0, 'IoU_unchanged': 1.0}
    assert change_scores(np.zeros((2, 2))) == {}


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r'differ in size: \(2, 3\) and \(2, 2\)'):
        confusion_matrix(PREDICTION, TARGET[:, :2], 3)
    with pytest.raises(ValueError, match=r'mask holds \[2\]: expected classes 0 to 1'):
        confusion_matrix(np.zeros((2, 3), int), TARGET, 2)
    with pytest.raises(ValueError, match=r'change map holds \[7\]'):
        confusion_matrix(np.full((2, 3), 7), TARGET, 3)
    with pytest.raises(ValueError, match=r'2 class names \(a, b\) for a confusion matrix of 3'):
        change_scores(np.eye(3), ['a', 'b'])
