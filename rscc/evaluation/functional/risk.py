"""How well a number sorts out wrong answers: risk over coverage, and reliability.

Whoever answers only the least doubtful share of the questions (the coverage) has a share of errors
among these answers (the risk), see Geifman and El-Yaniv, NeurIPS 2017.
"""
from collections.abc import Mapping, Sequence

import numpy as np

from rscc.evaluation.functional.bootstrap import check_resamples


def risk_coverage(doubts: Sequence[float], wrong: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of errors among the least doubtful answers, for every number of answers.

    Answers of equal doubt come in any order: each counts with the mean of their errors.

    Args:
        doubts: Of N answers, the higher the more doubtful.
        wrong: Whether each is wrong.

    Returns:
        Coverage, 1/N to 1, and risk, both (N,).
    """
    doubts, wrong = np.asarray(doubts, float), np.asarray(wrong, float)
    _, place = np.unique(doubts, return_inverse=True)
    level = np.bincount(place, wrong) / np.bincount(place)
    ordered = level[place][np.argsort(doubts, kind='stable')]
    answered = np.arange(1, len(doubts) + 1)
    return answered / max(len(doubts), 1), np.cumsum(ordered) / answered


def area_under_risk(doubts: Sequence[float], wrong: Sequence[bool]) -> float:
    """Return the area under the risk-coverage curve: mean risk over all coverages, less is better.

    What sorts at random has the share of errors.
    """
    return float(risk_coverage(doubts, wrong)[1].mean())


def compare_areas(doubts: Mapping[str, Sequence[float]], wrong: Sequence[bool],
                  resamples: int = 1000, seed: int = 0) -> dict[str, tuple[float, float, float]]:
    """Return areas under risk-coverage curves with 95 % intervals, and those of the differences.

    Args:
        doubts: Name -> doubts of N answers; the first is compared with each of the others.
        wrong: Whether each answer is wrong.
        resamples: Bootstrap resamples of the answers, the same for all names.
        seed: Of the resamples.

    Returns:
        Name -> (area, low, high); ``'FIRST - OTHER'`` -> the difference, below 0 where the first
        is better.

    Raises:
        ValueError: If there are too few resamples.
    """
    check_resamples(resamples)
    wrong, names = np.asarray(wrong, bool), list(doubts)
    arrays = {name: np.asarray(values, float) for name, values in doubts.items()}
    draws = np.random.default_rng(seed).integers(len(wrong), size=(resamples, len(wrong)))
    areas = {name: np.array([area_under_risk(values[draw], wrong[draw]) for draw in draws])
             for name, values in arrays.items()}
    points = {name: area_under_risk(values, wrong) for name, values in arrays.items()}
    for other in names[1:]:
        areas[f'{names[0]} - {other}'] = areas[names[0]] - areas[other]
        points[f'{names[0]} - {other}'] = points[names[0]] - points[other]
    return {name: (points[name], *map(float, np.quantile(found, [0.025, 0.975])))
            for name, found in areas.items()}


def reliability(values: Sequence[float], wrong: Sequence[bool], bins: int = 10
                ) -> tuple[list[tuple[float, float, int]], float]:
    """Compare doubts with shares of errors, in bins of equally many answers.

    Args:
        values: Doubts of N answers, probabilities.
        wrong: Whether each is wrong.
        bins: How many.

    Returns:
        Per bin mean doubt, share of errors and number of answers; and the expected calibration
        error, the mean distance of both over the answers.
    """
    values, wrong = np.asarray(values, float), np.asarray(wrong, float)
    parts = [part for part in np.array_split(np.argsort(values, kind='stable'), bins) if len(part)]
    rows = [(float(values[part].mean()), float(wrong[part].mean()), len(part)) for part in parts]
    off = sum(abs(mean - share) * count for mean, share, count in rows)
    return rows, off / max(len(values), 1)
