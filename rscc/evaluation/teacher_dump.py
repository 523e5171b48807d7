"""The sentences of a test run as a file that another captioner can learn from."""
import os
from collections.abc import Mapping
from typing import Any

from rscc.evaluation.metrics import SampleMetric
from rscc.registry import METRICS
from rscc.text.teacher_captions import write_teacher_captions


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
    """

    KEYS = ()
    nothing_to_score = 'no sentence'

    def __init__(self, out_file: str | os.PathLike, num: int = 5,
                 teacher: Mapping[str, Any] | None = None, prefix: str | None = None,
                 collect_device: str = 'cpu') -> None:
        super().__init__(prefix, collect_device)
        if num < 1:
            raise ValueError(f'TeacherCaptionDump num={num}; expected 1 or more')
        self.out_file, self.num, self.teacher = out_file, num, dict(teacher or {})

    def record(self, sample: dict) -> dict | None:
        """Keep the best sentences of a sample; None where the model wrote none."""
        best: dict[str, float] = {}
        for text, score in sample.get('pred_captions') or ():
            if text:
                best.setdefault(str(text), float(score))
        told = sorted(best.items(), key=lambda pair: -pair[1])[:self.num]
        return {'split': sample.get('split'), 'told': told} if told else None

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Write the file; return nothing."""
        splits = sorted({result['split'] for result in results} - {None})
        write_teacher_captions(
            self.out_file, {result['sample_id']: result['told'] for result in results},
            self.meta.get('language', 'en'), splits[0] if len(splits) == 1 else None, self.teacher)
        return {}
