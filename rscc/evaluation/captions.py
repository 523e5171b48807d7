"""All caption scores of one test run, by one of two protocols.

Pure of MMEngine, so that ``CaptionMetric``, the predictions file and ``tools/scores.py`` share it.
"""
import re
from collections.abc import Sequence

from rscc.evaluation.clipcap_rsic import score_clipcap_rsic
from rscc.evaluation.coco import score_coco
from rscc.evaluation.records import PROTOCOLS, CaptionOptions, CaptionRecord, scoring_facts
from rscc.text.caption_files import holds_word
from rscc.utils.notes import say_once

__all__ = ['PROTOCOLS', 'CaptionOptions', 'CaptionRecord', 'score_captions', 'scoring_facts']

_CHINESE = re.compile('[\u3400-\u9fff]')
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
    _tell_odd_predictions(records, options.language)
    return _SCORERS[options.protocol](records, options)


def _tell_odd_predictions(records: Sequence[CaptionRecord], language: str) -> None:
    """Say once what scores 0 however good the model: no words, or those of another language."""
    said = [record for record in records if holds_word(record.prediction)]
    if len(said) < len(records):
        first = next(record for record in records if not holds_word(record.prediction))
        say_once(f'{len(records) - len(said)} of {len(records)} predictions hold no word and score '
                 f"0; the first: {first.prediction!r} for '{first.sample_id}'")
    chinese = sum(bool(_CHINESE.search(record.prediction)) for record in said)
    if said and chinese == (len(said) if language == 'en' else 0):
        meant = 'zh' if language == 'en' else 'en'
        say_once(f"language '{language}', but {'all' if chinese else 'none'} of the {len(said)} "
                 f"predictions are written in Chinese, '{said[0].prediction}' the first: is the "
                 f"language '{meant}' (--language {meant}) meant?")
