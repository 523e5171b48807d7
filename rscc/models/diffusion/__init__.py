"""Karras diffusion of captions: the mathematics as plain functions, and the network.

Importing the package fills NOISE_DENSITIES, LOSS_WEIGHTINGS, SIGMA_SCHEDULES and SAMPLERS.
"""
import sys

from rscc.models.diffusion.preconditioning import Preconditioning, denoise, precondition
from rscc.models.diffusion.samplers import choose
from rscc.utils.imports import import_siblings

__all__ = ['Preconditioning', 'choose', 'denoise', 'precondition']

import_siblings(sys.modules[__name__])
