"""Mappers: image features to the prefix of a language model."""
import sys

from rscc.utils.plugins import import_siblings

import_siblings(sys.modules[__name__])
