"""Ancestral Euler: down too far, then noise back up.

Papers: Ho et al., DDPM, NeurIPS 2020, https://arxiv.org/abs/2006.11239, Algorithm 2; Song et al.,
DDIM, ICLR 2021, https://arxiv.org/abs/2010.02502, Eq. (12) and (16), whose eta this is.
"""
from torch import Tensor

from rscc.models.diffusion.samplers.common import (
    Callback,
    Denoise,
    Noise,
    ancestral_split,
    check_noise,
    prepare,
)
from rscc.registry import SAMPLERS


@SAMPLERS.register_module()
def euler_ancestral(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None,
                    callback: Callback | None = None, eta: float = 1.0) -> Tensor:
    """Euler's method with ancestral noise, one call a step.

    Args:
        denoise: D(x; sigma).
        x: Start (R, ...).
        sigmas: Noise levels (N + 1,).
        noise: Source of noise, called once in every step but the one to 0.
        callback: Sees every step.
        eta: Share of the noise: 1 is DDPM, 0 is ``euler``.

    Returns:
        Result (R, ...), float64.
    """
    check_noise(noise, eta=eta)
    x, levels = prepare(x, sigmas)
    for step, (sigma, sigma_next) in enumerate(levels):
        denoised = denoise(x, sigma)
        if callback:
            callback(step, sigma, denoised)

        # Euler step to below the next level.
        sigma_down, sigma_up = ancestral_split(sigma, sigma_next, eta)
        x = x + (sigma_down - sigma) * (x - denoised) / sigma

        # Back up to it.
        if sigma_up > 0:
            x = x + sigma_up * noise()
    return x
