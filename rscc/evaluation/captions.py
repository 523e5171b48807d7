"""All caption scores of one test run, by one of two protocols.

Pure of MMEngine, so that ``CaptionMetric``, the predictions file and ``tools/scores.py`` share it.
"""
from collections.abc import Sequence

from rscc.evaluation.clipcap_rsic import score_clipcap_rsic
from rscc.evaluation.coco import score_coco
from rscc.evaluation.records import PROTOCOLS, CaptionOptions, CaptionRecord, scoring_facts

__all__ = ['PROTOCOLS', 'CaptionOptions', 'CaptionRecord', 'score_captions', 'scoring_facts']

_SCORERS = dict(zip(PROTOCOLS, (score_coco, score_clipcap_rsic), strict=True))


def score_captions(records: Sequence[CaptionRecord], options: CaptionOptions | None = None
                   ) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Score the captions of a dataset.

    Args:
        records: One per sample.
        options: How to score.

    Returns:
        Flat scores, without those that do not apply. Protocol ``'coco'``:
        ``caption/{all,changed,unchanged}/...`` (x100; in Chinese by words, and by characters under
        ``caption_characters/...``), ``baseline/...`` (x100), ``caption/flag_accuracy`` and the
        other shares (0 to 1). Protocol ``'clipcap_rsic'``: ``clipcap_rsic/{all,frequent}/...``, on
        the published scale. With ``bootstrap``, ``..._low`` and ``..._high`` of each score but
        METEOR and ``Sm``. And per sample ``Bleu_4``, ``ROUGE_L`` and ``CIDEr`` (frequencies of all
        samples), or what the protocol has of them.

    Raises:
        ValueError: If there are no records or one has no reference.
    """
    options = options or CaptionOptions()
    if not records:
        raise ValueError('no captions to score')
    lacking = [record.sample_id for record in records if not record.references]
    if lacking:
        raise ValueError(f"sample '{lacking[0]}' has no reference caption ({len(lacking)} such "
                         'samples)')
    return _SCORERS[options.protocol](records, options)
