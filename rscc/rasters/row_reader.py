"""Row-by-row reading of images of any size, from top to bottom."""
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image, UnidentifiedImageError

from rscc.rasters.image_files import as_frame, as_label, read_frame, read_stored, unreadable
from rscc.utils import require

TIFF = ('.tif', '.tiff')
_CACHE = 64 * 2**20  # bytes; GDAL would take 5 % of the machine's memory


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
    """Base class of images whose rows are read in bands.

    Attributes:
        height: Rows.
        width: Columns.
        crs: Coordinate reference system as WKT, None without.
        transform: Affine coefficients (a, b, c, d, e, f), x = a * column + b * row + c and
            y = d * column + e * row + f, None without.
    """

    height: int
    width: int
    crs: str | None = None
    transform: tuple[float, ...] | None = None

    def rows(self, first: int, end: int) -> np.ndarray:
        """Return rows ``first`` to ``end - 1``, (n, W) or (n, W, 3) uint8."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the file."""


class WholeRaster(Raster):
    """A picture of moderate size, decoded once, when the first row is asked for."""

    def __init__(self, path: Path, reading: Reading):
        self.path, self.reading = path, reading
        try:
            with Image.open(path) as image:
                self.width, self.height = image.size
        except (UnidentifiedImageError, OSError) as error:
            raise unreadable(path, str(error)) from error

    @cached_property
    def _pixels(self) -> np.ndarray:
        if self.reading.label:
            return _as_stored(read_stored(self.path), self.path)
        return read_frame(self.path, self.reading.bands, self.reading.scale)

    def rows(self, first: int, end: int) -> np.ndarray:
        """Return rows ``first`` to ``end - 1``."""
        return self._pixels[first:end]

    def close(self) -> None:
        """Forget the pixels."""
        self.__dict__.pop('_pixels', None)


class WindowedRaster(Raster):
    """A file of any size, read through GDAL in bands; rows that two bands share are kept.

    So the file is passed once from top to bottom, which formats without random access (PNG, JPEG,
    strips) need.
    """

    def __init__(self, path: Path, reading: Reading):
        rasterio = require('rasterio', f"reading '{path}' in parts")
        self.path, self.reading, self._rasterio = path, reading, rasterio
        with gdal(rasterio):
            try:
                self._file = rasterio.open(path)
            except rasterio.errors.RasterioError as error:
                raise unreadable(path, str(error)) from error
        self.height, self.width = self._file.height, self._file.width
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
        window = self._rasterio.windows.Window(0, first, self.width, end - first)
        try:
            with gdal(self._rasterio):
                pixels = np.moveaxis(self._file.read(window=window), 0, -1)
        except self._rasterio.errors.RasterioError as error:
            raise unreadable(self.path, f'rows {first} to {end - 1}: {error}') from error
        if self.reading.label:
            return _as_stored(pixels, self.path)
        if self._colours is not None and self.reading.bands is None:
            pixels = self._colours[pixels[..., 0]]
        return as_frame(pixels, self.path, self.reading.bands, self.reading.scale)

    @cached_property
    def _colours(self) -> np.ndarray | None:
        """RGB of every value of a palette file."""
        if self._file.colorinterp[0] != self._rasterio.enums.ColorInterp.palette:
            return None
        colours = self._file.colormap(1)
        return np.array([colours.get(value, (0, 0, 0))[:3] for value in range(256)], np.uint8)

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
    if not path.is_file():
        raise FileNotFoundError(f"no such image: '{path}'")
    kind = WindowedRaster if path.suffix.lower() in TIFF or _is_large(path) else WholeRaster
    raster = kind(path, reading)
    if window is None:
        return raster
    left, top, width, height = window
    if left + width > raster.width or top + height > raster.height:
        raise ValueError(f"'{path}' has {raster.width} x {raster.height} pixels and does not hold "
                         f'the region of {width} x {height} at column {left}, row {top}')
    return RegionRaster(raster, window)


def _as_stored(values: np.ndarray, path: Path) -> np.ndarray:
    """Return label values (n, W), or (n, W, 3) of a colour label; an alpha is no label."""
    if values.ndim == 3:
        values = values[..., :3] if values.shape[2] >= 3 else values[..., 0]
    return as_label(values, path)


def _is_large(path: Path) -> bool:
    """Return whether Pillow would warn of the size."""
    with warnings.catch_warnings():
        warnings.simplefilter('error', Image.DecompressionBombWarning)
        try:
            with Image.open(path):
                return False
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            return True
        except (UnidentifiedImageError, OSError) as error:
            raise unreadable(path, str(error)) from error


@contextmanager
def gdal(rasterio: ModuleType) -> Iterator[None]:
    """Keep GDAL's cache small, its side files away and its remark on plain pictures quiet."""
    with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED='NO', GDAL_CACHEMAX=_CACHE):
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
        yield
