"""One date of a scene: a georeferenced raster, a mosaic of such, or a picture without a place.

Rasters are read through GDAL in rectangles; a date on another grid than the earlier one is warped
by a virtual raster while it is read. Pictures (PNG, JPEG, ...) are decoded once, strictly, as
everywhere in the package. Bands, values and statistics are settled once a scene: no window is
stretched by its own brightness. A model gets all bands that are read, pictures and checks show the
first three.
"""
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rscc.rasters.headers import Header, read_header, unreadable
from rscc.rasters.image_files import (
    NeedsMapping,
    as_bands,
    check_bands,
    frame_and_nodata,
    read_frame_and_nodata,
)
from rscc.rasters.resizing import by_bands
from rscc.rasters.rows import GDAL_OPTIONS, gdal
from rscc.scenes.contracts import Box, SceneGrid
from rscc.scenes.damage import read_reduced
from rscc.scenes.mosaics import check_virtual, driver_of, mosaic
from rscc.utils import require
from rscc.utils.watching import step

#: Longer side of the reduced image that statistics of a scene come from.
STATISTICS_SIDE = 1024
#: Transform of images without a place, where one is needed to move them.
NOWHERE = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
_OPENING = threading.Lock()  # warnings are silenced for the whole process while a file is opened
_PICTURES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.gif')


@dataclass(frozen=True)
class Reading:
    """Bands and scale by which the values of a date become an 8-bit image.

    Attributes:
        bands: Bands that are read, counted from 1: those that become red, green and blue, then any
            others that the model takes; None for RGB or grey files.
        scale: ``(low, high)`` values that become 0 and 255, one such pair for each band, or
            ``'percentile'`` for the 2nd and 98th percentile of each band over the whole scene; None
            for 8-bit files.
    """
    bands: tuple[int, ...] | None = None
    scale: Any = None


class DateImage(ABC):
    """One date: its pixels, where they hold data, and their place.

    Attributes:
        name: As the user gave it.
        grid: Size and place.
        block: (h, w) that the file stores together.
        dtype: Of the stored values.
        count: Number of bands, without alpha.
        scale: ``(low, high)`` that become 0 and 255, or one such pair for each band; None where
            values are shown as they are.
        own_grid: Size and place of the file itself, whatever grid it is read on.
        reading: As given.
    """
    name: str
    grid: SceneGrid
    block: tuple[int, int]
    dtype: str
    count: int
    own_grid: SceneGrid
    reading: Reading
    scale: Any = None

    @property
    def channels(self) -> int:
        """Number B of bands that :meth:`read` returns: those chosen, else 3, grey repeated."""
        return 3 if self.reading.bands is None else len(self.reading.bands)

    @abstractmethod
    def read(self, box: Box, shape: tuple[int, int] | None = None
             ) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels uint8 (h, w, B) and where there is data, bool (h, w).

        Args:
            box: Left, top, right, bottom in pixels.
            shape: (h, w) to read it at, reduced; None for the pixels themselves.

        Raises:
            OSError: If the file is damaged there.
            ValueError: If its values cannot be shown; the message says what to give.
        """

    @abstractmethod
    def shifted(self, columns: float, rows: float) -> 'DateImage':
        """Return the image moved right and down by some pixels; nothing enters at the border."""

    @abstractmethod
    def release(self, forget: bool = False) -> None:
        """Close what is open: a list of scenes has more files than a process may hold open.

        Args:
            forget: Let go of decoded pixels too; they are decoded again when they are read.
        """


class Picture(DateImage):
    """An image file without a place on the map, decoded once.

    Args:
        path: The file.
        reading: Bands and scale.
        shift: Columns and rows by which its pixels are moved right and down.
    """

    def __init__(self, path: str | Path, reading: Reading,
                 shift: tuple[float, float] = (0.0, 0.0)) -> None:
        self.name, self.reading, self.scale = str(path), reading, reading.scale
        self._shift, self._decoding = shift, threading.Lock()
        self._pixels: tuple[np.ndarray, np.ndarray | None] | None = None
        height, width = self._decoded()[0].shape[:2]
        self.grid = self.own_grid = SceneGrid(width, height)
        self.block, self.dtype = (height, width), _depth(read_header(path))

    def _decoded(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return pixels (h, w, B) and where there is data, None where there is everywhere."""
        with self._decoding:
            if self._pixels is None:
                step()
                frame, empty = read_frame_and_nodata(self.name, self.reading.bands,
                                                     self.reading.scale)
                self.count = 1 if frame.ndim == 2 else frame.shape[2]
                step()
                self._pixels = as_bands(frame), None if empty is None else ~empty
                if any(self._shift):
                    self._pixels = _moved(*self._pixels, *self._shift)
            return self._pixels

    def read(self, box: Box, shape: tuple[int, int] | None = None
             ) -> tuple[np.ndarray, np.ndarray]:
        """Return a part of the decoded image."""
        left, top, right, bottom = box
        frame, valid = self._decoded()
        frame = frame[top:bottom, left:right]
        valid = (np.ones(frame.shape[:2], bool) if valid is None
                 else valid[top:bottom, left:right])
        if shape is None:
            return frame, valid
        return (by_bands(lambda part: cv2.resize(part, shape[::-1], interpolation=cv2.INTER_AREA),
                         frame),
                cv2.resize(valid.astype(np.uint8), shape[::-1],
                           interpolation=cv2.INTER_NEAREST) > 0)

    def release(self, forget: bool = False) -> None:
        """Keep the pixels unless told: no file is open."""
        if forget:
            self._pixels = None

    def shifted(self, columns: float, rows: float) -> 'Picture':
        """Return the picture moved right and down by some pixels; nothing enters at the border."""
        before = self._shift
        return Picture(self.name, self.reading, (before[0] + columns, before[1] + rows))


