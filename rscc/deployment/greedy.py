"""Greedy search in NumPy: the likeliest id each time, with the options that torch's search has.

``rscc.models.generation.beam_search`` with one beam chooses the same ids; a test holds one against
the other, option by option. R rows of text, V ids.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from rscc.utils import did_you_mean
from rscc.utils.forms import check_form

_FORM = {'first_ids': [int], 'given_ids': [int], 'stop_ids': [int], 'banned_ids': [int],
         'max_tokens': range(1, 100_000), 'min_tokens': int, 'repetition_penalty': float,
         'no_repeat_ngram': int}


@dataclass(frozen=True)
class GreedyRules:
    """Rules of a search with one beam, from a caption head and its decoding options.

    Attributes:
        first_ids: Ids that the decoder reads before the first one is chosen; may be none.
        given_ids: Ids that count as written where repetition is discouraged.
        stop_ids: Ids that end a sentence.
        banned_ids: Ids that are never written.
        max_tokens: Most ids of a sentence, its stop id included.
        min_tokens: Fewest ids before a stop id.
        repetition_penalty: Above 1 discourages ids that are written already.
        no_repeat_ngram: Forbid to repeat n-grams of this size; 0 allows them.
    """
    first_ids: tuple[int, ...]
    given_ids: tuple[int, ...]
    stop_ids: tuple[int, ...]
    banned_ids: tuple[int, ...] = ()
    max_tokens: int = 40
    min_tokens: int = 0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> Self:
        """Read rules out of JSON; ValueError naming ``where`` if they are of another form."""
        check_form(values, _FORM, where)
        return cls(**{key: tuple(values[key]) if isinstance(values[key], list) else values[key]
                      for key in _FORM})


    def updated(self, options: Mapping[str, Any]) -> Self:
        """Return a copy with decoding options of torch's search changed.

        Raises:
            ValueError: If one asks for more than a greedy search can do, or is impossible.
        """
        known = [name for name in _FORM if not name.endswith('_ids')]
        # Asking for what a greedy search does anyway changes nothing.
        changed = {name: value for name, value in options.items()
                   if name not in ('num_beams', 'num_captions') or value != 1}
        for name in changed:
            if name not in known:
                raise ValueError(f"exported models search greedily and have no decoding option "
                                 f"'{name}'.{did_you_mean(name, known)} They have: "
                                 f"{', '.join(known)}")
        values = {name: getattr(self, name) for name in known} | changed
        check_form(values, {name: _FORM[name] for name in known}, 'the decoding options')
        if not 0 <= values['min_tokens'] <= values['max_tokens'] or (
                values['max_tokens'] > self.max_tokens) or values['repetition_penalty'] <= 0:
            raise ValueError(f'the decoding options {dict(changed)}: expected 0 <= min_tokens <= '
                             f'max_tokens <= {self.max_tokens} (the limit of the export) and '
                             'repetition_penalty > 0')
        return replace(self, **changed)


class StepDecoder(Protocol):
    """A decoder that remembers what its rows have read."""

    def step(self, ids: np.ndarray) -> np.ndarray:
        """Read ids (R, t), t often 1, and return logits (R, V) of the next."""

    def keep(self, rows: np.ndarray) -> None:
        """Go on with these rows (R',) alone."""


def greedy_search(decoder: StepDecoder, rows: int, rules: GreedyRules
                  ) -> list[tuple[list[int], float]]:
    """Write a sentence in every row.

    Args:
        decoder: Before its first id.
        rows: Number R of rows.
        rules: How to search.

    Returns:
        Of every row its ids, the stop id included where one was written, and the mean of their
        log-probabilities (natural logarithm).

    Raises:
        ValueError: If the scores of a row are not numbers.
    """
    ids, scores = [[] for _ in range(rows)], [[] for _ in range(rows)]
    # Which sentence each of the decoder's rows writes, and whether it is still open.
    owners = np.arange(rows)
    logits = decoder.step(np.tile(np.array(rules.first_ids, np.int64), (rows, 1)))
    for step in range(rules.max_tokens):
        logprobs = log_softmax(logits)
        chosen = np.zeros(len(owners), np.int64)
        going = np.zeros(len(owners), bool)
        for row, owner in enumerate(owners):
            if ids[owner][-1:] and ids[owner][-1] in rules.stop_ids:
                continue  # it has ended and waits for its neighbours
            chosen[row] = choose(logits[row], logprobs[row], ids[owner], rules)
            ids[owner].append(int(chosen[row]))
            scores[owner].append(float(logprobs[row, chosen[row]]))
            going[row] = chosen[row] not in rules.stop_ids
        if not going.any() or step + 1 == rules.max_tokens:
            break
        # Ended rows cost as much as others, and so does leaving them out: half of them must be.
        if 2 * going.sum() <= len(going):
            rest = np.flatnonzero(going)
            decoder.keep(rest)
            owners, chosen = owners[rest], chosen[rest]
        logits = decoder.step(chosen[:, None])
    return [(own, float(np.mean(values))) for own, values in zip(ids, scores, strict=True)]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return log-probabilities (R, V), float32."""
    shifted = logits.astype(np.float32)
    shifted = shifted - shifted.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def choose(logits: np.ndarray, logprobs: np.ndarray, written: Sequence[int], rules: GreedyRules
           ) -> int:
    """Return the next id of one row.

    Args:
        logits: Of the decoder (V,).
        logprobs: Their log-softmax (V,).
        written: Ids of the row so far, without those given.
        rules: How to search.
    """
    if not np.isfinite(logprobs).any():
        raise ValueError('the scores of the next token are not numbers (NaN): the exported '
                         'weights are damaged, or the model was not trained; export it again')
    before = [*rules.given_ids, *written]
    scores = logprobs
    if rules.repetition_penalty != 1:
        # As torch's search with one beam: on logits, once an id, however often it was written.
        scores = logits.astype(np.float32)
        seen = sorted(set(before))
        scores[seen] = np.where(scores[seen] < 0, scores[seen] * rules.repetition_penalty,
                                scores[seen] / rules.repetition_penalty)
    banned = [*rules.banned_ids, *_repeats(before, rules.no_repeat_ngram)]
    if len(written) < rules.min_tokens:
        banned += rules.stop_ids
    if banned:
        allowed = scores.copy()
        allowed[banned] = -np.inf
        # Where nothing is left to say, the sentence may end.
        stops = list(rules.stop_ids)
        if np.isneginf(allowed).all():
            allowed[stops] = scores[stops]
        scores = allowed
    return int(scores.argmax())


def _repeats(before: Sequence[int], size: int) -> list[int]:
    """Return the ids that would end an n-gram of ``size`` that stands in ``before`` already."""
    if not size or len(before) + 1 < size:
        return []
    last = list(before[len(before) - size + 1:])
    return [before[start + size - 1] for start in range(len(before) - size + 1)
            if list(before[start:start + size - 1]) == last]
