"""Panels, overlays and the HTML report."""
import sys

from rscc.utils.imports import import_siblings

import_siblings(sys.modules[__name__])