def _moved(frame: np.ndarray, valid: np.ndarray | None, columns: float, rows: float
           ) -> tuple[np.ndarray, np.ndarray]:
    """Move pixels right and down; what comes in at the border is no data."""
    height, width = frame.shape[:2]
    matrix = np.float64([[1, 0, columns], [0, 1, rows]])
    there = np.ones((height, width), np.uint8) if valid is None else valid.astype(np.uint8)
    return (by_bands(lambda part: cv2.warpAffine(part, matrix, (width, height)), frame),
            cv2.warpAffine(255 * there, matrix, (width, height)) == 255)


class RasterDate(DateImage):
    """A raster, or a mosaic of rasters, read in rectangles; each thread has its own handle.

    Args:
        name: As the user gave it.
        source: What GDAL opens: a path, or the text of a virtual raster.
        reading: Bands and scale.
        target: Grid to warp it to while reading; None keeps its own.
        resampling: Name of rasterio's resampling for that; palettes take the nearest pixel.
        overview: Number of the file's overview to read in place of its pixels.
    """

    def __init__(self, name: str, source: str, reading: Reading, target: SceneGrid | None = None,
                 resampling: str = 'bilinear', overview: int | None = None) -> None:
        self._rasterio = require('rasterio', f"reading '{name}'")
        self._vrt = require('rasterio.vrt', f"reading '{name}'")
        self.name, self._source, self.reading = name, source, reading
        self._target, self._resampling, self._overview = target, resampling, overview
        self._local = threading.local()
        self._handles: list[Any] = []
        file = self._handle()
        own = file if target is None else file.src_dataset
        self.own_grid = _grid_of(own, self._rasterio)
        self.grid = target or self.own_grid
        self.block, self.dtype = tuple(map(int, file.block_shapes[0])), own.dtypes[0]
        self.nodata, kinds = own.nodata, [kind.name for kind in own.colorinterp]
        colours = [number for number, kind in enumerate(kinds, 1) if kind != 'alpha']
        self.count = len(colours)
        if reading.bands is not None:
            check_bands(reading.bands, own.count, name)
        self._bands = list(reading.bands or colours)
        self._check_placed(own)

    def warped(self, target: SceneGrid, resampling: str) -> 'RasterDate':
        """Return this date on another grid."""
        return RasterDate(self.name, self._source, self.reading, target, resampling)

    def shifted(self, columns: float, rows: float) -> 'RasterDate':
        """Return the raster moved right and down by some pixels; beyond its border is no data."""
        affine = self._rasterio.Affine
        place = affine(*self.grid.transform or NOWHERE) * affine.translation(-columns, -rows)
        return self.warped(replace(self.grid, transform=tuple(place)[:6]), 'bilinear')

    def read(self, box: Box, shape: tuple[int, int] | None = None
             ) -> tuple[np.ndarray, np.ndarray]:
        """Return the bands of a rectangle, and where there is data."""
        pixels, valid = self._stored(box, shape)
        if self._colours is not None:
            return self._colours[np.minimum(pixels[..., 0], 255)], valid
        pixels = np.ascontiguousarray(pixels)
        if np.issubdtype(pixels.dtype, np.floating):
            valid &= np.isfinite(pixels).all(2)
            pixels = np.where(valid[..., None], pixels, 0)
        frame, _ = frame_and_nodata(pixels, self.name, None, self.scale,
                                    chosen=self.reading.bands is not None)
        return as_bands(frame), valid

    @cached_property
    def scale(self) -> Any:
        """``(low, high)``, or one pair a band; None where values are shown as they are."""
        if self.reading.scale != 'percentile':
            return self.reading.scale
        # Of the file's own pixels: what the other date covers does not change it.
        own = RasterDate(self.name, self._source, self.reading) if self._target else self
        shape = reduced_shape(own.grid)
        pixels = np.zeros((*shape, len(self._bands)), self.dtype)
        valid = np.zeros(shape, bool)
        read_reduced(own._stored, own.grid.box, [pixels, valid])
        seen = pixels[valid & np.isfinite(pixels).all(2)].astype(np.float32)
        if not len(seen):
            raise ValueError(f"'{self.name}' holds no data: no pixel gives a percentile")
        low, high = np.percentile(seen, [2, 98], axis=0)
        pairs = np.stack([low, high], 1).astype(np.float32)
        return tuple(map(tuple, pairs.tolist()))

    def _stored(self, box: Box, shape: tuple[int, int] | None) -> tuple[np.ndarray, np.ndarray]:
        """Return stored values (h, w, bands), and where there is data."""
        if shape is not None and self._target is not None:
            return self._part(box, shape)._stored((0, 0, *shape[::-1]), None)
        left, top, right, bottom = box
        window = self._rasterio.windows.Window(left, top, right - left, bottom - top)
        kinds = self._rasterio.enums.Resampling
        size = shape or (bottom - top, right - left)
        # Bands beside each other, as they are wanted: turned round later, they cost a copy.
        pixels = np.empty((*size, len(self._bands)), self.dtype)
        try:
            with self._rasterio.Env(**GDAL_OPTIONS):
                file = self._handle()
                file.read(self._bands, np.moveaxis(pixels, -1, 0), window=window, **(
                    {} if shape is None else dict(resampling=kinds.average)))
                valid = self._valid(file, window, shape)
        except self._rasterio.errors.RasterioIOError as error:
            if self._target is not None and tuple(box) != self.grid.box:
                # A virtual raster is computed in blocks, larger than what is damaged.
                return self._part(box, (bottom - top, right - left))._stored(
                    (0, 0, right - left, bottom - top), None)
            raise OSError(f"'{self.name}' is damaged: {error.__cause__ or error}") from error
        return pixels, valid

    def _valid(self, file: Any, window: Any, shape: tuple[int, int] | None) -> np.ndarray:
        """Return where there is data: a pixel holds some where any of its bands does."""
        size = shape or (window.height, window.width)
        nearest, valid = self._rasterio.enums.Resampling.nearest, np.ones(size, bool)
        flags = self._rasterio.enums.MaskFlags
        other = {flags.all_valid, flags.alpha}.isdisjoint
        if any(other(file.mask_flag_enums[band - 1]) for band in self._bands):
            valid = file.read_masks(self._bands, window=window, resampling=nearest,
                                    out_shape=(len(self._bands), *size)).any(0)
        # By itself: GDAL's masks know it only beside 1 or 3 bands, of 8 or 16 bits.
        for band, kind in enumerate(file.colorinterp, 1):
            if kind.name == 'alpha' and band not in self._bands:
                valid &= file.read(band, window=window, resampling=nearest, out_shape=size) > 0
        return valid

    def _part(self, box: Box, shape: tuple[int, int]) -> 'RasterDate':
        """Return a rectangle of a warped date, as an image of any reduced size.

        Its pixels are means. GDAL, asked for fewer pixels of a virtual raster that has a value for
        nodata, takes single ones.
        """
        left, top, right, bottom = box
        affine = self._rasterio.Affine
        across, down = (right - left) / shape[1], (bottom - top) / shape[0]
        place = (affine(*self._target.transform) * affine.translation(left, top)
                 * affine.scale(across, down))
        grid = SceneGrid(shape[1], shape[0], self._target.crs, tuple(place)[:6])
        if max(across, down) <= 1:
            return self.warped(grid, self._resampling)
        return RasterDate(self.name, self._source, self.reading, grid, 'average',
                          self._overview_for(grid))

    def _overview_for(self, grid: SceneGrid) -> int | None:
        """Return the coarsest overview that is at least as fine as a grid."""
        step = pixel_step(grid, self.own_grid)
        factors = self._handle().src_dataset.overviews(1)
        return max((number for number, factor in enumerate(factors) if factor <= 1.01 * step),
                   default=None)

    def _handle(self) -> Any:
        """Return this thread's handle: GDAL's are not for several threads at once."""
        if getattr(self._local, 'file', None) is None:
            self._local.file = self._open()
            self._handles.append(self._local.file)
        return self._local.file

    def release(self, forget: bool = False) -> None:
        """Close the handles of all threads."""
        self._local = threading.local()
        while self._handles:
            handle = self._handles.pop()
            handle.close()
            if self._target is not None:
                handle.src_dataset.close()

    def _open(self) -> Any:
        options = {} if self._overview is None else dict(overview_level=self._overview)
        # Files beside it may hold its nodata value and its place (.aux.xml).
        with _OPENING, gdal(self._rasterio), self._rasterio.Env(GDAL_PAM_ENABLED='YES'):
            try:
                file = self._rasterio.open(self._source, driver=driver_of(self._source), **options)
            except self._rasterio.errors.RasterioIOError as error:
                if Path(self.name).exists():
                    raise unreadable(self.name, error) from error
                raise FileNotFoundError(f"no image at '{self.name}': {error}") from error
            if self._target is None:
                return file
            return self._vrt.WarpedVRT(file, **self._warping(file))

    def _warping(self, file: Any) -> dict[str, Any]:
        """Return the options of the virtual raster that lays the file onto the target grid."""
        target, options, kinds = self._target, {}, [kind.name for kind in file.colorinterp]
        how = self._resampling
        if kinds[0] == 'palette' and self.reading.bands is None:
            how = 'nearest' if how != 'average' else 'mode'  # numbers of colours have no means
        if file.nodata is None and 'alpha' not in kinds:
            options['add_alpha'] = True  # beyond the file's border there is no data either
        return options | dict(
            crs=target.crs, transform=self._rasterio.Affine(*target.transform), width=target.width,
            height=target.height, resampling=self._rasterio.enums.Resampling[how],
            src_crs=file.crs or target.crs, src_transform=self._rasterio.Affine(
                *_grid_of(file, self._rasterio).transform or NOWHERE))

    @cached_property
    def _colours(self) -> np.ndarray | None:
        """RGB of every value of a palette file; None for others."""
        if self.reading.bands is not None:
            return None
        own = self._handle() if self._target is None else self._handle().src_dataset
        if own.colorinterp[0].name != 'palette':
            return None
        colours = own.colormap(1)
        return np.array([colours.get(value, (0, 0, 0))[:3] for value in range(256)], np.uint8)

    def _check_placed(self, file: Any) -> None:
        points = [] if self._target else file.gcps[0]
        if points and self.grid.transform is None:
            raise ValueError(f"'{self.name}' is placed by {len(points)} ground control points and "
                             'not by a grid. Lay it on one first: gdalwarp '
                             f"'{self.name}' placed.tif")

    def check_values(self) -> None:
        """Refuse values that cannot be shown, before anything is computed.

        Raises:
            NeedsMapping: If bands or a scale have to be given.
        """
        if self._colours is not None:
            return
        scale = (0, 1) if isinstance(self.reading.scale, str) else self.reading.scale
        chosen = self.reading.bands is not None
        try:
            frame_and_nodata(np.zeros((1, 1, len(self._bands)), self.dtype), self.name, None, scale,
                             chosen=chosen)
        except NeedsMapping:
            # What they should become depends on what they are, in the middle for instance.
            left, top = (max(0, length // 2 - 256) for length in (self.grid.width,
                                                                  self.grid.height))
            pixels, valid = self._stored((left, top, min(left + 512, self.grid.width),
                                          min(top + 512, self.grid.height)), None)
            raise NeedsMapping(pixels, self.name, chosen, ~valid) from None


