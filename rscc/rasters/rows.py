"""Images of any size row by row, from top to bottom: reading them, and writing grey maps."""
import math
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import IO

import numpy as np

from rscc.rasters.headers import FORMATS, Header, pixel_limit, read_header
from rscc.rasters.image_files import (
    NeedsMapping,
    check_bands,
    decoding,
    frame_and_nodata,
    from_gdal,
    read_frame_and_nodata,
    too_large,
)
from rscc.rasters.labels import read_stored, stored_values
from rscc.utils import require
from rscc.utils.files import atomic_path

TIFF = ('.tif', '.tiff')
#: GDAL writes no files beside those it reads, keeps 64 MiB of what it has decoded (by itself it
#: would take 5 % of the machine's memory), and runs no Python that stands in a virtual raster.
GDAL_OPTIONS = {'GDAL_PAM_ENABLED': 'NO', 'GDAL_CACHEMAX': 64 * 2**20,
                'GDAL_VRT_ENABLE_PYTHON': 'NO'}


@dataclass(frozen=True)
class Reading:
    """Options that turn pixels of a file into those of a sample.

    Attributes:
        label: Keep the values of the file (class numbers, 0 / 255, colours) instead of making an
            8-bit RGB or grey frame.
        bands: Of a frame, see :func:`rscc.rasters.image_files.read_frame`.
        scale: Of a frame, ``(low, high)``.
    """

    label: bool = False
    bands: Sequence[int] | None = None
    scale: Sequence[float] | None = None


class Raster:
    """Base class of images whose rows are read in bands, upright.

    Attributes:
        height: Rows.
        width: Columns.
        without_data: Pixels without data among the rows of a frame read so far.
        alpha: Whether the file has an alpha channel.
        crs: Coordinate reference system as WKT, None without.
        transform: Affine coefficients (a, b, c, d, e, f), x = a * column + b * row + c and
            y = d * column + e * row + f, None without.
    """

    height: int
    width: int
    without_data = 0
    alpha = False
    crs: str | None = None
    transform: tuple[float, ...] | None = None

    def rows(self, first: int, end: int) -> np.ndarray:
        """Return rows ``first`` to ``end - 1``, (n, W) or (n, W, 3) uint8."""
        raise NotImplementedError

    def check(self) -> None:
        """Refuse pixels that cannot become a frame or label, as far as can be told at once.

        Raises:
            ValueError: As :meth:`rows`.
        """

    def close(self) -> None:
        """Let go of the file."""

    def frame_of(self, pixels: np.ndarray, nodata: float | None) -> np.ndarray:
        """Turn decoded rows into those of a frame, and count its pixels without data."""
        frame, empty = frame_and_nodata(pixels, self.path, self.reading.bands, self.reading.scale,
                                        nodata, alpha=self.alpha)
        self.without_data += 0 if empty is None else int(empty.sum())
        return frame


class WholeRaster(Raster):
    """A picture of moderate size, decoded once, when the first row is asked for."""

    def __init__(self, path: Path, reading: Reading, header: Header):
        self.path, self.reading = path, reading
        self.width, self.height = header.width, header.height

    @cached_property
    def _pixels(self) -> np.ndarray:
        if self.reading.label:
            return read_stored(self.path)
        frame, empty = read_frame_and_nodata(self.path, self.reading.bands, self.reading.scale)
        self.without_data = 0 if empty is None else int(empty.sum())
        return frame

    def rows(self, first: int, end: int) -> np.ndarray:
        """Return rows ``first`` to ``end - 1``."""
        return self._pixels[first:end]

    def check(self) -> None:
        """Decode the picture."""
        self.rows(0, 1)

    def close(self) -> None:
        """Forget the pixels."""
        self.__dict__.pop('_pixels', None)


