"""What a search remembers: back pointers of every step, and the sentences it has finished."""
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


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
