"""Metrics; importing the package fills the METRICS registry."""
import sys

from rscc.utils.imports import import_siblings

import_siblings(sys.modules[__name__])
