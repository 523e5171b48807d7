"""The later date on the grid of the earlier one: what fits is read as it is, the rest is warped.

Nothing is resampled in silence: every step leaves a remark.
"""
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rscc.scenes.contracts import Box, SceneGrid
from rscc.scenes.sources import DateImage, pixel_step
from rscc.utils import require

_CLOSE = 0.01  # pixels: rounding of origins, no shift


def on_grid(earlier: DateImage, later: DateImage, assume_same_grid: bool,
            offset: tuple[float, float], remarks: list[str]) -> tuple[DateImage, Box]:
    """Lay the later date on the grid of the earlier one.

    Args:
        earlier, later: The dates.
        assume_same_grid: See :class:`PairReader`.
        offset: See :class:`PairReader`.
        remarks: Gets what was done.

    Returns:
        The later date on the earlier one's grid, and the rectangle of it that it covers.

    Raises:
        ValueError: See :class:`PairReader`.
    """
    one, other = earlier.grid, later.grid
    placed = [grid.transform is not None for grid in (one, other)]
    if not all(placed):
        _check_sizes(earlier, later, placed, assume_same_grid)
        return _displaced(later, offset, remarks), one.box
    if (one.crs is None) != (other.crs is None) and not assume_same_grid:
        lacking = earlier.name if one.crs is None else later.name
        raise ValueError(f"'{lacking}' names no coordinate system and the other date does. If both "
                         'are in the same one, say --assume-same-grid; else give it one: '
                         f"gdal_edit.py -a_srs EPSG:... '{lacking}'")
    corner, step, equal = _relation(one, other)
    covered = _covered(one, other)
    if covered is None:
        raise ValueError(f"'{earlier.name}' and '{later.name}' do not overlap: "
                         f'{_extent(one)} against {_extent(other)}')
    whole = equal and all(abs(place - round(place)) < _CLOSE for place in corner)
    same = whole and (round(corner[0]), round(corner[1])) == (0, 0) and (
        other.width, other.height) == (one.width, one.height)
    if same and not any(offset):
        return later, covered
    target = one
    if any(offset):
        affine = require('affine', 'the grid of a scene').Affine
        target = replace(one, transform=tuple(
            affine(*one.transform) * affine.translation(*offset))[:6])
        remarks.append(_moved(later, offset))
    resampling = 'nearest' if whole and not any(offset) else 'average' if step < 0.5 else 'bilinear'
    if not whole:
        remarks.append(f"'{later.name}' lies on another grid than '{earlier.name}' "
                       f'({_how(one, other, step)}): it is resampled to it while reading '
                       f'({resampling})')
    return later.warped(target, resampling), covered


def _check_sizes(earlier: DateImage, later: DateImage, placed: Sequence[bool],
                 assume_same_grid: bool) -> None:
    one, other = earlier.grid, later.grid
    if any(placed) and not assume_same_grid:
        lacking = (earlier, later)[placed.index(False)].name
        raise ValueError(f"'{lacking}' has no place on the map and the other date has one. If both "
                         'show the same pixels, say --assume-same-grid; else place it first '
                         '(gdal_translate -a_srs ... -a_ullr ...)')
    if (one.width, one.height) != (other.width, other.height):
        raise ValueError(f"sizes differ: '{earlier.name}' {one.width} x {one.height}, "
                         f"'{later.name}' {other.width} x {other.height}. Nothing tells where they "
                         'overlap: crop or warp them to one grid first')


def _displaced(later: DateImage, offset: tuple[float, float], remarks: list[str]) -> DateImage:
    """Move an image without a place."""
    if not any(offset):
        return later
    remarks.append(_moved(later, offset))
    return later.shifted(-offset[0], -offset[1])


def _moved(later: DateImage, offset: tuple[float, float]) -> str:
    return (f"'{later.name}' was moved by {-offset[0]:+.2f} columns and {-offset[1]:+.2f} rows "
            '(--align)')


def _relation(one: SceneGrid, other: SceneGrid) -> tuple[tuple[float, float], float, bool]:
    """Return the other's corner in pixels of one, its pixel size in them, and whether grids fit."""
    rasterio = require('rasterio', 'comparing the grids of two dates')
    step = pixel_step(other, one)
    if one.crs and other.crs and (rasterio.crs.CRS.from_wkt(one.crs)
                                  != rasterio.crs.CRS.from_wkt(other.crs)):
        return (np.nan, np.nan), step, False
    relative = ~rasterio.Affine(*one.transform) * rasterio.Affine(*other.transform)
    fits = all(abs(found - wanted) * max(other.width, other.height) < _CLOSE * 10
               for found, wanted in zip((relative.a, relative.b, relative.d, relative.e),
                                        (1, 0, 0, 1), strict=True))
    return (relative.c, relative.f), step, fits


def _covered(one: SceneGrid, other: SceneGrid) -> Box | None:
    """Return the rectangle of one grid that the other covers, None without any."""
    rasterio = require('rasterio', 'comparing the grids of two dates')
    warp = require('rasterio.warp', 'comparing the grids of two dates')
    theirs = rasterio.Affine(*other.transform)
    edge = np.linspace(0, 1, 21)
    # Points along the border: straight lines of one system are curves of the other.
    columns = np.concatenate([edge, edge, 0 * edge, 0 * edge + 1]) * other.width
    rows = np.concatenate([0 * edge, 0 * edge + 1, edge, edge]) * other.height
    xs, ys = theirs * (columns, rows)
    if one.crs is not None and other.crs is not None and one.crs != other.crs:
        xs, ys = map(np.array, warp.transform(other.crs, one.crs, list(xs), list(ys)))
    columns, rows = ~rasterio.Affine(*one.transform) * (np.asarray(xs), np.asarray(ys))
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        return None
    left, top = max(0, int(np.floor(columns.min() + 1e-6))), max(0, int(
        np.floor(rows.min() + 1e-6)))
    right = min(one.width, int(np.ceil(columns.max() - 1e-6)))
    bottom = min(one.height, int(np.ceil(rows.max() - 1e-6)))
    return (left, top, right, bottom) if right > left and bottom > top else None


def _extent(grid: SceneGrid) -> str:
    affine = require('affine', 'the grid of a scene').Affine(*grid.transform)
    (left, top), (right, bottom) = affine * (0, 0), affine * (grid.width, grid.height)
    return f'x {left:.6g} to {right:.6g}, y {bottom:.6g} to {top:.6g} ({_system(grid)})'


def _system(grid: SceneGrid) -> str:
    if grid.crs is None:
        return 'no coordinate system'
    crs = require('rasterio', 'comparing the grids of two dates').crs.CRS.from_wkt(grid.crs)
    code = crs.to_epsg()
    return f'EPSG:{code}' if code else crs.to_wkt()[:60]


def _how(one: SceneGrid, other: SceneGrid, step: float) -> str:
    parts = []
    if _system(one) != _system(other):
        parts.append(f'{_system(other)} against {_system(one)}')
    if abs(step - 1) > 1e-3:
        parts.append(f'pixels of {step:.3g} times the size')
    return ', '.join(parts) or 'other origin'
