"""Importers: checkpoints of the original systems under our names."""
import sys

from rscc.utils.imports import import_siblings

import_siblings(sys.modules[__name__])
