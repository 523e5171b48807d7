"""Metrics for MMEngine: records counted once a sample, caption scores, change map scores."""
import csv
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement

from rscc.evaluation.calibration import calibration_for, changed_by, errors_of
from rscc.evaluation.doubt import Doubt, Evidence
from rscc.evaluation.functional.consistency import MapFacts
from rscc.evaluation.functional.mask_content import mask_content
from rscc.evaluation.functional.reversal import mask_reversal
from rscc.evaluation.functional.risk import area_under_risk
from rscc.evaluation.functional.segmentation import IGNORE, change_scores, confusion_matrix
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
from rscc.structures.change_data_sample import source_of
from rscc.text.doubts import risk_text
from rscc.text.normalisation import stock_sentences, warn
from rscc.utils import atomic_write
from rscc.utils.logging import warn_once
from rscc.utils.names import DistinctNames


class SampleMetric(BaseMetric):
    """Base of metrics that keep one record a sample and count each sample once.

    A sampler pads the last round so that all processes get equally many samples, and MMEngine then
    cuts the gathered list to the dataset's length, which is right for its own samplers only. Here
    every record carries its ``sample_id``: all are gathered and repeated ones dropped. Samples of
    one id and different images are no repetition: the second is called ``<id>#2``.

    Args:
        prefix: Put before every key as ``prefix/``. By default keys are as documented
            (``caption/...``, ``change/...``).
        collect_device: Kept for MMEngine's configs; records are gathered as objects.

    Attributes:
        nothing_to_score: What a sample lacks for which :meth:`record` returns None, for the
            warning that counts such samples.
        KEYS: Keys that ``compute_metrics`` can give, ``*`` for any characters. A training refuses
            to wait for another one; the default says that nothing is known of them.
        weights: Metadata of the checkpoint whose answers are scored; empty in a training.
    """
    KEYS: ClassVar[tuple[str, ...]] = ('*',)
    weights: Mapping[str, Any] = MappingProxyType({})
    nothing_to_score = 'nothing to score'

    def __init__(self, prefix: str | None = None, collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device, prefix=prefix or 'none')
        self.prefix = prefix  # MMEngine warns about None in its constructor; our keys need none

    def known_keys(self) -> list[str]:
        """Return the keys that this metric can give, ``*`` for any characters."""
        return [f'{self.prefix}/{key}' if self.prefix else key for key in self.KEYS]

    @abstractmethod
    def record(self, sample: dict) -> dict | None:
        """Return what is kept of one sample, or None if it has nothing to score."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the record of every sample of a batch.

        Args:
            data_batch: Not used.
            data_samples: Model outputs, as dicts or data elements.

        Raises:
            KeyError: If a sample has no ``sample_id``.
        """
        for sample in data_samples:
            sample = sample.to_dict() if isinstance(sample, BaseDataElement) else sample
            if 'sample_id' not in sample:
                raise KeyError(f"{type(self).__name__} needs 'sample_id' in the metainfo of every "
                               'sample (PackChangeInputs puts it there)')
            record = self.record(sample)
            if not isinstance(record, dict | None):
                raise TypeError(f'{type(self).__name__}.record returned {type(record).__name__}: a '
                                'dict of what is kept of the sample is expected, or None')
            # Samples without anything to score are kept too: all names are needed to count them.
            paths = source_of(sample)
            self.results.append({'sample_id': sample['sample_id'],
                                 **({'source': paths} if paths else {}),
                                 **(record or {'empty': True})})

    def evaluate(self, size: int) -> dict[str, float]:
        """Gather the records of all processes and compute.

        Args:
            size: Number of samples of the dataset.

        Returns:
            The scores, the same on every process; those that are no numbers are left out.
        """
        # Every process has the records of its own samples, some of them twice.
        gathered = [record for part in all_gather_object(self.results) for record in part]
        self.results.clear()
        # Metrics may write files and start Java: one process computes for all.
        scores: list[Any] = [None]
        if is_main_process():
            scores = [self._numbers(self.compute_metrics(self._unique(gathered, size)))]
        broadcast_object_list(scores)
        named = scores[0]
        return {f'{self.prefix}/{key}': value for key, value in named.items()} \
            if self.prefix else named

    def _numbers(self, scores: Any) -> dict[str, Any]:
        """Return scores without those that are no numbers, of which a warning tells."""
        if not isinstance(scores, dict):
            raise TypeError(f'{type(self).__name__}.compute_metrics returned '
                            f'{type(scores).__name__}: a dict of scores by name is expected')
        lost = [name for name, value in scores.items()
                if isinstance(value, float | np.floating) and not np.isfinite(value)]
        if lost:
            warn(f'{type(self).__name__}: {", ".join(lost)} left out, being infinite or not a '
                 'number: leave out a score that is not defined, 0 / 0 for instance')
        return {name: value for name, value in scores.items() if name not in lost}

    def _unique(self, gathered: list[dict], size: int) -> list[dict]:
        """Drop repeated samples, sort by name, and tell of a wrong number of samples."""
        # Reversed, so that of repeated samples the first one stays.
        names, records = DistinctNames(), {}
        for record in gathered:
            name = names.of(record['sample_id'], record.get('source', ()))
            records.setdefault(name, {key: value for key, value in record.items()
                                      if key != 'source'} | {'sample_id': name})
        if len(records) != size:
            warn(f'{type(self).__name__}: the dataset has {size} samples, and {len(records)} '
                 f'different sample_ids arrived ({len(gathered)} with repetitions). The scores are '
                 f'of these {len(records)}.')
        kept = [records[name] for name in sorted(records) if not records[name].get('empty')]
        if records and len(kept) < len(records):
            warn(f'{type(self).__name__}: {len(records) - len(kept)} of {len(records)} samples '
                 f'have {self.nothing_to_score}' + ('' if kept else '; nothing is scored'))
        return kept

    @property
    def metadata(self) -> dict[str, str]:
        """What must stand beside the scores of this metric: protocol and language, for instance."""
        return {}

    @property
    def meta(self) -> dict:
        """The dataset's metainfo, empty where none was given."""
        return self.dataset_meta or {}


