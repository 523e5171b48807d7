"""Necks over fused maps; MMSegmentation's come by scope."""
import sys

from rscc.utils.plugins import import_siblings

import_siblings(sys.modules[__name__])
