"""Metric of semantic change: SeK and F_scd in both countings, transitions, trivial baselines."""
import csv
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rscc.evaluation.functional.from_to import (
    ClassMaps,
    Transition,
    both_countings,
    from_to_confusion,
    listed_transitions,
    repeat_first_date,
    repeat_true_first_date,
    transition_table,
    transitions_of,
)
from rscc.evaluation.functional.segmentation import IGNORE
from rscc.evaluation.metrics import SampleMetric
from rscc.registry import METRICS
from rscc.utils import atomic_write

_BASELINES = {'repeated_first': repeat_first_date, 'true_first': repeat_true_first_date}
_COMPARED = ('SeK_pooled', 'SeK_from_to', 'F_scd_pooled', 'F_scd_from_to')


@METRICS.register_module()
class FromToMetric(SampleMetric):
    """Scores of what became what, from one from-to confusion matrix over the whole set.

    Samples have a change map, ``pred_sem_seg``, and a class map of each date,
    ``pred_sem_seg_from`` and ``pred_sem_seg_to``, beside the same of the reference; the class maps
    are masked by the change map of their side.

    Keys: ``semantic/...`` with ``SeK``, ``F_scd``, ``Score``, ``OA``, ``SC_precision`` and
    ``SC_recall`` in both countings (``SeK_pooled``, ``SeK_from_to``, ...), and ``mIoU``,
    ``IoU_changed``, ``IoU_unchanged``, ``F1_changed``, ``precision_changed``,
    ``recall_changed``, see :mod:`rscc.evaluation.functional.from_to`. SeK and F_scd of two trivial
    baselines: ``semantic/repeated_first/...``, the model's answer with the classes of its earlier
    date repeated at the later one, and ``semantic/true_first/...``, the true change map with the
    true classes of the earlier date at both. ``transition/<class>_to_<class>``: F1 (0 to 1) of
    each transition in the reference. ``reversal/classes``, where pairs were answered both ways: the
    share of pixels whose classes were exchanged with the dates.

    Args:
        classes: Names of the classes, that of "none" first; by default ``semantic_classes`` of the
            dataset.
        transitions: Whether each transition has a key of its own.
        out_file: A CSV table of all transitions: pixels predicted, true and right, and F1.
        ignore_index: Label of the change map that does not count.
        prefix, collect_device: See :class:`rscc.evaluation.metrics.SampleMetric`.
    """

    KEYS = (*(f'semantic/{name}_{counting}' for counting in ('pooled', 'from_to') for name in (
        'SeK', 'F_scd', 'Score', 'OA', 'SC_precision', 'SC_recall')),
        *(f'semantic/{name}' for name in (
            'mIoU', 'IoU_changed', 'IoU_unchanged', 'F1_changed', 'precision_changed',
            'recall_changed')),
        *(f'semantic/{name}/*' for name in _BASELINES), 'transition/*', 'reversal/classes')
    nothing_to_score = 'no class maps of both dates, or no reference for them'

    def __init__(self, classes: Sequence[str] | None = None, transitions: bool = True,
                 out_file: str | os.PathLike | None = None, ignore_index: int = IGNORE,
                 prefix: str | None = None, collect_device: str = 'cpu') -> None:
        super().__init__(prefix, collect_device)
        self.classes, self.transitions = classes, transitions
        self.out_file, self.ignore_index = out_file, ignore_index

    @property
    def names(self) -> list[str]:
        """Names of the classes 1 to K.

        Raises:
            ValueError: If nobody gave any.
        """
        names = self.classes or self.meta.get('semantic_classes')
        if not names:
            raise ValueError('FromToMetric needs the names of the classes: the dataset has no '
                             "'semantic_classes' in its metainfo; give classes=('none', ...)")
        return list(names)[1:]

    def record(self, sample: dict) -> dict | None:
        """Keep the transitions of a sample that occur and their pixels, not its maps."""
        if class_maps(sample, 'gt') is None or class_maps(sample, 'pred') is None:
            return None
        matrix = sample_from_to(sample, len(self.names), self.ignore_index)
        cells = np.flatnonzero(matrix)
        agreed = exchanged_classes(sample)
        return dict(cells=cells, pixels=matrix.ravel()[cells],
                    **({} if agreed is None else dict(swapped=agreed)))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Return all scores, nothing where no sample has class maps and references."""
        if not results:
            return {}
        names = self.names
        size = len(names)**2 + 1
        total = np.zeros(size**2, np.int64)
        for result in results:
            total[result['cells']] += result['pixels']
        total = total.reshape(size, size)
        scores = {f'semantic/{name}': value for name, value in both_countings(total).items()}
        for baseline, change in _BASELINES.items():
            found = both_countings(change(total))
            scores |= {f'semantic/{baseline}/{name}': found[name] for name in _COMPARED if found}
        rows = transitions_of(total, names)
        if self.transitions:
            scores |= {f'transition/{_key(row)}': row.f1 for row in rows if row.true}
        if self.out_file is not None:
            write_transitions(self.out_file, rows)
        agreed = [result['swapped'] for result in results if 'swapped' in result]
        return scores | ({'reversal/classes': sum(agreed) / len(agreed)} if agreed else {})


def _key(row: Transition) -> str:
    return f'{row.earlier}_to_{row.later}'.replace(' ', '_')


def write_transitions(path: str | os.PathLike, rows: Sequence[Transition]) -> None:
    """Write one CSV line a transition: classes, pixels predicted, true and right, F1."""
    with atomic_write(path) as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerow(['from', 'to', 'predicted', 'true', 'right', 'F1'])
        table.writerows([*row[:-1], f'{row.f1:.4f}'] for row in rows)


def class_maps(sample: Any, side: str) -> ClassMaps | None:
    """Return the class maps of one data sample (or its dict), None where it lacks one.

    Args:
        sample: With ``<side>_sem_seg_from``, ``<side>_sem_seg_to`` and, if known,
            ``<side>_sem_seg``.
        side: ``'pred'`` or ``'gt'``.
    """
    found = [sample.get(f'{side}_sem_seg{name}') for name in ('_from', '_to', '')]
    if found[0] is None or found[1] is None:
        return None
    return ClassMaps(*(None if pixels is None else _labels(pixels) for pixels in found))


def _labels(pixels: Any) -> np.ndarray:
    """Return the classes (H, W) of a map, an element or its dict."""
    data = pixels['data'] if isinstance(pixels, Mapping) else pixels.data
    return np.asarray(data.cpu()).squeeze(0)


def sample_from_to(sample: Any, num_classes: int, ignore: int = IGNORE) -> np.ndarray:
    """Return the from-to matrix of one data sample with class maps on both sides.

    Raises:
        ValueError: If its maps differ in size or hold unknown classes; names the sample.
    """
    try:
        return from_to_confusion(class_maps(sample, 'pred'), class_maps(sample, 'gt'), num_classes,
                                 ignore)
    except ValueError as error:
        raise ValueError(f"sample '{sample.get('sample_id')}': {error}") from error


def exchanged_classes(sample: Any) -> float | None:
    """Return the share of pixels whose classes a pair with exchanged dates gets exchanged.

    None where the pair was not answered both ways with class maps.
    """
    other, own = sample.get('pred_swapped'), class_maps(sample, 'pred')
    back = None if other is None else class_maps(other, 'pred')
    if own is None or back is None:
        return None
    same = (own.earlier == back.later) & (own.later == back.earlier)
    return float((same & (own.changed == back.changed)).mean())


def semantic_details(sample: Any, meta: Mapping[str, Any]) -> tuple[dict, dict[str, float]]:
    """Return what a predictions file says of a sample's classes, and its scores.

    Args:
        sample: A data sample or its dict.
        meta: Metainfo of the dataset with ``semantic_classes``.

    Returns:
        ``transitions``, lists [from, to, pixels] of what is predicted, most pixels first; and
        ``SeK`` and ``F_scd`` in both countings where there is a reference and a change in one of
        the two. Empty both without class maps or names.
    """
    names, maps = list(meta.get('semantic_classes') or ())[1:], class_maps(sample, 'pred')
    if maps is None or not names:
        return {}, {}
    details = {'transitions': listed_transitions(transition_table(maps, len(names)), names)}
    if class_maps(sample, 'gt') is None:
        return details, {}
    matrix = sample_from_to(sample, len(names))
    if matrix.sum() == matrix[0, 0]:  # nothing changed, and nothing is said to have
        return details, {}
    scores = both_countings(matrix)
    return details, {name: round(scores[name], 4) for name in _COMPARED}
