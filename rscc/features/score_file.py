"""A resumable CLIP confidence file that refuses to mix models.

Beside ``A_clipcls_56_vit16.json`` lies, while it is made, ``...json.partial`` with the records so
far and, once it is done, ``...json.origin``: which model made it; the format has no place for that.
"""
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rscc.datasets.confidence import PATH_KEY, read_confidence
from rscc.utils import read_json, write_json

#: One image: ``image_path``, then class names in descending probability with four decimals.
Record = dict[str, str]


class ScoreFile:
    """The records of one folder of images, by path.

    Args:
        target: The JSON file.
        wanted: Paths of all images, as they will be written, in their order.
        origin: What the scores depend on (model, weights, class names, ...), plain JSON values.
        overwrite: Score everything anew, whatever is there.
        save_every: Seconds between two versions of the partial file.

    Attributes:
        complete: Whether the target has every image already; it is then left as it is.
        records: What is known, by path.

    Raises:
        ValueError: If what is there was made otherwise, or is about other images.
    """

    def __init__(self, target: Path, wanted: Sequence[str], origin: dict[str, Any],
                 overwrite: bool = False, save_every: float = 20.0) -> None:
        self.target, self.wanted, self.origin = target, list(wanted), origin
        self.save_every = save_every
        self.partial = target.with_name(f'{target.name}.partial')
        self.origin_file = target.with_name(f'{target.name}.origin')
        self.records: dict[str, Record] = {}
        self.complete = False
        self._saved_at = time.monotonic()
        if overwrite:
            return
        # A run in progress knew the finished file, and holds what it took over from there.
        if self.partial.is_file():
            self._take_partial()
        elif self.target.is_file():
            self._take_target()

    def missing(self) -> list[str]:
        """Return the paths of the images that have no record yet."""
        return [path for path in self.wanted if path not in self.records]

    def add(self, path: str, ranked: dict[str, float]) -> None:
        """Record one image.

        Args:
            path: One of ``wanted``.
            ranked: Probability of every class name, in descending order.
        """
        self.records[path] = {PATH_KEY: path, **{name: f'{value:.4f}'
                                                 for name, value in ranked.items()}}
        if time.monotonic() - self._saved_at > self.save_every:
            self.save()

    def save(self) -> None:
        """Write the partial file, once there is something to keep."""
        if not self.records:
            return
        write_json(self.partial, {'origin': self.origin, 'records': list(self.records.values())},
                   indent=None)
        self._saved_at = time.monotonic()

    def finish(self) -> None:
        """Write the target and drop the partial file.

        The origin comes after the target: a kill in between makes the next run ask, not mix.
        """
        write_json(self.target, [self.records[path] for path in self.wanted], indent=4)
        write_json(self.origin_file, self.origin)
        self.partial.unlink(missing_ok=True)

    def _take_partial(self) -> None:
        stored = read_json(self.partial)
        if not isinstance(stored, dict) or not {'origin', 'records'} <= set(stored):
            raise ValueError(f"'{self.partial}' is not what a run of this tool leaves behind; "
                             'remove it, or start anew with --overwrite')
        self._compare(stored['origin'], self.partial)
        wanted = set(self.wanted)
        self.records = {record[PATH_KEY]: record for record in stored['records']
                        if record[PATH_KEY] in wanted}

    def _take_target(self) -> None:
        ranked = read_confidence(self.target)
        self._compare_names(ranked)
        if self.origin_file.is_file():
            self._compare(read_json(self.origin_file), self.origin_file)
        lacking = [path for path in self.wanted if path not in ranked]
        self.complete = not lacking
        if self.complete:
            return
        if len(lacking) == len(self.wanted) and ranked:
            raise ValueError(
                f"'{self.target}' is about other images: its first is '{next(iter(ranked))}', "
                f"and it has none of the {len(lacking)} asked for, '{lacking[0]}' the first. "
                'If the data have moved, start anew with --overwrite; else choose another '
                '--tag or --out')
        if not self.origin_file.is_file():
            raise ValueError(
                f"'{self.target}' lacks {len(lacking)} of {len(self.wanted)} images, and which "
                f"model made it is not known (no '{self.origin_file.name}' beside it). Start anew "
                'with --overwrite, or choose another --tag')
        wanted = set(self.wanted)
        self.records = {record[PATH_KEY]: record for record in read_json(self.target)
                        if record[PATH_KEY] in wanted}

    def _compare_names(self, ranked: dict[str, list[str]]) -> None:
        own = set(self.origin['class_names'])
        for path, names in ranked.items():
            if set(names) != own:
                odd = sorted(own ^ set(names))[:3]
                raise ValueError(
                    f"'{self.target}' was made with another class list: '{path}' has {len(names)} "
                    f'names, this list {len(own)}; they differ in {odd}. Start anew with '
                    '--overwrite, or choose another --tag')

    def _compare(self, stored: Any, file: Path) -> None:
        if stored == self.origin:
            return
        stored = stored if isinstance(stored, dict) else {}
        odd = [key for key in self.origin if stored.get(key) != self.origin[key]]
        shown = '; '.join(f'{key} {_short(stored.get(key))} there, {_short(self.origin[key])} now'
                          for key in odd) or 'unknown settings'
        raise ValueError(f"'{file}' tells of other settings: {shown}. Scores of two kinds are not "
                         'mixed: start anew with --overwrite, or choose another --tag')


def _short(value: Any) -> str:
    return f'of {len(value)}' if isinstance(value, list) and len(value) > 3 else repr(value)
