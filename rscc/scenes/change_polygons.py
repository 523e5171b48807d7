"""Change labels from polygons: what changed, or what exists at each of two dates.

Polygons come in any vector file that GDAL reads and in any coordinate system. They become classes
of pixels only where a window is labelled, so that a scene of any size is labelled in little memory.
"""
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rscc.rasters.labels import IGNORE
from rscc.scenes.contracts import Box, SceneGrid
from rscc.scenes.ground import system_name
from rscc.synth.objects import CLASSES, PALETTE
from rscc.utils import did_you_mean, require
from rscc.visualization.overlays import class_palette

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

#: Class of polygons where no column names any, and values that mean both dates or one of them.
CHANGED = 'changed'
DATES = {'from': 'from', 'before': 'from', 'earlier': 'from', 'a': 'from',
         'to': 'to', 'after': 'to', 'later': 'to', 'b': 'to', 'both': 'both'}
#: Label values that are no class: 254 may mean "none of the labelled classes", 255 is ignored.
_MOST_CLASSES = 253


@dataclass(frozen=True)
class PolygonFiles:
    """Files of polygons, and the meaning of their columns.

    Attributes:
        changes: File of what changed or, with ``date_column``, of what exists at which date.
        img_from, img_to: Two files in place of it: what exists at the earlier and the later date.
        class_column: Column with the class; None makes all polygons one class.
        classes: Names of the classes in the order of their numbers, from 1; None takes those that
            are found, by alphabet. Polygons of other classes are left out.
        date_column: Column that says ``from``, ``to`` or ``both``.
    """
    changes: str | None = None
    img_from: str | None = None
    img_to: str | None = None
    class_column: str | None = None
    classes: Sequence[str] | None = None
    date_column: str | None = None

    def __post_init__(self) -> None:
        if (self.changes is None) == (self.img_from is None and self.img_to is None) or (
                self.img_from is None) != (self.img_to is None):
            raise ValueError('expected the polygons of what changed (--polygons), or those of what '
                             'exists at both dates (--polygons-from and --polygons-to)')
        if self.date_column is not None and self.changes is None:
            raise ValueError('--date-column belongs to one file for both dates (--polygons)')

    @property
    def paths(self) -> list[str]:
        """The files that are given."""
        return [path for path in (self.changes, self.img_from, self.img_to) if path is not None]


@dataclass
class _Layer:
    """Polygons of one date, or of what changed, in the order in which they are drawn."""
    shapes: np.ndarray
    values: np.ndarray
    tree: Any = field(init=False)

    def __post_init__(self) -> None:
        self.tree = require('shapely', 'finding polygons').STRtree(self.shapes)


