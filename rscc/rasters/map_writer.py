"""Row-by-row writing of grey maps of any size, as PNG or GeoTIFF."""
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from rscc.rasters.row_reader import TIFF, gdal
from rscc.utils import require
from rscc.utils.files import atomic_path

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