def caption_record(sample: dict, classes: Sequence[str] | None = None) -> dict | None:
    """Return the captions of one data sample (as a dict), None without prediction or reference.

    Args:
        sample: The data sample.
        classes: Names of the classes of its mask, where they are known.
    """
    if sample.get('pred_caption') is None or not sample.get('gt_captions'):
        return None
    return dict(prediction=str(sample['pred_caption']), references=list(sample['gt_captions']),
                changed=_flag(sample.get('gt_change_flag')),
                predicted_flag=_flag(sample.get('pred_change_flag')),
                **caption_details(best_caption(sample)), **swapped_caption(sample),
                **({} if sample.get('gt_sem_seg') is None else
                   dict(shown=mask_content(_labels(sample['gt_sem_seg']), classes))))


def swapped_caption(sample: dict) -> dict[str, str]:
    """Return ``swapped``, the sentence on the pair with its dates exchanged, where there is one."""
    other = sample.get('pred_swapped')
    return {} if other is None or other.get('pred_caption') is None else dict(
        swapped=str(other.get('pred_caption')))


def swapped_agreement(sample: dict) -> float | None:
    """Return how far a changed pair's map and that of the exchanged pair agree, None without."""
    other = sample.get('pred_swapped')
    if other is None or other.get('pred_sem_seg') is None or sample.get('pred_sem_seg') is None:
        return None
    return mask_reversal(_labels(sample['pred_sem_seg']), _labels(other.get('pred_sem_seg')))


def _labels(mask: Any) -> np.ndarray:
    """Return the classes (H, W) of a mask, an element or its dict."""
    return np.asarray((mask['data'] if isinstance(mask, dict) else mask.data).cpu()).squeeze(0)


def best_caption(sample: dict) -> ScoredCaption:
    """Return the best sentence of a data sample (as a dict), with all that it says of itself."""
    for best in sample.get('pred_captions') or ():
        return best if isinstance(best, ScoredCaption) else ScoredCaption(*best)
    return ScoredCaption(sample['pred_caption'], sample.get('pred_caption_score'))


def _flag(value: Any) -> bool | None:
    return None if value is None else bool(value)


