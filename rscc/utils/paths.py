"""Data folders, and path lists: text files that name the images of each pair.

Paths below a data folder follow ``RSCC_DATA``. A path list is found by file names
(:func:`find_pairs`), divided (:func:`hold_out`), written and read again; one line a pair.
"""
import os
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from rscc.utils.files import atomic_write, check_path, read_text
from rscc.utils.names import counted, did_you_mean

#: Endings of image files, in small letters.
SUFFIXES = {'.png', '.jpg', '.jpeg', '.tif', '.tiff', '.bmp', '.webp'}
#: Between the columns of a path list.
SEPARATOR = '  '
_FORM = 'from  to  label'
_COLUMN = re.compile(r'"([^"]+)"|([^\s"]+)')
_TILE = re.compile(r'(.+)_\d+_\d+')


def data_home() -> Path:
    """Return the folder that holds all datasets.

    ``RSCC_DATA`` wins; ``CDPATH`` is honoured because ChangeCLIP's users already set it. A
    ``CDPATH`` with several entries is the shell's own and is ignored.
    """
    if os.environ.get('RSCC_DATA'):
        return Path(os.environ['RSCC_DATA']).expanduser()
    cdpath = os.environ.get('CDPATH', '')
    if cdpath and os.pathsep not in cdpath:
        return Path(cdpath).expanduser()
    return Path('data')


def resolve_data_root(folder: str | os.PathLike, marker: str | None = None) -> Path:
    """Locate one dataset's folder.

    Args:
        folder: The dataset's folder as published (``'LEVIR-CC'``), or an absolute path (kept).
            A variable of the environment may begin it: ``'$RSCC_TRAIN/oam_kampala'``.
        marker: A file inside the folder (the annotation file). Where ``data_home()/folder`` does
            not hold it but ``data_home()`` itself does, the latter is meant: ``--data-root`` may
            name either the parent or the dataset.

    Returns:
        The folder, which need not exist: the caller knows what to say about that.

    Raises:
        FileNotFoundError: If it begins with a variable that is not set.
    """
    folder = Path(os.path.expandvars(folder)).expanduser()
    if str(folder).startswith('$'):
        raise FileNotFoundError(f"the folder '{folder}' begins with a variable of the environment "
                                'that is not set: export it, or name the folder itself')
    if folder.is_absolute():
        return folder
    home = data_home()
    nested = home / folder
    if marker and not (nested / marker).exists() and (home / marker).exists():
        return home
    return nested


@lru_cache(maxsize=1 << 16)  # asked for every path of a sample
def sample_name(filename: str) -> str:
    """Return a sample's id: its file name with folders, without ending, slashes of one kind.

    What names no file (``'.'``) stays as it is, to be missed when the file is looked for.
    """
    path = PurePosixPath(filename.replace('\\', '/'))
    return str(path.with_suffix('') if path.name else path)


def resolve_data_file(path: str | os.PathLike) -> Path:
    """Locate one file of a dataset below the folder of all datasets.

    An absolute path, or one that exists from the working directory, is kept. Where ``--data-root``
    names the dataset itself, the file is looked for right inside it.

    Args:
        path: Dataset folder and file name: ``'synth/vocab_en.json'``.

    Returns:
        The file, which need not exist.
    """
    path = Path(path).expanduser()
    if path.is_absolute() or path.exists():
        return path
    return resolve_data_root(path.parent, marker=path.name) / path.name


@dataclass
class PathList:
    """Image pairs of one split.

    Attributes:
        name: Name of the split, and of its file without ``.txt``.
        rows: Paths of each pair: from, to and, where there are labels, label.
        unmatched: Files without a partner, ``folder/name``, sorted.
    """
    name: str
    rows: list[tuple[Path, ...]]
    unmatched: list[str] = field(default_factory=list)


def find_pairs(root: str | Path, splits: Sequence[str] | None = None, img_from: str = 'A',
               img_to: str = 'B', label: str | None = 'label', maps: Sequence[str] = ()
               ) -> list[PathList]:
    """Match the files of two dates (and labels) by name, not by position.

    Names match without their endings, so ``7.tif`` and its label ``7.png`` belong together.

    Args:
        root: Folder with ``<split>/<img_from>`` or with ``<img_from>`` right in it.
        splits: Folders to take; None takes those of train, val and test that exist, or the root
            itself (its list is then called ``all``).
        img_from: Folder of the earlier date.
        img_to: Folder of the later date.
        label: Folder of the labels, or None for a list without.
        maps: Folders of the class maps of both dates, which become further columns.

    Raises:
        FileNotFoundError: If a folder is missing; the message names those that exist.
        ValueError: If two files of a folder differ in their endings only, or there is no pair.
    """
    root = Path(root)
    _need_folder(root)
    columns = [img_from, img_to, *([label] if label else []), *maps]
    if splits is None:
        splits = [split for split in ('train', 'val', 'test') if (root / split / img_from).is_dir()]
    if not splits or not any((root / split).is_dir() for split in splits):
        if (root / img_from).is_dir() and len(splits) <= 1:
            return [_match(root, splits[0] if splits else 'all', columns)]
        splits = splits or ['train']
    return [_match(root / split, split, columns) for split in splits]


