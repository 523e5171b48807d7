"""Hooks, optimizer wrappers and the runner; importing the package fills their registries."""
import sys

from rscc.utils.imports import import_siblings

import_siblings(sys.modules[__name__])
