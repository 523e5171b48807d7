"""Training data of a scene: tiles of two dates with change labels, split by place.

Every tile is read twice: a survey finds what has no data and how much changed, which settles the
split, then the tiles are written. Memory holds a few tiles, whatever the size of the scene. Files
appear whole or not at all and the report last, so that a run that was ended is simply repeated.
"""
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from rscc.rasters.labels import CLASSES_FILE, IGNORE, write_classes
from rscc.rasters.tiles import KINDS, write_png, write_tiff
from rscc.scenes.ground import system_name
from rscc.scenes.pair_scene import PairDatasetOptions, PairScene
from rscc.scenes.sources import reduced_shape
from rscc.scenes.spatial_split import BUFFER, SPLITS, block_side, split_tiles
from rscc.scenes.tile_sentences import (
    ANNOTATIONS,
    annotation_files,
    check_sentences,
    read_sentences,
    vocabulary,
)
from rscc.utils import progress, read_json, write_json
from rscc.utils.files import atomic_write
from rscc.utils.forms import check_form
from rscc.utils.paths import PathList, write_path_list
from rscc.visualization.overlays import tint_palette

REPORT, PARAMETERS, SHEET = 'report.json', 'scene_pairs.json', 'contact_sheet.jpg'
_SURVEY = '.survey'
_FORMAT = 'rscc scene pairs 1'
#: Options that change nothing about what a tile holds.
_AFTERWARDS = ('min_valid', 'shares', 'block', 'gap', 'seed', 'captions', 'captions_crs',
               'keep_geo')
#: A row of tiles in the survey: pixels of every class and of ignored ones, damaged places.
_ROW = {'values': [[int]], 'damaged': [str]}
#: Colours of train, val and test on the map of the contact sheet.
_SPLIT_COLOURS = ((60, 120, 220), (245, 200, 60), (230, 60, 50))
_CELL, _GAP, _LINE = 176, 6, 22


@dataclass
class Survey:
    """Survey of all tiles before any is written.

    Attributes:
        values: Pixels of every class and, last, of ignored ones, (R, C, classes + 1).
        damaged: Places that could not be read.
    """
    values: np.ndarray
    damaged: list[str]

    @property
    def labelled(self) -> np.ndarray:
        """Share of pixels with data and a label, (R, C)."""
        return self.values[..., :-1].sum(-1) / self.values.sum(-1)

    @property
    def changed(self) -> np.ndarray:
        """Share of changed pixels among those, (R, C)."""
        known = self.values[..., :-1].sum(-1)
        return self.values[..., 1:-1].sum(-1) / np.maximum(known, 1)


def make_pair_dataset(options: PairDatasetOptions, out: str | Path, jobs: int = 2,
                      say: Callable[[str], object] = lambda text: None) -> dict[str, Any]:
    """Make the dataset, or finish making it.

    ``images/<split>/{A,B,label}``, the lists ``train.txt``, ``val.txt`` and ``test.txt``,
    ``rscc_classes.json``, with captions ``LevirCCcaptions.json`` and the words of its training
    sentences, and last ``report.json``, which is returned.

    Args:
        options: What is made.
        out: Folder of the dataset.
        jobs: Threads; the result does not depend on it.
        say: Told what was done to the dates.

    Raises:
        FileNotFoundError: If a file is missing.
        FileExistsError: If the folder holds other things, or data of other parameters.
        ValueError: If the files cannot be used together, no tile is left, or the tiles cannot be
            split; the message says what to do.
    """
    out, record = Path(out), options.record()
    if _claim(out, record):
        return read_json(out / REPORT)
    scene = PairScene(options)
    for remark in scene.remarks:
        say(remark)
    if options.captions is not None:
        check_sentences(options.captions)
    with ThreadPoolExecutor(jobs) as pool:
        survey = _survey(scene, out / _SURVEY / _key(record), pool)
        splits, block = _split(scene, survey)
        report = _report(scene, survey, splits, block)
        captions = None if options.captions is None else _captions(scene, survey, splits)
        # From here on the folder is that of these parameters.
        write_json(out / PARAMETERS, {'format': _FORMAT, 'parameters': record})
        for left_over in out.glob('images/*/*/.*.tmp'):  # of a process that was killed
            left_over.unlink()
        _write_tiles(scene, splits, out, pool)
    _write_lists(scene, splits, out)
    write_classes(out, scene.polygons.classes, scene.polygons.palette, scene.resolution)
    if captions is not None:
        report['captions'], files = captions
        report['files'] += sorted(files)
        for name, content in files.items():
            write_json(out / name, content, indent=None)
    _write_sheet(scene, survey, splits, out / SHEET)
    write_json(out / REPORT, report | {'parameters': record})
    shutil.rmtree(out / _SURVEY, ignore_errors=True)
    scene.reader.release()
    return read_json(out / REPORT)


