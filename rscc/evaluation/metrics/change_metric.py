"""Metric of change maps."""
from collections.abc import Sequence

import numpy as np

from rscc.evaluation.functional.segmentation import IGNORE, change_scores, confusion_matrix
from rscc.evaluation.metrics.sample_metric import SampleMetric
from rscc.registry import METRICS


def sample_matrix(sample: dict, num_classes: int | None, ignore: int = IGNORE
                  ) -> np.ndarray | None:
    """Return one data sample's confusion matrix, None without change map or mask.

    Args:
        sample: A data sample as a dict: ``pred_sem_seg`` and ``gt_sem_seg`` with ``data`` of
            shape (1, H, W).
        num_classes: C; from ``seg_logits`` or the labels themselves where None.
        ignore: The label that is left out.

    Raises:
        ValueError: If map and mask differ in size or hold unknown classes; names the sample.
    """
    if sample.get('pred_sem_seg') is None or sample.get('gt_sem_seg') is None:
        return None
    prediction, target = (np.asarray(sample[name]['data'].cpu()).squeeze(0)
                          for name in ('pred_sem_seg', 'gt_sem_seg'))
    if num_classes is None:
        num_classes = _count_classes(sample, prediction, target, ignore)
    try:
        return confusion_matrix(prediction, target, num_classes, ignore)
    except ValueError as error:
        raise ValueError(f"sample '{sample.get('sample_id')}': {error}") from error


def _count_classes(sample: dict, prediction: np.ndarray, target: np.ndarray, ignore: int) -> int:
    # Scores of C classes (C, H, W); without them the labels tell.
    logits = sample.get('seg_logits')
    # At least unchanged and changed, and whatever the labels hold beyond.
    known = 2 if logits is None else max(2, len(logits['data']))
    valid = target[target != ignore]
    return max(known, int(prediction.max(initial=0)) + 1, int(valid.max(initial=0)) + 1)


@METRICS.register_module()
class ChangeMetric(SampleMetric):
    """Scores of the change map from one confusion matrix, the changed class first.

    Keys: ``change/F1_changed``, ``IoU_changed``, ``precision_changed``, ``recall_changed`` (any
    class but 0 is "changed"), ``mF1``, ``mIoU``, ``OA``, ``Kappa``, and ``IoU_<class>``; all from
    0 to 1 (Kappa from -1).

    Args:
        ignore_index: Label of pixels that do not count.
        classes: Class names, class 0 being "unchanged"; by default the dataset's, else numbers.
        prefix, collect_device: See :class:`SampleMetric`.
    """

    KEYS = tuple(f'change/{name}' for name in (
        'F1_changed', 'IoU_changed', 'precision_changed', 'recall_changed', 'mF1', 'mIoU', 'OA',
        'Kappa', 'IoU_*'))
    nothing_to_score = 'no change map or no mask'

    def __init__(self, ignore_index: int = IGNORE, classes: Sequence[str] | None = None,
                 prefix: str | None = None, collect_device: str = 'cpu') -> None:
        super().__init__(prefix, collect_device)
        self.ignore_index = ignore_index
        self.classes = classes

    @property
    def names(self) -> list[str] | None:
        """Class names, or None where nobody gave any."""
        names = self.classes or self.meta.get('classes')
        return None if names is None else list(names)

    def record(self, sample: dict) -> dict | None:
        """Keep C x C counts of a sample, not its pixels."""
        classes = None if self.names is None else len(self.names)
        matrix = sample_matrix(sample, classes, self.ignore_index)
        return None if matrix is None else dict(matrix=matrix)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Return all scores, nothing where no sample has a mask."""
        if not results:
            return {}
        # Without class names, samples may know different numbers of classes; (size, size) fits.
        size = max(len(result['matrix']) for result in results)
        total = np.zeros((size, size), dtype=np.int64)
        for result in results:
            matrix = result['matrix']
            total[:len(matrix), :len(matrix)] += matrix
        return {f'change/{name}': value
                for name, value in change_scores(total, self.names).items()}
