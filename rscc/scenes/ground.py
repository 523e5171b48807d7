"""Checks of where dates lie and how large their pixels are on the ground."""
import math
import shlex
from pathlib import Path
from typing import Any

from rscc.scenes.contracts import CheckFinding, ModelFacts, SceneGrid
from rscc.scenes.reading import PairReader
from rscc.scenes.sources import DateImage, degrees_of
from rscc.text.pair_findings import Told, joined, tell
from rscc.utils import require

#: Side of a pixel, over that of the training images, from which on (or below whose inverse) it is
#: worth a warning: things cover half or twice as many pixels as those that the weights know.
SIZE = math.sqrt(2)
#: Side of the later date's own pixels, over the earlier one's, from which on details that the
#: earlier date shows are missing in the later one: a pixel of it covers four.
DETAIL = 2.0
_AXIS, _FLAT = 6378137.0, 0.00669437999  # of WGS 84: metres, squared eccentricity
_TRUE = 0.01  # a projection that stretches less is as good as true
_SAME = 1e-3  # pixels that differ less in size need no resampling


def check_system(reader: PairReader) -> CheckFinding:
    """Look whether the dates are in one coordinate system.

    Args:
        reader: The dates.
    """
    grids = [date.own_grid for date in reader.dates]
    names = [system_name(grid) for grid in grids]
    placed = [grid.transform is not None for grid in grids]
    told, status = joined(map(_told_system, names)), 'ok'
    if len(set(placed)) > 1 or len({grid.crs is None for grid in grids}) > 1:
        status, told = 'warn', told + tell('crs_assumed')
    elif len(set(names)) > 1:
        told += tell('crs_warped')
    elif not any(placed):
        told += tell('crs_pixels')
    return CheckFinding.of('crs', status, names, told)


def system_name(grid: SceneGrid) -> str:
    """Return the name of a grid's coordinate system for people."""
    if grid.crs is None:
        return tell('no_place' if grid.transform is None else 'no_system').en
    crs = _system(grid)
    return f'EPSG:{crs.to_epsg()}' if crs.to_epsg() else crs.to_wkt().split('"')[1]


def _told_system(name: str) -> Told:
    lacking = {told.en: told for told in map(tell, ('no_place', 'no_system'))}
    return lacking.get(name, Told.plain(name))


def check_pixel_size(reader: PairReader, facts: ModelFacts) -> CheckFinding:
    """Compare the size of pixels with that of the training images, and between the dates.

    Args:
        reader: The dates.
        facts: Of the model.
    """
    dates = reader.dates
    sizes, trained = [ground_resolution(date.own_grid) for date in dates], facts.ground_resolution
    value = dict(metres=[None if size is None else float(f'{size:.4g}') for size in sizes],
                 trained=trained)
    if sizes[0] is None:
        return CheckFinding.of('pixel_size', 'ok', value, tell('size_unknown') + (
            Told() if trained is None else tell('size_of_training', trained=trained)))
    told = joined(tell('size', size=size) for size in sizes if size is not None)
    worries = []
    if trained is None:
        told += tell('size_training_unknown')
    else:
        told += tell('size_trained', trained=trained)
        if not 1 / SIZE <= sizes[0] / trained <= SIZE:
            worries.append(_resized(dates[0], sizes[0], trained))
    if len(dates) > 1 and sizes[1] is not None and sizes[1] / sizes[0] > DETAIL:
        worries.append(tell('size_detail', times=sizes[1] / sizes[0], size=sizes[1]))
    return CheckFinding.of('pixel_size', 'warn' if worries else 'ok', value,
                           joined([told, *worries], 'also'))


