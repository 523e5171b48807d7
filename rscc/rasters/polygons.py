"""Polygons of vector files on the pixels of images: reading, checking and drawing them.

Polygons come in any vector file that GDAL reads and in any coordinate system. They become pixels
only where a window is drawn, so that an image of any size is labelled in little memory.
"""
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rscc.utils import did_you_mean, require

if TYPE_CHECKING:
    from affine import Affine
    from geopandas import GeoDataFrame
    from shapely import Polygon

Box = tuple[int, int, int, int]
_FLAT = ('Polygon', 'MultiPolygon', 'GeometryCollection')
#: Files that name a coordinate system even where nobody gave them one: degrees.
_ALWAYS_PLACED = ('.geojson', '.json')


class Polygons:
    """The polygons of one vector file, in the coordinate system of an image.

    Polygons that cross themselves are mended, and multipolygons are taken apart.

    Args:
        path: A file with one layer of geometries (GeoPackage, GeoJSON, Shapefile, ...).
        crs: Coordinate system of the image, as WKT, code or object; None for an image without a
            place, on which coordinates are pixels, x to the right and y down.
        columns: Columns that are kept and, for messages, the option that named each of them.
        may_be_empty: Take a file without any polygon for "there is nothing".

    Attributes:
        path: As given.
        system: Coordinate system of the image, as given.
        table: Polygons with their columns, in the image's system.
        counts: What was found, parts of multipolygons one by one: ``invalid`` (and mended),
            ``without geometry``, ``no polygon`` (points, lines), ``outside`` of the image.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, holds no polygon, lacks a column, or nothing tells where
            its polygons lie in the image; the message says what to do.
    """

    def __init__(self, path: str | Path, crs: Any = None, columns: Mapping[str, str] | None = None,
                 may_be_empty: bool = False) -> None:
        self.path, self.counts, self.system = str(path), Counter(), crs
        table = self._columns(_read(self.path), columns or {})
        missing = table.geometry.isna() | table.geometry.is_empty
        flat = ~missing & table.geometry.geom_type.isin(_FLAT)
        self.counts['without geometry'] += int(missing.sum())
        self.counts['no polygon'] += int((~missing & ~flat).sum())
        if not flat.any() and not (may_be_empty and not len(table)):
            raise ValueError(
                f"'{path}' holds no polygon ({len(table)} rows: {int(missing.sum())} without "
                f'geometry, {int((~missing & ~flat).sum())} points or lines), and polygons were '
                'expected: give the file of the outlines, or draw them first')
        self.table = self._placed(self._mended(table[flat].copy()))
        self._bounds = self.table.total_bounds

    def _columns(self, table: 'GeoDataFrame', columns: Mapping[str, str]) -> 'GeoDataFrame':
        """Return the geometries and the columns that are asked for."""
        has = [str(name) for name in table.columns if name != table.geometry.name]
        for name, option in columns.items():
            if name not in has:
                raise ValueError(f"'{self.path}' has no column '{name}' ({option}); it has "
                                 f'{", ".join(has) or "none"}.{did_you_mean(name, has)}')
        geopandas = require('geopandas', f"reading the polygons of '{self.path}'")
        return geopandas.GeoDataFrame({name: table[name] for name in columns},
                                      geometry=table.geometry.values, crs=table.crs)

    def _mended(self, table: 'GeoDataFrame') -> 'GeoDataFrame':
        """Make polygons that cross themselves valid, and take multipolygons apart."""
        invalid = ~table.geometry.is_valid
        self.counts['invalid'] += int(invalid.sum())
        table.loc[invalid, 'geometry'] = table.geometry[invalid].make_valid()
        # Twice: what was mended may be a collection of multipolygons, and lines, which go.
        table = table.explode(ignore_index=True).explode(ignore_index=True)
        return table[table.geometry.geom_type == 'Polygon']

    def _placed(self, table: 'GeoDataFrame') -> 'GeoDataFrame':
        """Bring polygons into the system of the image."""
        if self.system is None:
            if table.crs is not None and not self._may_be_pixels(table):
                raise ValueError(
                    f"the polygons of '{self.path}' are in {crs_name(table.crs)}, and the image "
                    'has no place on the map to lay them over. Take an image that has one '
                    '(gdal_translate -a_srs EPSG:... -a_ullr LEFT TOP RIGHT BOTTOM), or polygons '
                    'in pixels')
            return table.set_crs(None, allow_override=True)
        if table.crs is None:
            raise ValueError(
                f"the polygons of '{self.path}' name no coordinate system, so nothing tells where "
                f'they lie; the image is in {crs_name(self.system)}. Give them theirs: ogr2ogr '
                f"-a_srs EPSG:... placed.gpkg '{self.path}'")
        try:
            return table.to_crs(self.system)
        except Exception as error:  # pyproj raises many kinds
            raise ValueError(
                f"the polygons of '{self.path}' are in {crs_name(table.crs)}, which cannot be "
                f'brought to {crs_name(self.system)}, that of the image: {error}. Save them in '
                'that system') from error

    def _may_be_pixels(self, table: 'GeoDataFrame') -> bool:
        """Whether the system is only the one that every GeoJSON file is said to have."""
        return Path(self.path).suffix.lower() in _ALWAYS_PLACED and table.crs.to_epsg() == 4326

    def keep_inside(self, outline: 'Polygon') -> None:
        """Drop the polygons that do not touch an outline, and count them."""
        inside = self.table.intersects(outline)
        self.counts['outside'] += int((~inside).sum())
        self.table = self.table[inside]

    def __str__(self) -> str:
        """Say what was found and where it lies."""
        found = [f'{number} {kind}' for kind, number in sorted(self.counts.items()) if number]
        if not np.isnan(self._bounds).any():
            found.append(_extent(self._bounds))
        return f"'{self.path}' ({', '.join(found) or 'empty'})"


