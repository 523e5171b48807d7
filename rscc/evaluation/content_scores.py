"""What captions tell: change flag, objects, directions, counts, places, and the way back.

These scores need no likeness of words: they say whether what is told is so, beside the references,
beside the reference mask, and beside what is told of the same pair with its dates exchanged.
"""
from collections.abc import Callable, Sequence
from typing import Any

from rscc.evaluation.functional import content
from rscc.evaluation.functional.failures import count_gaps, failure_kinds, place_right
from rscc.evaluation.functional.mask_content import place_on_mask, things_against_mask
from rscc.evaluation.functional.reversal import caption_reversal, reversal_scores
from rscc.evaluation.functional.statements import statements
from rscc.evaluation.records import CaptionOptions, CaptionRecord
from rscc.text import normalise


def content_scores(records: Sequence[CaptionRecord], words: Sequence[Sequence[str]],
                   options: CaptionOptions) -> dict[str, float]:
    """Return what the captions of a dataset tell and how rightly; see ``CaptionMetric``.

    Args:
        records: One per sample.
        words: Of every prediction.
        options: Language and stock sentences.

    Returns:
        ``caption/...`` and ``reversal/...``, all shares from 0 to 1 but ``caption/count_error``
        and ``reversal/pairs``; without those that nothing was asked for.
    """
    language = options.language
    said = [normalise(record.prediction, language) for record in records]
    references = [record.references for record in records]
    # What a caption says of change is compared with the true flag, where there is one.
    flagged = [i for i, record in enumerate(records) if record.changed is not None]
    tells = [not content.says_no_change(said[i], options.no_change_captions, language)
             for i in flagged]
    scores = {
        **content.flag_scores(tells, [bool(records[i].changed) for i in flagged]),
        'object_F1': content.object_f1(said, references, language),
        # Nothing appears or is removed on a single image.
        'direction_accuracy': content.direction_accuracy(said, references, language)
        if flagged else None,
        **_object_shares(records, language),
        **_counts_and_places(records, language),
        **_mask_shares(records, options),
        'distinct_1': content.distinct(words, 1),
        'distinct_2': content.distinct(words, 2),
        **_certainty(records),
    }
    found = {f'caption/{name}': value for name, value in scores.items() if value is not None}
    return {**found, **{f'reversal/{name}': value for name, value in reversal_scores(
        _reversals(records, options)).items()}}


def content_details(record: CaptionRecord, options: CaptionOptions) -> dict[str, Any]:
    """Return what a file keeps of one sample beside its scores.

    Returns:
        ``failures`` of a pair (kinds of ``failure_kinds``), ``shown`` where there is a mask, and
        ``reversal`` (from ``caption_reversal``) where the changed pair was answered both ways.
    """
    details: dict[str, Any] = {}
    if record.changed is not None:
        details['failures'] = failure_kinds(record.prediction, record.references, record.changed,
                                            options.language, options.no_change_captions)
    if record.shown is not None:
        details['shown'] = record.shown
    for answers in _reversals([record], options):
        details['reversal'] = answers
    return details


def _reversals(records: Sequence[CaptionRecord], options: CaptionOptions
               ) -> list[dict[str, bool | None]]:
    """Return the comparison of the two sentences of every changed pair that was answered twice."""
    return [caption_reversal(record.prediction, record.swapped, options.language,
                             options.no_change_captions)
            for record in records if record.swapped is not None and record.changed is not False]


def _object_shares(records: Sequence[CaptionRecord], language: str) -> dict[str, float | None]:
    """Return which share of what is named no reference names, and of what they agree on is not."""
    counts = [content.object_counts(record.prediction, record.references, language)
              for record in records]
    return {'hallucinated': _share(sum(one['wrong'] for one in counts),
                                   sum(one['wrong'] + one['hits'] for one in counts)),
            'missed': _share(sum(one['missed'] for one in counts),
                             sum(one['agreed'] for one in counts))}


def _told(records: Sequence[CaptionRecord]) -> list[CaptionRecord]:
    """Return the records of what has something to tell: single images and changed pairs."""
    return [record for record in records if record.changed is not False]


def _counts_and_places(records: Sequence[CaptionRecord], language: str
                       ) -> dict[str, float | None]:
    gaps = [gap for record in _told(records) for gap in number_gaps(record, language)]
    return {'count_error': _share(sum(gaps), len(gaps)),
            'place_accuracy': _right(_told(records), lambda record: place_right(
                record.prediction, record.references, language))}


def number_gaps(record: CaptionRecord, language: str) -> list[float]:
    """Return how far each number of a caption is from the nearest reference, in things."""
    return count_gaps(statements(record.prediction, language),
                      [statements(text, language) for text in record.references])


def _mask_shares(records: Sequence[CaptionRecord], options: CaptionOptions
                 ) -> dict[str, float | None]:
    """Return the same of captions beside the reference masks."""
    with_mask = [record for record in records if record.shown is not None]
    sizes = [things_on_mask(record, options) for record in with_mask]
    named, hallucinated, shown, missed = map(sum, zip(*sizes, strict=True)) if sizes else [0] * 4
    return {'hallucinated_mask': _share(hallucinated, named), 'missed_mask': _share(missed, shown),
            'place_accuracy_mask': _right(with_mask, lambda record: place_on_mask(
                record.prediction, record.shown, options.language))}


def things_on_mask(record: CaptionRecord, options: CaptionOptions) -> tuple[int, int, int, int]:
    """Count things of a caption beside the reference mask: named, hallucinated, shown, missed."""
    # "Nothing has changed along the road" names no thing that changed.
    silent = content.says_no_change(record.prediction, options.no_change_captions,
                                    options.language)
    return tuple(map(len, things_against_mask('' if silent else record.prediction, record.shown,
                                              options.language)))


def _certainty(records: Sequence[CaptionRecord]) -> dict[str, float]:
    """Return agreement and abstentions of heads that draw several sentences, and cut sentences."""
    drawn = [record.sampled for record in records if record.sampled and record.sampled.drawn > 1]
    scores = {name: sum(float(getattr(caption, name)) for caption in drawn) / len(drawn)
              for name in ('agreement', 'abstained')} if drawn else {}
    cut = sum(record.cut_at is not None for record in records)
    return {**scores, 'truncated': cut / len(records)} if cut else scores


def _right(records: Sequence[CaptionRecord], asked: Callable[[CaptionRecord], bool | None]
           ) -> float | None:
    """Return the share of records that are right, of those that were asked."""
    answers = [answer for record in records if (answer := asked(record)) is not None]
    return _share(sum(answers), len(answers))


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
