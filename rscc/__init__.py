"""rscc: remote sensing change captioning, change detection and image captioning."""
from rscc.late_imports import leave_transformers_for_later
from rscc.version import __version__

__all__ = ['__version__']

leave_transformers_for_later()