def need_inside(polygons: Sequence[Polygons], outline: 'Polygon', image: str) -> None:
    """Keep what lies inside an image, and refuse polygons of which none does.

    Args:
        polygons: Of files in the system of the image; those outside are dropped.
        outline: Of the image, see :func:`outline`.
        image: Its name and the like, for the message.

    Raises:
        ValueError: If no polygon of any file touches the outline.
    """
    for one in polygons:
        one.keep_inside(outline)
    if any(len(one.table) for one in polygons):
        return
    system = polygons[0].system
    unit = 'pixels' if system is None else crs_name(system)
    raise ValueError(
        f'no polygon lies inside {image}, {_extent(outline.bounds)} in {unit}: '
        f'{"; ".join(map(str, polygons))}. Are they of another place, or is a '
        'coordinate system a wrong one? Look at both in QGIS, or compare ogrinfo and gdalinfo')


class Drawing:
    """Polygons that are drawn onto windows of a grid; the later ones lie on top.

    A pixel belongs to a polygon that its centre lies in.

    Args:
        shapes: Polygons in the grid's coordinate system, (n,).
        values: What each is drawn as, uint8 (n,); None for 1.
    """

    def __init__(self, shapes: Sequence['Polygon'], values: np.ndarray | None = None) -> None:
        self.shapes = np.asarray(shapes, object)
        self.values = np.ones(len(self.shapes), np.uint8) if values is None else values
        self._tree = require('shapely', 'finding polygons').STRtree(self.shapes)
        self._rasterize = require('rasterio.features', 'drawing polygons').rasterize

    def draw(self, place: 'Affine', shape: tuple[int, int], all_touched: bool = False
             ) -> np.ndarray:
        """Return a window with its polygons, uint8 (h, w), 0 where there is none.

        Args:
            place: From columns and rows of the window to coordinates.
            shape: (h, w).
            all_touched: Draw every pixel that a polygon touches.
        """
        height, width = shape
        hits = np.sort(self._tree.query(outline(place, (0, 0, width, height))))
        if not len(hits):
            return np.zeros(shape, np.uint8)
        return self._rasterize(zip(self.shapes[hits], self.values[hits].tolist(), strict=True),
                               shape, transform=place, dtype='uint8', all_touched=all_touched)


