"""Rows of images (features, scores), computed over several runs and written as one file.

While the rows of a file ``NAME`` are computed, they lie in ``NAME.parts`` beside it: one file for
every few hundred rows, and ``origin.json``, which says what they depend on (model, weights,
preparation, ...). A run that ends early is continued from there; a run of another origin is
refused, because rows of two models in one file would go unnoticed. How rows look on the disk is
the business of a format: features in safetensors (``extraction.FeatureFormat``), CLIP confidence
records in JSON (``clip_scores.RecordFormat``).
"""
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from rscc.engine.precision import reduced_precision
from rscc.inference.preparation import BatchOptions, image_batches
from rscc.utils import read_json, write_json

ROWS_PER_PART = 256
SECONDS_PER_PART = 20.0
REMEDY = 'Start anew with --overwrite, or choose another --out'


class RowFormat(Protocol):
    """Form of the rows on the disk.

    Attributes:
        ending: Of the files of parts, ``'.json'``.
    """
    ending: str

    def write_part(self, file: Path, rows: Mapping[str, Any]) -> None:
        """Write some rows by name, atomically."""

    def names_in(self, file: Path) -> list[str]:
        """Return the names of the rows in a part."""

    def read_part(self, file: Path) -> dict[str, Any]:
        """Return the rows of a part; ValueError if it is damaged."""

    def read_finished(self, target: Path, wanted: list[str], origin: Mapping[str, Any]
                      ) -> dict[str, Any] | None:
        """Look at a finished file: None if it holds what is wanted, else the rows to go on from.

        Raises:
            ValueError: If it was made otherwise, or is about other images.
        """

    def write_finished(self, target: Path, wanted: list[str], parts: Iterator[dict[str, Any]],
                       origin: Mapping[str, Any]) -> None:
        """Write all rows in the order of ``wanted``; rows of other names are dropped."""


class Store:
    """The rows of one file, from the first to the last.

    Args:
        target: The file.
        wanted: Names of all rows in their order.
        origin: What the rows depend on, as JSON values.
        form: How they are written.
        overwrite: Compute everything anew, whatever is there.

    Attributes:
        complete: Whether the file is finished already; it is then left as it is.

    Raises:
        ValueError: If what is there was made otherwise, or is about other images.
    """

    def __init__(self, target: str | Path, wanted: Iterable[str], origin: dict[str, Any],
                 form: RowFormat, overwrite: bool = False) -> None:
        self.target, self.wanted, self.origin, self.form = Path(target), [*wanted], origin, form
        self.folder = self.target.with_name(f'{self.target.name}.parts')
        self.complete = False
        self._waiting: dict[str, Any] = {}
        self._saved_at = time.monotonic()
        if overwrite:
            shutil.rmtree(self.folder, ignore_errors=True)
        # Parts are newer than a finished file: they began with its rows, or replace it.
        self._parts = sorted(self.folder.glob(f'[0-9]*{form.ending}'))
        if self._parts:
            compare_origin(read_json(self.folder / 'origin.json'), origin, self.folder)
        elif self.target.is_file() and not overwrite:
            known = form.read_finished(self.target, self.wanted, origin)
            self.complete = known is None
            self._waiting = known or {}
        self._names = {name for part in self._parts for name in form.names_in(part)}
        self._names.update(self._waiting)

    def missing(self) -> list[str]:
        """Return the names of the rows that are still to be computed."""
        return [] if self.complete else [name for name in self.wanted if name not in self._names]

    def add(self, name: str, row: Any) -> None:
        """Keep one row; now and then the new ones are saved."""
        self._waiting[name] = row
        self._names.add(name)
        if (len(self._waiting) >= ROWS_PER_PART
                or time.monotonic() - self._saved_at > SECONDS_PER_PART):
            self.save()

    def save(self) -> None:
        """Write the new rows as a part, if there are any."""
        if not self._waiting:
            return
        write_json(self.folder / 'origin.json', self.origin)
        part = self.folder / f'{len(self._parts):06d}{self.form.ending}'
        self.form.write_part(part, self._waiting)
        self._parts.append(part)
        self._waiting = {}
        self._saved_at = time.monotonic()

    def finish(self) -> None:
        """Write the file and drop the parts, of which one at a time is in memory."""
        self.save()
        parts = (self.form.read_part(part) for part in self._parts)
        self.form.write_finished(self.target, self.wanted, parts, self.origin)
        shutil.rmtree(self.folder)

    def fill(self, paths: Mapping[str, str], read: Callable[[str], Tensor],
             compute: Callable[[list[str], Tensor], Iterable[Any]], device: torch.device,
             options: BatchOptions, title: str) -> int:
        """Compute the rows that are missing and finish the file.

        Whatever ends the run early, the rows so far are kept.

        Args:
            paths: Name of every row -> image.
            read: Image -> prepared pixels (3, H, W), see ``image_batches``.
            compute: Images and their pixels (M, 3, H, W) -> M rows.
            device: Where to compute.
            options: How images are read and computed.
            title: Of the images, for progress bar and message.

        Returns:
            Number of rows computed now; 0 leaves a finished file untouched.

        Raises:
            ValueError: If images cannot be read; all others are computed first and kept.
        """
        if self.complete:
            return 0
        todo = {paths[name]: name for name in self.missing()}
        damaged = []
        try:
            for images, pixels, messages in image_batches(list(todo), read, options, device, title):
                damaged += messages
                if not images:
                    continue
                with reduced_precision(device.type) if options.amp else nullcontext():
                    rows = [*compute(images, pixels)]
                for image, row in zip(images, rows, strict=True):
                    self.add(todo[image], row)
        finally:
            self.save()
        if damaged:
            raise ValueError(
                f'{len(damaged)} of {len(self.wanted)} images of {title} cannot be read, first: '
                f'{" ".join(damaged[:3])}\nWhat was computed of the others is kept; run again when '
                'the files are whole (those that are not 8-bit RGB or grey: with --bands and '
                '--scale, or those of LoadFrames in the config)')
        self.finish()
        return len(todo)


def compare_origin(found: Any, origin: Mapping[str, Any], where: Path) -> None:
    """Refuse rows that were made otherwise.

    Raises:
        ValueError: With the first setting that differs.
    """
    found = found if isinstance(found, dict) else {}
    for key, value in origin.items():
        if found.get(key) != value:
            raise ValueError(f"'{where}' was made with other settings: {key} is "
                             f'{_short(found.get(key))} there and {_short(value)} now. {REMEDY}')


def _short(value: Any) -> str:
    return f'a list of {len(value)}' if isinstance(value, list) and len(value) > 3 \
        else json.dumps(value)