class WindowedRaster(Raster):
    """A file of any size, read through GDAL in bands; rows that two bands share are kept.

    So the file is passed once from top to bottom, which formats without random access (PNG, JPEG,
    strips) need.
    """

    def __init__(self, path: Path, reading: Reading, header: Header):
        rasterio = require('rasterio', f"reading '{path}' in parts")
        self.path, self.reading, self.header, self._rasterio = path, reading, header, rasterio
        with gdal(rasterio), decoding(path, header):
            self._file = rasterio.open(path, driver=FORMATS[header.kind])
        self.height, self.width, self.alpha = header.height, header.width, header.alpha
        if reading.bands is not None:
            check_bands(reading.bands, self._file.count, path)
        self.crs = self._file.crs.to_wkt() if self._file.crs else None
        placed = self.crs or self._file.transform != rasterio.Affine.identity()
        self.transform = tuple(self._file.transform)[:6] if placed else None
        self._first, self._kept = 0, None

    def rows(self, first: int, end: int) -> np.ndarray:
        """Return rows ``first`` to ``end - 1``; cheapest with ``first`` never decreasing.

        Raises:
            ValueError: If the file is damaged there or cannot become a frame or label.
        """
        kept = self._overlap(first, end)
        begin = first if kept is None else first + len(kept)
        parts = [part for part in (kept, self._read(begin, end) if begin < end else None)
                 if part is not None]
        self._first, self._kept = first, parts[0] if len(parts) == 1 else np.concatenate(parts)
        return self._kept

    def _overlap(self, first: int, end: int) -> np.ndarray | None:
        if self._kept is None or not self._first <= first < self._first + len(self._kept):
            return None
        return self._kept[first - self._first:end - self._first]

    def _read(self, first: int, end: int) -> np.ndarray:
        # GDAL decodes whole blocks, which an absurd header makes as large as it likes.
        largest = max((end - first) * self.width, *map(math.prod, self._file.block_shapes))
        if largest * self._file.count > 16 * pixel_limit():
            raise too_large(self.path, self.header)
        with gdal(self._rasterio), decoding(self.path, self.header,
                                            f'rows {first} to {end - 1}: '):
            pixels = np.moveaxis(self._file.read(window=self._stored(first, end)), 0, -1)
        pixels = from_gdal(pixels, self.header)
        if self.reading.label:
            values = pixels[..., 0] if pixels.shape[2] == 1 else pixels
            return stored_values(values, self._colours, self.path)
        if self._colours is not None and self.reading.bands is None:
            pixels = self._colours[pixels[..., 0]]
        elif self.header.bits < 8:
            pixels *= 255 // (2**self.header.bits - 1)
        return self.frame_of(pixels, self._file.nodata)

    def _stored(self, first: int, end: int) -> object:
        """Return the window of the file that holds rows of the upright image."""
        turn, length = self.header.orientation, self.height
        if turn in (3, 4, 7, 8):  # stored backwards
            first, end = length - end, length - first
        if turn > 4:  # rows are the columns of the file
            return self._rasterio.windows.Window(first, 0, end - first, self.width)
        return self._rasterio.windows.Window(0, first, self.width, end - first)

    @cached_property
    def _colours(self) -> np.ndarray | None:
        """RGB of every value of a palette file."""
        palette = self._rasterio.enums.ColorInterp.palette
        if self.header.inverted or self._file.colorinterp[0] != palette:
            return None
        colours = self._file.colormap(1)
        return np.array([colours.get(value, (0, 0, 0))[:3] for value in range(256)], np.uint8)

    def check(self) -> None:
        """Look at the kind of the bands."""
        if not self.reading.label and self._colours is None:
            bands = np.empty((0, self.width, self._file.count), self._file.dtypes[0])
            try:
                self.frame_of(bands, None)
            except NeedsMapping:
                # What they should become depends on what they are, in the middle for instance.
                middle = self.height // 2
                with decoding(self.path, self.header):
                    bands = self._file.read(window=((middle, middle + 1), (0, self.width)))
                self.frame_of(np.moveaxis(bands, 0, -1), self.header.nodata)

    def close(self) -> None:
        """Close the file."""
        self._kept = None
        self._file.close()


class RegionRaster(Raster):
    """A part of another raster.

    Args:
        whole: The raster.
        window: (left, top, width, height) in pixels.
    """

    def __init__(self, whole: Raster, window: Sequence[int]):
        self.whole = whole
        self.left, self.top, self.width, self.height = window
        self.crs = whole.crs
        if whole.transform is not None:
            a, b, c, d, e, f = whole.transform
            self.transform = (a, b, c + a * self.left + b * self.top,
                              d, e, f + d * self.left + e * self.top)

    def rows(self, first: int, end: int) -> np.ndarray:
        """Return rows of the part."""
        rows = self.whole.rows(self.top + first, self.top + end)
        return rows[:, self.left:self.left + self.width]

    def check(self) -> None:
        """Check the whole."""
        self.whole.check()

    @property
    def without_data(self) -> int:
        """Pixels without data in the rows of the whole."""
        return self.whole.without_data

    def close(self) -> None:
        """Close the whole."""
        self.whole.close()


def open_raster(path: str | Path, reading: Reading | None = None,
                window: Sequence[int] | None = None) -> Raster:
    """Open an image for reading in bands.

    TIFFs, and other files of more than about 90 megapixels, are read through rasterio's windows;
    pictures of moderate size are decoded whole.

    Args:
        path: PNG, JPEG, BMP, WebP or (Geo)TIFF.
        reading: As frame (default) or label.
        window: (left, top, width, height) of the part that is meant; None is all.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no image, or smaller than ``window`` says.
        ImportError: If rasterio is needed and not installed.
    """
    path, reading = Path(path), reading or Reading()
    header = read_header(path)
    # Half of what is decoded at once: such a picture would be held beside others.
    large = header.width * header.height > pixel_limit() / 2
    raster = (WindowedRaster if header.kind == 'TIFF' or large else WholeRaster)(
        path, reading, header)
    if window is None:
        return raster
    left, top, width, height = window
    if left + width > raster.width or top + height > raster.height:
        raise ValueError(f"'{path}' has {raster.width} x {raster.height} pixels and does not hold "
                         f'the region of {width} x {height} at column {left}, row {top}')
    return RegionRaster(raster, window)


