"""Scores of change maps, all from one confusion matrix."""
from collections.abc import Sequence

import numpy as np

IGNORE = 255


def confusion_matrix(prediction: np.ndarray, target: np.ndarray, num_classes: int,
                     ignore: int = IGNORE) -> np.ndarray:
    """Count pixels by true and predicted class.

    Args:
        prediction: Class of each pixel, integers 0 to num_classes - 1, any shape.
        target: True class, same shape; ``ignore`` marks pixels that do not count.
        num_classes: C, class 0 being "unchanged".
        ignore: The label that is left out.

    Returns:
        int64 (C, C); row = true class, column = predicted class.

    Raises:
        ValueError: If the shapes differ or a value is no class.
    """
    if prediction.shape != target.shape:
        raise ValueError(f'change map and mask differ in size: {prediction.shape} and '
                         f'{target.shape}')
    valid = target != ignore
    target, prediction = target[valid].astype(np.int64), prediction[valid].astype(np.int64)
    for name, values in (('mask', target), ('change map', prediction)):
        if values.size and (values.min() < 0 or values.max() >= num_classes):
            strange = sorted({*np.unique(values).tolist()} - {*range(num_classes)})
            raise ValueError(f'{name} holds {strange[:5]}: expected classes 0 to '
                             f'{num_classes - 1} (or {ignore} = ignore)')
    # Every pixel is one number, its cell in the flattened matrix.
    counts = np.bincount(target * num_classes + prediction, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def changed_f1(matrix: np.ndarray) -> float | None:
    """Return F1 (0 to 1) of "any class but unchanged"; None if truth and prediction have none."""
    hits, wrong, missed = _changed_counts(matrix)
    return _ratio(2 * hits, 2 * hits + wrong + missed)


def _changed_counts(matrix: np.ndarray) -> tuple[int, int, int]:
    """Return pixels changed in both, in the prediction only, in the truth only."""
    return int(matrix[1:, 1:].sum()), int(matrix[0, 1:].sum()), int(matrix[1:, 0].sum())


def change_scores(matrix: np.ndarray, classes: Sequence[str] | None = None) -> dict[str, float]:
    """Return every score of a change map from its confusion matrix.

    ``F1_changed``, ``IoU_changed``, ``precision_changed`` and ``recall_changed`` are of "changed",
    which is any class but 0. ``mF1`` and ``mIoU`` average over all classes, unchanged included,
    that occur in the truth or the prediction. ``OA`` is the share of right pixels, ``Kappa``
    Cohen's.

    Args:
        matrix: Pixels (C, C), row = true class, column = predicted class.
        classes: C names for the ``IoU_<class>`` entries (blanks become ``_``); numbers by default.

    Returns:
        Scores, 0 to 1 (Kappa -1 to 1). One whose denominator is zero is left out: nothing changed
        and nothing was predicted, say.

    Raises:
        ValueError: If the number of names is not C.
    """
    matrix = np.asarray(matrix, dtype=np.int64)
    names = [str(i) for i in range(len(matrix))] if classes is None else list(classes)
    if len(names) != len(matrix):
        raise ValueError(f'{len(names)} class names ({", ".join(names)}) for a confusion matrix '
                         f'of {len(matrix)} classes')
    total = matrix.sum()
    if not total:
        return {}
    # Two classes: 0 is unchanged, all others together are changed.
    hits, wrong, missed = _changed_counts(matrix)
    scores = {'F1_changed': changed_f1(matrix),
              'IoU_changed': _ratio(hits, hits + wrong + missed),
              'precision_changed': _ratio(hits, hits + wrong),
              'recall_changed': _ratio(hits, hits + missed)}
    # By class (C,): right pixels, pixels of the truth, pixels of the prediction.
    right, rows, columns = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    # Means leave out classes that neither truth nor prediction has.
    present = rows + columns > 0
    ious = [_ratio(hit, union) for hit, union in zip(right, rows + columns - right, strict=True)]
    f1s = 2 * right[present] / (rows + columns)[present]
    scores['mF1'] = float(f1s.mean())
    scores['mIoU'] = float(np.mean([iou for iou in ious if iou is not None]))
    scores['OA'] = float(right.sum() / total)
    # Cohen's kappa: agreement beyond that of two maps with these shares by chance.
    chance = float((rows / total) @ (columns / total))
    scores['Kappa'] = _ratio(scores['OA'] - chance, 1 - chance)
    scores |= {f'IoU_{name.replace(" ", "_")}': iou for name, iou in zip(names, ious, strict=True)}
    return {name: value for name, value in scores.items() if value is not None}


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None
