"""A problem whose answer is known: data of one Gaussian."""
import itertools
import math

import torch

from rscc.models.diffusion import choose
from rscc.registry import SAMPLERS, SIGMA_SCHEDULES

MEAN, STD = 0.7, 0.4


def denoise(x, sigma):
    """The ideal D, and a network that wants to be called as the contract says."""
    assert sigma.ndim == 0 and sigma.dtype == x.dtype == torch.float64
    return MEAN + (x - MEAN) * STD**2 / (STD**2 + sigma**2)


def carried(x, start, end):
    """Where the probability flow takes x from one noise level to another."""
    return MEAN + (x - MEAN) * math.sqrt((STD**2 + end**2) / (STD**2 + start**2))


def schedule(steps, name='exponential', sigma_min=0.01, sigma_max=10.0):
    return choose(SIGMA_SCHEDULES, name)(steps, sigma_min=sigma_min, sigma_max=sigma_max)


def start(sigma=10.0, rows=3):
    return sigma * torch.linspace(-2, 2, 4 * rows, dtype=torch.float64).reshape(rows, 4)


def sample(config, x=None, sigmas=None, denoiser=denoise, **given):
    x, sigmas = start() if x is None else x, schedule(12) if sigmas is None else sigmas
    return choose(SAMPLERS, config)(denoiser, x, sigmas, **given)


def measured_order(config, steps=(64, 128, 256), name='exponential', sigma_max=10.0):
    """By which powers of the step the error falls, on a path that ends above 0."""
    x, errors = start(sigma_max), []
    for count in steps:
        sigmas = schedule(count + 1, name, sigma_max=sigma_max)[:-1]
        final = sample(config, x, sigmas)
        errors.append((final - carried(x, sigma_max, 0.01)).abs().max().item())
    return [math.log2(first / second) for first, second in itertools.pairwise(errors)]


def gaussian_noise(x, generator):
    """A source of standard normal noise like x."""
    return lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype)
