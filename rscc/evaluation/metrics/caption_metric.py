"""Caption scores for MMEngine."""
import csv
import os
from collections.abc import Sequence
from typing import Any

from rscc.evaluation.metrics.sample_metric import SampleMetric
from rscc.evaluation.protocols import score_captions
from rscc.evaluation.records import (
    CaptionOptions,
    CaptionRecord,
    caption_details,
    describe_cuts,
    scoring_metadata,
)
from rscc.registry import METRICS
from rscc.structures import ScoredCaption
from rscc.text.normalisation import warn
from rscc.utils import atomic_write


def caption_record(sample: dict) -> dict | None:
    """Return the captions of one data sample (as a dict), None without prediction or reference."""
    if sample.get('pred_caption') is None or not sample.get('gt_captions'):
        return None
    return dict(prediction=str(sample['pred_caption']), references=list(sample['gt_captions']),
                changed=_flag(sample.get('gt_change_flag')),
                predicted_flag=_flag(sample.get('pred_change_flag')),
                **caption_details(best_caption(sample)))


def best_caption(sample: dict) -> ScoredCaption:
    """Return the best sentence of a data sample (as a dict), with all that it says of itself."""
    for best in sample.get('pred_captions') or ():
        return best if isinstance(best, ScoredCaption) else ScoredCaption(*best)
    return ScoredCaption(sample['pred_caption'], sample.get('pred_caption_score'))


def _flag(value: Any) -> bool | None:
    return None if value is None else bool(value)


@METRICS.register_module()
class CaptionMetric(SampleMetric):
    """BLEU-1..4, METEOR, ROUGE-L, CIDEr-D and ``Sm``: all, changed, unchanged, and their baselines.

    Keys: ``caption/{all,changed,unchanged}/{Bleu_1..4,METEOR,METEOR_id,ROUGE_L,CIDEr,Sm}`` (x100;
    ``CIDEr`` is CIDEr-D as coco-caption computes it, 0 by construction where all references are
    equal; ``Sm`` is the mean of BLEU-4, METEOR on words, ROUGE-L and CIDEr), ``baseline/...`` (what
    blind answers score, see ``rscc.evaluation.functional.baselines``), and shares from 0 to 1:
    ``caption/flag_accuracy``, ``flag_F1``, ``object_F1``, ``direction_accuracy``, ``distinct_1``,
    ``distinct_2``, of heads that draw several sentences a sample, ``agreement`` (mean) and
    ``abstained`` (share; these sentences are scored like all others), and ``truncated`` (share of
    the sentences cut at the limit of tokens; absent where none was).

    Chinese is scored by jieba's words, and by characters under ``caption_characters/...``. Single
    images have no changed and unchanged part and no flag; their baselines are the best single
    sentence (``baseline/all/...``) and the most frequent caption (``baseline/frequent/...``: of the
    training split where the dataset's metainfo names it, else of the references).

    Args:
        protocol: ``'coco'``, or ``'clipcap_rsic'`` for the figures as the authors of CLIP-GPT
            computed them, under keys of their own.
        meteor: Compute METEOR and ``Sm`` (5 to 15 s of Java); switch off during training.
        baselines: Score trivial baselines, too.
        constant_caption: The baseline's sentence for changed samples; by default the best one of
            the references.
        language: ``'en'`` or ``'zh'``; by default the dataset's.
        out_file: A CSV table of every sample with its scores.
        bootstrap: Resamples for 95 % intervals, ``..._low`` and ``..._high``; 0 for none.
        seed: Seed of the resamples.
        prefix, collect_device: See :class:`SampleMetric`.
    """

    KEYS = (
        *(f'caption/{part}/{score}' for part in ('all', 'changed', 'unchanged') for score in (
            'CIDEr', 'Bleu_1', 'Bleu_2', 'Bleu_3', 'Bleu_4', 'METEOR', 'METEOR_id', 'ROUGE_L',
            'Sm')),
        *(f'caption/{share}' for share in (
            'flag_*', 'object_F1', 'direction_accuracy', 'distinct_1', 'distinct_2', 'agreement',
            'abstained')),
        'caption/*_low', 'caption/*_high', 'caption_characters/*', 'baseline*/*', 'clipcap_rsic/*')
    nothing_to_score = 'no predicted caption or no reference'

    def __init__(self, protocol: str = 'coco', meteor: bool = True, baselines: bool = True,
                 constant_caption: str | None = None, language: str | None = None,
                 out_file: str | os.PathLike | None = None, bootstrap: int = 0, seed: int = 0,
                 prefix: str | None = None, collect_device: str = 'cpu') -> None:
        super().__init__(prefix, collect_device)
        self.protocol = protocol
        self.meteor = meteor
        self.baselines = baselines
        self.constant_caption = constant_caption
        self.language = language
        self.out_file = out_file
        self.bootstrap = bootstrap
        self.seed = seed
        self.cuts = ''
        self.options()  # wrong settings are said now, not after hours of training

    def options(self) -> CaptionOptions:
        """Return the settings, completed from the dataset's metainfo."""
        return CaptionOptions(
            protocol=self.protocol, language=self.language or self.meta.get('language', 'en'),
            no_change_captions=self.meta.get('no_change_captions') or (), meteor=self.meteor,
            baselines=self.baselines, constant_caption=self.constant_caption,
            frequent_caption=self.meta.get('frequent_caption'), bootstrap=self.bootstrap,
            seed=self.seed)

    @property
    def metadata(self) -> dict[str, str]:
        """What must stand beside the scores."""
        metadata = scoring_metadata(self.options(), self.meta.get('split'),
                                    single=self.meta.get('task') == 'single')
        return {**metadata, 'truncated': self.cuts} if self.cuts else metadata

    def record(self, sample: dict) -> dict | None:
        """Keep the sentences and flags of a sample."""
        return caption_record(sample)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Return all scores, nothing where no sample has captions."""
        if not results:
            return {}
        records = [CaptionRecord(**result) for result in results]
        self.cuts = describe_cuts(records)
        scores, rows = score_captions(records, self.options())
        if self.out_file is not None:
            try:
                write_table(self.out_file, records, rows, self.protocol)
            except OSError as error:  # a full disk must not cost the scores
                warn(f'no table of the samples: {error}')
        return scores


def write_table(path: str | os.PathLike, records: Sequence[CaptionRecord],
                rows: Sequence[dict[str, float]], protocol: str = 'coco') -> None:
    """Write one CSV line per sample: name, flag, scores, prediction, references."""
    digits = 2 if protocol == 'coco' else 4  # x100, or from 0 to 1
    with atomic_write(path) as file:
        table = csv.writer(file, lineterminator='\n')
        names = list(rows[0]) if rows else []
        table.writerow(['sample_id', 'changed', *names, 'prediction', 'references'])
        for record, row in zip(records, rows, strict=True):
            flag = '' if record.changed is None else int(record.changed)
            references = ' | '.join(text.strip() for text in record.references)
            table.writerow([record.sample_id, flag, *(f'{row[name]:.{digits}f}' for name in names),
                            record.prediction, references])
