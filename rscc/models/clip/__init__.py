"""CLIP beyond its image towers: text encoder, weights, position tables."""
import sys

from rscc.utils.imports import import_siblings

import_siblings(sys.modules[__name__])
