"""Beam scorers: how a search ranks candidates and which sentences it keeps.

* ``StandardBeamScorer``: what transformers' ``generate`` does (finished sentences leave for a list
  of the best, others take their place, until none can become better).
* ``ClipCapBeamScorer``: finished beams stay and compete with their mean log-probability (Mokady et
  al., ClipCap, 2021, https://arxiv.org/abs/2111.09734).
* ``ShowAttendTellBeamScorer``: finished beams leave and are not replaced; the sum of
  log-probabilities decides (Xu et al., Show, Attend and Tell, ICML 2015,
  https://arxiv.org/abs/1502.03044, as its best known PyTorch tutorial searches). With one beam this
  is greedy search, or sampling.

N samples of a batch, n of them still being written, B beams of each, C candidates of a step.
"""
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rscc.models.generation.options import Decoding


@dataclass(frozen=True)
class Hypothesis:
    """One sentence that a search wrote.

    Attributes:
        ids: Its ids, the stop id included where it wrote one.
        score: Mean log-probability per id (natural logarithm, <= 0), whatever the search ranks by.
        logprobs: The log-probability of each id.
        rows: The decoder's row that chose each id. A decoder step that keeps something per step and
            row (attention maps) finds with it what belongs to this sentence.
        truncated: Whether the search reached its limit of tokens before a stop id.
    """
    ids: list[int]
    score: float
    logprobs: list[float]
    rows: list[int]
    truncated: bool = False


@dataclass
class Candidates:
    """The best continuations of one step, C for each of n samples.

    Attributes:
        totals: Summed log-probability (n, C); minus infinity marks an empty candidate.
        parents: The beam that each continues (n, C).
        tokens: With which id (n, C).
        lengths: Ids in the sentence, this one included (n, C).
        finished: Whether the sentence has its stop id (n, C).
    """
    totals: Tensor
    parents: Tensor
    tokens: Tensor
    lengths: Tensor
    finished: Tensor


@dataclass
class _Step:
    tokens: Sequence
    logprobs: Sequence
    rows: Sequence
    previous: Sequence


class History:
    """Every candidate of every step with a pointer to the candidate that it continues."""

    def __init__(self) -> None:
        self._steps: list[_Step] = []

    def add(self, tokens: Tensor, logprobs: Tensor, rows: Tensor, previous: Tensor) -> None:
        """Record one step; all arguments are (n, C).

        Args:
            tokens: Ids chosen.
            logprobs: Their log-probabilities.
            rows: The decoder's rows that chose them.
            previous: Candidates of the step before that they continue, counted over the batch.
        """
        # Flat over the batch (n * C,), as ``previous`` counts.
        self._steps.append(_Step(*(value.flatten() for value in
                                   (tokens, logprobs, rows, previous))))

    def unfold(self) -> None:
        """Bring everything to the host, once, before sentences are read."""
        self._steps = [_Step(*(value.tolist() for value in vars(step).values()))
                       for step in self._steps]

    def read(self, step: int, slot: int, stop_ids: set[int]) -> Hypothesis:
        """Return the sentence that ends with candidate ``slot`` of ``step``, cut at its stop id."""
        # Back along the pointers, from the last id to the first.
        written = []
        while step >= 0:
            at = self._steps[step]
            written.append((at.tokens[slot], at.logprobs[slot], at.rows[slot]))
            slot, step = at.previous[slot], step - 1
        ids, logprobs, rows = map(list, zip(*reversed(written), strict=True))
        # What follows the stop id is padding of a beam that was kept. Without one the limit came.
        stop = next((place for place, token in enumerate(ids, 1) if token in stop_ids), None)
        end = stop or len(ids)
        return Hypothesis(ids[:end], sum(logprobs[:end]) / end, logprobs[:end], rows[:end],
                          truncated=stop is None)


