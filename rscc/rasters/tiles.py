"""Tiles of large image pairs: cutting them, and the index by which they are merged again."""
import re
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from rscc.rasters.image_files import NeedsMapping
from rscc.rasters.pair_check import check_pair
from rscc.rasters.rows import Raster, Reading, open_raster
from rscc.rasters.windows import TileGrid, tile_name
from rscc.utils import atomic_write, counted, progress, read_json, require, write_json
from rscc.utils.files import atomic_path, check_path
from rscc.utils.forms import check_form
from rscc.utils.logging import warn_once
from rscc.utils.paths import PathList, find_pairs, write_path_list

FILE = 'tiles.json'
KINDS = {'from': 'A', 'to': 'B', 'label': 'label'}
#: Kinds of files that only pairs with a class map for each date have.
MAP_KINDS = {'map_from': 'label_A', 'map_to': 'label_B'}
DATES = ('from', 'to')
WHOLE = 'all'  # the split of data without splits; it gets no folder of its own
_FORMAT = 'rscc tiles 1'
_INDEX = {'format': {_FORMAT}, 'size': int, 'overlap': int, 'bands?': ([int], None),
          'scale?': ([float], None), 'images': [{
              'stem': str, 'split': {'train', 'val', 'test', WHOLE}, 'height': int, 'width': int,
              'files': {'from': str, 'to': str,
                        **{f'{kind}?': str for kind in ('label', *MAP_KINDS)}},
              'window?': ([int], None), 'crs?': (str, None), 'transform?': ([float], None)}]}


@dataclass(frozen=True)
class Scene:
    """One image pair that is cut.

    Attributes:
        stem: Its part of the tiles' names, unique, safe as a file name.
        split: ``'train'``, ``'val'``, ``'test'``, or ``'all'``.
        height: Rows.
        width: Columns.
        files: Paths of ``from``, ``to`` and, where there are some, ``label``, ``map_from`` and
            ``map_to`` (class maps of the dates).
        window: (left, top, width, height) where the scene is a part of its files.
        crs: Coordinate reference system of the earlier date as WKT.
        transform: Its affine coefficients (a, b, c, d, e, f), of the window where there is one.
    """

    stem: str
    split: str
    height: int
    width: int
    files: dict[str, str]
    window: Sequence[int] | None = None
    crs: str | None = None
    transform: Sequence[float] | None = None

    @property
    def name(self) -> str:
        """Name of the earlier date's file without ending."""
        return Path(self.files['from']).stem if 'from' in self.files else self.stem


@dataclass(frozen=True)
class TileIndex:
    """All scenes of a folder of tiles, and the grid that they share.

    Attributes:
        size: Side of a tile in pixels.
        overlap: Pixels that neighbours share.
        scenes: The pairs.
        bands: Bands of a frame that were read, counted from 1, red, green and blue first; None as
            they are.
        scale: Values of a frame that became 0 and 255; None for 8 bits.
    """

    size: int
    overlap: int
    scenes: tuple[Scene, ...]
    bands: Sequence[int] | None = None
    scale: Sequence[float] | None = None

    def ending(self, kind: str) -> str:
        """Return the ending of tiles of a kind: PNGs cannot hold other numbers of bands."""
        pictures = kind not in DATES or self.bands is None or len(self.bands) == 3
        return '.png' if pictures else '.tif'

    def grid(self, scene: Scene) -> TileGrid:
        """Return the tiles of one scene."""
        return TileGrid(scene.height, scene.width, self.size, self.overlap)

    def write(self, folder: str | Path) -> Path:
        """Write ``tiles.json``."""
        path = Path(folder) / FILE
        write_json(path, {'format': _FORMAT, 'size': self.size, 'overlap': self.overlap,
                          'bands': self.bands, 'scale': self.scale,
                          'images': [asdict(scene) for scene in self.scenes]})
        return path

    def describe_difference(self, other: 'TileIndex') -> str | None:
        """Say in what another index differs, None where it does not."""
        for name in ('size', 'overlap', 'bands', 'scale'):
            mine, yours = (_plain(getattr(index, name)) for index in (self, other))
            if mine != yours:
                return f'{name} {mine} there, {yours} here'
        if len(self.scenes) != len(other.scenes):
            return f'{len(self.scenes)} images there, {len(other.scenes)} here'
        for mine, yours in zip(self.scenes, other.scenes, strict=True):
            for name, value in asdict(mine).items():
                if value != getattr(yours, name):
                    return f"image '{mine.stem}': {name} {value} there, {getattr(yours, name)} here"
        return None