def ground_resolution(grid: SceneGrid) -> float | None:
    """Return the side of a pixel on the ground in metres, at the centre; None where unknown.

    It is measured on the ellipsoid, whatever the projection: Web Mercator, for instance, calls a
    pixel at 60 degrees north twice as wide as it is.
    """
    if grid.crs is None or grid.transform is None:
        return None
    rasterio = require('rasterio', 'the pixel size of a scene')
    affine = rasterio.Affine(*grid.transform)
    column, row = grid.width / 2, grid.height / 2
    corners = [affine * place for place in ((column, row), (column + 1, row), (column, row + 1))]
    degrees = degrees_of(grid.crs, *zip(*corners, strict=True))
    if degrees is None:
        return None
    longitudes, latitudes = degrees
    latitude = math.radians(latitudes[0])
    bent = 1 - _FLAT * math.sin(latitude) ** 2
    east, north = _AXIS / bent**0.5 * math.cos(latitude), _AXIS * (1 - _FLAT) / bent**1.5
    (right, up), (beside, below) = (
        (math.radians(longitudes[i] - longitudes[0]), math.radians(latitudes[i] - latitudes[0]))
        for i in (1, 2))
    return math.sqrt(abs(right * below - up * beside) * east * north) or None


def _resized(date: DateImage, size: float, trained: float) -> Told:
    """Return how things of a date differ in size from those of the training, and the remedy."""
    name, times = ('larger', trained / size) if trained > size else ('smaller', size / trained)
    return tell(f'size_{name}', times=times, remedy=_resampling(date, size, trained))


def _resampling(date: DateImage, size: float, trained: float) -> Told:
    """Return the command that brings a date to the pixel size of the training images."""
    path = Path(date.name)
    if not path.is_file():
        return tell('size_tiles', trained=trained)
    how = 'average' if trained > size else 'cubic'
    code, unit = _metric_system(date.own_grid)
    system = '' if code is None else f' --dst-crs {code}'
    files = ' '.join(map(shlex.quote, (str(path), f'{path.stem}_{trained:g}m.tif')))
    return tell('size_command', command=f'rio warp {files}{system} --res {trained / unit:.10g} '
                f'--resampling {how}')


def _metric_system(grid: SceneGrid) -> tuple[str | None, float]:
    """Return a system whose metres are true there, None for the grid's own, and its unit."""
    crs, affine = _system(grid), require('rasterio', 'the pixel size').Affine(*grid.transform)
    if crs.is_projected:
        unit = float(crs.linear_units_factor[1])
        if abs(ground_resolution(grid) / (abs(affine.determinant)**0.5 * unit) - 1) < _TRUE:
            return None, unit
    warp = require('rasterio.warp', 'the pixel size of a scene')
    x, y = affine * (grid.width / 2, grid.height / 2)
    (longitude,), (latitude,) = warp.transform(grid.crs, 'EPSG:4326', [x], [y])
    zone = min(60, int((longitude + 180) // 6) + 1)
    return f'EPSG:{(32600 if latitude >= 0 else 32700) + zone}', 1.0


def grid_of_resolution(grid: SceneGrid, metres: float) -> SceneGrid:
    """Return the grid of square pixels of a size that covers another one.

    It keeps the coordinate system where that has true metres, and is one of UTM otherwise.

    Args:
        grid: A grid with a coordinate system.
        metres: Side of a pixel on the ground.
    """
    rasterio = require('rasterio', 'the pixel size of a scene')
    code, unit = _metric_system(grid)
    affine = rasterio.Affine(*grid.transform)
    if code is None:
        across, down = (metres / unit / math.hypot(*side) for side in
                        ((affine.a, affine.d), (affine.b, affine.e)))
        if all(abs(step - 1) < _SAME for step in (across, down)):
            return grid
        return SceneGrid(math.ceil(grid.width / across - _SAME),
                         math.ceil(grid.height / down - _SAME), grid.crs,
                         tuple(affine * affine.scale(across, down))[:6])
    bounds = rasterio.transform.array_bounds(grid.height, grid.width, affine)
    warp = require('rasterio.warp', 'the pixel size of a scene')
    place, width, height = warp.calculate_default_transform(
        grid.crs, code, grid.width, grid.height, *bounds, resolution=metres)
    crs = rasterio.crs.CRS.from_user_input(code).to_wkt()
    return SceneGrid(width, height, crs, tuple(place)[:6])


def _system(grid: SceneGrid) -> Any:
    return require('rasterio', 'comparing the grids of two dates').crs.CRS.from_wkt(grid.crs)
