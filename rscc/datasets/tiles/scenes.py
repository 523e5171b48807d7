"""Which pairs to cut: a folder with A, B and label, or one pair of large files."""
import re
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from rscc.datasets.tiles.index import WHOLE, Scene
from rscc.datasets.tiles.raster import Raster, Reading, open_raster
from rscc.utils.path_lists import find_pairs

SPLITS = {2: ('train', 'test'), 3: ('train', 'val', 'test')}


def scenes_of_folder(root: str | Path, splits: Sequence[str] | None = None, img_from: str = 'A',
                     img_to: str = 'B', label: str | None = 'label') -> list[Scene]:
    """Return the pairs below a folder; see :func:`rscc.utils.path_lists.find_pairs`.

    Raises:
        FileNotFoundError: If a folder is missing.
        ValueError: If files have no partner, or pair and label differ in size.
    """
    lists = find_pairs(root, splits, img_from, img_to, label)
    single = [name for found in lists for name in found.unmatched]
    if single:
        raise ValueError(f"{len(single)} file(s) below '{root}' have no partner, first: "
                         f'{", ".join(single[:3])}. Complete the folders or move those files away')
    kinds = ('from', 'to', 'label')
    scenes = [_scene(dict(zip(kinds, row, strict=False)), found.name)
              for found in lists for row in found.rows]
    _need_unique(scenes)
    return scenes


def scenes_of_pair(files: dict[str, Path], shares: Sequence[float] | None = None) -> list[Scene]:
    """Return one pair as a whole, or as regions that lie beside each other from left to right.

    Tiles of different splits must not overlap: a split by single tiles would show the network
    parts of what it is tested on. So every split is one block of columns, cut on its own.

    Args:
        files: Paths of ``from``, ``to`` and, where there is one, ``label``.
        shares: Shares of the width for train, val and test (or train and test); None is one scene.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the sizes differ or the shares are no shares.
    """
    whole = _scene(files, WHOLE)
    if shares is None:
        return [whole]
    if len(shares) not in SPLITS or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f'--shares {" ".join(map(str, shares))}: expected two (train, test) or '
                         'three (train, val, test) positive numbers whose sum is 1')
    ends = [round(whole.width * sum(shares[:count])) for count in range(len(shares) + 1)]
    return [_scene(files, split, (left, 0, right - left, whole.height))
            for split, (left, right) in zip(SPLITS[len(shares)], pairwise(ends), strict=True)]


def _scene(files: dict[str, Path], split: str, window: Sequence[int] | None = None) -> Scene:
    with ExitStack() as stack:
        rasters = {}
        for kind, path in files.items():
            rasters[kind] = open_raster(path, Reading(label=kind == 'label'), window)
            stack.callback(rasters[kind].close)
        _need_one_size(files, rasters)
        first = rasters['from']
        stem = _safe(files['from'].stem) + (f'_{split}' if window is not None else '')
        return Scene(stem, split, first.height, first.width,
                     {kind: path.resolve().as_posix() for kind, path in files.items()},
                     None if window is None else list(window), first.crs,
                     None if first.transform is None else list(first.transform))


def _need_one_size(files: dict[str, Path], rasters: dict[str, Raster]) -> None:
    sizes = {kind: (raster.width, raster.height) for kind, raster in rasters.items()}
    if len(set(sizes.values())) > 1:
        found = ', '.join(f"'{files[kind]}' {width} x {height}"
                          for kind, (width, height) in sizes.items())
        raise ValueError(f'sizes differ: {found}. Crop or warp them to one grid first')


def _safe(stem: str) -> str:
    """Return a name without blanks and special characters, which test tools would rename."""
    return re.sub(r'[^\w.-]+', '_', stem).strip('._') or 'image'


def _need_unique(scenes: Sequence[Scene]) -> None:
    seen: dict[tuple[str, str], Scene] = {}
    for scene in scenes:
        other = seen.setdefault((scene.split, scene.stem), scene)
        if other is not scene:
            raise ValueError(f"'{other.files['from']}' and '{scene.files['from']}' would both be "
                             f"cut into tiles named '{scene.stem}_...'. Rename one")
