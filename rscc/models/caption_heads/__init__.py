"""Caption heads: ``ChangeFeatures`` to sentences."""
import sys

from rscc.utils.imports import import_siblings

import_siblings(sys.modules[__name__])
