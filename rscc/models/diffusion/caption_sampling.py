"""Sampling of captions from noise: options, the estimator a sampler calls, and its result.

Papers: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, NeurIPS
2022, https://arxiv.org/abs/2206.00364; Ho and Salimans, Classifier-Free Diffusion Guidance, 2022,
https://arxiv.org/abs/2207.12598; Kumar and Byrne, Minimum Bayes-Risk Decoding, NAACL 2004.

N samples, K sentences of each, R = N * K rows, L positions, C channels, V words.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rscc.models.diffusion.samplers import choose
from rscc.models.generation.options import DecodingOptions
from rscc.registry import SAMPLERS, SIGMA_SCHEDULES
from rscc.structures import SampledCaption, ScoredCaption
from rscc.text.minimum_bayes_risk import choose_by_risk
from rscc.text.normalisation import split_words
from rscc.text.tokenizer import CaptionTokenizer

if TYPE_CHECKING:
    from rscc.models.caption_heads.kd_rscc_head import KarrasCaptionHead


@dataclass(frozen=True)
class DiffusionDecoding(DecodingOptions):
    """How sentences are sampled.

    Attributes:
        sampler: Name of a sampler, or ``dict(type=name, **options)``.
        schedule: Name of a noise schedule, or ``dict(type=name, **options)``.
        steps: Noise levels before the last, which is 0. Most samplers call the network once a
            step, ``heun``, ``dpm_2`` and ``dpmpp_2s`` twice.
        sigma_min: Smallest noise level above 0.
        sigma_max: Noise level of the start.
        num_samples: Sentences K drawn per sample in one batch; the one most like the others wins
            (minimum Bayes risk).
        num_captions: Different sentences returned per sample, best first; fewer where fewer are
            drawn.
        guidance: Weight of the image against no image (classifier-free guidance): 1 is the plain
            estimate; above 1 needs a head trained with ``condition_dropout``.
        clamp: Noise level below which every estimate snaps to the nearest words; 0 never.
        abstain: Agreement of the K sentences, 0 to 1, below which they are marked as abstained.
        seed: Of the noise. Every sample gets the same noise, so its sentences do not depend on
            the batch it is in. None draws a seed from the global generator at every call.
        use_cache: Keep keys and values of the memory; off projects it at every step, for
            comparison.
        return_strip: Return what the words were at every noise level.
    """
    sampler: str | dict = 'dpmpp_2m'
    schedule: str | dict = 'karras'
    steps: int = 16
    sigma_min: float = 0.01
    sigma_max: float = 160.0
    num_samples: int = 1
    num_captions: int = 1
    guidance: float = 1.0
    clamp: float = 0.0
    abstain: float = 0.0
    seed: int | None = 0
    use_cache: bool = True
    return_strip: bool = False

    def __post_init__(self) -> None:
        choose(SAMPLERS, self.sampler)
        choose(SIGMA_SCHEDULES, self.schedule)
        for name in ('steps', 'num_samples', 'num_captions'):
            if getattr(self, name) < 1:
                raise ValueError(f'decoding {name}={getattr(self, name)} must be 1 or more')
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f'decoding sigma_min={self.sigma_min} and sigma_max={self.sigma_max}: '
                             'expected 0 < sigma_min < sigma_max')
        for name in ('guidance', 'clamp'):
            if getattr(self, name) < 0:
                raise ValueError(f'decoding {name}={getattr(self, name)} must be 0 or more')
        if not 0 <= self.abstain <= 1:
            raise ValueError(f'decoding abstain={self.abstain} is an agreement in [0, 1]')
        if self.abstain and self.num_samples == 1:
            raise ValueError(f'decoding abstain={self.abstain} with num_samples=1: one sentence '
                             'always agrees with itself; draw several, num_samples=8 for instance')


class Estimator:
    """D(x; sigma) of a batch, as a sampler calls it, along one trajectory.

    Args:
        head: The caption head.
        memory: Memory (N, M, C).
        options: How to sample.
    """

    def __init__(self, head: 'KarrasCaptionHead', memory: Tensor, options: DiffusionDecoding
                 ) -> None:
        self.head, self.options = head, options
        self.guided = options.guidance != 1
        if self.guided:
            memory = torch.cat([memory, head.nothing.to(memory).expand_as(memory)])
        self.memory = memory
        self.memories = head.denoiser.remember(memory) if options.use_cache else None
        self.previous: Tensor | None = None

    def __call__(self, points: Tensor, sigma: Tensor) -> Tensor:
        """Estimate the clean vectors of points (R, L, C) at one noise level."""
        rows = points.to(self.head.space.table.dtype)
        rows = torch.cat([rows, rows]) if self.guided else rows
        memories = self.memories or self.head.denoiser.remember(self.memory)
        estimate = self.head.estimate(rows, sigma.to(rows).expand(len(rows)), memories,
                                      self.previous).vectors
        if self.guided:
            with_image, without = estimate.chunk(2)
            estimate = without + self.options.guidance * (with_image - without)
        if float(sigma) < self.options.clamp:
            estimate = self.head.space.nearest(estimate)
        self.previous = torch.cat([estimate, estimate]) if self.guided else estimate
        return estimate.to(points.dtype)


def sample_words(estimator: Estimator, count: int, shape: tuple[int, int],
                 options: DiffusionDecoding) -> tuple[Tensor, list[tuple[float, Tensor]]]:
    """Run a sampler from noise to words.

    Args:
        estimator: The denoiser of N samples.
        count: N.
        shape: (L, C).
        options: How to sample.

    Returns:
        Final vectors (N, K, L, C), and for every step, where a strip is asked for, its noise level
        and the likeliest words (N, K, L) then.
    """
    space = estimator.head.space
    noise = repeated_noise(count, options.num_samples, shape, options.seed, space.table.device)
    strip: list[tuple[float, Tensor]] = []

    def note(_: int, sigma: Tensor, estimate: Tensor) -> None:
        words = space.logits(estimate.to(space.table.dtype)).argmax(-1)
        strip.append((float(sigma), words.unflatten(0, (count, -1))))

    sigmas = choose(SIGMA_SCHEDULES, options.schedule)(
        options.steps, sigma_min=options.sigma_min, sigma_max=options.sigma_max)
    final = choose(SAMPLERS, options.sampler)(
        estimator, noise() * options.sigma_max, sigmas, noise=noise,
        callback=note if options.return_strip else None)
    return final.to(space.table.dtype).unflatten(0, (count, -1)), strip


def repeated_noise(count: int, samples: int, shape: Sequence[int], seed: int | None,
                   device: torch.device) -> Callable[[], Tensor]:
    """Return a source of standard normal noise (N * K, L, C), float64, equal for all N samples.

    What a sample gets then depends on neither the batch it is in nor its place there, nor on the
    device: numbers are drawn on the CPU.

    Args:
        count: N.
        samples: K.
        shape: (L, C).
        seed: None draws one from the global generator.
        device: Where the noise is wanted.
    """
    generator = torch.Generator()
    generator.manual_seed(int(torch.randint(2 ** 31, ())) if seed is None else seed)

    def draw() -> Tensor:
        drawn = torch.randn(samples, *shape, dtype=torch.float64, generator=generator)
        return drawn.to(device).repeat(count, 1, 1)

    return draw


def to_sampled_captions(logits: Tensor, strip: Sequence[tuple[float, Tensor]],
                        tokenizer: CaptionTokenizer, options: DiffusionDecoding
                        ) -> list[list[ScoredCaption]]:
    """Read sentences off the final scores and let those of a sample elect the best.

    Args:
        logits: Scores (N, K, L, V).
        strip: Noise levels and words (N, K, L) on the way.
        tokenizer: Detokenises.
        options: How many to return, and when to abstain.

    Returns:
        N lists of different sentences, best first, at most ``num_captions``.
    """
    likelihood, ids = logits.float().log_softmax(-1).max(-1)
    kept = _up_to_end(ids, tokenizer.eos_id)
    scores = ((likelihood * kept).sum(-1) / kept.sum(-1)).tolist()
    # To the CPU at once: decoding looks at every id.
    frames = [(sigma, words.tolist()) for sigma, words in strip]
    return [_elect(rows, scores[n], [(sigma, words[n]) for sigma, words in frames], tokenizer,
                   options) for n, rows in enumerate(ids.tolist())]


def _up_to_end(ids: Tensor, eos_id: int) -> Tensor:
    """Return where sentences (..., L) are, up to and with their first end token; all, without."""
    ends = (ids == eos_id).long()
    return ends.cumsum(-1) - ends == 0


def _elect(ids: list[list[int]], scores: list[float],
           strip: list[tuple[float, list[list[int]]]], tokenizer: CaptionTokenizer,
           options: DiffusionDecoding) -> list[ScoredCaption]:
    """Order the K sentences of one sample by how much they are like the others."""
    texts = [tokenizer.decode(row) for row in ids]
    order, agreement = choose_by_risk([split_words(text, tokenizer.language) for text in texts],
                                      scores)
    different = list({texts[row]: row for row in reversed(order)}.values())[::-1]
    return [SampledCaption.of(
        ScoredCaption(texts[row], scores[row]), agreement, agreement < options.abstain,
        [(sigma, tokenizer.decode(words[row])) for sigma, words in strip], len(ids))
        for row in different[:options.num_captions]]
