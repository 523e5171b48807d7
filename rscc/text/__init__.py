"""Tokenizers and per-language normalisation; importing the package fills TOKENIZERS."""
import sys

from rscc.utils.plugins import import_siblings

import_siblings(sys.modules[__name__])