def doubt_of(sample: dict, meta: Mapping[str, Any], weights: Mapping[str, Any]) -> Doubt:
    """Return the doubt about the answer to one data sample.

    Args:
        sample: The data sample as a dict.
        meta: Metainfo of its dataset: ``classes``, ``language``, ``no_change_captions``, ``task``,
            ``ground_resolution``.
        weights: Metadata of the checkpoint: ``doubt`` (calibrations) and ``dataset_meta``.
    """
    language = sample.get('language') or meta.get('language') or 'en'
    own = [] if sample.get('pred_caption') is None else [
        best_caption(sample), *(caption if isinstance(caption, ScoredCaption)
                                else ScoredCaption(*caption)
                                for caption in list(sample.get('pred_captions') or ())[1:])]
    mask = sample.get('pred_sem_seg')
    evidence = Evidence.of(
        {language: own, **{name: captions for name, captions in
                           (sample.get('pred_sentences') or {}).items() if name != language}},
        partial(stock_sentences, meta), meta.get('task'),
        map_facts=None if mask is None else MapFacts.of(_labels(mask), meta.get('classes') or ()),
        probability=sample.get('pred_change_score'), novelty=sample.get('pred_novelty'),
        resolution=meta.get('ground_resolution'),
        trained=(weights.get('dataset_meta') or {}).get('ground_resolution'))
    return evidence.doubt(calibration_for(weights.get('doubt'), language))


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
    the sentences cut at the limit of tokens; absent where none was). Where the weights carry a
    calibration of doubt: ``doubt/mean``, ``doubt/not_sure`` (share), ``doubt/errors`` (share of
    wrong sentences, see :func:`rscc.evaluation.calibration.errors_of`), and the area under the
    risk-coverage curve by doubt and by the sentences' own scores, ``doubt/AURC`` and
    ``doubt/AURC_score``.

    Further: ``caption/hallucinated`` (share of the things named that no reference names),
    ``missed`` (share of those at least half of them name), both with ``_mask`` against the classes
    of the reference mask, ``count_error`` (how far numbers are from the nearest reference),
    ``place_accuracy`` and ``place_accuracy_mask``; and where pairs were answered both ways
    ``reversal/{reversible,direction,object,count,no_change_twice,pairs}``.

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
            'abstained', 'hallucinated*', 'missed*', 'count_error', 'place_accuracy*')),
        'reversal/*', 'doubt/*', 'caption/*_low', 'caption/*_high', 'caption_characters/*',
        'baseline*/*', 'clipcap_rsic/*')
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
        more = {'truncated': self.cuts} if self.cuts else {}
        if not self.weights.get('doubt'):
            more['doubt'] = f'doubt: {risk_text(None, "uncalibrated")}'
        return {**metadata, **more}

    def record(self, sample: dict) -> dict | None:
        """Keep the sentences and flags of a sample, and the doubt where it is calibrated."""
        record = caption_record(sample, self.meta.get('classes'))
        if record is None or not self.weights.get('doubt'):
            return record
        doubt = doubt_of(sample, self.meta, self.weights)
        return record if doubt.value is None else record | {'doubt': (
            doubt.value, bool(doubt.sure), -float(sample.get('pred_caption_score') or 0))}

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Return all scores, nothing where no sample has captions."""
        if not results:
            return {}
        results = [dict(result) for result in results]
        doubts = [result.pop('doubt', None) for result in results]
        records = [CaptionRecord(**result) for result in results]
        self.cuts = describe_cuts(records)
        self._tell_equal_references(records)
        scores, rows = score_captions(records, self.options())
        if self.out_file is not None:
            try:
                write_table(self.out_file, records, rows, self.protocol)
            except OSError as error:  # a full disk must not cost the scores
                warn(f'no table of the samples: {error}')
        return scores | self._doubt_scores(records, doubts)

    def _tell_equal_references(self, records: Sequence[CaptionRecord]) -> None:
        """Warn where CIDEr says nothing, so that no training waits for it to rise."""
        written = {text for record in records if record.changed for text in record.references}
        if len(written) == 1:
            warn_once('CIDEr is 0 whatever a model writes, because all references of changed pairs '
                      f"are alike ('{written.pop()}'). Choose checkpoints by another score: "
                      "save_best='caption/changed/Bleu_4'")

    def _doubt_scores(self, records: Sequence[CaptionRecord],
                      doubts: Sequence[tuple[float, bool, float] | None]) -> dict[str, float]:
        """Return how doubtful the answers are, and how well doubt sorts out errors."""
        if not records or None in doubts:
            return {}
        options, single = self.options(), self.meta.get('task') == 'single'
        how = (options.language, options.no_change_captions)
        wrong = [bool(errors_of(record.prediction, record.references, None if single else
                                changed_by(record.changed, record.references, *how), *how))
                 for record in records]
        values, sure, unlikely = zip(*doubts, strict=True)
        return {'doubt/mean': float(np.mean(values)), 'doubt/not_sure': 1 - float(np.mean(sure)),
                'doubt/errors': float(np.mean(wrong)),
                'doubt/AURC': area_under_risk(values, wrong),
                'doubt/AURC_score': area_under_risk(unlikely, wrong)}


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

    KEYS = (*(f'change/{name}' for name in (
        'F1_changed', 'IoU_changed', 'precision_changed', 'recall_changed', 'mF1', 'mIoU', 'OA',
        'Kappa', 'IoU_*')), 'reversal/mask_IoU')
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
        if matrix is None:
            return None
        agreed = swapped_agreement(sample)
        return dict(matrix=matrix, **({} if agreed is None else dict(swapped=agreed)))

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
        agreed = [result['swapped'] for result in results if 'swapped' in result]
        reversal = {'reversal/mask_IoU': sum(agreed) / len(agreed)} if agreed else {}
        return {**{f'change/{name}': value
                   for name, value in change_scores(total, self.names).items()}, **reversal}
