"""Check that images of one place fit pixel by pixel: their sizes, kinds and grids.

Every route that reads pairs asks here, from the headers alone: nothing is warped in silence.
"""
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from rscc.rasters.headers import FORMATS, Header, read_header

_CLOSE = 0.1  # pixels by which the corners of one grid may differ: rounding, no shift


def check_pair(images: Sequence[str | Path], label: str | Path | None = None,
               bands: Sequence[int] | None = None) -> Header:
    """Refuse images, and a label, of which pixel (i, j) is not one place in all.

    Args:
        images: Files of the dates, the earliest first.
        label: File of their label.
        bands: Where bands are chosen, a file of one band is refused elsewhere, not here as grey.

    Returns:
        The header of the first image.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If one is no image, or sizes, kinds (grey, RGB) or grids differ; the message
            names the files and the remedy.
    """
    files = [Path(path) for path in (*images, *([] if label is None else [label]))]
    headers = {path: read_header(path) for path in files}
    sizes = {path: f'{header.width} x {header.height}' for path, header in headers.items()}
    if len(set(sizes.values())) > 1:
        found = ', '.join(f"'{path}' {size}" for path, size in sizes.items())
        raise ValueError(f'sizes differ: {found}. Crop or warp them to one grid first'
                         + _warp(files[0], next(path for path in files
                                                if sizes[path] != sizes[files[0]]), headers))
    if bands is None:
        check_kinds({path: headers[Path(path)].grey for path in images})
    check_grids(headers)
    return headers[files[0]]


def check_kinds(grey: Mapping[str | Path, bool], sample: str = '') -> None:
    """Refuse a grey date beside an RGB one: every pixel would seem to have changed its colour.

    Args:
        grey: File -> whether it is grey.
        sample: Name of the sample, for the message.

    Raises:
        ValueError: If some are and some are not.
    """
    if len(set(grey.values())) > 1:
        kinds = ', '.join(f"'{path}' is {'grey' if found else 'RGB'}"
                          for path, found in grey.items())
        raise ValueError(f"the dates{sample and f' of sample {sample!r}'} are of different kinds: "
                         f'{kinds}. Convert all of them to grey, or get the RGB version.')


class DifferentGrids(ValueError):
    """Error for files of one sample that lie elsewhere than the first of them.

    Args:
        files: The first file, and the one that lies elsewhere.
        systems: Their coordinate systems, where these differ.
        apart: How many pixels apart their corners are at most, where these are of one system.
        advice: How to put them on one grid.

    Attributes:
        facts: ``files``, ``systems`` and ``apart``.
    """

    def __init__(self, files: tuple[Path, Path], systems: tuple[str, str] | None,
                 apart: float | None, advice: str = '.') -> None:
        self.facts = dict(files=files, systems=systems, apart=apart)
        what = (f'coordinate systems {systems[0]} and {systems[1]}' if systems else
                f'their corners are up to {apart:.1f} pixels apart')
        super().__init__(f"'{files[0]}' and '{files[1]}' lie on different grids: {what}. Put them "
                         f'on one first{advice}')


def check_grids(files: Mapping[Path, Header] | Sequence[str | Path]) -> None:
    """Refuse georeferenced files that lie elsewhere than the first of them.

    Args:
        files: Files with their headers, or files alone. Those without a place are passed over.

    Raises:
        DifferentGrids: If coordinate systems or grids differ; the message tells how to warp.
    """
    headers = files if isinstance(files, Mapping) else {
        Path(path): read_header(path) for path in files}
    placed = [path for path, header in headers.items() if header.transform]
    for path in placed[1:]:
        first, other = headers[placed[0]], headers[path]
        found = _difference(first, other, placed[0], path)
        if found is not None:
            raise DifferentGrids((placed[0], path), *found, _warp(placed[0], path, headers))


def _warp(first: Path, other: Path, headers: Mapping[Path, Header]) -> str:
    if not (headers[first].transform and headers[other].transform):
        return '.'
    return f": rio warp '{other}' '{other.stem}_warped.tif' --like '{first}'."


def _difference(first: Header, other: Header, path: Path, beside: Path
                ) -> tuple[tuple[str, str] | None, float | None] | None:
    """Return both systems, or how far corners are apart; None of files on one grid."""
    if first.crs and other.crs and not _same_system(first.crs, other.crs, path, beside):
        return (first.crs, other.crs), None
    a, b, _, d, e, _ = first.transform
    if a * e == b * d or first.transform == other.transform:
        return None
    # Corners of the other image in pixels of the first: how far is each from where it should be?
    inverse = np.linalg.inv([[a, b], [d, e]])
    apart = []
    for corner in product((0, first.width), (0, first.height)):
        here, there = (np.array(t).reshape(2, 3) @ [*corner, 1]
                       for t in (first.transform, other.transform))
        apart.append(float(np.abs(inverse @ (there - here)).max()))
    return (None, max(apart)) if max(apart) > _CLOSE else None


def _same_system(one: str, other: str, path: Path, beside: Path) -> bool:
    """Compare two systems; definitions without a code by rasterio, where it is there."""
    if one == other or (one.startswith('EPSG:') and other.startswith('EPSG:')):
        return one == other
    try:
        import rasterio
    except ImportError:
        return True
    with rasterio.Env(GDAL_PAM_ENABLED='NO'), \
            rasterio.open(path, driver=FORMATS['TIFF']) as first, \
            rasterio.open(beside, driver=FORMATS['TIFF']) as second:
        return first.crs == second.crs
