"""Karras diffusion of captions: the mathematics as plain functions, and the network.

Importing the package fills NOISE_DENSITIES, LOSS_WEIGHTINGS, SIGMA_SCHEDULES and SAMPLERS.
"""
import sys

from rscc.models.diffusion.choose import choose
from rscc.models.diffusion.noise import gaussian_noise
from rscc.models.diffusion.preconditioning import Preconditioning, denoise, precondition
from rscc.utils.plugins import import_siblings

__all__ = ['Preconditioning', 'choose', 'denoise', 'gaussian_noise', 'precondition']

import_siblings(sys.modules[__name__])
