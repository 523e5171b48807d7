"""Sampling of captions from noise: options, the estimator a sampler calls, and its noise.

It knows no network: what estimates, and what turns vectors into words, are given as functions.

Papers: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, NeurIPS
2022, https://arxiv.org/abs/2206.00364.

N samples, K sentences of each, R = N * K rows, L positions, C channels.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rscc.compat import widest_float
from rscc.models.diffusion.sampled_captions import GuidedMemory, SampledDecoding, Trajectory
from rscc.models.diffusion.samplers import choose
from rscc.registry import SAMPLERS, SIGMA_SCHEDULES
from rscc.utils.logging import renamed_keyword


@dataclass(frozen=True)
class DiffusionDecoding(SampledDecoding):
    """Options of diffusion sampling, beside those of ``SampledDecoding``.

    Attributes:
        sampler: Name of a sampler, or ``dict(type=name, **options)``. Most call the network once a
            step, ``heun``, ``dpm_2`` and ``dpmpp_2s`` twice; ``steps`` counts the noise levels
            before the last, which is 0.
        schedule: Name of a noise schedule, or ``dict(type=name, **options)``.
        sigma_min: Smallest noise level above 0.
        sigma_max: Noise level of the start.
        clamp: Noise level below which every estimate snaps to the nearest words; 0 never.
        cuda_graphs: Replay the denoiser as a CUDA graph from the second call on, which saves the
            launching of its kernels; sentences are the same. Without a CUDA device it changes
            nothing.
    """
    sampler: str | dict = 'dpmpp_2m'
    schedule: str | dict = 'karras'
    sigma_min: float = 0.01
    sigma_max: float = 160.0
    clamp: float = 0.0
    cuda_graphs: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        choose(SAMPLERS, self.sampler)
        choose(SIGMA_SCHEDULES, self.schedule)
        self.refuse_below(clamp=0)
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f'decoding sigma_min={self.sigma_min} and sigma_max={self.sigma_max}: '
                             'expected 0 < sigma_min < sigma_max')


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
        self.estimate, self.nearest, self.options, self.dtype = estimate, nearest, options, dtype
        self.memory = GuidedMemory(remember, memory, options, nothing)
        self.previous: Tensor | None = None

    def __call__(self, points: Tensor, sigma: Tensor) -> Tensor:
        """Estimate the clean vectors of points (R, L, C) at one noise level."""
        # The network's own precision; (2 R, L, C) where it is guided.
        rows = self.memory.rows(points.to(self.dtype))
        estimate = self.memory.guide(self.estimate(
            rows, sigma.to(rows).expand(len(rows)), self.memory.memories(), self.previous))

        # The clamping trick of Diffusion-LM: commit to words where little noise is left.
        if float(sigma) < self.options.clamp:
            estimate = self.nearest(estimate)

        # Self-conditioning: both branches go on from the guided estimate.
        self.previous = self.memory.rows(estimate)
        return estimate.to(points.dtype)


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
