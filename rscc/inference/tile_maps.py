"""Merging a folder of tile maps to full-size change maps, and scoring them."""
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rscc.evaluation.functional.segmentation import change_scores, confusion_matrix
from rscc.rasters.blending import check_rule, merge_rows, read_tile
from rscc.rasters.rows import TIFF, Reading, open_raster, write_map
from rscc.rasters.tiles import WHOLE, Scene, TileIndex
from rscc.rasters.windows import stem_of_tile, tile_name
from rscc.utils import progress
from rscc.utils.paths import SUFFIXES

_CHUNK = 32  # rows that are counted together: the counts need eight bytes a pixel


@dataclass(frozen=True)
class Merging:
    """How maps are merged.

    Attributes:
        rule: See :data:`rscc.rasters.blending.RULES`.
        blend: See :data:`rscc.rasters.blending.BLENDS`.
        threshold: A pixel is changed above it.
        classes: Grey tiles hold class numbers, not probabilities.
        probabilities: Write the merged P(changed) too.
    """

    rule: str = 'mean'
    blend: str = 'none'
    threshold: float = 0.5
    classes: bool = False
    probabilities: bool = False


def scenes_of_tiles(folder: str | Path, height: int, width: int) -> list[Scene]:
    """Return the images, all of one size, whose tiles a folder holds, by the tiles' names.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If no file is named like a tile.
    """
    stems = sorted({stem for name in _files(folder) if (stem := stem_of_tile(name))})
    if not stems:
        raise ValueError(f"no tile in '{folder}': names like <image>_<column>_<row>.png, both "
                         'counted from 1, were expected')
    return [Scene(stem, WHOLE, height, width, {}) for stem in stems]


def merge_tiles(folder: str | Path, index: TileIndex, out: str | Path,
                splits: Sequence[str] | None = None, label: str | Path | None = None,
                options: Merging | None = None) -> tuple[list[Path], dict[str, float]]:
    """Write ``<out>/masks/<image>`` (0 and 255) and, on request, ``<out>/probabilities/<image>``.

    Maps are GeoTIFFs in the place of their image where that was a TIFF, and PNGs otherwise. All
    tiles and labels are looked for before anything is written, and every map appears whole.

    Args:
        folder: The tiles, ``<image>_<column>_<row>`` with any picture's ending.
        index: What was cut how.
        out: Folder of the maps.
        splits: Splits to merge; None takes those of which any tile is there.
        label: Folder with a full-size label of each image's name, or the label itself; values 0 and
            255, or 0 and 1.
        options: How to merge.

    Returns:
        The files written, and the scores over all images (``change/F1_changed``, ...), empty
        without labels.

    Raises:
        FileNotFoundError: If the folder, tiles or labels are missing.
        ValueError: If a file does not fit; the message names it.
    """
    options = options or Merging()
    check_rule(options.rule, options.blend)
    files = _files(folder)
    scenes = _chosen(index, files, splits, folder)
    _need_tiles(index, scenes, files, folder)
    labels = [] if label is None else [_label_of(scene, Path(label)) for scene in scenes]
    written, matrix = [], np.zeros((2, 2), np.int64)
    total = sum(len(index.grid(scene)) for scene in scenes)
    with progress(None, 'merging', total, 'tile') as bar:
        for number, scene in enumerate(scenes):
            with ExitStack() as stack:
                judge = None if label is None else _Judge(labels[number], scene, stack)
                written += _merge_one(scene, index, files, Path(out), options, judge, bar)
                matrix += 0 if judge is None else judge.matrix
    names = ('unchanged', 'changed')
    return written, {f'change/{name}': value for name, value in change_scores(
        matrix, names).items()} if label is not None else {}


def _files(folder: str | Path) -> dict[str, Path]:
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of tiles '{folder}'; tools/test.py --show-dir DIR "
                                '--probabilities writes DIR/probabilities')
    return {path.stem: path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES}


