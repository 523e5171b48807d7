"""Noise levels to sample at: from sigma_max down to sigma_min, then 0.

Every schedule gives ``steps + 1`` levels in float64 and is chosen by its name.
"""
import math

import torch
from torch import Tensor

from rscc.registry import SIGMA_SCHEDULES


@SIGMA_SCHEDULES.register_module()
def karras(steps: int, *, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Return levels evenly spaced in sigma^(1/rho): EDM, Eq. (5).

    Args:
        steps: Number N of levels above 0, at least 1; 1 gives sigma_max alone.
        sigma_min: Smallest level above 0.
        sigma_max: Largest level.
        rho: Above 0; the larger, the more levels near sigma_min. 3 nearly equalises the truncation
            error of the steps, 7 is EDM's choice, infinity would be ``exponential``.

    Returns:
        Shape (steps + 1,), falling, float64, the last 0.
    """
    position = _positions(steps, sigma_min, sigma_max, rho)
    highest, lowest = sigma_max**(1 / rho), sigma_min**(1 / rho)
    return _ended((highest + position * (lowest - highest))**rho)


@SIGMA_SCHEDULES.register_module()
def exponential(steps: int, *, sigma_min: float, sigma_max: float) -> Tensor:
    """Return levels evenly spaced in ln(sigma), the half log SNR of DPM-Solver."""
    return polyexponential(steps, sigma_min=sigma_min, sigma_max=sigma_max, rho=1.0)


@SIGMA_SCHEDULES.register_module()
def polyexponential(steps: int, *, sigma_min: float, sigma_max: float, rho: float = 1.0) -> Tensor:
    """Return levels spaced by a power in ln(sigma).

    Args:
        steps: Number of levels above 0, at least 1.
        sigma_min: Smallest level above 0.
        sigma_max: Largest level.
        rho: Exponent of the falling ramp from 1 to 0, above 0; 1 is ``exponential``, more crowds
            the levels near sigma_min.
    """
    ramp = (1 - _positions(steps, sigma_min, sigma_max, rho))**rho
    return _ended((math.log(sigma_min) + ramp * math.log(sigma_max / sigma_min)).exp())


def _positions(steps: int, sigma_min: float, sigma_max: float, rho: float) -> Tensor:
    """Return i / (N - 1) for i = 0 .. N - 1, having checked what every schedule is given."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f'steps={steps!r}: a schedule needs a whole number of at least 1')
    if not 0 < sigma_min < sigma_max < math.inf:
        raise ValueError(f'expected 0 < sigma_min < sigma_max, found sigma_min={sigma_min} and '
                         f'sigma_max={sigma_max}')
    if not 0 < rho < math.inf:
        raise ValueError(f'rho={rho}: a schedule needs an exponent above 0')
    return torch.linspace(0, 1, steps, dtype=torch.float64)


def _ended(sigmas: Tensor) -> Tensor:
    """Return the levels with the 0 they end at."""
    return torch.cat([sigmas, sigmas.new_zeros(1)])
