"""Image and label files: the public place of the readers in :mod:`rscc.rasters`."""
from rscc.rasters.image_files import as_bands, as_rgb, read_frame, read_rgb
from rscc.rasters.labels import read_mask

__all__ = ['as_bands', 'as_rgb', 'read_frame', 'read_mask', 'read_rgb']
