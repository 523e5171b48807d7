"""Path lists of pairs in ChangeCLIP's form: ``from  to  label`` a line, two blanks between."""
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rscc.utils import atomic_write, did_you_mean

SUFFIXES = {'.png', '.jpg', '.jpeg', '.tif', '.tiff', '.bmp', '.webp'}
SEPARATOR = '  '


@dataclass
class PathList:
    """The pairs of one split.

    Attributes:
        name: Name of the split, and of its file without ``.txt``.
        rows: Paths of each pair: from, to and, where there are labels, label.
        unmatched: Files without a partner, ``folder/name``, sorted.
    """
    name: str
    rows: list[tuple[Path, ...]]
    unmatched: list[str] = field(default_factory=list)


def find_pairs(root: str | Path, splits: Sequence[str] | None = None, img_from: str = 'A',
               img_to: str = 'B', label: str | None = 'label') -> list[PathList]:
    """Match the files of two dates (and labels) by name, not by position.

    Names match without their endings, so ``7.tif`` and its label ``7.png`` belong together.

    Args:
        root: Folder with ``<split>/<img_from>`` or with ``<img_from>`` right in it.
        splits: Folders to take; None takes those of train, val and test that exist, or the root
            itself (its list is then called ``all``).
        img_from: Folder of the earlier date.
        img_to: Folder of the later date.
        label: Folder of the labels, or None for a list without.

    Raises:
        FileNotFoundError: If a folder is missing; the message names those that exist.
        ValueError: If two files of a folder differ in their endings only, or there is no pair.
    """
    root = Path(root)
    _need_folder(root)
    columns = [img_from, img_to] + ([label] if label else [])
    if splits is None:
        splits = [split for split in ('train', 'val', 'test') if (root / split / img_from).is_dir()]
    if not splits or not any((root / split).is_dir() for split in splits):
        if (root / img_from).is_dir() and len(splits) <= 1:
            return [_match(root, splits[0] if splits else 'all', columns)]
        splits = splits or ['train']
    return [_match(root / split, split, columns) for split in splits]


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
        if path.suffix.lower() not in SUFFIXES:
            continue
        if path.stem in found:
            raise ValueError(f"'{found[path.stem]}' and '{path}' differ in their endings only; "
                             'which one is meant? Remove one.')
        found[path.stem] = path
    return found


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
    path = path.resolve()
    text = (path if relative_to is None else path.relative_to(Path(relative_to).resolve())
            ).as_posix()
    return f'"{text}"' if any(character.isspace() for character in text) else text
