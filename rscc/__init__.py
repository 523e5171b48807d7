"""rscc: remote sensing change captioning, change detection and image captioning."""
from rscc.version import __version__

__all__ = ['__version__']
