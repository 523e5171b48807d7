"""Answers to blocks as files: each appears under its final name only when it is whole.

A folder of blocks belongs to one run: what it was computed from stands in its ``run.json``, and
another run's blocks are never mixed in. Two processes may do the same block: the later file takes
the place of the earlier, equal one.
"""
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rscc.scenes.contracts import Block, BlockAnswer, Gap, WindowSentence
from rscc.utils import read_json
from rscc.utils.files import atomic_path, atomic_write

RECORD = 'run.json'
_LISTED = 10  # missing blocks that a message names
_MAPS = ('classes', 'probability', 'class_maps')  # of an answer


class OtherRun(ValueError):
    """Error for a folder that holds the blocks of another run."""


class BlockFolder:
    """The answered blocks of one run.

    Args:
        folder: Made if needed.
        record: What the answers depend on, JSON values: inputs, weights, options.
        overwrite: Delete the blocks of another run first.

    Attributes:
        new: Whether the folder held no blocks of this run.
        replaced: Whether blocks of another run were deleted.

    Raises:
        OtherRun: If the folder holds blocks of another run; the message names what differs.
    """

    def __init__(self, folder: str | Path, record: dict[str, Any], overwrite: bool = False
                 ) -> None:
        self.folder = Path(folder)
        self.record = json.loads(json.dumps(record))
        try:
            stored = stored_record(self.folder)
        except ValueError as error:
            if not overwrite:
                raise ValueError(f'{error}. --overwrite deletes the blocks beside it') from error
            stored = {'record': 'damaged'}
        differing = sorted(key for key in {*stored, *self.record}
                           if stored.get(key) != self.record.get(key))
        self.replaced = bool(stored and differing and overwrite)
        if self.replaced:
            self._clear()
            stored = {}
        elif stored and differing:
            first = differing[0]
            raise OtherRun(
                f"'{self.folder}' holds blocks of another run, which differs in "
                f"{', '.join(differing)} ({first}: {_short(stored.get(first))} there, "
                f'{_short(self.record.get(first))} now). Give another --out, or --overwrite')
        self.new = not stored
        if self.new:
            with atomic_write(self.folder / RECORD) as file:
                json.dump(self.record, file, indent=1, ensure_ascii=False)

    def _clear(self) -> None:
        """Delete the blocks, their record last: what is left is known as the other run's."""
        for path in [*self.folder.glob('*.npz'), self.folder / RECORD]:
            path.unlink(missing_ok=True)  # another part may be doing the same

    def path(self, block: Block) -> Path:
        """Return the file of a block."""
        return self.folder / f'{block.id}.npz'

    def missing(self, blocks: Sequence[Block]) -> list[Block]:
        """Return the blocks that are not answered, or whose files have lost their end."""
        there = {path.name for path in self.folder.glob('*.npz') if zipfile.is_zipfile(path)}
        return [block for block in blocks if self.path(block).name not in there]

    def check_complete(self, blocks: Sequence[Block]) -> None:
        """Refuse to go on while blocks are missing.

        Raises:
            FileNotFoundError: The message names them.
        """
        missing = self.missing(blocks)
        if missing:
            names = ', '.join(block.id for block in missing[:_LISTED])
            more = f' and {len(missing) - _LISTED} more' if len(missing) > _LISTED else ''
            raise FileNotFoundError(
                f"{len(missing)} of {len(blocks)} blocks are missing in '{self.folder}': {names}"
                f'{more}. Run their parts (--part i/n), or the command without --combine, which '
                'does the rest')

    def write(self, answer: BlockAnswer) -> Path:
        """Write the answer to a block; it appears whole, or not at all.

        Raises:
            OSError: If the disk is full, for instance; what was there before is kept.
        """
        arrays = {name: getattr(answer, name) for name in _MAPS
                  if getattr(answer, name) is not None}
        facts = dict(
            block=asdict(answer.block), nodata_pixels=answer.nodata_pixels, windows=answer.windows,
            sentences=[asdict(row) for row in answer.sentences],
            gaps=[asdict(gap) for gap in answer.gaps])
        arrays['facts'] = np.frombuffer(json.dumps(facts, ensure_ascii=False).encode(), np.uint8)
        path = self.path(answer.block)
        # Level 1: half of the size costs a tenth of the default level's time. No dates, so that
        # equal answers are equal files.
        with atomic_path(path) as temporary, open(temporary, 'wb') as stream:
            with zipfile.ZipFile(stream, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                for name, value in arrays.items():
                    entry = zipfile.ZipInfo(f'{name}.npy')
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    with archive.open(entry, 'w', force_zip64=True) as file:
                        np.lib.format.write_array(file, value, allow_pickle=False)
            stream.flush()
            os.fsync(stream.fileno())  # a network disk says only here that it is full
        return path

    def read(self, block: Block) -> BlockAnswer:
        """Read the answer to a block.

        Raises:
            FileNotFoundError: If it is missing.
            ValueError: If the file is damaged; it has to be deleted and computed again.
        """
        path = self.path(block)
        try:
            with np.load(path, allow_pickle=False) as file:
                facts = json.loads(file['facts'].tobytes())
                arrays = {name: file[name] for name in _MAPS if name in file}
            return BlockAnswer(
                block, nodata_pixels=facts['nodata_pixels'], windows=facts['windows'],
                sentences=[WindowSentence(**row | {'box': tuple(row['box'])})
                           for row in facts['sentences']],
                gaps=[Gap(tuple(gap['box']), gap['reason']) for gap in facts['gaps']], **arrays)
        except OSError:
            raise
        except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds
            raise ValueError(f"the block '{path}' is damaged ({error}). Delete it and run its part "
                             'again') from error


def stored_record(folder: Path) -> dict[str, Any]:
    """Return what the blocks of a folder were computed from; empty where there are none."""
    path = folder / RECORD
    return read_json(path) if path.is_file() else {}


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + '...'
