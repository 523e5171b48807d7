"""Singlestep sampler of DPM-Solver++: no memory, two calls a step.

Paper: Lu et al., DPM-Solver++, 2022, https://arxiv.org/abs/2211.01095, Algorithm 1.
"""
import torch
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
def dpmpp_2s(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None,
             callback: Callback | None = None, eta: float = 0.0) -> Tensor:
    """DPM-Solver++(2S) with r = 1/2, second order; ancestral where eta is above 0.

    Args:
        denoise: D(x; sigma).
        x: Start (R, ...).
        sigmas: Noise levels (N + 1,).
        noise: Source of noise, called once in every step but the one to 0.
        callback: Sees the first estimate of every step.
        eta: Share of the ancestral noise, 0 or more; 0 is Algorithm 1.

    Returns:
        Result (R, ...), float64.
    """
    check_noise(noise, eta=eta)
    x, levels = prepare(x, sigmas)
    for step, (sigma, sigma_next) in enumerate(levels):
        denoised = denoise(x, sigma)
        if callback:
            callback(step, sigma, denoised)
        if sigma_next == 0:
            return denoised

        # u_i of the paper: first order to the middle of the step in lambda = -ln(sigma).
        sigma_down, sigma_up = ancestral_split(sigma, sigma_next, eta)
        h = (sigma / sigma_down).log()
        sigma_middle = (sigma * sigma_down).sqrt()
        x_middle = (sigma_middle / sigma) * x - torch.expm1(-h / 2) * denoised

        # The whole step with D of the middle, which is D_i for r = 1/2.
        x = (sigma_down / sigma) * x - torch.expm1(-h) * denoise(x_middle, sigma_middle)

        # Back up to the next level.
        if eta > 0:
            x = x + sigma_up * noise()
    return x
