"""Image files of any size: strict reading, windows, tiles, blending and writing of maps."""
from rscc.rasters.blending import merge_rows, read_tile
from rscc.rasters.rows import open_raster, write_map
from rscc.rasters.tiles import Scene, TileIndex, cut, read_index

__all__ = [
    'Scene', 'TileIndex', 'cut', 'merge_rows', 'open_raster', 'read_index', 'read_tile',
    'write_map'
]
