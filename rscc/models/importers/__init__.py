"""Importers: weights of the original systems under our names."""
import sys

from rscc.utils.plugins import import_siblings

import_siblings(sys.modules[__name__])
