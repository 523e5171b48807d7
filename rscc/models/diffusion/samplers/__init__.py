"""Samplers: plain functions from noise to data; importing the package fills SAMPLERS.

All are called ``sampler(denoise, x, sigmas, noise=..., callback=..., **options)`` and solve
dx/dsigma = (x - D(x; sigma)) / sigma, EDM Eq. (4) with sigma(t) = t and s(t) = 1, or the stochastic
equation with the same marginals.

- ``denoise(x, sigma)`` returns D, the estimate of the clean data; sigma is a scalar tensor, float64
  on the CPU (arithmetic mixes it with any device, and reading it waits for none).
- ``x`` is the start, of standard deviation sigmas[0]; it is kept in float64.
- ``sigmas`` (N + 1,) falls; a schedule of ``rscc.models.diffusion.schedules`` ends at 0.
- ``noise()`` returns standard normal numbers like x; it is called once a draw, in order.
- ``callback(step, sigma, denoised)`` sees the first estimate of every step.
"""
import sys

from rscc.utils.plugins import import_siblings

import_siblings(sys.modules[__name__])
