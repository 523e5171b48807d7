"""Division of a scene into blocks, the table of them, and the share that one of n parts does.

Windows lie on one lattice over the whole scene, and a block takes all that reach into it: its
answer is the same as within the whole, whatever the division, and needs no neighbour's.
"""
import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rscc.rasters.windows import Axis, AxisPart, Grid
from rscc.scenes.contracts import Block, Box, SceneGrid
from rscc.scenes.sources import degrees_of
from rscc.utils import require
from rscc.utils.files import atomic_path

#: Pixels of a block unless told: 100 MB of two dates, and a tenth of its windows shared.
BLOCK_PIXELS = 4096 * 4096


def plan_blocks(scene: str, grid: SceneGrid, lattice: Grid | None, valid: np.ndarray,
                stored: tuple[int, int], pixels: int = BLOCK_PIXELS) -> list[Block]:
    """Divide a scene into blocks, row by row.

    Args:
        scene: Its name.
        grid: Its pixels.
        lattice: The windows over it; None where one window takes it whole.
        valid: Where there is data, bool, of any reduced size.
        stored: (h, w) that the file stores together; blocks of files stored in whole rows span
            whole rows, so that none is decoded twice.
        pixels: Of a block, about.
    """
    if lattice is None:
        rows, columns = [(0, grid.height)], [(0, grid.width)]
    else:
        height, width = _sides(grid, lattice, stored, pixels)
        rows, columns = _cuts(lattice.rows, height), _cuts(lattice.columns, width)
    boxes = [(left, top, right, bottom) for top, bottom in rows for left, right in columns]
    return [Block(scene, number, box, halo(lattice, box), round(_lacking(valid, grid, box), 4))
            for number, box in enumerate(boxes)]


def _sides(grid: SceneGrid, lattice: Grid, stored: tuple[int, int], pixels: int
           ) -> tuple[int, int]:
    """Return height and width of a block, about."""
    side = math.sqrt(pixels)
    row = pixels / grid.width
    if stored[1] >= grid.width and row >= 4 * lattice.rows.step:
        return round(row), grid.width
    return round(side), round(side)


def _cuts(axis: Axis, length: int) -> list[tuple[int, int]]:
    """Cut an axis where windows begin, into parts of about equal length."""
    count = max(1, math.ceil(axis.length / max(length, axis.tile)))
    every = max(1, math.ceil(axis.count / count))
    inner = [axis.start(index) for index in range(every, axis.count, every)]
    edges = [0, *(edge for edge in inner if 0 < edge < axis.length), axis.length]
    return list(itertools.pairwise(edges))


def part_of(lattice: Grid, box: Box) -> Grid:
    """Return the windows that reach into a rectangle, as the grid of this rectangle."""
    left, top, right, bottom = box
    return Grid(AxisPart(lattice.rows, top, bottom), AxisPart(lattice.columns, left, right))


def halo(lattice: Grid | None, box: Box) -> Box:
    """Return the extent, inside the scene, of all windows that reach into a rectangle."""
    if lattice is None:
        return box
    part = part_of(lattice, box)
    sides = []
    for axis in (part.columns, part.rows):
        pixels = axis.source(0) + axis.source(axis.count - 1)
        sides.append((min(min(pixels), axis.first), max(max(pixels) + 1, axis.end)))
    (left, right), (top, bottom) = sides
    return left, top, right, bottom


def _lacking(valid: np.ndarray, grid: SceneGrid, box: Box) -> float:
    """Return the share of pixels without data, as far as a reduced image tells."""
    height, width = valid.shape
    left, right = (min(edge * width // grid.width, width - 1) for edge in (box[0], box[2] - 1))
    top, bottom = (min(edge * height // grid.height, height - 1) for edge in (box[1], box[3] - 1))
    return float(1 - valid[top:bottom + 1, left:right + 1].mean())


def share(blocks: Sequence[Block], number: int, count: int) -> list[Block]:
    """Return the blocks of one of several parts, numbered from 1.

    Blocks are dealt out in turn, those with data first, so that every part has about equal work.

    Raises:
        ValueError: If there is no such part.
    """
    if not 1 <= number <= count:
        raise ValueError(f'--part {number}/{count}: expected a part from 1/{count} to '
                         f'{count}/{count}')
    order = sorted(blocks, key=lambda block: (block.nodata >= 1, block.scene, block.number))
    return order[number - 1::count]


def write_table(path: Path, blocks: Iterable[Block], grids: dict[str, SceneGrid]) -> Path:
    """Write the blocks of all scenes as GeoParquet, longitude and latitude where they have a place.

    Columns: ``block_id, scene, number, left, top, width, height`` (pixels), ``halo_left, halo_top,
    halo_right, halo_bottom`` (pixels), ``nodata`` (share, 0 to 1) and ``geometry``.

    Args:
        path: The file; it appears whole.
        blocks: In any order.
        grids: Of each scene.
    """
    geopandas = require('geopandas', 'writing the table of blocks')
    rows = [_row(block, grids[block.scene]) for block in blocks]
    table = geopandas.GeoDataFrame(rows, geometry='geometry', crs='EPSG:4326')
    with atomic_path(path) as temporary:
        table.to_parquet(temporary)
    return path


def _row(block: Block, grid: SceneGrid) -> dict[str, Any]:
    left, top, *_ = block.box
    height, width = block.shape
    names = ('halo_left', 'halo_top', 'halo_right', 'halo_bottom')
    return dict(block_id=block.id, scene=block.scene, number=block.number, left=left, top=top,
                width=width, height=height, **dict(zip(names, block.halo, strict=True)),
                nodata=block.nodata, geometry=_footprint(grid, block.box))


def _footprint(grid: SceneGrid, box: Box) -> Any:
    """Return a rectangle of pixels as a polygon in longitude and latitude; None without a place."""
    if grid.crs is None or grid.transform is None:
        return None
    shapely = require('shapely', 'writing the table of blocks')
    affine = require('affine', 'writing the table of blocks').Affine(*grid.transform)
    left, top, right, bottom = box
    xs, ys = zip(*(affine * place for place in (
        (left, top), (left, bottom), (right, bottom), (right, top))), strict=True)
    degrees = degrees_of(grid.crs, xs, ys)
    return degrees and shapely.Polygon(zip(*degrees, strict=True))
