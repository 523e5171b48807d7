"""DPM-Solver-2: the slope of the middle of a step.

Paper: Lu et al., DPM-Solver, NeurIPS 2022, https://arxiv.org/abs/2206.00927, whose middle (half way
in ln(sigma)) this takes; the step itself is the midpoint rule in sigma, as Karras et al. (EDM,
Appendix D.2, alpha = 1/2) write second order methods.
"""
from torch import Tensor

from rscc.models.diffusion.samplers.common import Callback, Denoise, Noise, prepare
from rscc.registry import SAMPLERS


@SAMPLERS.register_module()
def dpm_2(denoise: Denoise, x: Tensor, sigmas: Tensor, *, noise: Noise | None = None,
          callback: Callback | None = None) -> Tensor:
    """Midpoint method, second order, two calls a step.

    Args:
        denoise: D(x; sigma).
        x: Start (R, ...).
        sigmas: Noise levels (N + 1,).
        noise: Not used.
        callback: Sees the first estimate of every step.

    Returns:
        Result (R, ...), float64.
    """
    x, levels = prepare(x, sigmas)
    for step, (sigma, sigma_next) in enumerate(levels):
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
