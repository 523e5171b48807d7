"""Image files of any size: strict reading, windows, tiles, blending and writing of maps."""
from rscc.rasters.blending import merge_rows, read_tile
from rscc.rasters.map_writer import write_map
from rscc.rasters.row_reader import open_raster
from rscc.rasters.tiles import Scene, TileIndex, cut, read_index

__all__ = [
    'Scene', 'TileIndex', 'cut', 'merge_rows', 'open_raster', 'read_index', 'read_tile',
    'write_map'
]