def _grid_of(file: Any, rasterio: Any) -> SceneGrid:
    crs = file.crs.to_wkt() if file.crs else None
    placed = crs is not None or file.transform != rasterio.Affine.identity()
    return SceneGrid(file.width, file.height, crs, tuple(file.transform)[:6] if placed else None)


def reduced_shape(grid: SceneGrid, side: int = STATISTICS_SIDE) -> tuple[int, int]:
    """Return (h, w) of a whole scene with at most ``side`` pixels along its longer side."""
    factor = min(1.0, side / max(grid.width, grid.height))
    return max(1, round(grid.height * factor)), max(1, round(grid.width * factor))


def degrees_of(crs: str, xs: Sequence[float], ys: Sequence[float]
               ) -> tuple[list[float], list[float]] | None:
    """Return longitudes and latitudes of places; None where a system has no tie to the globe.

    Args:
        crs: Coordinate reference system as WKT; that of a building site, say, has none.
        xs, ys: The places.
    """
    warp = require('rasterio.warp', 'longitudes and latitudes')
    try:
        longitudes, latitudes = warp.transform(crs, 'EPSG:4326', xs, ys)
    except Exception:  # GDAL raises kinds of its own, none of them public
        return None
    finite = np.isfinite([*longitudes, *latitudes]).all()
    return (list(longitudes), list(latitudes)) if finite else None