class ChangePolygons:
    """Labels of the pixels of a scene; a pixel belongs to a polygon that its centre lies in.

    Where polygons of one date overlap, the later one in the file is on top. Of what exists at two
    dates, pixels of the same class (or none) at both are unchanged; others get the class of the
    later date or, where nothing is there any more, that of the earlier one.

    Args:
        files: The polygons.
        grid: Of the scene, with a coordinate system.
        box: Part of it that both dates cover.

    Attributes:
        classes: Names by number, ``'unchanged'`` first.
        palette: RGB of each.
        counts: What was found in the files, parts of multipolygons one by one: ``used``,
            ``invalid`` (and mended), ``outside`` of the scene, ``without geometry``, ``no polygon``
            (points, lines), ``without class`` (their pixels are ignored), ``of other classes``.
        remarks: What was done, in sentences.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a file or column cannot be used, or no polygon lies in the scene.
    """

    def __init__(self, files: PolygonFiles, grid: SceneGrid, box: Box) -> None:
        self.grid, self.counts, self.remarks = grid, Counter(), []
        self._affine = require('affine', 'labels from polygons').Affine
        self._features = require('rasterio.features', 'labels from polygons')
        tables = [_read(path, grid, files, self.counts) for path in files.paths]
        tables = [self._inside(table, box) for table in tables]
        if not sum(map(len, tables)):
            given = ' and '.join(map(repr, files.paths))
            raise ValueError(f'no polygon of {given} lies where both dates of the scene have '
                             f'pixels ({system_name(grid)}): '
                             f'{self._found()}. Are they of another place, or is their coordinate '
                             'system a wrong one?')
        self.classes = ('unchanged', *self._classes(files, tables))
        self.palette = palette_of(self.classes)
        self._layers = self._layers_of(files, tables)

    def label(self, box: Box) -> np.ndarray:
        """Return the classes of the pixels of a rectangle, uint8 (h, w)."""
        if len(self._layers) == 1:
            return self._drawn(self._layers[0], box)
        before, after = (self._drawn(layer, box) for layer in self._layers)
        label = np.where(before == after, 0, np.where(after > 0, after, before))
        label[(before == IGNORE) | (after == IGNORE)] = IGNORE
        return label.astype(np.uint8)

    def _drawn(self, layer: _Layer, box: Box) -> np.ndarray:
        left, top, right, bottom = box
        shapely = require('shapely', 'labels from polygons')
        place = self._affine(*self.grid.transform) * self._affine.translation(left, top)
        hits = np.sort(layer.tree.query(shapely.Polygon(_corners(place, right - left,
                                                                 bottom - top))))
        if not len(hits):
            return np.zeros((bottom - top, right - left), np.uint8)
        return self._features.rasterize(
            zip(layer.shapes[hits], layer.values[hits].tolist(), strict=True),
            (bottom - top, right - left), transform=place, dtype='uint8')

    def _inside(self, table: 'GeoDataFrame', box: Box) -> 'GeoDataFrame':
        left, top, right, bottom = box
        shapely = require('shapely', 'labels from polygons')
        place = self._affine(*self.grid.transform) * self._affine.translation(left, top)
        inside = table.intersects(shapely.Polygon(_corners(place, right - left, bottom - top)))
        self.counts['outside'] += int((~inside).sum())
        return table[inside]

    def _found(self) -> str:
        return ', '.join(f'{number} {kind}' for kind, number in sorted(self.counts.items())
                         if number)

    def _classes(self, files: PolygonFiles, tables: Sequence['GeoDataFrame']) -> list[str]:
        """Return the names of the classes that are labelled."""
        found = sorted({name for table in tables for name in table['class'] if name})
        if files.classes is None:
            classes = found
        else:
            classes = list(files.classes)
            lacking = [name for name in classes if name not in found]
            if len(lacking) == len(classes):
                raise ValueError(f"none of the classes {', '.join(classes)} is in the column "
                                 f"'{files.class_column}', which has {', '.join(found[:12])}."
                                 f'{did_you_mean(classes[0], found)}')
            for name in lacking:
                self.remarks.append(f"no polygon in the scene is of the class '{name}'."
                                    f'{did_you_mean(name, set(found) - set(classes))}')
        if not classes:
            raise ValueError(f"no polygon in the scene has a class in '{files.class_column}'")
        if len(classes) > _MOST_CLASSES:
            raise ValueError(f"the column '{files.class_column}' has {len(classes)} different "
                             f'values, and labels hold {_MOST_CLASSES} classes at most: is it a '
                             'column of classes? Name those wanted with --classes')
        return classes

    def _layers_of(self, files: PolygonFiles, tables: Sequence['GeoDataFrame']) -> list[_Layer]:
        numbers = {name: number for number, name in enumerate(self.classes)} | {'': IGNORE}
        kept = []
        for table in tables:
            known = table['class'].isin(list(numbers))
            self.counts['of other classes'] += int((~known).sum())
            self.counts['without class'] += int((table['class'] == '').sum())
            kept.append(table[known])
        self.counts['used'] = sum(map(len, kept))
        if files.date_column is not None:
            table = kept[0]
            kept = [table[table['date'].isin((date, 'both'))] for date in ('from', 'to')]
        return [_Layer(table.geometry.to_numpy(), np.array(
            [numbers[name] for name in table['class']], np.uint8)) for table in kept]


def palette_of(classes: Sequence[str]) -> list[list[int]]:
    """Return a colour for every class: those of the built-in dataset for its classes."""
    if tuple(classes) == ('unchanged', CHANGED):
        return [[0, 0, 0], [255, 255, 255]]
    known = dict(zip(CLASSES, map(tuple, PALETTE), strict=True))
    taken = {known[name] for name in classes if name in known}
    others = (colour for colour in class_palette(len(classes) + len(known) + 1)[1:]
              if colour not in taken)
    return [list(known.get(name) or next(others)) for name in classes]


