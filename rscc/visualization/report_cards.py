"""One tested sample as the report shows it: verdicts, doubt, pictures, words with evidence."""
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from rscc.structures import SampledCaption, caption_from
from rscc.text.doubts import grade_of, grade_text, no_reason_text, risk_text
from rscc.text.transitions import transition_sentences
from rscc.visualization.attention import Evidence
from rscc.visualization.denoising_trajectory import Run, denoising_rows
from rscc.visualization.fonts import has_cjk
from rscc.visualization.panels import frame_names
from rscc.visualization.picture_files import Pictures, data_address

_EVIDENCE_QUALITY = 40


class Judgement(NamedTuple):
    """What a sample's labels say of its prediction.

    Attributes:
        truth: Whether the pair changed; None where that is not known.
        claim: Whether the prediction says so; None where that cannot be told.
        failures: Kinds of failure of the sentence; None where nobody looked for any.
    """
    truth: bool | None
    claim: bool | None
    failures: list[str] | None

    @property
    def wrong(self) -> bool:
        """Whether truth and claim are known and differ."""
        return None not in (self.truth, self.claim) and self.truth != self.claim


def judge(sample: Mapping[str, Any], dataset: Mapping[str, Any]) -> Judgement:
    """Compare a sample's prediction with its labels.

    Args:
        sample: As ``PredictionDump`` writes it.
        dataset: Metainfo; ``no_change_captions`` count.
    """
    truth = sample.get('gt_change_flag')
    return Judgement(None if truth is None else bool(truth), _claim(sample, dataset),
                     sample.get('failures'))


def _claim(sample: Mapping[str, Any], dataset: Mapping[str, Any]) -> bool | None:
    if sample.get('pred_change_flag') is not None:
        return bool(sample['pred_change_flag'])
    unchanged = {_bare(sentence) for sentence in dataset.get('no_change_captions') or ()}
    if not unchanged or not sample.get('prediction'):
        return None
    return _bare(sample['prediction']) not in unchanged


def _bare(sentence: str) -> str:
    return sentence.strip(' .。').lower()


