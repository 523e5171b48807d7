"""Scores of yes-or-no decisions and of the values behind them: average precision, AUC, alarms."""
from collections.abc import Sequence

import numpy as np


def average_precision(scores: np.ndarray, actual: np.ndarray) -> float | None:
    """Return the average precision of a ranking: the area under precision over recall.

    AP is the sum of ``(R_k - R_{k-1}) * P_k`` over all thresholds k, without interpolation, as in
    scikit-learn. Equal scores are one threshold, so their order does not matter. Of a map, every
    pixel is one decision; pixels of several maps are pooled by joining the arrays. What ranks at
    random has the share of positives as its AP.

    Args:
        scores: The higher, the likelier; any shape.
        actual: True for positives, same shape.

    Returns:
        AP, 0 to 1, or None where there is no positive.

    Raises:
        ValueError: If the shapes differ, or a score is not finite.
    """
    thresholds, hits, total = _counts(scores, actual)
    if not total:
        return None
    # Precision (K,) and recall (K,) at every threshold, the highest first.
    precision, recall = hits / thresholds, hits / total
    return float(np.sum(np.diff(recall, prepend=0.) * precision))


def roc_auc(scores: np.ndarray, actual: np.ndarray) -> float | None:
    """Return the area under the ROC curve, 0.5 for what ranks at random.

    It is the share of pairs of a positive and a negative in which the positive has the higher
    score; equal scores count half.

    Args:
        scores: The higher, the likelier; any shape.
        actual: True for positives, same shape.

    Returns:
        AUC, 0 to 1, or None where there are no positives or no negatives.

    Raises:
        ValueError: If the shapes differ, or a score is not finite.
    """
    thresholds, hits, total = _counts(scores, actual)
    alarms = thresholds - hits
    if not total or not len(alarms) or not alarms[-1]:
        return None
    # Trapezoids between neighbouring thresholds, from the corner where nothing is called.
    heights = (hits + np.concatenate([[0], hits[:-1]])) / (2 * total)
    return float(np.sum(np.diff(alarms, prepend=0) / alarms[-1] * heights))


def _counts(scores: np.ndarray, actual: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Count what lies at or above each different score, the highest first.

    Returns:
        Number of decisions (K,) and of positives (K,) at or above the K scores; all positives.
    """
    scores, actual = np.asarray(scores), np.asarray(actual, dtype=bool)
    if scores.shape != actual.shape:
        raise ValueError(f'scores and truth differ in shape: {scores.shape} and {actual.shape}')
    scores, actual = scores.ravel(), actual.ravel()
    if not np.isfinite(scores).all():
        raise ValueError(f'{int((~np.isfinite(scores)).sum())} of {scores.size} scores are not '
                         'finite; expected numbers that can be ranked')
    order = np.argsort(-scores, kind='stable')
    ranked = scores[order]
    # The last place of every run of equal scores.
    last = np.append(np.flatnonzero(np.diff(ranked)), scores.size - 1)[:scores.size]
    return last + 1, np.cumsum(actual[order])[last], int(actual.sum())


def alarm_scores(predicted: Sequence[bool], actual: Sequence[bool]) -> dict[str, float]:
    """Return how often a yes-or-no answer is right on either side.

    ``hit_rate`` is the share of positives that were called, ``false_alarms`` the share of negatives
    that were called. ``balanced_accuracy`` is the mean of the hit rate and of the negatives left
    alone: an answer that is always the same has 0.5, however many positives there are.

    Args:
        predicted: Whether each of N was called.
        actual: Whether each of N is a positive.

    Returns:
        The scores, 0 to 1, without those of a side that has no example.
    """
    predicted, actual = np.asarray(predicted, dtype=bool), np.asarray(actual, dtype=bool)
    scores = {}
    if actual.any():
        scores['hit_rate'] = float(predicted[actual].mean())
    if not actual.all():
        scores['false_alarms'] = float(predicted[~actual].mean())
    if len(scores) == 2:
        scores['balanced_accuracy'] = (scores['hit_rate'] + 1 - scores['false_alarms']) / 2
    return scores
