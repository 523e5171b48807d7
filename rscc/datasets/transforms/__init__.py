"""Transforms of the frames of one sample; importing the package fills TRANSFORMS."""
import sys

from rscc.utils.imports import import_siblings

import_siblings(sys.modules[__name__])
