"""Rows of an unfinished feature file, kept in parts so that a run can be continued."""
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rscc.datasets.features import POOLED, TOKENS, feature_file
from rscc.utils import read_json, write_json
from rscc.utils.files import atomic_path

ROWS_PER_PART = 256


@dataclass
class FeatureParts:
    """Rows that are there so far, in a folder beside the file they will become.

    Attributes:
        target: The feature file.
        origin: What the rows depend on, as JSON values.
        names: Images whose rows are kept, in the order of computing.
    """
    target: Path
    origin: dict[str, Any]
    names: list[str] = field(default_factory=list)
    _files: list[Path] = field(default_factory=list)
    _waiting: list[tuple[str, Tensor, Tensor | None]] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Where the parts lie."""
        return self.target.with_name(f'{self.target.name}.parts')

    def resume(self) -> None:
        """Take up what an earlier run left.

        Raises:
            ValueError: If it was made otherwise, or is damaged.
        """
        stamp = self.folder / 'origin.json'
        if not stamp.is_file():
            return
        compare(read_json(stamp), self.origin, self.folder)
        for part in sorted(self.folder.glob('*.safetensors')):
            self.names += read_json(part.with_suffix('.json'))
            self._files.append(part)

    def add(self, name: str, pooled: Tensor, tokens: Tensor | None) -> None:
        """Keep one row, pooled (D) and perhaps tokens (L, D)."""
        self._waiting.append((name, pooled, tokens))
        if len(self._waiting) >= ROWS_PER_PART:
            self.save()

    def save(self) -> None:
        """Write the waiting rows as a part, the names last."""
        if not self._waiting:
            return
        names, pooled, tokens = zip(*self._waiting, strict=True)
        tensors = {POOLED: torch.stack(pooled)}
        if tokens[0] is not None:
            tensors[TOKENS] = torch.stack(tokens)
        write_json(self.folder / 'origin.json', self.origin)
        part = self.folder / f'{len(self._files):06d}.safetensors'
        write_json(part.with_suffix('.json'), list(names))
        with atomic_path(part) as temporary:
            save_file(tensors, temporary)
        self._files.append(part)
        self.names += names
        self._waiting.clear()

    def finish(self, wanted: Sequence[str], facts: dict[str, Any]) -> None:
        """Put the rows into one file, in the order of ``wanted``, and drop the parts.

        One part is in memory at a time.
        """
        self.save()
        place = {name: row for row, name in enumerate(wanted)}
        done = 0
        first = self._load(self._files[0])
        shapes = {key: (len(wanted), *tensor.shape[1:]) for key, tensor in first.items()}
        with feature_file(self.target, shapes, first[POOLED].numpy().dtype, wanted, facts) as rows:
            for file in self._files:
                part = self._load(file)
                names = self.names[done:done + len(part[POOLED])]
                kept = [row for row, name in enumerate(names) if name in place]
                for key, tensor in part.items():
                    rows[key][[place[names[row]] for row in kept]] = tensor[kept].numpy()
                done += len(names)
        shutil.rmtree(self.folder)

    def _load(self, file: Path) -> dict[str, Tensor]:
        try:
            return load_file(file)
        except SafetensorError as error:
            raise ValueError(f"a part in '{self.folder}' is damaged: {error}. Remove the folder "
                             'and run again') from error


def compare(found: dict[str, Any], origin: dict[str, Any], where: Path) -> None:
    """Refuse rows that were made otherwise: two models in one file would go unnoticed.

    Raises:
        ValueError: With what differs.
    """
    for key, value in origin.items():
        if found.get(key) != value:
            raise ValueError(
                f"'{where}' was made otherwise: {key} is {json.dumps(found.get(key))} there, and "
                f'{json.dumps(value)} now. Start anew with --overwrite, or choose another --out')