@contextmanager
def gdal(rasterio: ModuleType) -> Iterator[None]:
    """Keep GDAL's cache small, its side files away and its remark on plain pictures quiet.

    Not for several threads at once: the filters of warnings belong to the process.
    """
    with warnings.catch_warnings(), rasterio.Env(**GDAL_OPTIONS):
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
        yield


_STRIP = 64  # rows that a GeoTIFF compresses together


@contextmanager
def write_map(path: str | Path, height: int, width: int, dtype: str = 'uint8',
              crs: str | None = None, transform: Sequence[float] | None = None
              ) -> Iterator[Callable[[np.ndarray], None]]:
    """Open a grey map that appears when all of its rows are written, or not at all.

    Args:
        path: PNG, or (Geo)TIFF, which alone keeps ``crs`` and ``transform``.
        height: Rows.
        width: Columns.
        dtype: ``'uint8'`` or ``'uint16'``.
        crs: Coordinate reference system as WKT.
        transform: Affine coefficients (a, b, c, d, e, f).

    Yields:
        A function that takes the next rows, (n, W).

    Raises:
        ValueError: If rows are missing at the end.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        if path.suffix.lower() in TIFF:
            target = _tiff(temporary, height, width, dtype, crs, transform)
        else:
            target = _png(temporary, height, width, dtype)
        with target as write:
            counted = _Counted(write, (height, width), np.dtype(dtype))
            yield counted
            if counted.done != height:
                raise ValueError(f"'{path}' got {counted.done} of {height} rows")


class _Counted:
    """Checks rows before they are written, and counts them."""

    def __init__(self, write: Callable[[np.ndarray, int], None], size: tuple[int, int],
                 dtype: np.dtype):
        self.write, self.size, self.dtype, self.done = write, size, dtype, 0

    def __call__(self, rows: np.ndarray) -> None:
        height, width = self.size
        assert rows.ndim == 2 and rows.shape[1] == width and rows.dtype == self.dtype
        assert self.done + len(rows) <= height
        self.write(rows, self.done)
        self.done += len(rows)


@contextmanager
def _png(path: Path, height: int, width: int, dtype: str
         ) -> Iterator[Callable[[np.ndarray, int], None]]:
    """Write a grey PNG: encoders of libraries want the whole picture at once."""
    stored = np.dtype(dtype).newbyteorder('>')
    packer = zlib.compressobj(6)
    with path.open('wb') as file:
        file.write(b'\x89PNG\r\n\x1a\n')
        # Depth in bits, colour type 0 (grey), and the only compression, filters and order known.
        _chunk(file, b'IHDR', struct.pack('>IIBBBBB', width, height, 8 * stored.itemsize, 0, 0, 0,
                                          0))

        def write(rows: np.ndarray, first: int) -> None:
            raw = rows.astype(stored).view(np.uint8).reshape(len(rows), -1)
            # Each row begins with the number of its filter; 0 is none.
            data = packer.compress(np.pad(raw, ((0, 0), (1, 0))).tobytes())
            if data:
                _chunk(file, b'IDAT', data)

        yield write
        _chunk(file, b'IDAT', packer.flush())
        _chunk(file, b'IEND', b'')


def _chunk(file: IO[bytes], kind: bytes, data: bytes) -> None:
    file.write(struct.pack('>I', len(data)) + kind + data)
    file.write(struct.pack('>I', zlib.crc32(kind + data)))


@contextmanager
def _tiff(path: Path, height: int, width: int, dtype: str, crs: str | None,
          transform: Sequence[float] | None) -> Iterator[Callable[[np.ndarray, int], None]]:
    rasterio = require('rasterio', 'writing GeoTIFFs')
    place = {} if transform is None else {'transform': rasterio.Affine(*transform)}
    with gdal(rasterio), rasterio.open(
            path, 'w', driver='GTiff', height=height, width=width, count=1, dtype=dtype, crs=crs,
            compress='deflate', blockysize=min(_STRIP, height), bigtiff='if_safer',
            **place) as target:

        def write(rows: np.ndarray, first: int) -> None:
            window = rasterio.windows.Window(0, first, width, len(rows))
            target.write(rows, 1, window=window)

        yield write
