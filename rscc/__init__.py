"""rscc: remote sensing change captioning, change detection and image captioning."""
from rscc.late_imports import leave_for_later
from rscc.version import __version__

__all__ = ['__version__']

leave_for_later()
