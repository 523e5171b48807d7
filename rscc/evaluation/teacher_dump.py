"""The sentences of a test run as a file that another captioner can learn from."""
import os
from collections.abc import Mapping
from typing import Any

from rscc.evaluation.metrics import SampleMetric
from rscc.registry import METRICS
from rscc.text.teacher_captions import ORDERS, closeness, write_teacher_captions
from rscc.utils import check_choice


@METRICS.register_module()
class TeacherCaptionDump(SampleMetric):
    """Writes the best sentences of every sample for a student to learn; computes no score.

    ``PickTeacherCaptions`` draws from the file, ``tools/dataset_converters/distil_captions.py``
    runs this metric over the training split.

    Args:
        out_file: The JSON file; replaced whole, never left half written.
        num: Sentences kept of each sample, at most; equal ones count once.
        teacher: Who wrote them, for the record: config and checkpoint.
        prefix, collect_device: See :class:`SampleMetric`.
        order: ``'likeliest'``: best is what the teacher finds likeliest, the score its mean
            log-probability per token. ``'closest'``: best is what is most like people's sentences
            of the same sample, :func:`closeness`, which is then the score: a student may become
            better than its teacher (sequence-level interpolation: Kim and Rush, EMNLP 2016,
            section 3.3).

    Raises:
        ValueError: If ``num`` is less than 1 or the order unknown; later, if a sample has no
            sentences of people to be close to.
    """

    KEYS = ()
    nothing_to_score = 'no sentence'

    def __init__(self, out_file: str | os.PathLike, num: int = 5,
                 teacher: Mapping[str, Any] | None = None, prefix: str | None = None,
                 collect_device: str = 'cpu', order: str = 'likeliest') -> None:
        super().__init__(prefix, collect_device)
        check_choice('order', order, ORDERS)
        if num < 1:
            raise ValueError(f'TeacherCaptionDump num={num}; expected 1 or more')
        self.out_file, self.num, self.order = out_file, num, order
        self.teacher = dict(teacher or {}, order=order)

    def record(self, sample: dict) -> dict | None:
        """Keep the best sentences of a sample; None where the model wrote none."""
        best: dict[str, float] = {}
        for text, score in sample.get('pred_captions') or ():
            if text:
                best.setdefault(str(text), float(score))
        if best and self.order == 'closest':
            best = self._compared(list(best), sample)
        told = sorted(best.items(), key=lambda pair: -pair[1])[:self.num]
        return {'split': sample.get('split'), 'told': told} if told else None

    def _compared(self, sentences: list[str], sample: dict) -> dict[str, float]:
        """Return how close sentences are to those of people."""
        people = sample.get('gt_captions')
        if not people:
            raise ValueError(f"sample '{sample.get('sample_id')}' has no sentences by people that "
                             "a teacher's could be compared with: leave order='closest' out "
                             '(--closest)')
        return dict(zip(sentences, closeness(sentences, people, self.meta.get('language', 'en')),
                        strict=True))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Write the file; return nothing."""
        splits = sorted({result['split'] for result in results} - {None})
        write_teacher_captions(
            self.out_file, {result['sample_id']: result['told'] for result in results},
            self.meta.get('language', 'en'), splits[0] if len(splits) == 1 else None, self.teacher)
        return {}