def _corners(place: Any, width: int, height: int) -> list[tuple[float, float]]:
    return [place * corner for corner in ((0, 0), (width, 0), (width, height), (0, height))]


def _read(path: str, grid: SceneGrid, files: PolygonFiles, counts: Counter) -> 'GeoDataFrame':
    """Return the polygons of a file in the scene's system, with ``class`` and ``date``."""
    table = _table(path)
    columns = [str(name) for name in table.columns if name != table.geometry.name]
    for flag, column in (('--class-column', files.class_column),
                         ('--date-column', files.date_column)):
        if column is not None and column not in columns:
            raise ValueError(f"'{path}' has no column '{column}' ({flag}); it has "
                             f'{", ".join(columns) or "none"}.{did_you_mean(column, columns)}')
    missing = table.geometry.isna() | table.geometry.is_empty
    flat = table.geometry.geom_type.isin(('Polygon', 'MultiPolygon', 'GeometryCollection'))
    counts['without geometry'] += int(missing.sum())
    counts['no polygon'] += int((~missing & ~flat).sum())
    if not len(table[~missing & flat]) and files.changes is not None:
        raise ValueError(f"'{path}' holds no polygon ({len(table)} rows: {int(missing.sum())} "
                         f'without geometry, {int((~missing & ~flat).sum())} points or lines)')
    table = table[~missing & flat]
    names = ([CHANGED] * len(table) if files.class_column is None
             else [_name(value) for value in table[files.class_column]])
    made = require('geopandas', 'labels from polygons').GeoDataFrame(
        {'class': np.array(names, object)}, geometry=table.geometry.values, crs=table.crs)
    if files.date_column is not None:
        made['date'] = [_date(value, path) for value in table[files.date_column]]
    return _mended(made, counts).to_crs(grid.crs)


def _table(path: str) -> 'GeoDataFrame':
    """Read the one layer of a file that has geometries and a place."""
    geopandas = require('geopandas', f"reading the polygons of '{path}'")
    if not Path(path).exists() and '://' not in str(path):
        raise FileNotFoundError(f"no polygons at '{path}'")
    try:
        layers = geopandas.list_layers(path)
        # Styles and other tables of a GeoPackage have no geometries.
        names = layers['name'][layers['geometry_type'].notna()].tolist()
        table = geopandas.read_file(path, layer=names[0]) if len(names) == 1 else None
    except Exception as error:  # pyogrio raises many kinds
        raise ValueError(f"'{path}' cannot be read as polygons: {error}") from error
    if table is None:
        raise ValueError(f"'{path}' has {len(names)} layers with geometries "
                         f'({", ".join(names[:9]) or "none"}), and one was expected: save the one '
                         'that is meant in a file of its own')
    if table.crs is None:
        raise ValueError(f"the polygons of '{path}' name no coordinate system, so nothing tells "
                         'where they lie. Give them one: ogr2ogr -a_srs EPSG:... placed.gpkg '
                         f"'{path}'")
    return table


def _mended(table: 'GeoDataFrame', counts: Counter) -> 'GeoDataFrame':
    """Make polygons that cross themselves valid, and take multipolygons apart."""
    invalid = ~table.geometry.is_valid
    counts['invalid'] += int(invalid.sum())
    table.loc[invalid, 'geometry'] = table.geometry[invalid].make_valid()
    # Twice: what was mended may be a collection of multipolygons, and lines, which go.
    table = table.explode(ignore_index=True).explode(ignore_index=True)
    return table[table.geometry.geom_type == 'Polygon']


def _name(value: Any) -> str:
    """Return a value of a class column as a name; an empty one where there is none."""
    if value is None or value != value:
        return ''
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _date(value: Any, path: str) -> str:
    text = str(value).strip().lower()
    if text not in DATES:
        raise ValueError(f"the date column of '{path}' holds '{value}'; 'from', 'to' or 'both' was "
                         f'expected for what exists at the earlier, the later or both dates.'
                         f'{did_you_mean(text, DATES)}')
    return DATES[text]
