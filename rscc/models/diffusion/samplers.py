"""Samplers from noise to data, and how a function of the diffusion mathematics is chosen by name.

Here are Euler's method with and without ancestral noise, Heun's, the midpoint rule and linear
multistep; ``dpm_solver`` has those of DPM-Solver++. Each is a plain function
``sampler(denoise, x, sigmas, *, noise=None, callback=None, **options)``:

* ``denoise``: D(x; sigma), called with a state (R, ...) and one noise level.
* ``x``: Start (R, ...), noise of standard deviation ``sigmas[0]``.
* ``sigmas``: Noise levels (N + 1,) that fall to 0, from a schedule.
* ``noise``: Source of standard normal noise like ``x``, for samplers that add some.
* ``callback``: Sees number, noise level and (first) estimate of every step.

It returns the result (R, ...) in float64. Papers: Karras et al., Elucidating the Design Space of
Diffusion-Based Generative Models (EDM), NeurIPS 2022, https://arxiv.org/abs/2206.00364; Ho et al.,
DDPM, NeurIPS 2020, https://arxiv.org/abs/2006.11239; Song et al., DDIM, ICLR 2021,
https://arxiv.org/abs/2010.02502, Eq. (12) and (16), whose eta this is; Lu et al., DPM-Solver,
NeurIPS 2022, https://arxiv.org/abs/2206.00927; Hairer, Norsett, Wanner, Solving Ordinary
Differential Equations I, Section III.5 (variable step size Adams methods).
"""
import functools
import itertools
import math
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rscc.compat import widest_float
from rscc.registry import SAMPLERS, Registry
from rscc.utils import did_you_mean
from rscc.utils.signatures import keywords_of

# Have defaults, but are what the caller of a sampler gives, not a config.
_NOT_OPTIONS = {'noise', 'callback'}


def choose(registry: Registry, cfg: str | dict[str, Any]) -> Callable:
    """Return a registered function with its options filled in.

    Args:
        registry: Of functions: NOISE_DENSITIES, LOSS_WEIGHTINGS, SIGMA_SCHEDULES or SAMPLERS.
        cfg: Name of a function, ``'karras'``, or ``dict(type='karras', rho=5)``.

    Returns:
        The function; what its protocol gives (``steps``, ``sigma_data``, ...) is left to the call.

    Raises:
        TypeError: If ``cfg`` is neither a name nor a dict with one, or an option is unknown; the
            message names the nearest one.
        KeyError: If the name is unknown; the message names the nearest one.
    """
    cfg = dict(type=cfg) if isinstance(cfg, str) else cfg
    if not isinstance(cfg, dict) or not isinstance(cfg.get('type'), str):
        raise TypeError(f'a {registry.name} is a name or dict(type=name, **options), found {cfg!r}')
    options = {key: value for key, value in cfg.items() if key != 'type'}
    name = cfg['type']
    if name not in (known := registry.known_names()):
        raise KeyError(f"no {registry.name} '{name}'.{did_you_mean(name, known)} "
                       f'Known are {", ".join(known)}.')
    function = registry.get(name)
    accepted = option_names(function)
    for option in options:
        if option not in accepted:
            raise TypeError(f"the {registry.name} '{name}' has no option '{option}'."
                            f'{did_you_mean(option, accepted)} '
                            f'Options: {", ".join(accepted) or "none"}')
    return functools.partial(function, **options)


def option_names(function: Callable) -> list[str]:
    """Return the parameters a config may set: those with a default."""
    return [name for name in keywords_of(function).defaults if name not in _NOT_OPTIONS]


Denoise = Callable[[Tensor, Tensor], Tensor]
Noise = Callable[[], Tensor]
Callback = Callable[[int, Tensor, Tensor], None]


