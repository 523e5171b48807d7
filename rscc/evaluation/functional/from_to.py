"""Scores of semantic change: what became what, in both ways of counting that public code uses.

A pair has a map of what changed and a class map of each date, 1 to K, 0 where nothing changed. Two
confusion matrices are in use, and scores named alike differ between them:

- **pooled**: both dates go into one (K+1, K+1) matrix (Bi-SRNet, SCanNet, Open-CD);
- **from-to**: every pair of classes is a class of its own, (K*K+1, K*K+1), number
  (from - 1) * K + to (ChangeMamba, torchange).

Rows are predictions and columns labels, as in that code; a quotient 0 / 0 counts as 0. SeK is of
Yang et al., Asymmetric Siamese Networks for Semantic Change Detection in Aerial Images, IEEE TGRS
2022, https://arxiv.org/abs/2010.05687; F_scd of Ding et al., Bi-Temporal Semantic Reasoning, IEEE
TGRS 2022, https://arxiv.org/abs/2108.06103.
"""
from collections.abc import Sequence
from math import exp, isqrt
from typing import NamedTuple

import numpy as np

from rscc.evaluation.functional.segmentation import IGNORE


class ClassMaps(NamedTuple):
    """The class maps of a pair, and where it changed.

    Attributes:
        earlier: Class of the earlier date at every pixel, integers (H, W), 1 to K; 0 for none.
        later: The same of the later date.
        changed: 0 unchanged, anything else changed, in labels 255 not known (H, W); None where both
            maps are 0 at all that did not change.
    """
    earlier: np.ndarray
    later: np.ndarray
    changed: np.ndarray | None = None

    def where_changed(self) -> np.ndarray:
        """Return where something changed, bool (H, W), pixels that are not known among it."""
        if self.changed is not None:
            return np.asarray(self.changed) != 0
        return (np.asarray(self.earlier) != 0) | (np.asarray(self.later) != 0)


def from_to_confusion(prediction: ClassMaps, label: ClassMaps, num_classes: int,
                      ignore: int = IGNORE) -> np.ndarray:
    """Count pixels by predicted and true transition.

    A prediction without a class at either date counts as unchanged there: ChangeMamba's code would
    give it the number of another transition. Labels that say "changed" and lack a class at either
    date are not known and do not count.

    Args:
        prediction: What a model says.
        label: The truth, of the same size.
        num_classes: K, the classes without "none".
        ignore: Label of the change map that is left out.

    Returns:
        int64 (K*K+1, K*K+1), rows predictions, columns labels; 0 is unchanged.

    Raises:
        ValueError: If sizes differ or a map holds other classes.
    """
    guessed, _ = _transitions(prediction, num_classes, 'prediction')
    true, nameless = _transitions(label, num_classes, 'label')
    if guessed.shape != true.shape:
        raise ValueError(f'class maps and labels differ in size: {guessed.shape} and {true.shape}')
    valid = ~nameless
    if label.changed is not None:
        valid &= np.asarray(label.changed) != ignore
    size = num_classes**2 + 1
    counts = np.bincount(guessed[valid] * size + true[valid], minlength=size**2)
    return counts.reshape(size, size)