def pixel_step(grid: SceneGrid, other: SceneGrid) -> float:
    """Return the side of a grid's pixels in pixels of another grid, at the first one's centre."""
    rasterio, warp = (require(name, 'comparing the grids of two dates')
                      for name in ('rasterio', 'rasterio.warp'))
    columns = np.array([0, 1, 0]) + grid.width / 2
    rows = np.array([0, 0, 1]) + grid.height / 2
    xs, ys = rasterio.Affine(*grid.transform or NOWHERE) * (columns, rows)
    if grid.crs and other.crs and grid.crs != other.crs:
        xs, ys = map(np.asarray, warp.transform(grid.crs, other.crs, xs, ys))
    columns, rows = ~rasterio.Affine(*other.transform or NOWHERE) * (xs, ys)
    sides = np.array([columns[1:] - columns[0], rows[1:] - rows[0]])
    step = float(np.sqrt(abs(np.linalg.det(sides))))
    return step if np.isfinite(step) and step else 1.0


def open_date(given: str | Path | Sequence[str | Path], reading: Reading) -> DateImage:
    """Open one date of a scene.

    Args:
        given: GeoTIFF, COG, VRT, a remote path as rasterio takes them (``s3://``, ``https://``,
            ``/vsi...``), a picture; or a folder or list of rasters, which are one mosaic.
        reading: Bands and scale.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no image, or its values need bands or a scale.
        ImportError: If rasterio is needed and not installed.
    """
    try:
        return _open(given, reading)
    except NeedsMapping as error:
        raise ValueError(f'{error.flags} (in Python, bands and scale). Bands are counted from 1 in '
                         'the order red, green, blue, then any others that the model takes; '
                         '--scale takes the two values that become black and white, for all bands '
                         "or for each, or 'percentile'") from error


def _open(given: str | Path | Sequence[str | Path], reading: Reading) -> DateImage:
    if isinstance(given, str | Path) and not Path(given).is_dir():
        if Path(given).suffix.lower() in _PICTURES or _turned(given):
            return Picture(given, reading)
        check_virtual(str(given))
        date = RasterDate(str(given), str(given), reading)
    else:
        name, source = mosaic(given)
        date = RasterDate(name, source, reading)
    date.check_values()
    return date


def _depth(header: Header) -> str:
    return {8: 'uint8', 16: 'uint16'}.get(header.bits, f'{header.bits}-bit')


def _turned(path: str | Path) -> bool:
    """Tell TIFFs without a place that are not stored as they are shown."""
    if not Path(path).is_file() or Path(path).suffix.lower() not in ('.tif', '.tiff'):
        return False
    header = read_header(path)
    return header.transform is None and (header.orientation != 1 or header.inverted
                                         or header.bits < 8)