def _chosen(index: TileIndex, files: dict[str, Path], splits: Sequence[str] | None,
            folder: str | Path) -> list[Scene]:
    """Return the scenes of the wanted splits."""
    known = list(dict.fromkeys(scene.split for scene in index.scenes))
    unknown = sorted(set(splits or ()) - set(known))
    if unknown:
        raise ValueError(f'no split {unknown} in the index of the tiles; it has {known}')
    present = {stem_of_tile(name) for name in files}
    found = [split for split in known if any(
        scene.stem in present for scene in index.scenes if scene.split == split)]
    if not found and splits is None:
        raise FileNotFoundError(f"no tile in '{folder}' belongs to an image of the index, whose "
                                f"first is '{index.scenes[0].stem}'; first file: "
                                f'{min(files, default="none")}')
    scenes = [scene for scene in index.scenes if scene.split in (splits or found)]
    stems = [scene.stem for scene in scenes]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise ValueError(f"image '{twice}' is in several of the splits {list(splits or found)}; "
                         'name the one whose tiles these are with --splits')
    return scenes


def _need_tiles(index: TileIndex, scenes: Sequence[Scene], files: dict[str, Path],
                folder: str | Path) -> None:
    names = [name for scene in scenes for name in index.grid(scene).names(scene.stem)]
    missing = [name for name in names if name not in files]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(names)} tiles are missing in '{folder}', first: "
            f'{", ".join(missing[:3])}. Test all tiles of these images, or say with --splits which '
            'are meant')
    wanted, stems = set(names), {scene.stem for scene in scenes}
    extra = sorted(name for name in files if name not in wanted and stem_of_tile(name) in stems)
    if extra:
        raise ValueError(f"{len(extra)} tiles in '{folder}' lie outside the grid (size "
                         f'{index.size}, overlap {index.overlap}), first: {", ".join(extra[:3])}. '
                         'Give the size, the overlap and the image size that they were cut with')


def _label_of(scene: Scene, label: Path) -> Path:
    """Return the label of one scene, after checking that it is there and of the right size."""
    if label.is_dir():
        found = sorted(path for path in label.iterdir() if path.stem in (scene.name, scene.stem)
                       and path.suffix.lower() in SUFFIXES)
        if not found:
            raise FileNotFoundError(f"no label named '{scene.name}' in '{label}'")
        label = found[0]
    raster = open_raster(label, Reading(label=True), scene.window)
    size = (raster.width, raster.height)
    raster.close()
    if size != (scene.width, scene.height):
        raise ValueError(f"label '{label}' is {size[0]} x {size[1]}, image '{scene.stem}' is "
                         f'{scene.width} x {scene.height}')
    return label


def _merge_one(scene: Scene, index: TileIndex, files: dict[str, Path], out: Path,
               options: Merging, judge: '_Judge | None', bar: tqdm) -> list[Path]:
    def read(column: int, row: int) -> np.ndarray:
        bar.update()
        return read_tile(files[tile_name(scene.stem, column, row)], index.size, options.classes)

    ending = '.tif' if Path(scene.files.get('from', '')).suffix.lower() in TIFF else '.png'
    place = (scene.crs, scene.transform)
    paths = [out / kind / f'{scene.stem}{ending}' for kind in
             ('masks', 'probabilities')[:1 + options.probabilities]]
    with ExitStack() as stack:
        writers = [stack.enter_context(write_map(path, scene.height, scene.width, dtype, *place))
                   for path, dtype in zip(paths, ('uint8', 'uint16'), strict=False)]
        for first, values in merge_rows(read, index.grid(scene), options.rule, options.blend):
            changed = values > options.threshold
            writers[0](changed.astype(np.uint8) * 255)
            if options.probabilities:
                writers[1](np.rint(values * 65535).astype(np.uint16))
            if judge is not None:
                judge.add(first, changed)
        if judge is not None:
            judge.check()
    return paths


class _Judge:
    """Compares a map with its label, band by band."""

    def __init__(self, path: Path, scene: Scene, stack: ExitStack):
        self.path = path
        self.raster = open_raster(path, Reading(label=True), scene.window)
        stack.callback(self.raster.close)
        self.matrix, self.values = np.zeros((2, 2), np.int64), set()

    def add(self, first: int, changed: np.ndarray) -> None:
        label = self.raster.rows(first, first + len(changed))
        label = label[..., 0] if label.ndim == 3 else label
        for top in range(0, len(label), _CHUNK):
            part = label[top:top + _CHUNK]
            self.values |= set(np.unique(part).tolist())
            self.matrix += confusion_matrix(changed[top:top + _CHUNK], part > 0, 2)

    def check(self) -> None:
        if not (self.values <= {0, 1} or self.values <= {0, 255}):
            raise ValueError(f"label '{self.path}' holds the values {sorted(self.values)[:12]}; "
                             '{0, 255} or {0, 1} were expected: unchanged and changed')
