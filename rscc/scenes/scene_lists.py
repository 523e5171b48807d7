"""Lists of scenes: CSV, GeoParquet or Parquet, and STAC items.

A table has the columns ``name``, ``from`` and ``to``. STAC items carry both dates as assets named
``from`` and ``to``; else those of one place are one scene, by the earliest and the latest date.
"""
import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rscc.scenes.preparation import ScenePair
from rscc.utils import did_you_mean, read_json, require
from rscc.utils.files import read_text
from rscc.visualization.picture_files import safe_name

COLUMNS = ('name', 'from', 'to')
#: Properties of a STAC item that name the place it shows, most common first; several of one entry
#: name it together.
PLACES = (('grid:code',), ('s2:mgrs_tile',), ('mgrs:utm_zone', 'mgrs:latitude_band',
                                              'mgrs:grid_square'),
          ('landsat:wrs_path', 'landsat:wrs_row'))
#: Times of a STAC item: that of a composite is the beginning of its interval.
_TIMES = ('datetime', 'start_datetime')


def read_scenes(path: str | Path, asset: str = 'visual') -> list[ScenePair]:
    """Read a list of scenes.

    Args:
        path: A file ending in ``.csv``, ``.parquet`` or ``.json`` (``.geojson``), or a folder of
            STAC items. Relative paths in it count from its folder, those of an item from the item.
        asset: Asset of STAC items without assets ``from`` and ``to``.

    Returns:
        The scenes in the order of the list; those of STAC places by name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such list; the message names file and line, or item.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no list of scenes at '{path}'")
    if path.is_dir() or path.suffix.lower() in ('.json', '.geojson'):
        scenes = _of_items(path, asset)
    elif path.suffix.lower() in ('.parquet', '.geoparquet', '.pq'):
        scenes = _of_rows(path, *_parquet(path))
    elif path.suffix.lower() == '.csv':
        scenes = _of_rows(path, *_csv(path))
    else:
        raise ValueError(f"'{path}' ends in '{path.suffix}': a list of scenes is a .csv, .parquet "
                         'or .json file, or a folder of STAC items')
    if not scenes:
        raise ValueError(f"'{path}' lists no scene")
    return scenes


@dataclass(frozen=True)
class _Row:
    """A row of a table and where it stands, for messages."""
    place: str
    values: Mapping[str, Any]


def _csv(path: Path) -> tuple[list[str], list[_Row]]:
    reader = csv.reader(io.StringIO(read_text(path, 'list of scenes'), newline=''), strict=True)
    try:
        header, rows = [name.strip() for name in next(reader, [])], []
        for cells in reader:
            place = f'line {reader.line_num}'
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise ValueError(f"'{path}', {place}: {len(cells)} cells under {len(header)} "
                                 'columns. A path with a comma needs double quotes around it')
            rows.append(_Row(place, dict(zip(header, map(str.strip, cells), strict=True))))
    except csv.Error as error:
        raise ValueError(f"'{path}', line {reader.line_num}: {error}") from error
    return header, rows


def _parquet(path: Path) -> tuple[list[str], list[_Row]]:
    parquet = require('pyarrow.parquet', f"reading '{path}'")
    arrow = require('pyarrow', f"reading '{path}'")
    try:
        file = parquet.ParquetFile(path)
        names = file.schema_arrow.names
        table = file.read([name for name in names if name in COLUMNS]).to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise ValueError(f"'{path}' cannot be read as Parquet: {error}") from error
    return names, [_Row(f'row {number}', row) for number, row in enumerate(table, 1)]


def _of_rows(path: Path, header: list[str], rows: list[_Row]) -> list[ScenePair]:
    """Make scenes of the rows of a table."""
    _check_columns(path, header)
    scenes, seen = [], {}
    for row in rows:
        scene = _of_row(path, row)
        if scene.name in seen:
            raise ValueError(f"'{path}', {row.place}: the name '{row.values['name']}' is that of "
                             f'{seen[scene.name]}; every scene needs its own')
        seen[scene.name] = row.place
        scenes.append(scene)
    return scenes


def _check_columns(path: Path, header: list[str]) -> None:
    """Refuse a table without a column, or with one twice; name a mistyped one."""
    missing = [name for name in COLUMNS if name not in header]
    mistyped = [f" '{name}':{hint}" for name in header
                if name not in COLUMNS and (hint := did_you_mean(name, missing))]
    # Models of single images need no later date.
    if mistyped or set(missing) - {'to'}:
        raise ValueError(f"'{path}' has no column '{missing[0]}': it needs the columns "
                         f"{', '.join(COLUMNS)}, named in the first line; found {header[:10]}."
                         f"{''.join(mistyped)}")
    twice = [name for name in COLUMNS if header.count(name) > 1]
    if twice:
        raise ValueError(f"'{path}' has several columns '{twice[0]}'")


def _of_row(path: Path, row: _Row) -> ScenePair:
    cells = {}
    for name in COLUMNS:
        value = row.values.get(name)
        if value is None or value == '':
            if name != 'to':
                raise ValueError(f"'{path}', {row.place}: '{name}' is empty")
            continue
        if not isinstance(value, str):
            raise ValueError(f"'{path}', {row.place}: '{name}' is {value!r}; text was expected")
        cells[name] = value
    dates = [_below(path.parent, cells[name]) for name in ('from', 'to') if name in cells]
    return ScenePair(safe_name(cells['name']), *dates)


def _below(folder: Path, given: str) -> str:
    """Return a path that counts from a folder; remote and absolute ones stay as they are."""
    if '://' in given or given.startswith('/vsi'):
        return given
    return str(folder / given)


@dataclass(frozen=True)
class _Item:
    """A STAC item and the file that it stands in."""
    file: Path
    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"'{self.file}', item '{self.content.get('id', '(without id)')}'"

    @property
    def assets(self) -> Mapping[str, Any]:
        """Its assets by key."""
        return self.content.get('assets') or {}

    @property
    def properties(self) -> Mapping[str, Any]:
        """Its properties."""
        return self.content.get('properties') or {}

    def href(self, asset: str) -> str:
        """Return the path of an asset.

        Raises:
            ValueError: If there is none.
        """
        if asset not in self.assets:
            keys = ', '.join(list(self.assets)[:12]) or 'none'
            raise ValueError(f"{self.name} has no asset '{asset}'; it has: {keys}."
                             f'{did_you_mean(asset, self.assets)} --asset names another one')
        entry = self.assets[asset]
        href = entry.get('href') if isinstance(entry, Mapping) else None
        if not isinstance(href, str) or not href:
            raise ValueError(f"{self.name}: the asset '{asset}' has no href")
        return _below(self.file.parent, href)

    def place(self) -> str:
        """Return the name of the place that it shows.

        Raises:
            ValueError: If no property tells.
        """
        for keys in PLACES:
            values = [self.properties.get(key) for key in keys]
            if all(value is not None for value in values):
                return '_'.join(map(str, values))
        raise ValueError(f"{self.name} has no assets 'from' and 'to', and none of its properties "
                         f"names its place: {', '.join(' + '.join(keys) for keys in PLACES)}")

    def time(self) -> datetime:
        """Return when it was taken.

        Raises:
            ValueError: If that is missing or no time.
        """
        text = next((self.properties[key] for key in _TIMES if self.properties.get(key)), None)
        try:
            time = datetime.fromisoformat(text)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.name}: its datetime is {text!r}; a time such as "
                             "'2024-05-31T10:30:00Z' was expected") from error
        return time if time.tzinfo else time.replace(tzinfo=UTC)


def _of_items(path: Path, asset: str) -> list[ScenePair]:
    """Make scenes of STAC items."""
    scenes: dict[str, ScenePair] = {}
    alone: dict[str, list[_Item]] = {}
    for item in _items(path):
        if {'from', 'to'} <= set(item.assets):
            name = item.content.get('id')
            if not isinstance(name, str) or not name:
                raise ValueError(f'{item.name}: the id of an item is text that is not empty')
            _add(scenes, ScenePair(safe_name(name), item.href('from'), item.href('to')), item.name)
        else:
            alone.setdefault(item.place(), []).append(item)
    for place in sorted(alone):
        items = sorted(alone[place], key=_Item.time)
        first, last = items[0], items[-1]
        if first.time() == last.time():
            raise ValueError(f'{first.name}: there is no other date of the place {place} in '
                             f"'{path}'; a pair needs two")
        _add(scenes, ScenePair(safe_name(place), first.href(asset), last.href(asset)), first.name)
    return list(scenes.values())


def _add(scenes: dict[str, ScenePair], scene: ScenePair, where: str) -> None:
    if scene.name in scenes:
        raise ValueError(f"{where}: several scenes are called '{scene.name}'; every scene needs "
                         'its own name')
    scenes[scene.name] = scene


def _items(path: Path) -> Iterable[_Item]:
    """Yield the items of a file, or of the files of a folder and of those below it."""
    files = sorted(path.rglob('*.json')) if path.is_dir() else [path]
    for file in files:
        content = read_json(file)
        kind = content.get('type') if isinstance(content, dict) else None
        if kind == 'FeatureCollection':
            features = content.get('features')
        elif kind == 'Feature':
            features = [content]
        elif path.is_dir():
            continue  # catalogs and collections lie beside items
        else:
            raise ValueError(f"'{file}' is no STAC item or collection of items: its type is "
                             f"{kind!r}; 'Feature' or 'FeatureCollection' was expected")
        if not isinstance(features, list) or not all(isinstance(one, dict) for one in features):
            raise ValueError(f"'{file}': 'features' is no list of items")
        yield from (_Item(file, one) for one in features)
