"""Image and label files: the public place of :mod:`rscc.rasters.image_files`."""
from rscc.rasters.image_files import as_rgb, read_frame, read_mask, read_rgb

__all__ = ['as_rgb', 'read_frame', 'read_mask', 'read_rgb']
