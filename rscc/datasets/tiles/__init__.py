"""Large images and tiles: cutting pairs, merging maps, a band of rows in memory at a time."""
from rscc.datasets.tiles.cutting import cut
from rscc.datasets.tiles.index import Scene, TileIndex, read_index
from rscc.datasets.tiles.merging import merge_rows, read_tile
from rscc.datasets.tiles.raster import open_raster
from rscc.datasets.tiles.writing import write_map

__all__ = [
    'Scene', 'TileIndex', 'cut', 'merge_rows', 'open_raster', 'read_index', 'read_tile',
    'write_map'
]
