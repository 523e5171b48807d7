"""Beam scorers: how candidates are ranked and which sentences a beam search keeps.

* ``StandardRule``: what transformers' ``generate`` does (finished sentences leave for a list of the
  best, others take their place, until none can become better).
* ``ClipCapRule``: finished beams stay and compete with their mean log-probability (Mokady et al.,
  ClipCap, 2021, https://arxiv.org/abs/2111.09734).
* ``LeavingRule``: finished beams leave and are not replaced; the sum of log-probabilities decides
  (Xu et al., Show, Attend and Tell, ICML 2015, https://arxiv.org/abs/1502.03044, as its best known
  PyTorch tutorial searches). With one beam this is greedy search, or sampling.
"""
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

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
        rows: The stepper's row that chose each id. A stepper that keeps something per step and row
            (attention maps) finds with it what belongs to this sentence.
    """
    ids: list[int]
    score: float
    logprobs: list[float]
    rows: list[int]


@dataclass
class Candidates:
    """The best continuations of one step, C for each of n samples.

    Attributes:
        totals: Summed log-probability (n, C); minus infinity marks an empty candidate.
        parents: The beam that each continues (n, C).
        tokens: With which id (n, C).
        lengths: Ids in the sentence, this one included (n, C).
        closed: Whether the sentence has its stop id (n, C).
    """
    totals: Tensor
    parents: Tensor
    tokens: Tensor
    lengths: Tensor
    closed: Tensor


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
            rows: The stepper's rows that chose them.
            previous: Candidates of the step before that they continue, counted over the batch.
        """
        self._steps.append(_Step(*(value.flatten() for value in
                                   (tokens, logprobs, rows, previous))))

    def unfold(self) -> None:
        """Bring everything to the host, once, before sentences are read."""
        self._steps = [_Step(*(value.tolist() for value in vars(step).values()))
                       for step in self._steps]

    def read(self, step: int, slot: int, stop_ids: set[int]) -> Hypothesis:
        """Return the sentence that ends with candidate ``slot`` of ``step``, cut at its stop id."""
        written = []
        while step >= 0:
            at = self._steps[step]
            written.append((at.tokens[slot], at.logprobs[slot], at.rows[slot]))
            slot, step = at.previous[slot], step - 1
        ids, logprobs, rows = map(list, zip(*reversed(written), strict=True))
        end = next((place for place, token in enumerate(ids, 1) if token in stop_ids), len(ids))
        return Hypothesis(ids[:end], sum(logprobs[:end]) / end, logprobs[:end], rows[:end])


@dataclass
class Finished:
    """The best K finished sentences of each of N samples.

    Attributes:
        scores: What the search ranks by (N, K); minus infinity marks an empty place.
        steps: Step of the last candidate (N, K).
        slots: That candidate, counted over the batch of its step (N, K).
        cut: Whether the sentence was still open when the search ended (N, K).
    """
    scores: Tensor
    steps: Tensor
    slots: Tensor
    cut: Tensor = field(repr=False)

    @classmethod
    def empty(cls, samples: int, places: int, device: torch.device) -> 'Finished':
        """Return N * K empty places."""
        zeros = torch.zeros(samples, places, dtype=torch.long, device=device)
        return cls(torch.full(zeros.shape, -torch.inf, device=device), zeros, zeros.clone(),
                   zeros.bool())

    def ends(self) -> list[list[tuple[int, int]]]:
        """Return step and slot of every sentence of every sample, best first."""
        rows = zip(self.scores.tolist(), self.steps.tolist(), self.slots.tolist(), strict=True)
        return [[(step, slot) for score, step, slot in zip(*row, strict=True)
                 if score > -math.inf] for row in rows]

    def count(self, samples: Tensor) -> Tensor:
        """Return how many sentences these samples (n,) have."""
        return self.scores[samples].isfinite().sum(1)

    def add(self, samples: Tensor, scores: Tensor, step: int, slots: Tensor,
            cut: bool = False) -> None:
        """Put sentences in, the worst falling out.

        Args:
            samples: Whose they are (n,).
            scores: What they rank by (n, C); minus infinity leaves one out.
            step: Step of their last candidate.
            slots: That candidate (n, C).
            cut: Whether they are still open; they then rank behind all that are not.
        """
        places = self.scores.shape[1]
        joined = torch.cat([self.scores[samples], scores], 1)
        is_cut = torch.cat([self.cut[samples], torch.full_like(slots, cut, dtype=torch.bool)], 1)
        # Two stable sorts: by score, then closed sentences before open and empty places.
        order = joined.argsort(dim=1, descending=True, stable=True)
        rank = torch.where(joined.isfinite(), is_cut.long(), 2)
        order = order.gather(1, rank.gather(1, order).argsort(dim=1, stable=True))[:, :places]
        self.scores[samples] = joined.gather(1, order)
        self.cut[samples] = is_cut.gather(1, order)
        steps = torch.cat([self.steps[samples], torch.full_like(slots, step)], 1)
        self.steps[samples] = steps.gather(1, order)
        self.slots[samples] = torch.cat([self.slots[samples], slots], 1).gather(1, order)


