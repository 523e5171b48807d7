"""Models; importing the package fills the MODELS registry."""
import sys

from rscc.utils.imports import import_siblings

import_siblings(sys.modules[__name__])
