"""Rankings and alarms against values worked out by hand."""
import numpy as np
import pytest

from rscc.evaluation.functional.decisions import alarm_scores, average_precision, roc_auc


def test_average_precision_by_hand():
    # Ranked: positive, negative, positive. Precision 1 at recall 1/2, 2/3 at recall 1.
    scores, actual = np.array([0.2, 0.9, 0.5]), np.array([True, True, False])
    assert average_precision(scores, actual) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(-scores, actual) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(scores, ~actual) == pytest.approx(1 / 2)


def test_the_reference_example_of_scikit_learn():
    actual, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    assert average_precision(scores, actual) == pytest.approx(0.8333333, abs=1e-6)
    assert roc_auc(scores, actual) == pytest.approx(0.75)


def test_equal_scores_are_one_threshold_whatever_their_order():
    actual = np.array([1, 0, 0, 0], bool)
    for _ in range(2):
        assert average_precision(np.ones(4), actual) == pytest.approx(1 / 4)
        assert roc_auc(np.ones(4), actual) == pytest.approx(1 / 2)
        actual = actual[::-1]


def test_pixels_of_a_map_in_float32():
    rng = np.random.default_rng(0)
    actual = rng.random((64, 64)) < 0.1
    perfect = actual * np.float32(0.7) + 0.1
    assert average_precision(perfect, actual) == roc_auc(perfect, actual) == 1
    drawn = rng.random((64, 64)).astype(np.float32)
    assert average_precision(drawn, actual) == pytest.approx(actual.mean(), abs=0.02)
    assert roc_auc(drawn, actual) == pytest.approx(0.5, abs=0.05)


def test_auc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(1)
    scores, actual = rng.integers(0, 5, 40), rng.random(40) < 0.4
    above = scores[actual][:, None] - scores[~actual][None]
    assert roc_auc(scores, actual) == pytest.approx(((above > 0) + (above == 0) / 2).mean())


@pytest.mark.parametrize('actual', [[], [False, False]])
def test_nothing_to_find_has_no_precision(actual):
    assert average_precision(np.zeros(len(actual)), np.array(actual, bool)) is None
    assert roc_auc(np.zeros(len(actual)), np.array(actual, bool)) is None
    assert roc_auc(np.zeros(2), np.ones(2, bool)) is None


def test_shapes_and_numbers_are_checked():
    with pytest.raises(ValueError, match=r'differ in shape: \(2,\) and \(3,\)'):
        average_precision(np.zeros(2), np.zeros(3, bool))
    with pytest.raises(ValueError, match='1 of 2 scores are not finite'):
        roc_auc(np.array([0, np.nan]), np.array([True, False]))


def test_alarms_by_hand():
    scores = alarm_scores([True, True, False, True], [True, True, True, False])
    assert scores == pytest.approx(
        {'hit_rate': 2 / 3, 'false_alarms': 1, 'balanced_accuracy': 1 / 3})
    assert alarm_scores([True] * 5, [True] * 4 + [False])['balanced_accuracy'] == 0.5
    assert alarm_scores([False], [False]) == {'false_alarms': 0}
    assert alarm_scores([True], [True]) == {'hit_rate': 1}
    assert alarm_scores([], []) == {}
