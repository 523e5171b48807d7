"""MMEngine metrics over the functions of ``evaluation.functional``."""
import sys

from rscc.utils.plugins import import_siblings

import_siblings(sys.modules[__name__])