def _key(record: Mapping[str, Any]) -> str:
    """Return a name for the survey of these parameters: split and captions do not change it."""
    needed = {name: value for name, value in record.items() if name not in _AFTERWARDS}
    return hashlib.sha256(json.dumps(needed, sort_keys=True).encode()).hexdigest()[:16]


def _claim(out: Path, record: Mapping[str, Any]) -> bool:
    """Return whether the dataset is complete; refuse a folder of anything else."""
    if (out / PARAMETERS).is_file():
        found = read_json(out / PARAMETERS)
        check_form(found, {'format': {_FORMAT}, 'parameters': dict}, f"'{out / PARAMETERS}'",
                   'Choose another folder with --out')
        other = {**found['parameters']}
        differing = [name for name in record if other.get(name) != record[name]]
        if differing:
            name = differing[0]
            raise FileExistsError(
                f"'{out}' holds a dataset that was made otherwise: {name} {_short(other.get(name))}"
                f' there, {_short(record[name])} here. Choose another folder with --out, or empty '
                'that one')
        return (out / REPORT).is_file() and _is_whole(out)
    if out.is_dir() and any(path.name != _SURVEY for path in out.iterdir()):
        raise FileExistsError(f"'{out}' is not empty and holds no dataset of this command; choose "
                              'an empty or new folder with --out')
    return False


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else 'of other content'


def _is_whole(out: Path) -> bool:
    """Tell whether all files that the report promises are there."""
    report = read_json(out / REPORT)
    named = [out / name for name in (CLASSES_FILE, *report['files'])]
    counts = [(len(list((out / 'images' / split / folder).glob('[!.]*'))), found['tiles'])
              for split, found in report['splits'].items() for folder in KINDS.values()]
    return all(path.is_file() for path in named) and all(a == b for a, b in counts)


def _survey(scene: PairScene, folder: Path, pool: ThreadPoolExecutor) -> Survey:
    """Look at every tile; rows that an ended run has looked at are not read again."""
    values, damaged = [], []
    for row in progress(range(scene.shape[0]), 'looking at the scene', unit='row'):
        path = folder / f'{row:06d}.json'
        if not path.is_file():
            found = list(pool.map(lambda column, row=row: _look(scene, row, column),
                                  range(scene.shape[1])))
            write_json(path, {'values': [counts for counts, _ in found],
                              'damaged': [text for _, texts in found for text in texts]},
                       indent=None)
        data = read_json(path)
        check_form(data, _ROW, f"'{path}'", 'Remove the file')
        values.append(data['values'])
        damaged += data['damaged']
    return Survey(np.array(values), damaged)


def _look(scene: PairScene, row: int, column: int) -> tuple[list[int], list[str]]:
    """Return how many pixels of a tile have each class, or none, and what is damaged."""
    _, label, damaged = scene.read(row, column)
    counts = np.bincount(label.ravel(), minlength=256)
    return [*counts[:len(scene.polygons.classes)].tolist(), int(counts[IGNORE])], damaged


def _split(scene: PairScene, survey: Survey) -> tuple[np.ndarray, int]:
    """Return the split of every tile, and the side of a block in tiles."""
    options, usable = scene.options, survey.labelled >= scene.options.min_valid
    if not usable.any():
        raise ValueError(f'none of {usable.size} tiles has data at both dates and a label in '
                         f'{options.min_valid:.0%} of its pixels; the best has '
                         f'{survey.labelled.max():.0%}. Lower --min-valid, or take smaller tiles')
    if options.block is None:
        block = block_side(usable)
    else:
        metres = (scene.resolution or 1) * scene.spacing.step
        block = max(1, round(options.block / metres))
    return split_tiles(usable, survey.changed, options.shares, block, scene.spacing,
                       options.seed), block


def _paths(scene: PairScene, split: int, row: int, column: int, out: Path) -> list[Path]:
    """Return the files of a tile: earlier date, later date, label."""
    name = f'{scene.name(row, column)}{scene.options.ending}'
    return [out / 'images' / SPLITS[split] / folder / name for folder in KINDS.values()]