def draw_file(path: str | Path, image: str | Path, shape: tuple[int, int]) -> np.ndarray:
    """Return the polygons of a file as a mask on the grid of an image: 1 inside, uint8 (H, W).

    A file without any row says that there is nothing.

    Args:
        path: GeoJSON, GeoPackage or Shapefile. Of another coordinate system than the image they
            are reprojected; coordinates are pixels where the image has no place on the map.
        image: The image file.
        shape: (H, W).

    Raises:
        FileNotFoundError: If there are no such polygons.
        ValueError: If they cannot be used, or none of them lies inside the image.
    """
    rasterio = require('rasterio', 'polygons of tiles')
    rasterio_errors = require('rasterio.errors', 'polygons of tiles')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', rasterio_errors.NotGeoreferencedWarning)
            with rasterio.open(image) as source:
                crs, place = source.crs, source.transform
    except rasterio_errors.RasterioIOError as error:
        raise ValueError(f"the place of '{image}' on the map cannot be read, so polygons cannot be "
                         f'laid over it: {error}') from error
    found = Polygons(path, crs.to_wkt() if crs else None, may_be_empty=True)
    place = place if crs else rasterio.Affine.identity()
    if not len(found.table):
        return np.zeros(shape, np.uint8)
    need_inside([found], outline(place, (0, 0, shape[1], shape[0])), f"'{image}'")
    return Drawing(found.table.geometry).draw(place, shape)


def window_place(transform: Sequence[float], box: Box, shape: tuple[int, int] | None = None
                 ) -> 'Affine':
    """Return the transform of a window of a grid, from its columns and rows to coordinates.

    Args:
        transform: Of the grid, (a, b, c, d, e, f).
        box: Left, top, right, bottom of the window in pixels of the grid.
        shape: (h, w) at which the window is read; None for its own.
    """
    affine = require('affine', 'polygons on images').Affine
    left, top, right, bottom = box
    place = affine(*transform) * affine.translation(left, top)
    if shape is None:
        return place
    return place * affine.scale((right - left) / shape[1], (bottom - top) / shape[0])


def outline(transform: Sequence[float], box: Box) -> 'Polygon':
    """Return a window of a grid as a polygon.

    Args:
        transform: Of the grid, (a, b, c, d, e, f).
        box: Left, top, right, bottom in pixels.
    """
    left, top, right, bottom = box
    place = require('affine', 'polygons on images').Affine(*tuple(transform)[:6])
    return require('shapely', 'polygons on images').Polygon(
        [place * corner for corner in ((left, top), (right, top), (right, bottom), (left, bottom))])


def crs_name(crs: Any) -> str:
    """Return the name of a coordinate system for people: its code where it has one."""
    crs = require('pyproj', 'names of coordinate systems').CRS.from_user_input(crs)
    code = crs.to_epsg()
    return f'EPSG:{code}' if code else crs.name


def _extent(bounds: Sequence[float]) -> str:
    left, low, right, high = (f'{value:.7g}' for value in bounds)
    return f'x {left} to {right}, y {low} to {high}'


def _read(path: str) -> 'GeoDataFrame':
    """Read the one layer of a file that has geometries."""
    geopandas = require('geopandas', f"reading the polygons of '{path}'")
    if not Path(path).exists() and '://' not in path:
        raise FileNotFoundError(f"no polygons at '{path}'")
    try:
        layers = geopandas.list_layers(path)
        # Styles and other tables of a GeoPackage have no geometries.
        names = layers['name'][layers['geometry_type'].notna()].tolist()
        table = geopandas.read_file(path, layer=names[0]) if len(names) == 1 else None
    except Exception as error:  # pyogrio raises many kinds
        raise ValueError(f"'{path}' cannot be read as polygons: {error}. Expected a vector file "
                         'that GDAL reads: GeoPackage, GeoJSON, Shapefile') from error
    if table is None:
        raise ValueError(f"'{path}' has {len(names)} layers with geometries "
                         f'({", ".join(names[:9]) or "none"}), and one was expected: save the one '
                         'that is meant in a file of its own')
    return table
