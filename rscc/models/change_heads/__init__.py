"""Change heads of our own; MMSegmentation's decode heads come by scope (``mmseg.FCNHead``)."""
import sys

from rscc.utils.imports import import_siblings

import_siblings(sys.modules[__name__])