def _tiles_of(splits: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Yield split, row and column of every tile that is kept, row by row."""
    return ((int(splits[row, column]), int(row), int(column))
            for row, column in np.argwhere(splits >= 0))


def _write_tiles(scene: PairScene, splits: np.ndarray, out: Path, pool: ThreadPoolExecutor) -> None:
    tiles = list(_tiles_of(splits))
    with progress(None, 'writing tiles', len(tiles), 'tile') as bar:
        for first in range(0, len(tiles), 64):  # an interruption waits for no more than these
            part = tiles[first:first + 64]
            list(pool.map(lambda tile: _write_tile(scene, tile, out), part))
            bar.update(len(part))


def _write_tile(scene: PairScene, tile: tuple[int, int, int], out: Path) -> None:
    """Write the files of a tile unless they are there."""
    paths = _paths(scene, *tile, out)
    if all(path.is_file() for path in paths):
        return
    frames, label, _ = scene.read(*tile[1:])
    if scene.options.ending == '.png':
        for path, frame in zip(paths, frames, strict=False):
            write_png(path, frame)
        _write_palette_png(paths[2], label, scene.polygons.palette)
        return
    place = scene.place(*tile[1:])
    for path, pixels in zip(paths, (*frames, label[..., None]), strict=True):
        write_tiff(path, pixels, **place)


def _write_palette_png(path: Path, label: np.ndarray, palette: Sequence[Sequence[int]]) -> None:
    image = Image.fromarray(label, mode='P')
    colours = [*palette, *[[128, 128, 128]] * (256 - len(palette))]
    image.putpalette([channel for colour in colours for channel in colour])
    with atomic_write(path, 'wb') as file:
        image.save(file, 'PNG')


def _write_lists(scene: PairScene, splits: np.ndarray, out: Path) -> None:
    rows: dict[int, list[tuple[Path, ...]]] = {}
    for tile in _tiles_of(splits):
        rows.setdefault(tile[0], []).append(tuple(_paths(scene, *tile, out)))
    for split, found in rows.items():
        write_path_list(PathList(SPLITS[split], found), out, relative_to=out)


def _captions(scene: PairScene, survey: Survey, splits: np.ndarray
              ) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what became of the sentences, and the content of annotation files by name."""
    options = scene.options
    tiles = {scene.name(row, column): (row, column) for _, row, column in _tiles_of(splits)}
    found = read_sentences(options.captions,
                           {name: scene.outline(*place) for name, place in tiles.items()},
                           scene.grid, options.captions_crs)
    changed = {name: bool(survey.changed[place]) for name, place in tiles.items()}
    names = {name: SPLITS[splits[place]] for name, place in tiles.items()}
    files: dict[str, Any] = annotation_files(found, names, changed, options.ending)
    listed = Counter(image['split'] for image in files[ANNOTATIONS]['images'])
    for language in found.languages:
        own = ANNOTATIONS.replace('.json', f'_{language}.json')
        files[f'vocab_{language}.json'] = vocabulary(files.get(own, files[ANNOTATIONS]), language)
    return {
        'matched': found.matched, 'unmatched': dict(found.unmatched), 'examples': found.examples,
        'languages': found.languages, 'listed': dict(listed),
        'unchanged tiles with stock sentences': sum(
            not changed[name] and name not in found.by_tile for name in names),
        'changed tiles without a sentence': sum(
            changed[name] and name not in found.by_tile for name in names),
        'sentences on tiles without a changed pixel': sum(
            len(texts) for name, by_language in found.by_tile.items() if not changed[name]
            for texts in by_language.values())}, files


def _report(scene: PairScene, survey: Survey, splits: np.ndarray, block: int) -> dict[str, Any]:
    """Return what came out, as JSON values."""
    classes, found = scene.polygons.classes, {}
    for number in sorted(set(splits[splits >= 0].tolist())):
        mine = splits == number
        values = survey.values[mine].sum(0)
        labelled = max(int(values[:-1].sum()), 1)
        found[SPLITS[number]] = {
            'tiles': int(mine.sum()), 'changed_tiles': int((survey.changed[mine] > 0).sum()),
            'changed_share': float(values[1:-1].sum() / labelled),
            'class_shares': {name: float(values[value] / labelled)
                             for value, name in enumerate(classes) if value},
            'ignored_share': float(values[-1] / values.sum())}
    usable = survey.labelled >= scene.options.min_valid
    return {
        'format': _FORMAT, 'splits': found, 'classes': list(classes),
        'dropped': {'too little data': int((~usable).sum()),
                    'too near to another split': int((splits == BUFFER).sum())},
        'lattice': list(scene.shape), 'tile_size': scene.spacing.size,
        'overlap': scene.options.overlap, 'gap': scene.spacing.gap, 'block_tiles': block,
        'block_metres': scene.resolution and block * scene.spacing.step * scene.resolution,
        'ground_resolution': scene.resolution, 'coordinate_system': system_name(scene.grid),
        'polygons': {kind: number for kind, number in sorted(scene.polygons.counts.items())
                     if number},
        'sources': list(scene.reader.sources), 'scale': [scale and np.array(scale).tolist()
                                                         for scale in scene.reader.scales],
        'bands': scene.options.reading.bands and list(scene.options.reading.bands),
        'damaged': survey.damaged, 'captions': None, 'remarks': scene.remarks,
        'files': [SHEET, *(f'{split}.txt' for split in found)]}


def _write_sheet(scene: PairScene, survey: Survey, splits: np.ndarray, path: Path) -> None:
    """Draw a map of the splits, and tiles of each: before, after, and the label over it."""
    columns, width = [np.vstack([_map(scene, splits), *_legend(scene)])], 3 * _CELL + 4 * _GAP
    for split in sorted(set(splits[splits >= 0].tolist())):
        tiles = np.argwhere(splits == split)
        share = survey.changed[tuple(tiles.T)]
        order, count = np.argsort(-share, kind='stable'), max(1, int((share > 0).sum()))
        # The most, the middle and the least change, and no change.
        places = sorted({0, count // 2, count - 1, len(order) - 1})
        columns.append(np.vstack([_strip(scene, split, *tiles[order[place]].tolist())
                                  for place in places]))
    height = max(map(len, columns))
    sheet = np.hstack([np.pad(column, (
        (0, height - len(column)), (0, max(0, width - column.shape[1])), (0, 0)),
        constant_values=255) for column in columns])
    with atomic_write(path, 'wb') as file:
        file.write(cv2.imencode('.jpg', sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def _map(scene: PairScene, splits: np.ndarray) -> np.ndarray:
    """Return the scene, reduced, with its tiles in the colours of their splits, RGB."""
    height, width = reduced_shape(scene.grid, 3 * _CELL)
    picture = _rgb(scene.reader.reduced(3 * _CELL)[0][0]).copy()
    for split, row, column in _tiles_of(splits):
        left, top, right, bottom = scene.box(row, column)
        x0, x1 = (round(place * width / scene.grid.width) for place in (left, right))
        y0, y1 = (round(place * height / scene.grid.height) for place in (top, bottom))
        part = picture[y0:max(y1 - 1, y0 + 1), x0:max(x1 - 1, x0 + 1)]
        part[...] = 0.6 * part + 0.4 * np.array(_SPLIT_COLOURS[split])
    short = max(0, 3 * _CELL - picture.shape[1])
    return np.pad(picture, ((_GAP, _GAP), (_GAP, _GAP + short), (0, 0)), constant_values=255)


def _legend(scene: PairScene) -> list[np.ndarray]:
    """Return lines with the first classes and their colours, RGB."""
    names = [str(name).encode('ascii', 'replace').decode() for name in scene.polygons.classes]
    colours = _colours(scene)
    return [_line(name, colours[number].tolist()) for number, name in enumerate(names[:12])
            if number]


def _line(text: str, colour: Sequence[int]) -> np.ndarray:
    line = np.full((_LINE, 3 * _CELL + 2 * _GAP, 3), 255, np.uint8)
    line[5:17, _GAP:_GAP + 12] = colour
    cv2.putText(line, text, (_GAP + 18, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.46, (40, 40, 40), 1,
                cv2.LINE_AA)
    return line


def _rgb(frame: np.ndarray) -> np.ndarray:
    """Return the bands of a frame that pictures show."""
    return frame[..., :3] if frame.shape[2] > 2 else frame[..., [0] * 3]


def _colours(scene: PairScene) -> np.ndarray:
    """Return a colour for every label value, RGB uint8 (256, 3)."""
    names, colours = scene.polygons.classes, np.full((256, 3), 128, np.uint8)
    colours[:len(names)] = tint_palette(len(names), scene.polygons.palette)
    return colours


def _strip(scene: PairScene, split: int, row: int, column: int) -> np.ndarray:
    """Return one tile, RGB: before, after, and the colours of its label over the later date."""
    frames, label, _ = scene.read(row, column)
    views = list(map(_rgb, frames))
    tinted = (0.35 * views[1] + 0.65 * _colours(scene)[label]).astype(np.uint8)
    views.append(np.where((label > 0)[..., None], tinted, views[1]))
    cells = [cv2.resize(view, (_CELL, _CELL), interpolation=cv2.INTER_AREA) for view in views]
    cells = [np.pad(cell, ((0, _GAP), (_GAP, 0), (0, 0)), constant_values=255) for cell in cells]
    title = np.pad(_line(f'{SPLITS[split]}  {scene.name(row, column)[-60:]}'.encode(
        'ascii', 'replace').decode(), _SPLIT_COLOURS[split]), ((0, 0), (0, _GAP), (0, 0)),
        constant_values=255)
    return np.pad(np.vstack([title, np.hstack(cells)]), ((0, 0), (0, _GAP), (0, 0)),
                  constant_values=255)
