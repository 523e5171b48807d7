"""Sentences out of masks: the most certain words stay, the others are hidden and found again.

It knows no network: what scores the words of a row is given as a function.

Paper: Ghazvininejad et al., Mask-Predict, EMNLP 2019, https://arxiv.org/abs/1904.09324, whose
linear decay of the masks this is.

N samples, K sentences of each, R = N * K rows, L positions, V words.
"""
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rscc.models.diffusion.caption_sampling import repeated_noise
from rscc.models.diffusion.sampled_captions import GuidedMemory, SampledDecoding, Trajectory


@dataclass(frozen=True)
class MaskedDecoding(SampledDecoding):
    """Options of sentences out of masks, beside those of ``SampledDecoding``.

    Attributes:
        steps: Passes through the network. In pass i of T all hidden words are found, and the least
            certain L (T - i) / T words are hidden again.
        temperature: Of the draws of all sentences of a sample but the first, which takes the
            likeliest words; 1 draws as the network says.
        certain: Probability from which on a word is certain, above 0 to 1. A sample whose words
            are all certain takes no further pass, so that the rest of the batch is done sooner; at
            1 every sample takes all passes.
    """
    steps: int = 10
    temperature: float = 1.0
    certain: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_below(temperature=0)
        if not 0 < self.certain <= 1:
            raise ValueError(f'decoding certain={self.certain} is a probability above 0, at most 1')


class MaskedEstimator:
    """Log-probabilities of words behind the masks of a batch, along one run.

    Args:
        score: Scores (R, L, V) of words from ids (R, L), the share of masks (R,), memories, and the
            last scores (R, L, V) or None.
        remember: Keys and values of a memory (N, M, C), which ``score`` takes as memories.
        memory: Memory (N, M, C).
        options: ``guidance`` and ``use_cache``.
        nothing: Memory (1, 1, C) that stands for no image, for ``guidance``.
        never: Ids that are never written.
    """

    def __init__(self, score: Callable[..., Tensor], remember: Callable[[Tensor], Any],
                 memory: Tensor, options: MaskedDecoding, nothing: Tensor | None = None,
                 never: tuple[int, ...] = ()) -> None:
        self.score, self.never = score, list(never)
        self.memory = GuidedMemory(remember, memory, options, nothing)
        self.previous: Tensor | None = None

    def __call__(self, ids: Tensor, share: float) -> Tensor:
        """Return log-probabilities (R, L, V) of the words of rows (R, L), masks among them."""
        rows = self.memory.rows(ids)
        level = torch.full((len(rows), ), share, device=ids.device)
        found = self.score(rows, level, self.memory.memories(), self.previous).log_softmax(-1)
        if self.memory.guided:
            found = self.memory.guide(found).log_softmax(-1)
        self.previous = self.memory.rows(found)
        if self.never:
            found = found.index_fill(-1, torch.tensor(self.never, device=found.device), -torch.inf)
        return found

    def keep(self, samples: Tensor) -> None:
        """Go on with some of the samples, a mask (N,), alone."""
        chosen = self.memory.keep(samples)
        self.previous = self.previous[
            chosen.repeat_interleave(len(self.previous) // len(chosen))]


def fill_masks(estimator: MaskedEstimator, count: int, length: int, mask_id: int,
               options: MaskedDecoding, device: torch.device) -> tuple[Tensor, Tensor, Trajectory]:
    """Find all words of N samples, beginning with masks alone.

    Args:
        estimator: Of these samples.
        count: N.
        length: L.
        mask_id: What stands for a hidden word.
        options: How many passes and sentences.
        device: Where.

    Returns:
        Ids (N, K, L), their log-probabilities when they were found (N, K, L), and for every pass,
        where a trajectory is asked for, the share of masks before it and the words found then,
        those of a sample that is done being its last ones.
    """
    draws, trajectory = _Draws(count, length, options, device), []
    ids = torch.full((count, options.num_samples, length), mask_id, device=device)
    certainty = torch.zeros(ids.shape, device=device)
    going = torch.arange(count, device=device)  # samples that take further passes
    hidden, left = torch.ones_like(ids, dtype=torch.bool), length
    for step in range(options.steps):
        if not len(going):
            break
        # What is hidden is found anew, what stays is as certain as it was.
        share = left / length
        found = estimator(ids[going].masked_fill(hidden, mask_id).flatten(0, 1), share)
        words = draws.choose(found)
        likely = found.gather(-1, words[..., None])[..., 0]
        ids[going] = torch.where(hidden, words.view_as(hidden), ids[going])
        certainty[going] = torch.where(hidden, likely.view_as(hidden), certainty[going])
        if options.return_trajectory:
            trajectory.append((share, ids.clone()))

        # The least certain words are hidden again: fewer at every step, none at the end.
        left = _hidden_before(step + 1, length, options)
        if not left:
            break
        going = _going_on(certainty, going, estimator, options)
        least = certainty[going].topk(left, -1, largest=False).indices
        hidden = torch.zeros_like(ids[going], dtype=torch.bool).scatter(-1, least, True)
    # As long for a sample that is done as beside one that is not.
    while trajectory and (left := _hidden_before(len(trajectory), length, options)):
        trajectory.append((left / length, ids))
    return ids, certainty, trajectory


def _hidden_before(step: int, length: int, options: MaskedDecoding) -> int:
    """Return how many words of a row are hidden before a step, all before the first."""
    return length * (options.steps - step) // options.steps


def _going_on(certainty: Tensor, going: Tensor, estimator: MaskedEstimator,
              options: MaskedDecoding) -> Tensor:
    """Return which of the samples ``going`` have a word that is not certain yet."""
    if options.certain == 1:
        return going
    unsure = (certainty[going] < math.log(options.certain)).flatten(1).any(1)
    if not unsure.all():
        estimator.keep(unsure)
    return going[unsure]


class _Draws:
    """Words by their probabilities: the likeliest in the first sentence, drawn in the others."""

    def __init__(self, count: int, length: int, options: MaskedDecoding, device: torch.device
                 ) -> None:
        self.count, self.length, self.options, self.device = count, length, options, device
        heat = torch.full((options.num_samples, ), options.temperature)
        heat[0] = 0
        self.heat = heat.repeat(count)[:, None, None].to(device)
        self.noise: Callable[[], Tensor] | None = None

    def choose(self, found: Tensor) -> Tensor:
        """Return words (R, L) for log-probabilities (R, L, V)."""
        if self.options.num_samples == 1 or not self.options.temperature:
            return found.argmax(-1)
        rows = len(found)  # fewer samples than there were have the same noise as before
        if self.noise is None:
            self.noise = repeated_noise(self.count, self.options.num_samples, found.shape[1:],
                                        self.options.seed, self.device)
        # Gumbel noise, from a normal number by way of its share of the distribution: the largest
        # sum of a log-probability and such noise is a draw from the distribution.
        uniform = torch.special.ndtr(self.noise()[:rows]).clamp(1e-12, 1 - 1e-12)
        gumbel = -(-uniform.log()).log()
        return (found + self.heat[:rows] * gumbel.to(found)).argmax(-1)
