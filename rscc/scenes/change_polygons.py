"""Change labels from polygons: what changed, or what exists at each of two dates.

Polygons come in any vector file that GDAL reads and in any coordinate system. They become classes
of pixels only where a window is labelled, so that a scene of any size is labelled in little memory.
"""
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rscc.rasters.labels import IGNORE
from rscc.rasters.polygons import Drawing, Polygons, need_inside, outline, window_place
from rscc.scenes.contracts import Box, SceneGrid
from rscc.synth.objects import CLASSES, PALETTE
from rscc.utils import did_you_mean
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

    @property
    def columns(self) -> dict[str, str]:
        """Columns that are read, and the option that names each."""
        named = {self.class_column: '--class-column', self.date_column: '--date-column'}
        return {column: option for column, option in named.items() if column is not None}


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
        # Where one date has nothing, an empty file says so.
        found = [Polygons(path, grid.crs, files.columns, may_be_empty=files.changes is None)
                 for path in files.paths]
        need_inside(found, outline(grid.transform, box),
                    'the part of the scene where both dates have pixels')
        for one in found:
            self.counts.update(one.counts)
        tables = [_described(one, files) for one in found]
        self.classes = ('unchanged', *self._classes(files, tables))
        self.palette = palette_of(self.classes)
        self._layers = self._layers_of(files, tables)

    def label(self, box: Box) -> np.ndarray:
        """Return the classes of the pixels of a rectangle, uint8 (h, w)."""
        left, top, right, bottom = box
        place = window_place(self.grid.transform, box)
        drawn = [layer.draw(place, (bottom - top, right - left)) for layer in self._layers]
        if len(drawn) == 1:
            return drawn[0]
        before, after = drawn
        label = np.where(before == after, 0, np.where(after > 0, after, before))
        label[(before == IGNORE) | (after == IGNORE)] = IGNORE
        return label.astype(np.uint8)

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

    def _layers_of(self, files: PolygonFiles, tables: Sequence['GeoDataFrame']) -> list[Drawing]:
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
        return [Drawing(table.geometry, np.array(
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


def _described(found: Polygons, files: PolygonFiles) -> 'GeoDataFrame':
    """Return the polygons of a file with their ``class`` and ``date``."""
    table = found.table
    meant = {'class': np.full(len(table), CHANGED, object) if files.class_column is None else
             np.array([_name(value) for value in table[files.class_column]], object)}
    if files.date_column is not None:
        meant['date'] = [_date(value, found.path) for value in table[files.date_column]]
    return table.assign(**meant)


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
