"""Which sentences a beam search keeps, one class a rule.

* ``StandardRule``: what transformers' ``generate`` does (finished sentences leave for a list of the
  best, others take their place, until none can become better).
* ``ClipCapRule``: finished beams stay and compete with their mean log-probability (Mokady et al.,
  ClipCap, 2021, https://arxiv.org/abs/2111.09734).
* ``LeavingRule``: finished beams leave and are not replaced; the sum of log-probabilities decides
  (Xu et al., Show, Attend and Tell, ICML 2015, https://arxiv.org/abs/1502.03044, as its best known
  PyTorch tutorial searches). With one beam this is greedy search, or sampling.
"""
from dataclasses import dataclass

import torch
from torch import Tensor

from rscc.models.caption_heads.decoding import Decoding
from rscc.models.caption_heads.hypotheses import Candidates, Finished


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