@dataclass
class FinishedSentences:
    """The best K finished sentences of each of N samples.

    Attributes:
        scores: What the search ranks by (N, K); minus infinity marks an empty place.
        steps: Step of the last candidate (N, K).
        slots: That candidate, counted over the batch of its step (N, K).
        truncated: Whether the sentence had no stop id when the search ended (N, K).
    """
    scores: Tensor
    steps: Tensor
    slots: Tensor
    truncated: Tensor

    @classmethod
    def empty(cls, samples: int, places: int, device: torch.device) -> 'FinishedSentences':
        """Return N * K empty places."""
        zeros = torch.zeros(samples, places, dtype=torch.long, device=device)
        return cls(torch.full(zeros.shape, -torch.inf, device=device), zeros, zeros.clone(),
                   zeros.bool())

    def ends(self) -> list[list[tuple[int, int]]]:
        """Return step and slot of every sentence of every sample, best first."""
        # Minus infinity marks places that nothing has taken.
        rows = zip(self.scores.tolist(), self.steps.tolist(), self.slots.tolist(), strict=True)
        return [[(step, slot) for score, step, slot in zip(*row, strict=True)
                 if score > -math.inf] for row in rows]

    def count(self, samples: Tensor) -> Tensor:
        """Return how many sentences these samples (n,) have."""
        return self.scores[samples].isfinite().sum(1)

    def add(self, samples: Tensor, scores: Tensor, step: int, slots: Tensor,
            truncated: bool = False) -> None:
        """Put sentences in, the worst falling out.

        Args:
            samples: Whose they are (n,).
            scores: What they rank by (n, C); minus infinity leaves one out.
            step: Step of their last candidate.
            slots: That candidate (n, C).
            truncated: Whether they have no stop id; they then rank behind all that have one.
        """
        # The K that are there and the C that come, (n, K + C).
        new = (scores, torch.full_like(slots, step), slots,
               torch.full_like(slots, truncated, dtype=torch.bool))
        held = list(vars(self).values())
        joined = [torch.cat([old[samples], own], 1) for old, own in zip(held, new, strict=True)]
        ranked, *_, cut = joined

        # Two stable sorts: by score, then finished sentences before cut ones and empty places.
        order = ranked.argsort(dim=1, descending=True, stable=True)
        rank = torch.where(ranked.isfinite(), cut.long(), 2)
        order = order.gather(1, rank.gather(1, order).argsort(dim=1, stable=True))

        # The best K of them stay.
        for old, both in zip(held, joined, strict=True):
            old[samples] = both.gather(1, order[:, :old.shape[1]])


@dataclass
class Beams:
    """Unfinished sentences: B beams of each of n samples.

    Attributes:
        samples: Index of each sample in the batch (n,).
        totals: Summed log-probability (n, B); minus infinity marks an empty beam.
        lengths: Ids written, the stop id included, those given not (n, B).
        finished: Whether the stop id is written, of scorers that keep such beams (n, B).
        ids: What is given and written (n, B, t).
        rows: The decoder's row of each beam (n, B).
        slots: The candidate that each beam was, counted over the batch of its step (n, B).
    """
    samples: Tensor
    totals: Tensor
    lengths: Tensor
    finished: Tensor
    ids: Tensor
    rows: Tensor
    slots: Tensor

    @classmethod
    def start(cls, rows: Tensor, given: Tensor) -> 'Beams':
        """Return one beam a sample, before the first id.

        Args:
            rows: The decoder's row that each sample starts from (n,).
            given: Ids that every sentence starts with (g,).
        """
        # One empty sentence a sample, (n, 1), total 0.
        zeros = torch.zeros_like(rows)[:, None]
        return cls(samples=torch.arange(len(rows), device=rows.device), totals=zeros.float(),
                   lengths=zeros, finished=zeros.bool(), ids=given.expand(len(rows), 1, -1),
                   rows=rows[:, None], slots=zeros)

    def of(self, chosen: Tensor) -> 'Beams':
        """Return the samples of a mask (n,)."""
        return Beams(**{name: value[chosen] for name, value in vars(self).items()})