def _plain(value: int | Sequence[float] | None) -> int | list[float] | None:
    """Return a value as JSON gives it back."""
    return value if value is None or isinstance(value, int) else list(value)


def read_index(path: str | Path) -> TileIndex:
    """Read ``tiles.json``.

    Args:
        path: The file or its folder.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is no such file.
    """
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"no '{path}'; tools/dataset_converters/tiles.py cut writes it "
                                'beside the tiles. For tiles cut by other programs give --size, '
                                '--overlap and --image-size instead')
    data = read_json(path)
    check_form(data, _INDEX, f"index of tiles '{path}'",
               'Cut the images again: tools/dataset_converters/tiles.py cut')
    names = [entry.name for entry in fields(Scene)]
    scenes = [Scene(**{name: image[name] for name in names if name in image})
              for image in data['images']]
    index = TileIndex(data['size'], data['overlap'], tuple(scenes), data.get('bands'),
                      data.get('scale'))
    for scene in scenes:
        for file in scene.files.values():
            check_path(file, f"index of tiles '{path}': a file of '{scene.stem[:100]}'")
        if scene.stem != _safe(scene.stem):
            raise ValueError(f"index of tiles '{path}': '{scene.stem}' cannot be the beginning of "
                             'file names. Cut the images again')
        try:
            len(index.grid(scene))
        except ValueError as error:
            raise ValueError(f"index of tiles '{path}': {error}") from error
    return index


SPLITS = {2: ('train', 'test'), 3: ('train', 'val', 'test')}


def scenes_of_folder(root: str | Path, splits: Sequence[str] | None = None, img_from: str = 'A',
                     img_to: str = 'B', label: str | None = 'label', maps: Sequence[str] = ()
                     ) -> list[Scene]:
    """Return the pairs below a folder; see :func:`rscc.utils.paths.find_pairs`.

    Raises:
        FileNotFoundError: If a folder is missing.
        ValueError: If files have no partner, or pair and label differ in size, kind or grid.
    """
    lists = find_pairs(root, splits, img_from, img_to, label, maps)
    single = [name for found in lists for name in found.unmatched]
    if single:
        raise ValueError(f"{counted(len(single), 'file')} below '{root}' without a partner, first: "
                         f'{", ".join(single[:3])}. Complete the folders or move those files away')
    kinds = (*DATES, *(['label'] if label else []), *(MAP_KINDS if maps else ()))
    scenes = [scene_of(dict(zip(kinds, row, strict=True)), found.name)
              for found in lists for row in found.rows]
    _need_unique(scenes)
    return scenes


def scenes_of_pair(files: dict[str, Path], shares: Sequence[float] | None = None) -> list[Scene]:
    """Return one pair as a whole, or as regions that lie beside each other from left to right.

    Tiles of different splits must not overlap: a split by single tiles would show the network
    parts of what it is tested on. So every split is one block of columns, cut on its own.

    Args:
        files: Paths of ``from``, ``to`` and, where there are some, of the other kinds.
        shares: Shares of the width for train, val and test (or train and test); None is one scene.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If sizes, kinds or grids differ or the shares are no shares.
    """
    whole = scene_of(files, WHOLE)
    if shares is None:
        return [whole]
    if len(shares) not in SPLITS or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f'--shares {" ".join(map(str, shares))}: expected two (train, test) or '
                         'three (train, val, test) positive numbers whose sum is 1')
    ends = [round(whole.width * sum(shares[:count])) for count in range(len(shares) + 1)]
    return [scene_of(files, split, (left, 0, right - left, whole.height))
            for split, (left, right) in zip(SPLITS[len(shares)], pairwise(ends), strict=True)]


