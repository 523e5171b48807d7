"""Where the numbers recorded from the original systems lie, and how to read them."""
import os
from pathlib import Path

import numpy as np
import pytest
import torch

RECORDINGS = Path(os.environ.get(
    'RSCC_FIXTURES', Path(__file__).resolve().parents[2] / 'shared' / 'fixtures'))


def skip_without(system):
    """Return a mark that skips a whole file where a system's recordings are absent."""
    folder = RECORDINGS / system
    return pytest.mark.skipif(not folder.is_dir(),
                              reason=f"no recorded numbers at '{folder}' (set RSCC_FIXTURES)")


def recording(name):
    """Return a path among the recordings; the test is skipped where it is absent."""
    path = RECORDINGS / name
    if not path.exists():
        pytest.skip(f"no recorded numbers at '{path}' (set RSCC_FIXTURES)")
    return path


def tensors(path):
    """Return the arrays of an ``.npz`` file as tensors by name."""
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}