@dataclass
class Beams:
    """What is being written: B beams of each of n samples.

    Attributes:
        samples: Index of each sample in the batch (n,).
        totals: Summed log-probability (n, B); minus infinity marks an empty beam.
        lengths: Ids written, the stop id included, those given not (n, B).
        closed: Whether the stop id is written, under rules that keep such beams (n, B).
        ids: What is given and written (n, B, t).
        rows: The stepper's row of each beam (n, B).
        slots: The candidate that each beam was, counted over the batch of its step (n, B).
    """
    samples: Tensor
    totals: Tensor
    lengths: Tensor
    closed: Tensor
    ids: Tensor
    rows: Tensor
    slots: Tensor

    @classmethod
    def start(cls, rows: Tensor, given: Tensor) -> 'Beams':
        """Return one beam a sample, before the first id.

        Args:
            rows: The stepper's row that each sample starts from (n,).
            given: Ids that every sentence starts with (g,).
        """
        zeros = torch.zeros_like(rows)[:, None]
        return cls(samples=torch.arange(len(rows), device=rows.device), totals=zeros.float(),
                   lengths=zeros, closed=zeros.bool(), ids=given.expand(len(rows), 1, -1),
                   rows=rows[:, None], slots=zeros)

    def of(self, chosen: Tensor) -> 'Beams':
        """Return the samples of a mask (n,)."""
        return Beams(**{name: value[chosen] for name, value in vars(self).items()})


class StandardRule:
    """Finished sentences leave, the next best take their place.

    A sample is done when ``num_beams`` sentences are finished and its best open one, at its present
    length, would rank behind all of them. Only a sentence among the best ``num_beams``
    continuations of its step counts as finished.

    Args:
        options: ``num_beams`` K and ``length_penalty``.
        num_stops: Number of stop ids.
        pad_id: Id after the end, for rules that keep finished beams.
        limit: Most ids in a sentence.
    """
    #: Whether finished sentences rank by ``length_penalty``, or by the plain sum.
    normalises = True

    def __init__(self, options: Decoding, num_stops: int, pad_id: int, limit: int) -> None:
        self.width = options.num_beams
        self.penalty = options.length_penalty if self.normalises else 0.0
        self.pad_id = pad_id
        self.limit = limit
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

    def settle(self, beams: Beams, found: Candidates, slots: Tensor, step: int,
               finished: Finished) -> Tensor:
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
        ended = found.closed | (step + 1 == self.limit)
        among_best = torch.arange(ended.shape[1], device=ended.device) < self.width
        scores = self.normalise(found.totals, found.lengths)
        finished.add(beams.samples, scores.masked_fill(~(ended & among_best), -torch.inf), step,
                     slots)
        return found.totals.masked_fill(ended, -torch.inf)

    def done(self, beams: Beams, finished: Finished) -> Tensor:
        """Return which samples need no further step (n,)."""
        hopes = self.normalise(beams.totals, beams.lengths).amax(1)
        return hopes <= finished.scores[beams.samples].amin(1)

    def leave(self, beams: Beams, step: int, finished: Finished) -> None:
        """Give what is still open when its sample ends a place: here it has none."""


class LeavingRule(StandardRule):
    """Finished sentences leave and the beam gets narrower; sums of log-probabilities decide."""
    normalises = False

    def _count(self, num_stops: int) -> int:
        return self.width

    def settle(self, beams: Beams, found: Candidates, slots: Tensor, step: int,
               finished: Finished) -> Tensor:
        """As ``StandardRule.settle``; candidates beyond the width that is left do not count."""
        left = self.width - finished.count(beams.samples)[:, None]
        beyond = torch.arange(found.totals.shape[1], device=left.device) >= left
        totals = found.totals.masked_fill(beyond, -torch.inf)
        finished.add(beams.samples, totals.masked_fill(~found.closed, -torch.inf), step, slots)
        return totals.masked_fill(found.closed, -torch.inf)

    def done(self, beams: Beams, finished: Finished) -> Tensor:
        """Return which samples have no open sentence (n,)."""
        return ~beams.totals.isfinite().any(1)

    def leave(self, beams: Beams, step: int, finished: Finished) -> None:
        """Rank open sentences behind the finished ones."""
        finished.add(beams.samples, beams.totals, step, beams.slots, cut=True)


class ClipCapRule(StandardRule):
    """Finished sentences stay in the beam with the score that they have."""

    def _count(self, num_stops: int) -> int:
        return self.width

    def extend(self, beams: Beams, scores: Tensor) -> tuple[Tensor, Tensor]:
        """As ``StandardRule.extend``; a closed beam has one continuation, which changes nothing."""
        nothing = torch.full_like(scores[:1, :1], -torch.inf)
        nothing[..., self.pad_id] = 0
        totals = beams.totals[..., None] + torch.where(beams.closed[..., None], nothing, scores)
        return self.normalise(totals, (beams.lengths + ~beams.closed)[..., None]), totals

    def settle(self, beams: Beams, found: Candidates, slots: Tensor, step: int,
               finished: Finished) -> Tensor:
        """Let everything go on, in its order."""
        return self.normalise(found.totals, found.lengths)

    def done(self, beams: Beams, finished: Finished) -> Tensor:
        """Return which samples have closed beams only (n,)."""
        return (beams.closed | ~beams.totals.isfinite()).all(1)

    def leave(self, beams: Beams, step: int, finished: Finished) -> None:
        """Hand all beams over, open or closed, by their mean log-probability."""
        finished.add(beams.samples, self.normalise(beams.totals, beams.lengths), step, beams.slots)


RULES = {'standard': StandardRule, 'clipcap': ClipCapRule, 'show_attend_tell': LeavingRule}


def build_rule(options: Decoding, num_stops: int, pad_id: int, limit: int) -> StandardRule:
    """Return the rule that ``options`` ask for; with one beam all are the same greedy search."""
    rule = LeavingRule if options.num_beams == 1 else RULES[options.beam_rule]
    return rule(options, num_stops, pad_id, limit)