def scene_of(files: dict[str, Path], split: str, window: Sequence[int] | None = None) -> Scene:
    """Describe one pair, or a window (left, top, width, height) of it, as it will be cut.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If sizes, kinds or grids differ.
    """
    for kind in [kind for kind in files if kind not in DATES] or [None]:
        check_pair([files[date] for date in DATES], files.get(kind))
    with closing(open_raster(files['from'], window=window)) as first:
        stem = _safe(files['from'].stem) + (f'_{split}' if window is not None else '')
        return Scene(stem, split, first.height, first.width,
                     {kind: path.resolve().as_posix() for kind, path in files.items()},
                     None if window is None else list(window), first.crs,
                     None if first.transform is None else list(first.transform))


def _safe(stem: str) -> str:
    """Return a name without blanks and special characters, which test tools would rename."""
    return re.sub(r'[^\w.-]+', '_', stem).strip('._') or 'image'


def _need_unique(scenes: Sequence[Scene]) -> None:
    seen: dict[tuple[str, str], Scene] = {}
    for scene in scenes:
        other = seen.setdefault((scene.split, scene.stem), scene)
        if other is not scene:
            raise ValueError(f"'{other.files['from']}' and '{scene.files['from']}' would both be "
                             f"cut into tiles named '{scene.stem}_...'. Rename one")


def cut(index: TileIndex, out: str | Path, jobs: int = 2) -> list[Path]:
    """Write all tiles, their lists and ``tiles.json``.

    ``<out>/<split>/{A,B,label,label_A,label_B}/<stem>_<column>_<row>.png``, of those that there
    are, and ``<out>/<split>.txt`` with paths
    relative to ``out``; without splits right in ``out`` and ``all.txt``. Images of chosen bands,
    other than three, become TIFFs of 8 bits. Labels keep their values:
    what they mean is said where they are read. Every file appears whole or not at all, the lists
    last, and tiles that exist are not written again, so a run that was ended is simply repeated.
    All images are looked at first; where one proves damaged later, what was written goes again.

    Args:
        index: The grid, the scenes, and how to show frames that are not 8-bit RGB or grey.
        out: Folder of the tiles.
        jobs: Threads that compress tiles.

    Returns:
        The lists written.

    Raises:
        ValueError: If ``out`` holds tiles of other images, of another grid or shown otherwise, or a
            file is damaged or needs ``bands`` or ``scale``; the message names the flags.
    """
    out = Path(out)
    _need_same(index, out)
    written: list[Path] = []
    existed = out.exists()
    try:
        for scene in index.scenes:
            for kind in scene.files:
                with closing(_open(index, scene, kind)) as raster:
                    raster.check()
        written += [] if (out / FILE).is_file() else [index.write(out)]
        _cut_all(index, out, jobs, written)
    except ValueError as error:
        _take_back(written, out, existed)
        if isinstance(error, NeedsMapping):
            raise ValueError(error.flags) from error
        raise
    return [write_path_list(found, out, relative_to=out) for found in _lists(index, out)]


def _open(index: TileIndex, scene: Scene, kind: str) -> Raster:
    """Open one file of a scene as it is cut."""
    reading = Reading(bands=index.bands, scale=index.scale) if kind in DATES else Reading(
        label=True)
    return open_raster(scene.files[kind], reading, scene.window)


def _cut_all(index: TileIndex, out: Path, jobs: int, written: list[Path]) -> None:
    total = sum(len(index.grid(scene)) * len(scene.files) for scene in index.scenes)
    with progress(None, 'tiles', total, 'tile') as bar, ThreadPoolExecutor(jobs) as pool:
        for scene in index.scenes:
            for kind, path in scene.files.items():
                stem = out / tile_folder(scene.split, kind) / scene.stem
                with closing(_open(index, scene, kind)) as raster:
                    _cut_one(raster, index.grid(scene), stem, index.ending(kind), pool, bar,
                             written)
                    if raster.without_data:
                        warn_once(f"'{path}' has no data in {raster.without_data} pixels of the "
                                  'rows that were cut; its tiles cannot tell')