def prepare(x: Tensor, sigmas: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Return the state in float64 and the (sigma, next sigma) of every step.

    Float32 where the device (Apple's) has no float64.

    Raises:
        ValueError: If there are fewer than two levels, or they do not fall to 0 or above.
    """
    # Levels stay on the CPU: they are compared and printed, not multiplied with tensors of data.
    sigmas = sigmas.detach().to('cpu', torch.float64)
    falling = sigmas.ndim == 1 and len(sigmas) >= 2 and bool((sigmas.diff() < 0).all())
    if not falling or sigmas[-1] < 0 or not sigmas.isfinite().all():
        raise ValueError('a sampler needs two or more noise levels that fall to 0, found '
                         f'{sigmas.tolist()}; make them with a schedule')
    return x.to(widest_float(x.device)), list(itertools.pairwise(sigmas))


def check_noise(noise: Noise | None, **amounts: float) -> None:
    """Stop where a sampler is asked for randomness and given none.

    Raises:
        ValueError: If an amount is negative, or positive without a source of noise.
    """
    for name, amount in amounts.items():
        if not amount >= 0:
            raise ValueError(f'{name}={amount}: expected 0 (deterministic) or more')
        if amount > 0 and noise is None:
            raise ValueError(f'{name}={amount} draws noise and there is no source of it: pass '
                             f'a function that returns normal noise like x as noise, or {name}=0')


def ancestral_split(sigma: Tensor, sigma_next: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """Split a step into a longer one down and noise that leads back up.

    Song et al., DDIM, ICLR 2021, Eq. (16), in terms of sigma: eta = 1 is the ancestral step of DDPM
    (its noise is the standard deviation of the posterior), eta = 0 adds none.

    Args:
        sigma: Level at the start of the step.
        sigma_next: Level at its end, below ``sigma``.
        eta: Share of the noise, 0 or more.

    Returns:
        sigma_down and sigma_up with sigma_down^2 + sigma_up^2 = sigma_next^2.
    """
    # Standard deviation of the posterior q(x_next | x, x0), Eq. (16) with eta = 1.
    posterior = sigma_next * (1 - (sigma_next / sigma)**2).sqrt()
    sigma_up = torch.minimum(eta * posterior, sigma_next)
    return (sigma_next**2 - sigma_up**2).sqrt(), sigma_up


@SAMPLERS.register_module()
def heun(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None,
         callback: Callback | None = None, s_churn: float = 0.0, s_tmin: float = 0.0,
         s_tmax: float = math.inf, s_noise: float = 1.0) -> Tensor:
    """Heun's method, second order, two calls a step: EDM, Algorithm 2.

    ``s_churn`` is the strength of the churn, shared by all steps (0 is deterministic; with it noise
    is drawn in every step, used or not), between the levels ``s_tmin`` and ``s_tmax``; ``s_noise``
    the standard deviation of the new noise, slightly above 1 against lost detail.
    """
    return _algorithm_2(denoise, x, sigmas, noise, callback, s_churn, s_tmin, s_tmax, s_noise,
                        corrected=True)


@SAMPLERS.register_module()
def euler(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None,
          callback: Callback | None = None, s_churn: float = 0.0, s_tmin: float = 0.0,
          s_tmax: float = math.inf, s_noise: float = 1.0) -> Tensor:
    """Euler's method, first order, one call a step: Algorithm 2 without its lines 9-11.

    Without churn it is DDIM with eta = 0 (Algorithm 1). Options as for ``heun``.
    """
    return _algorithm_2(denoise, x, sigmas, noise, callback, s_churn, s_tmin, s_tmax, s_noise,
                        corrected=False)


def _algorithm_2(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise | None,
                 callback: Callback | None, s_churn: float, s_tmin: float, s_tmax: float,
                 s_noise: float, corrected: bool) -> Tensor:
    """Algorithm 2 of EDM, with its second order correction or without."""
    check_noise(noise, s_churn=s_churn)
    x, levels = prepare(x, sigmas)
    for step, (sigma, sigma_next) in enumerate(levels):
        # Lines 4-6: raise the noise a little, sigma_hat = (1 + gamma) sigma.
        churned = s_tmin <= sigma <= s_tmax
        gamma = min(s_churn / len(levels), math.sqrt(2) - 1) if churned else 0.0
        sigma_hat = sigma + gamma * sigma
        x = x + (sigma_hat**2 - sigma**2).sqrt() * (noise() * s_noise if s_churn > 0 else 0)

        # Line 7: dx/dsigma at sigma_hat.
        denoised = denoise(x, sigma_hat)
        slope = (x - denoised) / sigma_hat
        if callback:
            callback(step, sigma_hat, denoised)

        # Line 8: Euler step to the next level.
        x_next = x + (sigma_next - sigma_hat) * slope

        # Lines 9-11: the mean of the slopes at both ends; at 0 there is none.
        if corrected and sigma_next > 0:
            slope_next = (x_next - denoise(x_next, sigma_next)) / sigma_next
            x_next = x + (sigma_next - sigma_hat) * (slope + slope_next) / 2
        x = x_next
    return x


@SAMPLERS.register_module()
def euler_ancestral(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None,
                    callback: Callback | None = None, eta: float = 1.0) -> Tensor:
    """Euler's method with ancestral noise, one call a step: DDPM, Algorithm 2.

    ``eta`` is the share of the noise: 1 is DDPM, 0 is ``euler``.
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


@SAMPLERS.register_module()
def dpm_2(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None,
          callback: Callback | None = None) -> Tensor:
    """Midpoint method, second order, two calls a step, without noise.

    The middle is DPM-Solver's, half way in ln(sigma); the step itself is the midpoint rule in
    sigma, as EDM writes second order methods (Appendix D.2, alpha = 1/2).
    """
    x, levels = prepare(x, sigmas)
    for step, (sigma, sigma_next) in enumerate(levels):
        # dx/dsigma at the start of the step.
        denoised = denoise(x, sigma)
        slope = (x - denoised) / sigma
        if callback:
            callback(step, sigma, denoised)

        # Slope at the geometric mean of both levels; the step to 0 has none.
        if sigma_next > 0:
            sigma_middle = (sigma * sigma_next).sqrt()
            x_middle = x + (sigma_middle - sigma) * slope
            slope = (x_middle - denoise(x_middle, sigma_middle)) / sigma_middle

        x = x + (sigma_next - sigma) * slope
    return x


@SAMPLERS.register_module()
def lms(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None,
        callback: Callback | None = None, order: int = 4) -> Tensor:
    """Adams-Bashforth (linear multistep), one call a step, without noise.

    ``order`` is the number of slopes a step is made of, at least 1; 1 is ``euler``. The first steps
    have fewer.
    """
    if order < 1:
        raise ValueError(f'order={order}: a multistep method needs at least 1 slope')
    x, levels = prepare(x, sigmas)
    past: deque[tuple[float, Tensor]] = deque(maxlen=order)  # (sigma, slope there), oldest first
    for step, (sigma, sigma_next) in enumerate(levels):
        denoised = denoise(x, sigma)
        past.append((float(sigma), (x - denoised) / sigma))
        if callback:
            callback(step, sigma, denoised)

        # The integral of the polynomial through the slopes.
        weights = adams_weights([level for level, _ in past], float(sigma_next))
        x = x + sum(weight * slope for weight, (_, slope) in zip(weights, past, strict=True))
    return x


def adams_weights(nodes: list[float], end: float) -> list[float]:
    """Integrate the Lagrange polynomial of every node from the last node to ``end``.

    Gauss-Legendre quadrature with as many points as nodes is exact for them, and loses less to
    rounding than their antiderivatives.

    Args:
        nodes: Where slopes are known, all different.
        end: Where the step ends.

    Returns:
        Weight of every slope; their sum is the length of the step.
    """
    # Gauss-Legendre points and weights, moved from (-1, 1) to the step.
    points, quadrature = np.polynomial.legendre.leggauss(len(nodes))
    half = (end - nodes[-1]) / 2
    places = nodes[-1] + half * (1 + points)

    # Each Lagrange polynomial is 1 at its node and 0 at the others.
    weights = []
    for node in nodes:
        basis = np.ones(len(nodes))
        for other in nodes:
            if other != node:
                basis *= (places - other) / (node - other)
        weights.append(float(half * quadrature @ basis))
    return weights
