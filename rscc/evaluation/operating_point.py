"""Where to put the thresholds of a trained model: of its change map, and of its change flag.

Training by cross entropy with class weights ends at some trade between missed and false changes,
seldom the best one, and a flag learnt from half changed pairs means little elsewhere. Both are set
on held-back data here, as offsets that are added to the model's own logits, so that every route
answers alike and no threshold has to travel.
"""
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from rscc.rasters.labels import shows_change
from rscc.registry import METRICS
from rscc.structures import ChangeDataSample

#: Edges of the histogram of scores, in units of the logit; what lies outside counts at the ends.
EDGES = np.linspace(-12, 12, 961)
_STEPS, _PRIOR = 40, 1e-3


@METRICS.register_module()
class OperatingPointMetric(BaseMetric):
    """Find the offset of "unchanged" that is best for F1_changed, and calibrate the flag.

    The score of a pixel is the largest logit of any change less that of "unchanged" (the logit
    itself where there is one channel): the pixel is changed where it exceeds the threshold, 0 as
    trained. The flag's probability becomes ``sigmoid(slope * logit + offset)``, fitted with both
    answers weighed alike (Platt, Advances in Large Margin Classifiers 1999).

    Metrics: ``F1_trained`` and ``F1_best`` of the changed class, ``threshold`` in units of the
    logit, ``false_area`` of the pairs without a change at that threshold (0 to 1); ``flag_slope``,
    ``flag_offset``, ``flag_balanced_accuracy`` after calibration.

    Args:
        most_false_area: Share of the pixels of pairs without a change that may be called changed
            (0 to 1): the best threshold is chosen among those that keep it. Most pairs of the world
            are unchanged, which F1 over a set where half of them changed does not know.
        **kwargs: For ``BaseMetric``.

    Raises:
        ValueError: If no threshold keeps ``most_false_area``.
    """

    default_prefix = 'point'

    def __init__(self, most_false_area: float = 1.0, **kwargs) -> None:
        super().__init__(**kwargs)
        if not 0 < most_false_area <= 1:
            raise ValueError(f'most_false_area={most_false_area} is a share in (0, 1]')
        self.most_false_area = most_false_area

    def process(self, data_batch: Any, data_samples: Sequence[Mapping | ChangeDataSample]) -> None:
        """Count scores of changed and unchanged pixels, and keep the flag's logit."""
        for sample in data_samples:
            self.results.append((*_counts(sample), *_flag(sample)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the best threshold and the calibration, each where the data allow it."""
        metrics: dict[str, float] = {}
        changed = sum((row[0] for row in results), np.zeros(len(EDGES) + 1, np.int64))
        unchanged = sum((row[1] for row in results), np.zeros(len(EDGES) + 1, np.int64))
        if changed.sum() and unchanged.sum():
            scores = f1_curve(changed, unchanged)
            area = false_area([row[1] for row in results if not row[0].any()])
            kept = area <= self.most_false_area
            if not kept.any():
                raise ValueError(f'no threshold keeps the false area below {self.most_false_area}: '
                                 f'at the highest one it is {area[-1]:.4f}')
            best = int(np.where(kept, scores, -1).argmax())
            metrics |= dict(F1_trained=float(scores[np.abs(EDGES).argmin()]),
                            F1_best=float(scores[best]), threshold=float(EDGES[best]),
                            false_area=float(area[best]))
        logits, flags = (np.array([row[column] for row in results if row[3] is not None], float)
                         for column in (2, 3))
        if len(set(flags.tolist())) == 2:
            slope, offset = fit_flag(logits, flags)
            told = slope * logits + offset > 0
            right = np.mean([(told == flag)[flags == flag].mean() for flag in (0, 1)])
            metrics |= dict(flag_slope=slope, flag_offset=offset,
                            flag_balanced_accuracy=float(right))
        return metrics


def _counts(sample: Mapping | ChangeDataSample) -> tuple[np.ndarray, np.ndarray]:
    """Return histograms of the scores of changed and unchanged pixels."""
    empty = np.zeros(len(EDGES) + 1, np.int64)
    if sample.get('gt_sem_seg') is None or sample.get('seg_logits') is None:
        return empty, empty
    logits = _data(sample['seg_logits'])
    score = logits[0] if len(logits) == 1 else logits[1:].max(0).values - logits[0]
    place = np.digitize(score.float().cpu().numpy().ravel(), EDGES, right=True)
    label = _data(sample['gt_sem_seg']).cpu().numpy().ravel()
    count = len(EDGES) + 1
    return (np.bincount(place[shows_change(label)], minlength=count),
            np.bincount(place[label == 0], minlength=count))


def _data(field: Any) -> Any:
    """Return the tensor of a pixel field, as a sample or its dict holds it."""
    return field['data'] if isinstance(field, Mapping) else field.data


def _flag(sample: Mapping | ChangeDataSample) -> tuple[float, bool | None]:
    """Return the logit of the predicted flag and the reference, None where either is unknown."""
    known, chance = sample.get('gt_change_flag'), sample.get('pred_change_score')
    if known is None or chance is None:
        return 0.0, None
    chance = min(max(float(chance), 1e-7), 1 - 1e-7)
    return float(np.log(chance / (1 - chance))), bool(known)


def f1_curve(changed: np.ndarray, unchanged: np.ndarray) -> np.ndarray:
    """Return F1 of the changed class at every threshold in ``EDGES``.

    Args:
        changed: Histogram of the scores of changed pixels, one bin more than edges.
        unchanged: The same of unchanged pixels.
    """
    # Scores above an edge count as changed: what lies in the bins behind it.
    hits, alarms = (counts[::-1].cumsum()[::-1][1:] for counts in (changed, unchanged))
    return 2 * hits / np.maximum(hits + alarms + changed.sum(), 1)


def false_area(unchanged: Sequence[np.ndarray]) -> np.ndarray:
    """Return the share of pixels called changed at every threshold in ``EDGES``; 0 of no pairs.

    Args:
        unchanged: Histograms of the scores of pairs in which nothing changed.
    """
    counts = sum(unchanged, np.zeros(len(EDGES) + 1, np.int64))
    return counts[::-1].cumsum()[::-1][1:] / max(int(counts.sum()), 1)


def fit_flag(logits: np.ndarray, flags: np.ndarray) -> tuple[float, float]:
    """Fit ``sigmoid(slope * logit + offset)`` to flags by Newton's method.

    Args:
        logits: (N,).
        flags: 0 or 1, (N,), both occurring; each has half of the weight.

    Returns:
        Slope, at least 0, and offset.
    """
    weight = np.where(flags == 1, 0.5 / max(flags.sum(), 1), 0.5 / max((1 - flags).sum(), 1))
    spread = max(float(logits.std()), 1.0)
    inputs = np.stack([logits / spread, np.ones_like(logits)], 1)
    # A weak pull to slope 1 and offset 0 keeps it finite where the flags can be told apart, and
    # where all logits are the same.
    prior = np.array([spread, 0.0])
    solution = prior.copy()
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(inputs @ solution, -30, 30)))
        gradient = inputs.T @ (weight * (chance - flags)) + _PRIOR * (solution - prior)
        hessian = (inputs * (weight * chance * (1 - chance))[:, None]).T @ inputs
        solution = solution - np.linalg.solve(hessian + _PRIOR * np.eye(2), gradient)
    return max(float(solution[0] / spread), 0.0), float(solution[1])