def _take_back(written: list[Path], out: Path, existed: bool) -> None:
    """Remove what a failed call wrote, and the folders that it left empty."""
    for path in written:
        path.unlink(missing_ok=True)
    folders = {parent for path in written for parent in path.parents if parent.is_relative_to(out)}
    for folder in sorted(folders, reverse=True):
        with suppress(OSError):  # not empty
            if folder != out or not existed:
                folder.rmdir()


def tile_folder(split: str, kind: str) -> Path:
    """Return the folder of one split's tiles of one kind, relative to that of all tiles."""
    return Path('' if split == WHOLE else split) / {**KINDS, **MAP_KINDS}[kind]


def _need_same(index: TileIndex, out: Path) -> None:
    """Refuse to mix tiles of two grids, or shown in two ways, in one folder."""
    if not (out / FILE).is_file():
        return
    difference = read_index(out).describe_difference(index)
    if difference:
        raise ValueError(f"'{out}' holds tiles that were cut otherwise: {difference}. Choose "
                         'another folder with --out, or empty that one')


def _cut_one(raster: Raster, grid: TileGrid, stem: Path, ending: str, pool: ThreadPoolExecutor,
             bar: tqdm, written: list[Path]) -> None:
    """Cut one image, a row of tiles at a time so that no more than that is in memory."""
    columns = [grid.columns.source(column) for column in range(grid.columns.count)]
    for row in range(grid.rows.count):
        paths = [stem.with_name(tile_name(stem.name, column, row) + ending)
                 for column in range(grid.columns.count)]
        wanted = [column for column, path in enumerate(paths) if not path.exists()]
        if wanted:
            rows = grid.rows.source(row)
            band = raster.rows(min(rows), max(rows) + 1)[np.array(rows) - min(rows)]
            written += [paths[column] for column in wanted]
            write = write_tiff if ending == '.tif' else write_png
            list(pool.map(write, (paths[column] for column in wanted),
                          (band[:, columns[column]] for column in wanted)))
        bar.update(len(paths))


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write grey (H, W) or RGB (H, W, 3) pixels, uint8, atomically."""
    pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    with atomic_write(path, 'wb') as file:
        file.write(cv2.imencode('.png', pixels)[1].tobytes())


def write_tiff(path: Path, pixels: np.ndarray, **place: Any) -> None:
    """Write bands (H, W, B), uint8, as a TIFF, atomically.

    Args:
        path: The file.
        pixels: Its bands.
        **place: ``crs`` and ``transform`` as rasterio takes them; without them a tile is known by
            its name.
    """
    rasterio = require('rasterio', f"writing '{path}'")
    height, width, count = pixels.shape
    colours = 'rgb' if count == 3 else 'minisblack'
    warnings.filterwarnings('ignore', category=rasterio.errors.NotGeoreferencedWarning)
    with atomic_path(path) as draft, rasterio.Env(GDAL_PAM_ENABLED='NO'), rasterio.open(
            draft, 'w', driver='GTiff', height=height, width=width, count=count, dtype='uint8',
            compress='deflate', predictor=2, interleave='pixel', photometric=colours,
            **place) as file:
        file.write(np.moveaxis(pixels, -1, 0))


def _lists(index: TileIndex, out: Path) -> Iterator[PathList]:
    for split in dict.fromkeys(scene.split for scene in index.scenes):
        rows = [tuple(out / tile_folder(split, kind) / f'{name}{index.ending(kind)}'
                      for kind in scene.files if kind in KINDS)
                for scene in index.scenes if scene.split == split
                for name in index.grid(scene).names(scene.stem)]
        yield PathList(split, rows)
