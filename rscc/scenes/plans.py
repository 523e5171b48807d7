"""What a first look at a scene has found, kept for the other parts of a run.

The pair check, percentiles, the shift between the dates and the share of pixels without data take
a look at the whole scene. Each part would do it again, and might, on another machine, come to
another rounding. So the first process leaves its findings as a file beside the blocks.
"""
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rscc.scenes.pair_check import PairCheck
from rscc.utils import read_json, write_json


class Plans:
    """Findings about scenes, as files in a folder.

    Args:
        folder: Made when something is kept.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def find(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the findings about a scene, None where there are none.

        Args:
            key: JSON values that they depend on: files, options, what the weights know.
        """
        path = self._path(key)
        try:
            return read_json(path) if path.is_file() else None
        except ValueError:  # a damaged file: found out anew, and replaced
            return None

    def keep(self, key: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        """Keep findings; the file appears whole."""
        write_json(self._path(key), dict(found))

    def _path(self, key: Mapping[str, Any]) -> Path:
        text = json.dumps(key, sort_keys=True, default=str)
        return self.folder / f'plan_{hashlib.sha256(text.encode()).hexdigest()[:16]}.json'


def stored_scale(scale: Any) -> Any:
    """Return a scale as JSON values that give the same numbers back."""
    if scale is None or isinstance(scale, str):
        return scale
    return [np.asarray(value, np.float64).tolist() for value in scale]


def findings_of(reader: Any, check: PairCheck, nodata: Sequence[float]) -> dict[str, Any]:
    """Return what was found out about a scene, as JSON values.

    Args:
        reader: Its dates, see :class:`rscc.scenes.reading.PairReader`.
        check: The pair check.
        nodata: Of every block, the share of pixels without data.
    """
    return dict(
        scales=[stored_scale(scale) for scale in reader.scales], offset=list(reader.offset),
        tables=None if reader.tables is None else reader.tables.tolist(),
        remarks=list(reader.remarks), check=check.to_dict(), nodata=list(nodata))
