"""A scene of rendered pairs for tests: two GeoTIFFs, polygons of their masks, the true mask."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scene_files import place, write_raster

#: Metres of a pixel.
PIXEL = 0.5


@dataclass
class RenderedScene:
    """Files of a scene, and what they must give."""
    before: Path
    after: Path
    polygons: Path
    mask: np.ndarray
    table: Any


def render_scene(folder, rows=4, columns=5, side=64, seed=3):
    """Render pairs, cut to ``side`` pixels, beside and below each other, and write their files."""
    from rscc.synth.generator import plan_pair, render_pair
    shape = (rows * side, columns * side)
    frames, mask = np.zeros((2, *shape, 3), np.uint8), np.zeros(shape, np.uint8)
    for number in range(rows * columns):
        planned = plan_pair(seed, 'train', number)
        row, column = divmod(number, columns)
        at = np.s_[row * side:(row + 1) * side, column * side:(column + 1) * side]
        # The part of the pair with the most change.
        part = np.s_[-side:, -side:] if side == 256 else _busiest(planned.mask, side)
        for frame, picture in zip(frames, render_pair(planned), strict=True):
            frame[at] = picture[part]
        mask[at] = planned.mask[part]
    folder.mkdir(parents=True, exist_ok=True)
    paths = [write_raster(folder / f'{name}.tif', np.moveaxis(frame, -1, 0), place(PIXEL),
                          tiled=True, blockxsize=64, blockysize=64)
             for name, frame in zip(('before', 'after'), frames, strict=True)]
    table = polygons_of(mask)
    table.to_file(folder / 'changes.gpkg')
    return RenderedScene(*paths, folder / 'changes.gpkg', mask, table)


def _busiest(mask, side):
    starts = range(0, mask.shape[0] - side + 1, side)
    top, left = max(((row, column) for row in starts for column in starts),
                    key=lambda at: (mask[at[0]:at[0] + side, at[1]:at[1] + side] > 0).sum())
    return np.s_[top:top + side, left:left + side]


def polygons_of(mask):
    """Return the outlines of the classes of a mask with their names, in EPSG:32633."""
    import geopandas
    import shapely
    from rasterio.features import shapes

    from rscc.synth.objects import CLASSES
    found = [(shapely.geometry.shape(outline), CLASSES[int(value)]) for outline, value in shapes(
        mask, mask > 0, transform=place(PIXEL))]
    return geopandas.GeoDataFrame({'kind': [name for _, name in found]},
                                  geometry=[outline for outline, _ in found], crs='EPSG:32633')
