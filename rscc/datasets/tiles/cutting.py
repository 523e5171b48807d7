"""Cutting pairs into tiles, a band of rows at a time."""
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from rscc.datasets.tiles.index import FILE, KINDS, WHOLE, TileIndex, read_index
from rscc.datasets.tiles.raster import Raster, Reading, open_raster
from rscc.utils import atomic_write, progress
from rscc.utils.path_lists import PathList, write_path_list
from rscc.utils.tiling import TileGrid, tile_name


def cut(index: TileIndex, out: str | Path, jobs: int = 2) -> list[Path]:
    """Write all tiles, their lists and ``tiles.json``.

    ``<out>/<split>/{A,B,label}/<stem>_<column>_<row>.png`` and ``<out>/<split>.txt`` with paths
    relative to ``out``; without splits right in ``out`` and ``all.txt``. Labels keep their values:
    what they mean is said where they are read. Every file appears whole or not at all, the lists
    last, and tiles that exist are not written again, so a run that was ended is simply repeated.

    Args:
        index: The grid, the scenes, and how to show frames that are not 8-bit RGB or grey.
        out: Folder of the tiles.
        jobs: Threads that compress tiles.

    Returns:
        The lists written.

    Raises:
        ValueError: If ``out`` holds tiles of other images, of another grid or shown otherwise, or a
            file is damaged.
    """
    out = Path(out)
    _need_same(index, out)
    index.write(out)
    readings = {'label': Reading(label=True)} | dict.fromkeys(
        ('from', 'to'), Reading(bands=index.bands, scale=index.scale))
    total = sum(len(index.grid(scene)) * len(scene.files) for scene in index.scenes)
    with progress(None, 'tiles', total, 'tile') as bar, ThreadPoolExecutor(jobs) as pool:
        for scene in index.scenes:
            for kind, path in scene.files.items():
                stem = out / tile_folder(scene.split, kind) / scene.stem
                with closing(open_raster(path, readings[kind], scene.window)) as raster:
                    _cut_one(raster, index.grid(scene), stem, pool, bar)
    return [write_path_list(found, out, relative_to=out) for found in _lists(index, out)]


def tile_folder(split: str, kind: str) -> Path:
    """Return the folder of one split's tiles of one kind, relative to that of all tiles."""
    return Path('' if split == WHOLE else split) / KINDS[kind]


def _need_same(index: TileIndex, out: Path) -> None:
    """Refuse to mix tiles of two grids, or shown in two ways, in one folder."""
    if not (out / FILE).is_file():
        return
    difference = read_index(out).describe_difference(index)
    if difference:
        raise ValueError(f"'{out}' holds tiles that were cut otherwise: {difference}. Choose "
                         'another folder with --out, or empty that one')


def _cut_one(raster: Raster, grid: TileGrid, stem: Path, pool: ThreadPoolExecutor, bar: tqdm
             ) -> None:
    """Cut one image, a row of tiles at a time so that no more than that is in memory."""
    columns = [grid.columns.source(column) for column in range(grid.columns.count)]
    for row in range(grid.rows.count):
        paths = [stem.with_name(tile_name(stem.name, column, row) + '.png')
                 for column in range(grid.columns.count)]
        wanted = [column for column, path in enumerate(paths) if not path.exists()]
        if wanted:
            rows = grid.rows.source(row)
            band = raster.rows(min(rows), max(rows) + 1)[np.array(rows) - min(rows)]
            list(pool.map(_write_png, (paths[column] for column in wanted),
                          (band[:, columns[column]] for column in wanted)))
        bar.update(len(paths))


def _write_png(path: Path, pixels: np.ndarray) -> None:
    pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    with atomic_write(path, 'wb') as file:
        file.write(cv2.imencode('.png', pixels)[1].tobytes())


def _lists(index: TileIndex, out: Path) -> Iterator[PathList]:
    for split in dict.fromkeys(scene.split for scene in index.scenes):
        rows = [tuple(out / tile_folder(split, kind) / f'{name}.png' for kind in scene.files)
                for scene in index.scenes if scene.split == split
                for name in index.grid(scene).names(scene.stem)]
        yield PathList(split, rows)
