import numpy as np
import pytest

from rscc.evaluation.functional.risk import (
    area_under_risk,
    compare_areas,
    reliability,
    risk_coverage,
)


def test_risk_is_the_share_of_errors_among_the_least_doubtful():
    doubts, wrong = [0.9, 0.1, 0.5, 0.3], [True, False, True, False]
    coverage, risk = risk_coverage(doubts, wrong)
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk.tolist() == [0, 0, pytest.approx(1 / 3), 0.5]
    assert area_under_risk(doubts, wrong) == pytest.approx(5 / 24)


def test_equal_doubts_sort_nothing_whatever_their_order():
    for wrong in ([True, False, False, True], [False, True, True, False]):
        assert area_under_risk([0.2] * 4, wrong) == pytest.approx(0.5)
    assert area_under_risk([0, 0, 1], [False, False, True]) == pytest.approx(1 / 9)


def test_a_good_doubt_is_better_than_a_bad_one_beyond_chance():
    chance, other, blind = np.random.default_rng(0).uniform(size=(3, 300))
    wrong = other < chance
    found = compare_areas({'good': chance, 'blind': blind}, wrong, 200)
    assert set(found) == {'good', 'blind', 'good - blind'}
    point, low, high = found['good - blind']
    assert low <= point <= high < 0
    assert found['good'][0] + 0.1 < found['blind'][0] == pytest.approx(wrong.mean(), abs=0.1)
    assert found == compare_areas({'good': chance, 'blind': blind}, wrong, 200)


def test_intervals_from_too_few_resamples_are_refused():
    with pytest.raises(ValueError, match='at least 100'):
        compare_areas({'a': [0.1]}, [True], 10)


def test_reliability_compares_doubts_with_errors_bin_by_bin():
    values = np.repeat([0.1, 0.9], 50)
    wrong = np.concatenate([np.arange(50) < 5, np.arange(50) < 35])
    rows, error = reliability(values, wrong, 2)
    assert rows == [(pytest.approx(0.1), pytest.approx(0.1), 50),
                    (pytest.approx(0.9), pytest.approx(0.7), 50)]
    assert error == pytest.approx(0.1)