def divided(rows: Sequence[Any], shares: Mapping[str, float]) -> dict[str, list]:
    """Divide rows into splits by lot, the same way every time.

    Args:
        rows: What is divided, in an order that is always the same.
        shares: Split -> share of the rows; 1 in all.

    Returns:
        Split -> its rows, in their order.
    """
    order = list(range(len(rows)))
    random.Random(0).shuffle(order)
    parts, first, reached = {}, 0, 0.0
    for split, share in shares.items():
        reached += share
        last = round(reached * len(rows))
        parts[split] = [rows[index] for index in sorted(order[first:last])]
        first = last
    return parts


def _need_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    beside = sorted(found.name for found in folder.parent.iterdir() if found.is_dir()) if (
        folder.parent.is_dir()) else []
    raise FileNotFoundError(
        f"no folder '{folder}'. Beside it are {beside[:8] or 'none'}."
        f'{did_you_mean(folder.name, beside)}'
        ' Name the folders with --splits, --from, --to and --label (none for no labels).')


def _match(folder: Path, name: str, columns: Sequence[str]) -> PathList:
    files = [_by_stem(folder / column) for column in columns]
    stems = sorted(set.intersection(*(set(column) for column in files)))
    unmatched = sorted(f'{title}/{path.name}' for title, column in zip(columns, files, strict=True)
                       for stem, path in column.items() if stem not in stems)
    if not stems:
        raise ValueError(f'no file name occurs in all of {[str(folder / c) for c in columns]}: '
                         f'{[len(column) for column in files]} images, first {unmatched[:3]}.')
    return PathList(name, [tuple(column[stem] for column in files) for stem in stems], unmatched)


def _by_stem(folder: Path) -> dict[str, Path]:
    _need_folder(folder)
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith('.'):
            continue  # macOS leaves ._1.png beside 1.png
        if path.stem in found:
            raise ValueError(f"'{found[path.stem]}' and '{path}' differ in their endings only; "
                             'which one is meant? Remove one.')
        found[path.stem] = path
    return found


def hold_out(found: PathList, share: float, name: str = 'val') -> tuple[PathList, PathList]:
    """Take a share of the images out of a split, for datasets that come without validation.

    Tiles that overlap must not be on both sides, so all tiles of an image (``<image>_<column>_
    <row>``) stay together. The choice is the same every time.

    Args:
        found: The split to take from.
        share: Share of its images, above 0 and below 1; at least one is taken.
        name: Name of the new split.

    Returns:
        What remains, and the new split.

    Raises:
        ValueError: If the share is none, or all pairs are tiles of one image.
    """
    if not 0 < share < 1:
        raise ValueError(f'a share of {share} was to be held out; give one between 0 and 1.')
    images = images_of_tiles(found.rows)
    known = sorted(set(images))
    if len(known) < 2:
        raise ValueError(f"all {len(images)} pairs of '{found.name}' are of one image "
                         f"('{known[0]}'), whose tiles overlap: none can be held out. Divide the "
                         'image before it is cut.')
    taken = set(random.Random(0).sample(known, min(max(1, round(share * len(known))),
                                                   len(known) - 1)))
    kept, held = ([row for row, image in zip(found.rows, images, strict=True)
                   if (image in taken) is side] for side in (False, True))
    return PathList(found.name, kept, found.unmatched), PathList(name, held)


def images_of_tiles(rows: Sequence[Sequence[Path]]) -> list[str]:
    """Return the image that each pair is cut out of: tiles of one may overlap.

    Args:
        rows: Paths of each pair, the earlier date first. Where all are tiles
            ``<image>_<column>_<row>``, the image is named, else each file is an image of its own.
    """
    tiles = [_TILE.fullmatch(row[0].stem) for row in rows]
    return [tile[1] if tile and all(tiles) else row[0].stem
            for tile, row in zip(tiles, rows, strict=True)]


