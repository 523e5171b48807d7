"""Samplers of EDM: Euler and Heun, with churn.

Paper: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, NeurIPS
2022, https://arxiv.org/abs/2206.00364, Algorithm 2 (Algorithm 1 without churn).
"""
import math

from torch import Tensor

from rscc.models.diffusion.samplers.common import Callback, Denoise, Noise, check_noise, prepare
from rscc.registry import SAMPLERS


@SAMPLERS.register_module()
def heun(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None,
         callback: Callback | None = None, s_churn: float = 0.0, s_tmin: float = 0.0,
         s_tmax: float = math.inf, s_noise: float = 1.0) -> Tensor:
    """Heun's method, second order, two calls a step: EDM, Algorithm 2.

    Args:
        denoise: D(x; sigma).
        x: Start (R, ...).
        sigmas: Noise levels (N + 1,).
        noise: Source of noise; with churn it is called in every step, used or not.
        callback: Sees every step.
        s_churn: Strength of the churn, shared by all steps; 0 is deterministic.
        s_tmin: Smallest level with churn.
        s_tmax: Largest level with churn.
        s_noise: Standard deviation of the new noise; slightly above 1 against lost detail.

    Returns:
        Result (R, ...), float64.
    """
    check_noise(noise, s_churn=s_churn)
    x, levels = prepare(x, sigmas)
    for step, (sigma, sigma_next) in enumerate(levels):
        # Lines 4-6: raise the noise a little.
        gamma = _gamma(sigma, len(levels), s_churn, s_tmin, s_tmax)
        x, sigma_hat = _churned(x, sigma, gamma, noise() * s_noise if s_churn > 0 else 0)

        # Line 7: dx/dsigma at sigma_hat.
        denoised = denoise(x, sigma_hat)
        slope = (x - denoised) / sigma_hat
        if callback:
            callback(step, sigma_hat, denoised)

        # Line 8: Euler step to the next level.
        x_next = x + (sigma_next - sigma_hat) * slope

        # Lines 9-11: the mean of the slopes at both ends; at 0 there is none.
        if sigma_next > 0:
            slope_next = (x_next - denoise(x_next, sigma_next)) / sigma_next
            x_next = x + (sigma_next - sigma_hat) * (slope + slope_next) / 2
        x = x_next
    return x


@SAMPLERS.register_module()
def euler(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None,
          callback: Callback | None = None, s_churn: float = 0.0, s_tmin: float = 0.0,
          s_tmax: float = math.inf, s_noise: float = 1.0) -> Tensor:
    """Euler's method, first order, one call a step: Algorithm 2 without its lines 9-11.

    Without churn it is DDIM with eta = 0. Arguments as for ``heun``.
    """
    check_noise(noise, s_churn=s_churn)
    x, levels = prepare(x, sigmas)
    for step, (sigma, sigma_next) in enumerate(levels):
        # Lines 4-6: raise the noise a little.
        gamma = _gamma(sigma, len(levels), s_churn, s_tmin, s_tmax)
        x, sigma_hat = _churned(x, sigma, gamma, noise() * s_noise if s_churn > 0 else 0)

        # Line 7: dx/dsigma at sigma_hat.
        denoised = denoise(x, sigma_hat)
        slope = (x - denoised) / sigma_hat
        if callback:
            callback(step, sigma_hat, denoised)

        # Line 8: Euler step to the next level.
        x = x + (sigma_next - sigma_hat) * slope
    return x


def _gamma(sigma: Tensor, steps: int, s_churn: float, s_tmin: float, s_tmax: float) -> float:
    """Return by which factor sigma grows, less 1: gamma_i of Algorithm 2."""
    return min(s_churn / steps, math.sqrt(2) - 1) if s_tmin <= sigma <= s_tmax else 0.0


def _churned(x: Tensor, sigma: Tensor, gamma: float, noise: Tensor | float
             ) -> tuple[Tensor, Tensor]:
    """Return the state at sigma_hat = (1 + gamma) sigma, and sigma_hat."""
    sigma_hat = sigma + gamma * sigma
    return x + (sigma_hat**2 - sigma**2).sqrt() * noise, sigma_hat
