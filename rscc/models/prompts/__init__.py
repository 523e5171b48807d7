"""Prompters: which class names guide the model in every image."""
import sys

from rscc.utils.plugins import import_siblings

import_siblings(sys.modules[__name__])
