"""Reversibility: what a model says of a pair whose dates are exchanged must be the mirror image.

What was built has been removed, seen from the other side; the thing, its number and the changed
pixels stay the same. A model that answers from habit ("houses are built") says the same both times.
"""
from collections.abc import Mapping, Sequence

import numpy as np

from rscc.evaluation.functional.content import actions_named, says_no_change
from rscc.evaluation.functional.statements import OPPOSITE, Statement, count_gap, statements

#: What is asked of a pair of sentences, in the order in which it is reported.
ASKED = ('direction', 'object', 'count')


def caption_reversal(forward: str, backward: str, language: str = 'en',
                     no_change_captions: Sequence[str] = ()) -> dict[str, bool | None]:
    """Compare the sentence on a changed pair with that on the same pair, its dates exchanged.

    Args:
        forward: The sentence on the pair as it is.
        backward: The sentence on the exchanged pair.
        language: ``'en'`` or ``'zh'``, of both.
        no_change_captions: The dataset's stock sentences for unchanged pairs.

    Returns:
        * ``no_change_twice``: Both say that nothing changed (or say nothing at all).
        * ``direction``: What appears in one is removed in the other, thing by thing; "before" and
            "after" that stand for a verb count as one. A sentence that tells of neither fails.
        * ``object``: The things that changed are the same.
        * ``count``: Of every thing counted in both, some number suits both; None where nothing is.
        * ``reversible``: Direction, object and count are right. Where either sentence says that
            nothing changed, nothing is.
    """
    silent = [not text.strip() or says_no_change(text, no_change_captions, language)
              for text in (forward, backward)]
    if any(silent):
        return dict(no_change_twice=all(silent), direction=False, object=False, count=None,
                    reversible=False)
    one, other = statements(forward, language), statements(backward, language)
    if not one and not other:  # words for things that the narrow groups lack
        one, other = statements(forward, language, True), statements(backward, language, True)
    answers = {'direction': _mirrored(one, other, forward, backward, language),
               'object': {s.thing for s in one} == {s.thing for s in other},
               'count': _same_counts(one, other)}
    return {'no_change_twice': False, **answers,
            'reversible': all(answers[name] is not False for name in ASKED)}


def _mirrored(one: Sequence[Statement], other: Sequence[Statement], forward: str, backward: str,
              language: str) -> bool:
    """Return whether all actions, and those of every thing in both, are each other's opposite."""
    theirs, ours = ({s.action for s in found if s.action} or actions_named(text, language)
                    for found, text in ((one, forward), (other, backward)))
    if not theirs or {OPPOSITE[action] for action in theirs} != ours:
        return False
    for thing in {s.thing for s in one} & {s.thing for s in other}:
        ahead, back = ({s.action for s in found if s.thing == thing and s.action}
                       for found in (one, other))
        if ahead and back and {OPPOSITE[action] for action in ahead} != back:
            return False
    return True


def _same_counts(one: Sequence[Statement], other: Sequence[Statement]) -> bool | None:
    gaps = []
    for statement in one:
        # The houses that were built are those removed on the way back, not others.
        counts = [s.count for s in other if s.count and s.thing == statement.thing
                  and s.action in (OPPOSITE[statement.action], '')]
        if statement.count and counts:
            gaps.append(min(count_gap(statement.count, count) for count in counts))
    return not any(gaps) if gaps else None


def mask_reversal(forward: np.ndarray, backward: np.ndarray) -> float:
    """Return how far the change maps of a changed pair and of the exchanged one agree.

    Args:
        forward: Classes (H, W) of the pair as it is, 0 unchanged.
        backward: Those of the exchanged pair, same shape.

    Returns:
        IoU, 0 to 1, of the pixels that have the same class of change in both; 0 where both maps
        are empty: something did change.
    """
    changed = (forward > 0) | (backward > 0)
    total = int(changed.sum())
    return float(((forward == backward) & changed).sum()) / total if total else 0.0


def reversal_scores(answers: Sequence[Mapping[str, bool | None]]) -> dict[str, float]:
    """Return the shares of changed pairs that were answered as they should be both ways.

    Args:
        answers: What :func:`caption_reversal` returned, of every changed pair.

    Returns:
        Shares from 0 to 1 by name, each of the pairs for which it was asked, and ``pairs``, their
        number; nothing for no pairs.
    """
    if not answers:
        return {}
    scores = {}
    for name in ('reversible', *ASKED, 'no_change_twice'):
        known = [answer[name] for answer in answers if answer[name] is not None]
        if known:
            scores[name] = sum(known) / len(known)
    return {**scores, 'pairs': float(len(answers))}
