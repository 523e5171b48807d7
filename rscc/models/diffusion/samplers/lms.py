"""Linear multistep method: Adams-Bashforth on uneven steps.

Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, Section III.5 (variable step
size Adams methods).
"""
from collections import deque

import numpy as np
from torch import Tensor

from rscc.models.diffusion.samplers.common import Callback, Denoise, Noise, prepare
from rscc.registry import SAMPLERS


@SAMPLERS.register_module()
def lms(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None,
        callback: Callback | None = None, order: int = 4) -> Tensor:
    """Adams-Bashforth of the given order, one call a step.

    Args:
        denoise: D(x; sigma).
        x: Start (R, ...).
        sigmas: Noise levels (N + 1,).
        noise: Not used.
        callback: Sees every step.
        order: Number of slopes a step is made of, at least 1; 1 is ``euler``. The first steps have
            fewer.

    Returns:
        Result (R, ...), float64.

    Raises:
        ValueError: If the order is below 1.
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
    points, quadrature = np.polynomial.legendre.leggauss(len(nodes))
    half = (end - nodes[-1]) / 2
    places = nodes[-1] + half * (1 + points)
    weights = []
    for node in nodes:
        basis = np.ones(len(nodes))
        for other in nodes:
            if other != node:
                basis *= (places - other) / (node - other)
        weights.append(float(half * quadrature @ basis))
    return weights