def card_of(sample: Mapping[str, Any], judgement: Judgement, pictures: Pictures,
            evidence: Evidence | None, words: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template of a card shows.

    Args:
        sample: As ``PredictionDump`` writes it.
        judgement: Of the sample.
        pictures: Of the sample.
        evidence: Where the model looked for every word; None where it has no attention.
        words: Of the interface.
    """
    said, doubt = sample.get('prediction'), sample.get('doubt') or {}
    swapped = sample.get('swapped') or {}
    caption = caption_from(said or '', 0.0, sample)
    caption = caption if isinstance(caption, SampledCaption) else None
    card = {
        'id': sample.get('sample_id', ''), 'truth': _flag(judgement.truth),
        'claim': _flag(judgement.claim), 'wrong': judgement.wrong,
        'failures': judgement.failures or [],
        'abstained': caption is not None and bool(caption.abstained), 'cut': _cut(sample, words),
        **_doubt(doubt, words),
        'swapped': swapped.get('prediction'), 'irreversible': swapped.get('reversible') is False,
        'scores': _scores(sample), 'area': pictures.changed,
        'class_maps': [(words['dates'][name], address)
                       for name, address in pictures.class_maps.items()],
        'became': transition_sentences(sample.get('transitions') or (), words['html']),
        'layers': pictures.layers, 'pictures': _pictures(pictures, words), 'shape': pictures.shape,
        'comparable': len(pictures.frames) == 2 and all(pictures.frames),
        'prediction': said, 'references': sample.get('references') or [],
        'agreement': _agreement(caption, words), 'candidates': sample.get('nbest') or [],
        'trajectory': _trajectory(caption, words),
        'pieces': [(said, None)] if said else [], 'evidence': None,
    }
    if said and evidence is not None:
        card |= {'pieces': pieces_of(said, evidence.words),
                 'evidence': {'sheet': evidence_address(evidence),
                              'grid': [len(evidence.words), *evidence.grid]}}
    return {**card, 'marks': _marks(card), 'orders': _orders(card)}


def _doubt(doubt: Mapping[str, Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """Return number, grade, risk in words and reasons of a doubt; no grade where there is none."""
    grade, language = doubt_grade(doubt), words['html'][:2]
    reasons = [(reason.get('texts') or {}).get(language, reason['text'])
               for reason in doubt.get('reasons') or ()]
    if not reasons and grade in ('medium', 'high'):
        reasons = [no_reason_text(grade, language)]
    return {'doubt': doubt.get('value'), 'grade': grade, 'reasons': reasons,
            'risk': grade and risk_text(doubt.get('value'), grade, language, how=False),
            'mark': grade and grade_text(grade, language)}


def doubt_grade(doubt: Mapping[str, Any] | None) -> str | None:
    """Return the grade of a sample's doubt, also of a file of an earlier version."""
    if not doubt:
        return None
    if doubt.get('value') is None:
        return doubt.get('grade')
    return grade_of(doubt['value'], doubt.get('sure'))


def _flag(changed: bool | None) -> str | None:
    return None if changed is None else 'changed' if changed else 'unchanged'


def _marks(card: Mapping[str, Any]) -> list[str]:
    """Return everything that a card can be filtered by."""
    given = {'wrong': card['wrong'], 'abstained': card['abstained'],
             'irreversible': card['irreversible'], 'cut': card['cut'] is not None,
             'faults': bool(card['failures']), f'risk_{card["grade"]}': card['grade'] is not None}
    # Without a word on it, a predicted mask says whether something changed.
    claim = card['claim'] or _flag(None if card['area'] is None else card['area'] > 0)
    return [*filter(None, [card['truth'], claim and f'said_{claim}']),
            *(name for name, holds in given.items() if holds), *card['failures']]


def _orders(card: Mapping[str, Any]) -> dict[str, float]:
    """Return everything that a card can be sorted by."""
    more = {name: card[name] for name in ('area', 'doubt') if card[name] is not None}
    return {**card['scores'], **{name: round(value, 5) for name, value in more.items()}}


def _cut(sample: Mapping[str, Any], words: Mapping[str, Any]) -> str | None:
    """Return the mark of a sentence that reached the token limit, None of any other."""
    limit = sample.get('truncated')
    if not limit:
        return None
    return words['cut'] if limit is True else words['cut_at'].format(limit)


def _scores(sample: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores of a sample."""
    found = dict(sample.get('scores') or {})
    if sample.get('score') is not None:
        found['model score'] = sample['score']
    if sample.get('drawn', 1) > 1:
        found['agreement'] = sample['agreement']
    return {name: float(f'{value:.5g}') for name, value in found.items()
            if value is not None and np.isfinite(value)}


def _pictures(pictures: Pictures, words: Mapping[str, Any]) -> list[dict[str, Any]]:
    titles = frame_names(len(pictures.frames), words) if pictures.frames else []
    return [{'title': title, 'address': address, 'problem': problem} for title, address, problem
            in zip(titles, pictures.frames, pictures.problems, strict=True)]


def pieces_of(sentence: str, words: Sequence[str]) -> list[tuple[str, int | None]]:
    """Split a sentence into its words, each with its number, and what stands between them.

    Args:
        sentence: The sentence.
        words: Its words in order, as the tokenizer has them. A sentence that does not hold them
            all stays whole.
    """
    pieces, end = [], 0
    for number, word in enumerate(words):
        start = sentence.find(word, end)
        if start < 0 or not word:
            return [(sentence, None)]
        pieces += [(sentence[end:start], None)] if start > end else []
        pieces.append((word, number))
        end = start + len(word)
    return pieces + ([(sentence[end:], None)] if end < len(sentence) else [])


def evidence_address(evidence: Evidence) -> str:
    """Return the sheet of a sentence's maps as a ``data:`` address."""
    return data_address(Image.fromarray(evidence.sheet), _EVIDENCE_QUALITY)


def _agreement(caption: SampledCaption | None, words: Mapping[str, Any]) -> dict | None:
    """Return how much the sentences drawn agree, None where there was only one."""
    if caption is None or caption.drawn < 2:
        return None
    return {'title': words['agreement'].format(caption.drawn), 'share': caption.agreement}


def _trajectory(caption: SampledCaption | None, words: Mapping[str, Any]) -> dict | None:
    """Return a row for every change of the sentence, noisiest first, and what its marks mean."""
    if caption is None or not caption.trajectory:
        return None
    rows = [{'label': row.label, 'steps': row.steps, 'noise': row.noise, 'runs': row.runs,
             'glue': '' if any(has_cjk(run.text) for run in row.runs) else ' '}
            for row in denoising_rows(caption.trajectory, caption.text)]
    looks = ((False, False), (True, False), (True, True), (False, True))
    legend = [Run(kind, *look) for kind, look in zip(words['kinds'], looks, strict=True)]
    return {'steps': len(caption.trajectory), 'rows': rows, 'legend': legend}
