"""Samplers of DPM-Solver++, singlestep and multistep; called like those of ``samplers``.

Paper: Lu et al., DPM-Solver++, 2022, https://arxiv.org/abs/2211.01095. With alpha = 1 its
half log SNR is lambda = -ln(sigma), and every step solves, over h = lambda_next - lambda,

    x_next = (sigma_next / sigma) x + integral_0^h exp(tau - h) D(lambda + tau) dtau        (Eq. 8)

with D replaced by a polynomial through the last estimates. The stochastic ones move along the
reverse equation with eta times its noise (0 is deterministic), where H = (1 + eta) h takes the
place of h in the exponentials (the paper's SDE-DPM-Solver++ is eta = 1).
"""
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from rscc.models.diffusion.samplers import (
    Callback,
    Denoise,
    Noise,
    ancestral_split,
    check_noise,
    prepare,
)
from rscc.registry import SAMPLERS
from rscc.utils import did_you_mean


@SAMPLERS.register_module()
def dpmpp_2s(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None,
             callback: Callback | None = None, eta: float = 0.0) -> Tensor:
    """DPM-Solver++(2S) with r = 1/2, second order, two calls a step: Algorithm 1.

    ``eta`` is the share of ancestral noise, 0 or more; 0 is the paper's.
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


VARIANTS = ('heun', 'midpoint')
#: Earlier estimates D, newest first, each with the length h of the step after it.
Past = list[tuple[Tensor, Tensor]]


@SAMPLERS.register_module()
def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None,
             callback: Callback | None = None) -> Tensor:
    """DPM-Solver++(2M), second order, one call a step, without noise: Algorithm 2."""
    x, levels = prepare(x, sigmas)
    before = h_before = None
    for step, (sigma, sigma_next) in enumerate(levels):
        denoised = denoise(x, sigma)
        if callback:
            callback(step, sigma, denoised)

        # D_i of the paper: D extrapolated to the middle of the step, from the second step on. (The
        # step to 0 is infinitely long, and ends at D.)
        h = (sigma / sigma_next).log()
        extrapolated = denoised
        if before is not None and sigma_next > 0:
            r = h_before / h
            extrapolated = (1 + 1 / (2 * r)) * denoised - 1 / (2 * r) * before

        # Exact for a constant D.
        x = (sigma_next / sigma) * x - torch.expm1(-h) * extrapolated
        before, h_before = denoised, h
    return x


@SAMPLERS.register_module()
def dpmpp_2m_sde(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None,
                 callback: Callback | None = None, eta: float = 1.0,
                 variant: Literal['heun', 'midpoint'] = 'midpoint') -> Tensor:
    """SDE-DPM-Solver++(2M), second order in the drift, one call a step.

    ``variant`` says how the derivative of D counts: ``'heun'`` integrates it exactly,
    ``'midpoint'`` takes D in the middle of the step, as the paper does; with eta = 0 that is
    ``dpmpp_2m``. KD-RSCC samples with ``'heun'`` and eta = 0.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant '{variant}' is none of {', '.join(VARIANTS)}."
                         f'{did_you_mean(variant, VARIANTS)}')

    def correct(x: Tensor, denoised: Tensor, h: Tensor, H: Tensor, E: Tensor, past: Past) -> Tensor:
        # The derivative of D, a difference of two estimates.
        (before, h_before), *_ = past
        weight = 1 - E / H if variant == 'heun' else E / 2
        return x + weight * (h / h_before) * (denoised - before)

    return _multistep(denoise, x, sigmas, noise, callback, eta, correct)


@SAMPLERS.register_module()
def dpmpp_3m_sde(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None,
                 callback: Callback | None = None, eta: float = 1.0,
                 curvature: float = 0.5) -> Tensor:
    """SDE-DPM-Solver++ with a parabola through the last three estimates, one call a step.

    With p(tau) = D + p' tau + p'' tau^2 / 2 the integral above is

        E D + (1 - E / H) (h p') + (1/2 - (1 - E / H) / H) (h^2 p'')

    ``curvature`` is the weight of the p'' term. 1 is the formula above, third order. 0.5 is second
    order and what the authors' code and k-diffusion compute (the second divided difference is
    p'' / 2, and they take it for p''); it is the default because with up to 100 steps its error was
    the smaller one on a Gaussian mixture.
    """
    def correct(x: Tensor, denoised: Tensor, h: Tensor, H: Tensor, E: Tensor, past: Past) -> Tensor:
        # The derivatives of D by divided differences, as far as there are estimates.
        slope, bend = _derivatives(denoised, past)
        phi = 1 - E / H
        return x + phi * h * slope + curvature * (0.5 - phi / H) * h**2 * bend

    return _multistep(denoise, x, sigmas, noise, callback, eta, correct)


def _multistep(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise | None,
               callback: Callback | None, eta: float, correct: Callable[..., Tensor]) -> Tensor:
    """Solve the reverse equation, one call a step.

    Args:
        denoise, x, sigmas, noise, callback: As for every sampler.
        eta: Share of the noise of the reverse equation, 0 or more; 0 is deterministic.
        correct: From the second step on, adds to the state what D changes within the step, given
            state, D, h, H, E and the last one or two estimates.
    """
    check_noise(noise, eta=eta)
    x, levels = prepare(x, sigmas)
    past: Past = []
    for step, (sigma, sigma_next) in enumerate(levels):
        denoised = denoise(x, sigma)
        if callback:
            callback(step, sigma, denoised)
        if sigma_next == 0:
            return denoised

        # Exact for a constant D.
        h = (sigma / sigma_next).log()
        H = (1 + eta) * h
        E = -torch.expm1(-H)
        x = (sigma_next / sigma) * torch.exp(-eta * h) * x + E * denoised
        if past:
            x = correct(x, denoised, h, H, E, past)

        # The noise that the drift has taken away.
        if eta > 0:
            x = x + sigma_next * (-torch.expm1(-2 * eta * h)).sqrt() * noise()
        past = [(denoised, h), *past[:1]]
    return x


def _derivatives(denoised: Tensor, past: Past) -> tuple[Tensor, Tensor | float]:
    """Return p' and p'' at the newest of two or three estimates, by Newton's divided differences.

    Args:
        denoised: Newest estimate.
        past: One or two earlier ones.
    """
    (first, h_first), *rest = past
    difference = (denoised - first) / h_first
    if not rest:
        return difference, 0.0
    (second, h_second), = rest
    divided = (difference - (first - second) / h_second) / (h_first + h_second)
    return difference + divided * h_first, 2 * divided
