"""The predictions of a test run, in one JSON file that can be scored again."""
import os

from rscc.evaluation.content_scores import content_details
from rscc.evaluation.functional.segmentation import changed_f1
from rscc.evaluation.metrics import (
    SampleMetric,
    best_caption,
    caption_record,
    doubt_of,
    sample_matrix,
    swapped_agreement,
    swapped_caption,
)
from rscc.evaluation.protocols import score_captions
from rscc.evaluation.records import CaptionOptions, CaptionRecord, scoring_metadata
from rscc.evaluation.semantic_metric import semantic_details
from rscc.registry import METRICS
from rscc.text.normalisation import warn
from rscc.utils import write_json


@METRICS.register_module()
class PredictionDump(SampleMetric):
    """Writes what a model said of every sample, with references and per-sample scores.

    The file is read by ``tools/scores.py`` and the HTML report. It computes no score of the whole
    run: ``tools/test.py`` adds those with :func:`rscc.evaluation.predictions.add_metrics`.

    Args:
        out_file: The JSON file; replaced whole, never left half written.
        config: Name of the config, for the record.
        checkpoint: Name of the checkpoint, for the record.
        protocol: As in ``CaptionMetric``.
        prefix, collect_device: See :class:`SampleMetric`.
    """

    KEYS = ()
    nothing_to_score = 'no prediction'

    def __init__(self, out_file: str | os.PathLike, config: str | None = None,
                 checkpoint: str | None = None, protocol: str = 'coco',
                 prefix: str | None = None, collect_device: str = 'cpu') -> None:
        super().__init__(prefix, collect_device)
        self.out_file = out_file
        self.config = config
        self.checkpoint = checkpoint
        self.protocol = protocol

    def record(self, sample: dict) -> dict | None:
        """Keep paths, sentences, the doubt about them, and the scores of a sample's maps."""
        paths = {name: str(sample[name]) for name in ('img_path_from', 'img_path_to', 'img_path')
                 if sample.get(name)}
        if sample.get('imgid') is not None:
            paths['imgid'] = sample['imgid']
        # What it is, what should be said of it, and what is said.
        kept = {**paths, 'split': sample.get('split'),
                'references': list(sample.get('gt_captions') or ())}
        if sample.get('gt_change_flag') is not None:
            kept['gt_change_flag'] = bool(sample['gt_change_flag'])
        if sample.get('pred_change_flag') is not None:
            kept['pred_change_flag'] = bool(sample['pred_change_flag'])
        if sample.get('pred_caption') is not None:
            kept['prediction'] = str(sample['pred_caption'])
            kept['score'] = _number(sample.get('pred_caption_score'))
            kept['nbest'] = [[str(text), _number(score)]
                             for text, score in sample.get('pred_captions') or ()]
            # Agreement and trajectory of a sampled sentence, the limit of one that was cut.
            kept |= best_caption(sample).details()
        if sample.get('pred_change_score') is not None:
            kept['change_probability'] = round(float(sample['pred_change_score']), 5)
        kept['doubt'] = doubt_of(sample, self.meta, self.weights).to_json()
        matrix = sample_matrix(sample, None)
        f1 = None if matrix is None else changed_f1(matrix)
        kept['scores'] = {} if f1 is None else {'F1_changed': f1}
        transitions, semantic = semantic_details(sample, self.meta)
        kept |= transitions
        kept['scores'] |= semantic

        # What is said of the pair with its dates exchanged, and how far the two maps agree.
        agreed, caption = swapped_agreement(sample), swapped_caption(sample)
        if caption or agreed is not None:
            kept['swapped'] = {**({'prediction': caption['swapped']} if caption else {}),
                               **({} if agreed is None else {'mask_IoU': round(agreed, 4)})}
        # What scores are computed from, once all samples are here.
        captions = caption_record(sample, self.meta.get('classes'))
        return {**kept, 'captions': captions} if captions else kept

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Write the file; return nothing."""
        results = [dict(result) for result in results]
        captions = [(result, result.pop('captions')) for result in results if 'captions' in result]
        try:
            self._add_caption_scores(captions)
        except Exception as error:  # hours of answers must not be lost for a score
            warn(f"'{self.out_file}' is written without the scores of its captions: "
                 f'{type(error).__name__}: {error}')
        splits = {result.pop('split') for result in results} - {None}
        split = '+'.join(sorted(splits)) or None
        write_json(self.out_file, {
            'config': self.config, 'checkpoint': self.checkpoint, 'dataset': dict(self.meta),
            'split': split, **scoring_metadata(self._options()), 'metrics': {}, 'samples': results})
        return {}

    def _add_caption_scores(self, captions: list[tuple[dict, dict]]) -> None:
        """Put ``Bleu_4``, ``ROUGE_L`` and ``CIDEr`` into each result that has captions."""
        if not captions:
            return
        records = [CaptionRecord(result['sample_id'], **texts) for result, texts in captions]
        rows = score_captions(records, self._options())[1]
        for (result, _), row in zip(captions, rows, strict=True):
            result['scores'] = {**{k: round(v, 3) for k, v in row.items()}, **result['scores']}
        for (result, _), record in zip(captions, records, strict=True):
            details = content_details(record, self._options())
            result |= {name: details[name] for name in ('failures', 'shown') if name in details}
            if 'reversal' in details:
                result['swapped'] |= details['reversal']

    def _options(self) -> CaptionOptions:
        return CaptionOptions(self.protocol, self.meta.get('language', 'en'),
                              self.meta.get('no_change_captions') or (), meteor=False,
                              baselines=False)


def _number(value: object) -> float | None:
    return None if value is None else float(value)