def _transitions(maps: ClassMaps, num_classes: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each pixel's transition, and where one changed without both classes."""
    earlier, later = (np.asarray(values).astype(np.int64) for values in (maps.earlier, maps.later))
    for values in (earlier, later):
        if values.shape != maps.where_changed().shape:
            raise ValueError(f'the maps of the {name} differ in size: {values.shape} and '
                             f'{maps.where_changed().shape}')
        if values.size and (values.min() < 0 or values.max() > num_classes):
            strange = sorted({*np.unique(values).tolist()} - {*range(num_classes + 1)})
            raise ValueError(f'a class map of the {name} holds {strange[:5]}: expected classes 1 '
                             f'to {num_classes}, and 0 for none')
    changed, named = maps.where_changed(), (earlier > 0) & (later > 0)
    return (np.where(changed & named, (earlier - 1) * num_classes + later, 0), changed & ~named)


def pooled_confusion(from_to: np.ndarray) -> np.ndarray:
    """Return the matrix of both dates pooled, which a from-to matrix determines.

    Args:
        from_to: Pixels (K*K+1, K*K+1), see :func:`from_to_confusion`.

    Returns:
        int64 (K+1, K+1), each pixel counted at both dates.
    """
    count = _classes_of(from_to)
    pooled = np.zeros((count + 1, count + 1), np.int64)
    for date in _classes_by_transition(count):
        np.add.at(pooled, (date[:, None], date[None]), from_to)
    return pooled


def _classes_of(from_to: np.ndarray) -> int:
    """Return K of a (K*K+1, K*K+1) matrix."""
    size = len(from_to)
    if from_to.ndim != 2 or from_to.shape[1] != size or isqrt(max(size - 1, 0))**2 != size - 1:
        raise ValueError(f'a from-to matrix is (K*K+1, K*K+1), found {from_to.shape}')
    return isqrt(size - 1)


def _classes_by_transition(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of the earlier and of the later date of every transition, (K*K+1,)."""
    number = np.arange(count**2)
    earlier, later = number // max(count, 1) + 1, number % max(count, 1) + 1
    return np.concatenate([[0], earlier]), np.concatenate([[0], later])


def semantic_scores(matrix: np.ndarray) -> dict[str, float]:
    """Return every score of a confusion matrix, pooled or from-to.

    ``kappa_n0`` is Cohen's kappa with the pixels left out that are unchanged in both; 0 where none
    is left, or where chance alone would agree. ``SeK`` is ``kappa_n0 * exp(IoU_changed - 1)``,
    ``Score`` is ``0.3 mIoU + 0.7 SeK``; ``F_scd`` is the harmonic mean of ``SC_precision`` and
    ``SC_recall``, the shares of right classes among what is predicted and what is true to have
    changed. ``IoU_unchanged``, ``IoU_changed`` and their mean ``mIoU`` ask whether something
    changed, not what, and are the same of both matrices.

    Args:
        matrix: Pixels (C, C), rows predictions, columns labels, 0 unchanged.

    Returns:
        Scores from 0 to 1 (``kappa_n0`` and ``SeK`` from -1), none where there are no pixels.
    """
    counts = np.asarray(matrix, np.float64)
    total = counts.sum()
    if not total:
        return {}
    # Changed or not, whatever the class.
    neither, alarms, missed = counts[0, 0], counts[1:, 0].sum(), counts[0, 1:].sum()
    both, right = counts[1:, 1:].sum(), float(np.trace(counts[1:, 1:]))
    unchanged = _quotient(neither, neither + alarms + missed)
    changed = _quotient(both, both + alarms + missed)
    miou = (unchanged + changed) / 2
    kappa = _kappa(counts)
    sek = kappa * exp(changed - 1)
    precision, recall = _quotient(right, both + alarms), _quotient(right, both + missed)
    return {'OA': float(np.trace(counts) / total), 'IoU_unchanged': unchanged,
            'IoU_changed': changed, 'mIoU': miou, 'kappa_n0': kappa, 'SeK': sek,
            'Score': 0.3 * miou + 0.7 * sek, 'SC_precision': precision, 'SC_recall': recall,
            'F_scd': _quotient(2 * precision * recall, precision + recall)}


def _kappa(counts: np.ndarray) -> float:
    """Return kappa without the pixels that are unchanged in prediction and label."""
    counts = counts.copy()
    counts[0, 0] = 0
    total = counts.sum()
    if not total:
        return 0.0
    agreed = np.trace(counts) / total
    chance = float(counts.sum(1) @ counts.sum(0)) / total**2
    return 0.0 if chance == 1 else float((agreed - chance) / (1 - chance))


def _quotient(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else 0.0


def both_countings(from_to: np.ndarray) -> dict[str, float]:
    """Return the scores of both countings by name, ``SeK_pooled`` and ``SeK_from_to`` for instance.

    Args:
        from_to: Pixels (K*K+1, K*K+1).

    Returns:
        ``SeK``, ``F_scd``, ``Score``, ``OA``, ``SC_precision`` and ``SC_recall`` with the counting
        in their names; ``mIoU``, ``IoU_changed``, ``IoU_unchanged``, and ``F1_changed``,
        ``precision_changed`` and ``recall_changed`` of the change map, which both share. Nothing
        where there are no pixels.
    """
    found: dict[str, float] = {}
    for counting, matrix in (('pooled', pooled_confusion(from_to)), ('from_to', from_to)):
        scores = semantic_scores(matrix)
        found |= {f'{name}_{counting}': scores[name] for name in (
            'SeK', 'F_scd', 'Score', 'OA', 'SC_precision', 'SC_recall') if scores}
        found |= {name: scores[name] for name in ('mIoU', 'IoU_changed', 'IoU_unchanged')
                  if scores}
    if not found:
        return {}
    both, alarms, missed = (float(part.sum()) for part in (
        from_to[1:, 1:], from_to[1:, 0], from_to[0, 1:]))
    return found | {'F1_changed': _quotient(2 * both, 2 * both + alarms + missed),
                    'precision_changed': _quotient(both, both + alarms),
                    'recall_changed': _quotient(both, both + missed)}


def repeat_first_date(from_to: np.ndarray) -> np.ndarray:
    """Return the matrix of a model whose later map is replaced by a copy of its earlier one.

    The change map stays the model's own. A model that reads the later date has to score more.

    Args:
        from_to: The model's matrix (K*K+1, K*K+1).
    """
    count = _classes_of(from_to)
    copied = np.zeros_like(from_to)
    np.add.at(copied, _copies(count), from_to)
    return copied


def repeat_true_first_date(from_to: np.ndarray) -> np.ndarray:
    """Return the matrix of who knows what changed and what was there before, and copies that.

    Args:
        from_to: Any matrix (K*K+1, K*K+1) over these labels.
    """
    count, labels = _classes_of(from_to), from_to.sum(0)
    known = np.zeros_like(from_to)
    np.add.at(known, (_copies(count), np.arange(len(labels))), labels)
    return known


def _copies(count: int) -> np.ndarray:
    """Return for each transition the one in which its earlier class stays, (K*K+1,)."""
    earlier, _ = _classes_by_transition(count)
    return np.where(earlier > 0, (earlier - 1) * count + earlier, 0)


def transition_table(maps: ClassMaps, num_classes: int) -> np.ndarray:
    """Count the changed pixels by the classes of both dates.

    Args:
        maps: Class maps; pixels without a class at either date are left out.
        num_classes: K.

    Returns:
        int64 (K, K): [i, j] is how many pixels of class i + 1 became class j + 1.
    """
    numbers, _ = _transitions(maps, num_classes, 'table')
    counts = np.bincount(numbers.ravel(), minlength=num_classes**2 + 1)
    return counts[1:].reshape(num_classes, num_classes)


def listed_transitions(table: np.ndarray, names: Sequence[str]) -> list[list]:
    """Return [from, to, pixels] of every transition in a table (K, K), most pixels first."""
    order = np.argsort(-table.ravel(), kind='stable')
    return [[names[number // len(names)], names[number % len(names)], int(table.flat[number])]
            for number in order.tolist() if table.flat[number]]


class Transition(NamedTuple):
    """How often one class became another, in prediction and truth.

    Attributes:
        earlier, later: Names of the classes.
        predicted, true, right: Pixels that are predicted, true, and both.
        f1: Harmonic mean of precision and recall, 0 to 1; 0 where it is nowhere.
    """
    earlier: str
    later: str
    predicted: int
    true: int
    right: int
    f1: float


def transitions_of(from_to: np.ndarray, classes: Sequence[str]) -> list[Transition]:
    """Return the transitions that are predicted or true, the most frequent in truth first.

    Args:
        from_to: Pixels (K*K+1, K*K+1).
        classes: K names, without that of "none".

    Raises:
        ValueError: If there are not K names.
    """
    count = _classes_of(from_to)
    if len(classes) != count:
        raise ValueError(f'{len(classes)} names of classes ({", ".join(classes)}) for a matrix of '
                         f'{count} classes')
    predicted, true, right = from_to.sum(1)[1:], from_to.sum(0)[1:], np.diag(from_to)[1:]
    order = np.lexsort((-predicted, -true))
    return [Transition(classes[number // count], classes[number % count], int(predicted[number]),
                       int(true[number]), int(right[number]),
                       _quotient(2 * right[number], predicted[number] + true[number]))
            for number in order.tolist() if predicted[number] + true[number]]