def write_path_list(found: PathList, out: str | Path,
                    relative_to: str | Path | None = None) -> Path:
    """Write ``<name>.txt``; paths with blanks are put in double quotes.

    Args:
        found: The pairs.
        out: Folder of the file.
        relative_to: Write paths relative to this folder; None writes them absolute.

    Returns:
        The file.
    """
    target = Path(out) / f'{found.name}.txt'
    with atomic_write(target) as file:
        for row in found.rows:
            file.write(SEPARATOR.join(_column(path, relative_to) for path in row) + '\n')
    return target


def _column(path: Path, relative_to: str | Path | None) -> str:
    # Links stay as they are: where they lead, folders have other names and leave the root.
    path = Path(os.path.abspath(path))
    text = (path if relative_to is None else path.relative_to(os.path.abspath(relative_to))
            ).as_posix()
    return f'"{text}"' if any(character.isspace() for character in text) else text


@dataclass(frozen=True)
class ListedPair:
    """One line of a path list.

    Attributes:
        line: Its number in the file, from 1.
        img_from: Path of the earlier date as written, with forward slashes.
        img_to: Path of the later date.
        label: Path of the label, or None.
    """
    line: int
    img_from: str
    img_to: str
    label: str | None = None


def read_path_list(path: str | Path, label: bool = True) -> list[ListedPair]:
    """Read a path list.

    Columns stand apart by any run of blanks or tabs; a path with blanks is quoted. Lists of the
    original, which knew no quotes, are read too where two blanks stand between the columns. The
    file is UTF-8 on every system; empty lines do not count; backslashes count as slashes.

    Args:
        path: The list.
        label: Whether every line must name a label. Without, a third column is ignored.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty or no UTF-8, a line has another number of columns, or a pair
            stands there twice; the message names file, line and remedy.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no path list '{path}'. Write it (python "
                                'tools/general/write_path.py ROOT), or correct where it is looked '
                                'for: RSCC_DATA or --data-root. See docs/en/datasets.md#path-lists')
    pairs = [listed_pair(number, line, path, label)
             for number, line in enumerate(read_text(path, 'path list').splitlines(), 1)
             if line.strip()]
    if not pairs:
        raise ValueError(f"path list '{path}' is empty; one line a pair, '{_FORM}', was expected. "
                         'Write it again: python tools/general/write_path.py ROOT')
    _refuse_repeated(pairs, path)
    return pairs


def listed_pair(number: int, line: str, path: Path, label: bool) -> ListedPair:
    """Return the pair of one line of a path list, or refuse it.

    Args:
        number: Of the line, from 1.
        line: The line.
        path: The list, for messages.
        label: Whether it must name a label. Without, a third column is ignored.

    Raises:
        ValueError: If it has another number of columns, or one is no path.
    """
    columns = columns_of(line.strip())
    if line.count('"') % 2:
        raise ValueError(f"'{path}' line {number} has a quote that does not close: "
                         f"'{line.strip()}'. Put each path with blanks in a pair of double quotes.")
    if len(columns) == 2 and label:
        raise ValueError(f"'{path}' line {number} has two columns, from and to, but no label: "
                         f"'{line.strip()}'. Write '{_FORM}', or read the list without labels: "
                         'label=False (--cfg-options test_dataloader.dataset.label=False).')
    if len(columns) not in (2, 3):
        raise ValueError(f"'{path}' line {number} has {counted(len(columns), 'column')}: "
                         f"'{line.strip()}'. "
                         f"Write '{_FORM}', blanks or tabs between; put paths with blanks in "
                         'double quotes.')
    for column in columns:
        check_path(column, f"'{path}' line {number}: a column")
    return ListedPair(number, *columns[:3 if label else 2])


def columns_of(line: str) -> list[str]:
    """Return the columns of one line of a path list, with slashes; see :func:`read_path_list`."""
    columns = [quoted or plain for quoted, plain in _COLUMN.findall(line)]
    if '"' not in line and (len(columns) > 3 or not all(map(_is_file_name, columns))):
        wide = re.split(r'\s*\t\s*|\s{2,}', line)
        if len(wide) in (2, 3) and all(map(_is_file_name, wide)):
            columns = wide
    return [column.replace('\\', '/') for column in columns]


def _is_file_name(column: str) -> bool:
    return bool(Path(column).suffix)


def _refuse_repeated(pairs: Sequence[ListedPair], path: Path) -> None:
    first: dict[tuple[str, str], int] = {}
    for pair in pairs:
        line = first.setdefault((pair.img_from, pair.img_to), pair.line)
        if line != pair.line:
            raise ValueError(f"'{path}' lists the pair '{pair.img_from}', '{pair.img_to}' twice: "
                             f'lines {line} and {pair.line}. Remove one.')
