"""Sampling of captions from noise: options, the estimator a sampler calls, and the sentences.

It knows no network: what estimates, and what turns vectors into words, are given as functions.

Papers: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, NeurIPS
2022, https://arxiv.org/abs/2206.00364; Ho and Salimans, Classifier-Free Diffusion Guidance, 2022,
https://arxiv.org/abs/2207.12598; Kumar and Byrne, Minimum Bayes-Risk Decoding, NAACL 2004.

N samples, K sentences of each, R = N * K rows, L positions, C channels, V words.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rscc.compat import widest_float
from rscc.models.diffusion.samplers import choose
from rscc.models.generation.attended import attended
from rscc.models.generation.options import DecodingOptions
from rscc.registry import SAMPLERS, SIGMA_SCHEDULES
from rscc.structures import SampledCaption, ScoredCaption
from rscc.text.minimum_bayes_risk import choose_by_risk
from rscc.text.normalisation import split_words
from rscc.text.tokenizer import CaptionTokenizer
from rscc.utils.logging import renamed_keyword


@dataclass(frozen=True)
class DiffusionDecoding(DecodingOptions):
    """Options of diffusion sampling.

    Attributes:
        sampler: Name of a sampler, or ``dict(type=name, **options)``.
        schedule: Name of a noise schedule, or ``dict(type=name, **options)``.
        steps: Noise levels before the last, which is 0. Most samplers call the network once a
            step, ``heun``, ``dpm_2`` and ``dpmpp_2s`` twice.
        sigma_min: Smallest noise level above 0.
        sigma_max: Noise level of the start.
        num_samples: Sentences K drawn per sample in one batch, of which the minimum Bayes risk
            choice is returned: the one most like the others.
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
        cuda_graphs: Replay the denoiser as a CUDA graph from the second call on, which saves the
            launching of its kernels; sentences are the same. Without a CUDA device it changes
            nothing.
        return_trajectory: Return the denoising trajectory: the sentence at every noise level.
        return_attention: Return where each word looked; refused where the memory has no places.
            None returns it where it has.
        language: The one of the tokenizer, or None; such heads know no other.
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
    cuda_graphs: bool = False
    return_trajectory: bool = False
    return_attention: bool | None = False
    language: str | None = None

    def __post_init__(self) -> None:
        choose(SAMPLERS, self.sampler)
        choose(SIGMA_SCHEDULES, self.schedule)
        self.refuse_below(steps=1, num_samples=1, num_captions=1, guidance=0, clamp=0)
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f'decoding sigma_min={self.sigma_min} and sigma_max={self.sigma_max}: '
                             'expected 0 < sigma_min < sigma_max')
        if not 0 <= self.abstain <= 1:
            raise ValueError(f'decoding abstain={self.abstain} is an agreement in [0, 1]')
        if self.abstain and self.num_samples == 1:
            raise ValueError(f'decoding abstain={self.abstain} with num_samples=1: one sentence '
                             'always agrees with itself; draw several, num_samples=8 for instance')


DiffusionDecoding.__init__ = renamed_keyword(
    'return_strip', 'return_trajectory', removal='0.3')(DiffusionDecoding.__init__)


class Estimator:
    """D(x; sigma) of a batch, as a sampler calls it, along one trajectory.

    Args:
        estimate: Clean vectors from noisy ones (R, L, C), sigma (R,), memories, and the last
            estimate (R, L, C) or None.
        remember: Keys and values of a memory (N, M, C), which ``estimate`` takes as memories.
        memory: Memory (N, M, C).
        options: ``guidance``, ``clamp`` and ``use_cache``.
        nearest: Nearest word vectors of points (R, L, C), for ``clamp``.
        nothing: Memory (1, 1, C) that stands for no image, for ``guidance``.
        dtype: Of what ``estimate`` computes with; samplers have their own.
    """

    def __init__(self, estimate: Callable[..., Tensor], remember: Callable[[Tensor], Any],
                 memory: Tensor, options: DiffusionDecoding, nearest: Callable[[Tensor], Tensor],
                 nothing: Tensor | None = None, dtype: torch.dtype = torch.float32) -> None:
        self.estimate, self.remember, self.nearest = estimate, remember, nearest
        self.options, self.dtype, self.guided = options, dtype, options.guidance != 1
        # With and without the image, side by side: (2 N, M, C).
        if self.guided:
            memory = torch.cat([memory, nothing.to(memory).expand_as(memory)])
        self.memory = memory
        self.memories = remember(memory) if options.use_cache else None
        self.previous: Tensor | None = None

    def __call__(self, points: Tensor, sigma: Tensor) -> Tensor:
        """Estimate the clean vectors of points (R, L, C) at one noise level."""
        # The network's own precision; (2 R, L, C) where it is guided.
        rows = points.to(self.dtype)
        rows = torch.cat([rows, rows]) if self.guided else rows
        memories = self.memories or self.remember(self.memory)
        estimate = self.estimate(rows, sigma.to(rows).expand(len(rows)), memories, self.previous)

        # Classifier-free guidance: from no image through the image and beyond.
        if self.guided:
            with_image, without = estimate.chunk(2)
            estimate = without + self.options.guidance * (with_image - without)

        # The clamping trick of Diffusion-LM: commit to words where little noise is left.
        if float(sigma) < self.options.clamp:
            estimate = self.nearest(estimate)

        # Self-conditioning: both branches go on from the guided estimate.
        self.previous = torch.cat([estimate, estimate]) if self.guided else estimate
        return estimate.to(points.dtype)


