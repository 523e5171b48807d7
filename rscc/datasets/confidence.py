"""CLIP confidence files: class names that a CLIP model found in each image, best first.

One JSON array a folder of images, beside it: ``time1/`` has ``time1_clipcls_56_vit16.json``. Every
object has ``image_path``, then the class names in descending probability; the order of the keys is
the ranking. ``tools/clip_inference.py`` writes them, as ChangeCLIP's tool of that name did.
"""
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from rscc.utils import read_json

#: What stands between the folder's name and ``.json``.
SUFFIX = '_clipcls_56_vit16'
PATH_KEY = 'image_path'


def read_confidence(path: str | Path) -> dict[str, list[str]]:
    """Read one file.

    Returns:
        Path of every image as written there -> its class names, best first.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such JSON; the message says what was found where.
    """
    data = read_json(path)
    if not isinstance(data, list):
        raise _not_confidence(path, f'its top is {_kind(data)}, an array was expected')
    ranked = {}
    for number, record in enumerate(data):
        path_there = record.get(PATH_KEY) if isinstance(record, dict) else None
        if not isinstance(path_there, str) or not _parts(path_there):
            raise _not_confidence(path, f"record {number} has no '{PATH_KEY}'")
        names = [name for name in record if name != PATH_KEY]
        if not names:
            raise _not_confidence(path, f"record {number} ('{record[PATH_KEY]}') names no class")
        ranked[record[PATH_KEY]] = names
    return ranked


def _kind(data: object) -> str:
    return {dict: 'an object', str: 'a string', type(None): 'null'}.get(type(data), 'a number')


def _not_confidence(path: str | Path, what: str) -> ValueError:
    return ValueError(f"'{path}' is no CLIP confidence file: {what}. Write it again: python "
                      'tools/clip_inference.py')


@dataclass
class Found:
    """Class names found for some images, and images without any.

    Attributes:
        names: Path of every image as asked for -> its class names, best first; None: no record.
        lost: The paths without a record, in the order asked for.
        where: The files, for a message.
    """
    names: dict[str, list[str] | None]
    lost: list[str]
    where: str


class ConfidenceFiles:
    """Confidence files beside the folders of images.

    Args:
        suffix: What follows the folder's name in that of its file, before ``.json``.
        top: How many names of a record count.
    """

    def __init__(self, suffix: str = SUFFIX, top: int = 9):
        if top < 1:
            raise ValueError(f'top={top} must be at least 1; prompts_from=None reads no names.')
        self.suffix, self.top = suffix, top

    def of(self, image: str | Path) -> Path:
        """Return the file that tells of an image, whether it exists or not."""
        return Path(f'{Path(image).parent}{self.suffix}.json')

    def look_up(self, images: Sequence[str], base: str | Path) -> Found | None:
        """Find the names of images.

        Args:
            images: Paths as a list has them.
            base: What relative ones start from.

        Returns:
            None where none of the files exists.
        """
        files = {path: Path(base) / self.of(path) for path in images}
        indices = {file: ConfidenceIndex(read_confidence(file)) if file.is_file() else None
                   for file in sorted(set(files.values()))}
        if not any(index is not None for index in indices.values()):
            return None
        names = {path: self._best(indices[file], path) for path, file in files.items()}
        lost = [path for path, found in names.items() if found is None]
        return Found(names, lost, _told(indices))

    def _best(self, index: 'ConfidenceIndex | None', path: str) -> list[str] | None:
        names = None if index is None else index.find(path)
        return None if names is None else names[:self.top]


def _told(indices: Mapping[Path, 'ConfidenceIndex | None'], most: int = 4) -> str:
    told = [f"'{file}' ({'no such file' if index is None else index})"
            for file, index in indices.items()]
    return ', '.join(told[:most]) + (f' and {len(told) - most} more' if len(told) > most else '')


class ConfidenceIndex:
    """Records of one file, found by path or, where data have moved, by file name.

    Args:
        ranked: What ``read_confidence`` returned.
    """

    def __init__(self, ranked: dict[str, list[str]]):
        self.ranked = ranked
        self._by_name: dict[str, list[tuple[tuple[str, ...], list[str]]]] = {}
        for path, names in ranked.items():
            parts = _parts(path)
            self._by_name.setdefault(parts[-1], []).append((parts, names))

    def __str__(self) -> str:
        first = next(iter(self.ranked), None)
        return f'{len(self.ranked)} records' + ('' if first is None else f", the first '{first}'")

    def find(self, path: str) -> list[str] | None:
        """Return the class names of an image, None where no record, or no single one, is its own.

        Of several records with its file name, the one that shares the most folders counts.
        """
        if path in self.ranked:
            return self.ranked[path]
        parts = _parts(path)
        found = self._by_name.get(parts[-1], [])
        shared = [_shared_tail(parts, other) for other, _ in found]
        if not found or shared.count(max(shared)) > 1:
            return None
        return found[shared.index(max(shared))][1]


def _parts(path: str) -> tuple[str, ...]:
    """Split at slashes of either kind."""
    return PureWindowsPath(path).parts


def _shared_tail(one: Iterable[str], other: Iterable[str]) -> int:
    count = 0
    for left, right in zip(reversed(tuple(one)), reversed(tuple(other)), strict=False):
        if left != right:
            break
        count += 1
    return count
