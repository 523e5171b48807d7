"""Sentences that a head draws as a whole: options, guidance by the image, choice among several.

Papers: Kumar and Byrne, Minimum Bayes-Risk Decoding, NAACL 2004; Ho and Salimans, Classifier-Free
Diffusion Guidance, 2022, https://arxiv.org/abs/2207.12598.

N samples, K sentences of each, R = N * K rows, L positions.
"""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rscc.models.generation.attended import attended
from rscc.models.generation.options import DecodingOptions
from rscc.structures import SampledCaption, ScoredCaption
from rscc.text.minimum_bayes_risk import choose_by_risk
from rscc.text.normalisation import split_words
from rscc.text.tokenizer import CaptionTokenizer

#: For every step, how much noise was left and the likeliest words (N, K, L).
Trajectory = list[tuple[float, Tensor]]


@dataclass(frozen=True)
class SampledDecoding(DecodingOptions):
    """Options of heads that draw all words of a sentence at once.

    Attributes:
        steps: Steps from nothing to words.
        num_samples: Sentences K drawn per sample in one batch, of which the minimum Bayes risk
            choice is returned: the one most like the others.
        num_captions: Different sentences returned per sample, best first; fewer where fewer are
            drawn.
        guidance: Weight of the image against no image (classifier-free guidance): 1 is the plain
            estimate; above 1 needs a head trained with ``condition_dropout``.
        abstain: Agreement of the K sentences, 0 to 1, below which they are marked as abstained.
        seed: Of the noise. Every sample gets the same noise, so its sentences do not depend on
            the batch it is in. None draws a seed from the global generator at every call.
        use_cache: Keep keys and values of the memory; off projects it at every step, for
            comparison.
        return_trajectory: Return the denoising trajectory: the sentence at every step.
        return_attention: Return where each word looked; refused where the memory has no places.
            None returns it where it has.
        language: The one of the tokenizer, or None; such heads know no other.
    """
    steps: int = 16
    num_samples: int = 1
    num_captions: int = 1
    guidance: float = 1.0
    abstain: float = 0.0
    seed: int | None = 0
    use_cache: bool = True
    return_trajectory: bool = False
    return_attention: bool | None = False
    language: str | None = None

    def __post_init__(self) -> None:
        self.refuse_below(steps=1, num_samples=1, num_captions=1, guidance=0)
        if not 0 <= self.abstain <= 1:
            raise ValueError(f'decoding abstain={self.abstain} is an agreement in [0, 1]')
        if self.abstain and self.num_samples == 1:
            raise ValueError(f'decoding abstain={self.abstain} with num_samples=1: one sentence '
                             'always agrees with itself; draw several, num_samples=8 for instance')


class GuidedMemory:
    """Memory of N samples along one trajectory, and without the image beside it where guided.

    Args:
        remember: Keys and values of a memory (N, M, C).
        memory: Memory (N, M, C).
        options: ``guidance`` and ``use_cache``.
        nothing: Memory (1, 1, C) that stands for no image, for ``guidance``.
    """

    def __init__(self, remember: Callable[[Tensor], Any], memory: Tensor,
                 options: SampledDecoding, nothing: Tensor | None = None) -> None:
        self.remember, self.weight = remember, options.guidance
        self.guided = options.guidance != 1
        # With and without the image, side by side: (2 N, M, C).
        if self.guided:
            memory = torch.cat([memory, nothing.to(memory).expand_as(memory)])
        self.memory = memory
        self.kept = remember(memory) if options.use_cache else None

    def memories(self) -> Any:
        """Return keys and values, projected anew where they are not kept."""
        return self.kept or self.remember(self.memory)

    def rows(self, rows: Tensor) -> Tensor:
        """Return rows (R, ...) once for each memory: (2 R, ...) where guided."""
        return torch.cat([rows, rows]) if self.guided else rows

    def keep(self, samples: Tensor) -> Tensor:
        """Go on with some samples alone, a mask (N,); return it, twice where guided, (2 N,)."""
        chosen = self.rows(samples)
        if self.kept is None:
            self.memory = self.memory[chosen]
        else:
            self.kept = [part._make(tensor[chosen] for tensor in part) for part in self.kept]
        return chosen

    def guide(self, estimate: Tensor) -> Tensor:
        """Return estimates (R, ...) from no image through the image and beyond."""
        if not self.guided:
            return estimate
        with_image, without = estimate.chunk(2)
        return without + self.weight * (with_image - without)


def to_sampled_captions(ids: Tensor, likelihood: Tensor, trajectory: Trajectory,
                        tokenizer: CaptionTokenizer, options: SampledDecoding, max_tokens: int,
                        seen: Tensor | None = None, grid: tuple[int, int, int] | None = None
                        ) -> list[list[ScoredCaption]]:
    """Read sentences off their ids and make the minimum Bayes risk choice of each sample.

    Args:
        ids: Words (N, K, L).
        likelihood: Their log-probabilities (N, K, L).
        trajectory: Noise levels and words (N, K, L) on the way.
        tokenizer: Detokenises.
        options: How many to return, and when to abstain.
        max_tokens: Limit of a caption, noted in those whose row has no end token.
        seen: Where each word looked, shares (N, K, L, M) of the memory; None without.
        grid: Groups, rows and columns of the memory, as :func:`attended` takes them.

    Returns:
        N lists of different sentences, best first, at most ``num_captions``.
    """
    # Scores (N, K) are means up to the end token, all of the row without one.
    ends = (ids == tokenizer.eos_id).long()
    kept = ends.cumsum(-1) - ends == 0
    scores = ((likelihood * kept).sum(-1) / kept.sum(-1)).tolist()
    cut = (ends.sum(-1) == 0).tolist()

    # To the CPU at once: decoding looks at every id.
    frames = [(sigma, words.tolist()) for sigma, words in trajectory]
    found = []
    for n, rows in enumerate(ids.tolist()):
        captions = [ScoredCaption(tokenizer.decode(row), score, max_tokens if open_ended else None)
                    for row, score, open_ended in zip(rows, scores[n], cut[n], strict=True)]
        steps = [(sigma, words[n]) for sigma, words in frames]
        chosen = _choose(captions, steps, tokenizer, options)
        found.append([caption if seen is None else
                      attended(caption, rows[row], seen[n, row], grid, tokenizer.decode)
                      for row, caption in chosen])
    return found


def _choose(captions: list[ScoredCaption], trajectory: list[tuple[float, list[list[int]]]],
            tokenizer: CaptionTokenizer, options: SampledDecoding
            ) -> list[tuple[int, SampledCaption]]:
    """Order the K sentences of one sample by their risk, each text once, with its place."""
    # The first of equal texts stays, in the order of the risk.
    order, agreement = choose_by_risk(
        [split_words(caption.text, tokenizer.language) for caption in captions],
        [caption.score for caption in captions])
    different = list({captions[row].text: row for row in reversed(order)}.values())[::-1]
    return [(row, SampledCaption.of(
        captions[row], agreement, agreement < options.abstain,
        [(sigma, tokenizer.decode(words[row])) for sigma, words in trajectory], len(captions)))
        for row in different[:options.num_captions]]
