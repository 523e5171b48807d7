"""Losses that MMSegmentation lacks, or has for some devices only."""
import sys

from rscc.utils.plugins import import_siblings

import_siblings(sys.modules[__name__])