Trajectory = list[tuple[float, Tensor]]


def sample_words(estimator: Estimator, likeliest: Callable[[Tensor], Tensor], count: int,
                 shape: tuple[int, int], options: DiffusionDecoding, device: torch.device
                 ) -> tuple[Tensor, Trajectory]:
    """Run a sampler from noise to words.

    Args:
        estimator: The denoiser of N samples.
        likeliest: Ids (R, L) of the likeliest words at vectors (R, L, C).
        count: N.
        shape: (L, C).
        options: How to sample.
        device: Where.

    Returns:
        Final vectors (N, K, L, C), and for every step, where a trajectory is asked for, its noise
        level and the likeliest words (N, K, L) then.
    """
    noise = repeated_noise(count, options.num_samples, shape, options.seed, device)
    trajectory: Trajectory = []

    def note(_: int, sigma: Tensor, estimate: Tensor) -> None:
        words = likeliest(estimate.to(estimator.dtype))
        trajectory.append((float(sigma), words.unflatten(0, (count, -1))))

    # From sigma_max, where nothing but noise is left, down the schedule to 0.
    sigmas = choose(SIGMA_SCHEDULES, options.schedule)(
        options.steps, sigma_min=options.sigma_min, sigma_max=options.sigma_max)
    final = choose(SAMPLERS, options.sampler)(
        estimator, noise() * options.sigma_max, sigmas, noise=noise,
        callback=note if options.return_trajectory else None)
    return final.to(estimator.dtype).unflatten(0, (count, -1)), trajectory


def repeated_noise(count: int, samples: int, shape: Sequence[int], seed: int | None,
                   device: torch.device) -> Callable[[], Tensor]:
    """Return a source of standard normal noise (N * K, L, C), equal for all N samples.

    What a sample gets then depends on neither the batch it is in nor its place there, nor on the
    device: numbers are drawn on the CPU. They are float64, float32 where the device has none.

    Args:
        count: N.
        samples: K.
        shape: (L, C).
        seed: None draws one from the global generator.
        device: Where the noise is wanted.
    """
    # K draws, the same for all N samples, whatever the device.
    generator = torch.Generator()
    generator.manual_seed(int(torch.randint(2 ** 31, ())) if seed is None else seed)

    def draw() -> Tensor:
        drawn = torch.randn(samples, *shape, dtype=torch.float64, generator=generator)
        return drawn.to(device, widest_float(torch.device(device))).repeat(count, 1, 1)

    return draw


def to_sampled_captions(logits: Tensor, trajectory: Trajectory, tokenizer: CaptionTokenizer,
                        options: DiffusionDecoding, max_tokens: int, seen: Tensor | None = None,
                        grid: tuple[int, int, int] | None = None) -> list[list[ScoredCaption]]:
    """Read sentences off the final scores and make the minimum Bayes risk choice of each sample.

    Args:
        logits: Scores (N, K, L, V).
        trajectory: Noise levels and words (N, K, L) on the way.
        tokenizer: Detokenises.
        options: How many to return, and when to abstain.
        max_tokens: Limit of a caption, noted in those whose row has no end token.
        seen: Where each word looked, shares (N, K, L, M) of the memory; None without.
        grid: Groups, rows and columns of the memory, as :func:`attended` takes them.

    Returns:
        N lists of different sentences, best first, at most ``num_captions``.
    """
    # Words (N, K, L); scores (N, K) are means up to the end token, all of the row without one.
    likelihood, ids = logits.float().log_softmax(-1).max(-1)
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
            tokenizer: CaptionTokenizer, options: DiffusionDecoding
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
