"""Trainings as part of a benchmark: run by the tools as users run them, timed, of several seeds."""
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rscc.utils import write_json

ROOT = Path(__file__).resolve().parents[2]
TRAINED = 'trained.json'


def run_tool(script: str, *arguments: object) -> None:
    """Run a tool; what it prints goes where our own output goes.

    Raises:
        RuntimeError: If it fails.
    """
    done = subprocess.run([sys.executable, str(ROOT / script), *map(str, arguments)], check=False)
    if done.returncode:
        raise RuntimeError(f'{script} ended with {done.returncode}; its message stands above')


def train_timed(config: str | Path, folder: Path, *arguments: object) -> Path:
    """Train unless that is done, and return the last checkpoint.

    Args:
        config: Config file or name.
        folder: Its work folder, which then holds ``trained.json`` with the processor time.
        *arguments: More arguments of ``tools/train.py``.
    """
    if not (folder / TRAINED).is_file():
        before = os.times()
        run_tool('tools/train.py', config, '--work-dir', folder, *arguments)
        after = os.times()  # of the processor: others at work on the machine do not count
        seconds = (after.children_user + after.children_system
                   - before.children_user - before.children_system)
        write_json(folder / TRAINED, dict(processor_seconds=seconds))
    return Path((folder / 'last_checkpoint').read_text().strip())


def cells(scores: Sequence[Sequence[float]], each: bool = False, digits: int = 3) -> list[str]:
    """Return a cell for each column of (seeds, columns): mean and standard deviation.

    Args:
        scores: One row a seed.
        each: Whether the values of the seeds follow in brackets.
        digits: Decimal places.
    """
    def say(value: float) -> str:
        return f'{value:.{digits}f}'

    if len(scores) == 1:
        return [say(value) for value in scores[0]]
    made = []
    for column in np.asarray(scores, float).T:
        seeds = ' '.join(map(say, column))
        made.append(f'{say(np.mean(column))} ± {say(np.std(column, ddof=1))}'
                    + (f' ({seeds})' if each else ''))
    return made
