"""Sentences of a CSV file for tiles of a scene, as an annotation file in LEVIR-CC's layout.

A row has a sentence, its language, and the place that it speaks of: a geometry as WKT, a point x
and y, or the name of a tile.
"""
import csv
import io
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rscc.scenes.contracts import SceneGrid
from rscc.text import normalise, split_words
from rscc.text.caption_files import SENTENCE_KEYS, holds_word
from rscc.text.normalisation import NO_CHANGE_CAPTIONS, check_language
from rscc.utils import did_you_mean, require
from rscc.utils.files import read_text

ANNOTATIONS = 'LevirCCcaptions.json'
#: Columns that say where a sentence belongs, and other names that people give them.
_COLUMNS = {'geometry': ('geometry', 'wkt', 'geom'), 'x': ('x', 'lon', 'longitude'),
            'y': ('y', 'lat', 'latitude'), 'tile': ('tile', 'name', 'filename'),
            'language': ('language', 'lang'), 'sentence': ('sentence', 'caption', 'text')}
#: Share of a geometry that a tile has to hold for its sentence.
_SHARE = 0.5
_SHOWN = 10


@dataclass
class TileSentences:
    """Sentences by tile and language, and what could not be placed.

    Attributes:
        by_tile: Name of a tile -> language -> sentences in the order of the file.
        matched: Rows that found a tile.
        unmatched: Reason -> rows that found none.
        examples: The first of them, with their lines.
    """
    by_tile: dict[str, dict[str, list[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    matched: int = 0
    unmatched: Counter = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    @property
    def languages(self) -> list[str]:
        """Languages that occur, English first."""
        return sorted({name for found in self.by_tile.values() for name in found})

    def leave(self, reason: str, where: str) -> None:
        """Count a row that found no tile."""
        self.unmatched[reason] += 1
        if len(self.examples) < _SHOWN:
            self.examples.append(f'{where}: {reason}')


def read_sentences(path: str | Path, tiles: Mapping[str, Any], grid: SceneGrid,
                   crs: str | None = None) -> TileSentences:
    """Read a captions file and find the tile of every sentence.

    A point belongs to every tile that contains it, a geometry to every tile that holds at least
    half of it: half a house may be spoken of, a district may not.

    Args:
        path: CSV with a header, UTF-8. Without a column ``language`` sentences are English.
        tiles: Name -> outline (a shapely polygon in the scene's system) of every tile.
        grid: Of the scene.
        crs: System of geometries and points; None for that of the scene.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If columns are missing, the system is unknown, or no row is usable.
    """
    header, rows = _rows(Path(path))
    columns = _columns(header, path)
    find = _by_name(tiles) if 'tile' in columns else _by_place(tiles, columns, grid, crs)
    found = TileSentences()
    for line, row in rows:
        try:
            given = {name: row[place].strip() for name, place in columns.items()}
            language, sentence = _checked(given)
            names = find(given)
        except (ValueError, IndexError) as error:
            found.leave(str(error) if isinstance(error, ValueError) else 'too few cells',
                        f'line {line}')
            continue
        found.matched += 1
        for name in names:
            found.by_tile[name][language].append(sentence)
    if not found.matched:
        raise ValueError(f"no sentence of '{path}' belongs to a tile ({len(rows)} rows); "
                         f'{"; ".join(found.examples[:3])}')
    return found


def check_sentences(path: str | Path) -> None:
    """Refuse a captions file that is missing or lacks columns.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If columns are missing.
    """
    _columns(_rows(Path(path))[0], path)


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    reader = csv.reader(io.StringIO(read_text(path, 'captions file'), newline=''))
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        return header, [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise ValueError(f"'{path}' is no CSV, line {reader.line_num}: {error}") from error


def _columns(header: Sequence[str], path: str | Path) -> dict[str, int]:
    """Return the place of every column that is needed."""
    found = {name: header.index(alias) for name, aliases in _COLUMNS.items()
             for alias in reversed(aliases) if alias in header}
    if 'sentence' not in found or not (
            {'geometry'} & set(found) or {'x', 'y'} <= set(found) or 'tile' in found):
        raise ValueError(f"the captions file '{path}' has the columns "
                         f'{", ".join(header) or "none"}; expected sentence, language, and one of '
                         'geometry (WKT), x and y, or tile.'
                         f'{did_you_mean("sentence", header) if "sentence" not in found else ""}')
    # The most exact place counts.
    for better, worse in (('tile', ('geometry', 'x', 'y')), ('geometry', ('x', 'y'))):
        if better in found:
            found = {name: place for name, place in found.items() if name not in worse}
    return found


def _checked(given: Mapping[str, str]) -> tuple[str, str]:
    language = given.get('language', 'en').lower() or 'en'
    check_language(language)
    if not holds_word(normalise(given['sentence'], language)):
        raise ValueError('the sentence holds no word')
    return language, given['sentence']


def _by_name(tiles: Mapping[str, Any]) -> Callable[[Mapping[str, str]], list[str]]:
    def find(given: Mapping[str, str]) -> list[str]:
        name = Path(given['tile']).name
        stem = name if name in tiles else name.rsplit('.', 1)[0]
        if stem not in tiles:
            raise ValueError(f"no tile '{name}' in the dataset")
        return [stem]
    return find


def _by_place(tiles: Mapping[str, Any], columns: Mapping[str, int], grid: SceneGrid,
              crs: str | None) -> Callable[[Mapping[str, str]], list[str]]:
    """Return a function from a row to the tiles that it speaks of."""
    shapely = require('shapely', 'sentences with a place')
    names, outlines = list(tiles), list(tiles.values())
    tree, turn = shapely.STRtree(outlines), _turn(grid, crs)

    def find(given: Mapping[str, str]) -> list[str]:
        shape = _shape(shapely, given, columns)
        shape = shape if turn is None else shapely.transform(shape, turn)
        near = sorted(tree.query(shape, predicate='intersects').tolist())
        if not near:
            raise ValueError('no tile of the dataset lies there')
        if shape.area:
            near = [place for place in near
                    if shapely.intersection(outlines[place], shape).area >= _SHARE * shape.area]
        elif shape.length:
            near = [place for place in near if shapely.intersection(
                outlines[place], shape).length >= _SHARE * shape.length]
        if not near:
            raise ValueError('no tile holds half of its geometry')
        return [names[place] for place in near]
    return find


def _shape(shapely: Any, given: Mapping[str, str], columns: Mapping[str, int]) -> Any:
    if 'geometry' not in columns:
        try:
            return shapely.Point(float(given['x']), float(given['y']))
        except ValueError as error:
            raise ValueError('x or y is no number') from error
    try:
        shape = shapely.from_wkt(given['geometry'])
    except shapely.errors.GEOSException as error:
        raise ValueError('its geometry is no WKT') from error
    if shape is None or shape.is_empty:
        raise ValueError('its geometry is empty')
    return shapely.make_valid(shape)


def _turn(grid: SceneGrid, crs: str | None) -> Callable | None:
    """Return what brings coordinates (n, 2) into the system of the scene."""
    if crs is None:
        return None
    pyproj = require('pyproj', 'sentences in another coordinate system')
    try:
        change = pyproj.Transformer.from_crs(crs, grid.crs, always_xy=True)
    except pyproj.exceptions.ProjError as error:
        raise ValueError(f"the coordinate system '{crs}' of the captions is not known ({error}): "
                         "expected one like 'EPSG:4326'") from error

    def turn(places: Any) -> Any:
        places[:, 0], places[:, 1] = change.transform(places[:, 0], places[:, 1])
        return places
    return turn


def annotation_files(sentences: TileSentences, splits: Mapping[str, str],
                     changed: Mapping[str, bool], ending: str) -> dict[str, dict]:
    """Return annotation files in LEVIR-CC's layout.

    Unchanged tiles without a sentence get LEVIR-CC's five for such pairs; changed ones without a
    sentence are not listed. ``LevirCCcaptions.json`` can be read in every language that occurs;
    where tiles lack one of two, a file for each language lists all that there is.

    Args:
        sentences: By tile.
        splits: Name of a tile -> its split, of all tiles of the dataset.
        changed: Name of a tile -> whether it has a changed pixel.
        ending: Of the images' names.

    Returns:
        File name -> content.
    """
    languages = sentences.languages
    texts = {name: sentences.by_tile.get(name, {}) if changed[name] or name in sentences.by_tile
             else {language: NO_CHANGE_CAPTIONS[language] for language in languages}
             for name in splits}
    files = {ANNOTATIONS: languages}
    if any(found and set(found) < set(languages) for found in texts.values()):
        stem = ANNOTATIONS.removesuffix('.json')
        files |= {f'{stem}_{language}.json': [language] for language in languages}
    return {file: {'dataset': 'scene pairs', 'images': _images(wanted, texts, splits, changed,
                                                               ending)}
            for file, wanted in files.items()}


def _images(languages: Sequence[str], texts: Mapping[str, Mapping[str, list[str]]],
            splits: Mapping[str, str], changed: Mapping[str, bool], ending: str) -> list[dict]:
    """Return the entries of the tiles that have sentences in all of some languages."""
    images, sentid = [], itertools.count()
    listed = [name for name in splits if all(texts[name].get(language) for language in languages)]
    for imgid, name in enumerate(listed):
        count = max(len(texts[name][language]) for language in languages)
        found = []
        for number in range(count):
            entry: dict[str, Any] = {'imgid': imgid, 'sentid': next(sentid)}
            for language in languages:
                own = texts[name][language]  # the shorter list begins again
                raw, tokens = SENTENCE_KEYS[language]
                entry[raw] = own[number % len(own)]
                entry[tokens] = split_words(entry[raw], language)
            found.append(entry)
        images.append({'filepath': splits[name], 'filename': f'{name}{ending}', 'imgid': imgid,
                       'split': splits[name], 'changeflag': int(changed[name]),
                       'sentids': [entry['sentid'] for entry in found], 'sentences': found})
    return images


def vocabulary(annotations: Mapping[str, Any], language: str) -> list[str]:
    """Return the words of the training sentences, most frequent first, ties by alphabet."""
    counts = Counter(word for image in annotations['images'] if image['split'] == 'train'
                     for entry in image['sentences']
                     for word in entry.get(SENTENCE_KEYS[language][1], ()))
    return sorted(counts, key=lambda word: (-counts[word], word))