class StandardBeamScorer:
    """Beam scorer of transformers: finished sentences leave, the next best take their place.

    A sample is done when ``num_beams`` sentences are finished and its best open one, at its present
    length, would rank behind all of them. Only a sentence among the best ``num_beams``
    continuations of its step counts as finished.

    Args:
        options: ``num_beams`` K and ``length_penalty``.
        num_stops: Number of stop ids.
        pad_id: Id after the end, for scorers that keep finished beams.
    """
    #: Whether finished sentences rank by ``length_penalty``, or by the plain sum.
    normalises = True

    def __init__(self, options: Decoding, num_stops: int, pad_id: int) -> None:
        self.width = options.num_beams
        self.penalty = options.length_penalty if self.normalises else 0.0
        self.pad_id = pad_id
        self.max_tokens = options.max_tokens
        self.num_candidates = self._count(num_stops)

    def _count(self, num_stops: int) -> int:
        # So many that K are left over when every beam ends in every way it can.
        return self.width * (1 + max(1, num_stops))

    def normalise(self, totals: Tensor, lengths: Tensor) -> Tensor:
        """Divide totals by their length to the power of the penalty."""
        return totals / lengths**self.penalty

    def extend(self, beams: Beams, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Continue every beam with every id.

        Args:
            beams: n samples of B beams.
            scores: Of the next id (n, B, V).

        Returns:
            What the candidates are chosen by, and their totals, both (n, B, V).
        """
        totals = beams.totals[..., None] + scores
        return totals, totals

    def update(self, beams: Beams, found: Candidates, slots: Tensor, step: int,
               finished: FinishedSentences) -> Tensor:
        """Move what has ended to ``finished`` and choose what goes on.

        Args:
            beams: Before this step.
            found: Its candidates (n, C).
            slots: Their numbers over the batch (n, C).
            step: Number of the step, from 0.
            finished: Sentences done with.

        Returns:
            Scores (n, C) whose best K go on; minus infinity does not.
        """
        # At the limit every sentence ends, with its stop id or without: cut.
        ended = found.finished | (step + 1 == self.max_tokens)
        among_best = torch.arange(ended.shape[1], device=ended.device) < self.width
        scores = self.normalise(found.totals, found.lengths)
        # The ended ones among the best K are kept (n, C); of the rest, what has not ended goes on.
        finished.add(beams.samples, scores.masked_fill(~(ended & among_best), -torch.inf), step,
                     slots)
        return found.totals.masked_fill(ended, -torch.inf)

    def done(self, beams: Beams, finished: FinishedSentences) -> Tensor:
        """Return which samples need no further step (n,)."""
        # What the best unfinished sentence would rank by if it ended now, against the worst kept.
        hopes = self.normalise(beams.totals, beams.lengths).amax(1)
        return hopes <= finished.scores[beams.samples].amin(1)

    def finish(self, beams: Beams, step: int, finished: FinishedSentences) -> None:
        """Keep unfinished beams of samples that are done; ``update`` has kept all that count."""


class ShowAttendTellBeamScorer(StandardBeamScorer):
    """Beam scorer by sums of log-probabilities: a finished sentence leaves the beam narrower."""
    normalises = False

    def _count(self, num_stops: int) -> int:
        return self.width

    def update(self, beams: Beams, found: Candidates, slots: Tensor, step: int,
               finished: FinishedSentences) -> Tensor:
        """As in ``StandardBeamScorer``; candidates beyond the width that is left do not count."""
        # Every finished sentence has taken a beam (n, 1).
        left = self.width - finished.count(beams.samples)[:, None]
        beyond = torch.arange(found.totals.shape[1], device=left.device) >= left
        totals = found.totals.masked_fill(beyond, -torch.inf)
        finished.add(beams.samples, totals.masked_fill(~found.finished, -torch.inf), step, slots)
        return totals.masked_fill(found.finished, -torch.inf)

    def done(self, beams: Beams, finished: FinishedSentences) -> Tensor:
        """Return which samples have no open sentence (n,)."""
        return ~beams.totals.isfinite().any(1)

    def finish(self, beams: Beams, step: int, finished: FinishedSentences) -> None:
        """Rank open sentences behind the finished ones."""
        finished.add(beams.samples, beams.totals, step, beams.slots, truncated=True)


class ClipCapBeamScorer(StandardBeamScorer):
    """Beam scorer by mean log-probability: finished sentences stay in the beam and compete."""

    def _count(self, num_stops: int) -> int:
        return self.width

    def extend(self, beams: Beams, scores: Tensor) -> tuple[Tensor, Tensor]:
        """As ``StandardBeamScorer.extend``; a finished beam goes on with padding, at no cost."""
        # (1, 1, V): padding costs nothing, all else is impossible.
        nothing = torch.full_like(scores[:1, :1], -torch.inf)
        nothing[..., self.pad_id] = 0
        totals = beams.totals[..., None] + torch.where(beams.finished[..., None], nothing, scores)
        return self.normalise(totals, (beams.lengths + ~beams.finished)[..., None]), totals

    def update(self, beams: Beams, found: Candidates, slots: Tensor, step: int,
               finished: FinishedSentences) -> Tensor:
        """Let everything go on, in its order."""
        return self.normalise(found.totals, found.lengths)

    def done(self, beams: Beams, finished: FinishedSentences) -> Tensor:
        """Return which samples have finished beams only (n,)."""
        return (beams.finished | ~beams.totals.isfinite()).all(1)

    def finish(self, beams: Beams, step: int, finished: FinishedSentences) -> None:
        """Keep all beams, finished or not, by their mean log-probability."""
        finished.add(beams.samples, self.normalise(beams.totals, beams.lengths), step, beams.slots)


#: By the values of the decoding option ``beam_rule``.
BEAM_SCORERS = {'standard': StandardBeamScorer, 'clipcap': ClipCapBeamScorer,
                'show_attend_tell': ShowAttendTellBeamScorer}


def build_beam_scorer(options: Decoding, num_stops: int, pad_id: int) -> StandardBeamScorer:
    """Return the scorer that ``options`` ask for; with one beam all are the same greedy search."""
    kind = (ShowAttendTellBeamScorer if options.num_beams == 1
            else BEAM_SCORERS[options.beam_rule])
    return kind(options, num_stops, pad_id)
