"""Numbers recorded from the original systems: where they lie, how to read and compare them.

The folder is ``$RSCC_FIXTURES``, or ``tests/parity/data`` where the variable is not set. The tests
must pass on every processor (``tests/rounding.py`` says how). To see on one what others compute,
let PyTorch and oneDNN leave out its newer instructions, in one to four threads::

    for threads in 1 2 3 4; do for onednn in DEFAULT AVX2; do for torch in default avx2 avx512; do
        OMP_NUM_THREADS=$threads ONEDNN_MAX_CPU_ISA=$onednn ATEN_CPU_CAPABILITY=$torch \
            python -m pytest tests/parity || echo "fails: $threads $onednn $torch"
    done; done; done
"""
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from rounding import assert_within

RECORDINGS = Path(os.environ.get('RSCC_FIXTURES') or Path(__file__).with_name('parity') / 'data')

EVERY = 5  # values that a thinned array steps on by


def skip_without(system):
    """Return a mark that skips a whole file where a system's recordings are absent."""
    folder = RECORDINGS / system
    return pytest.mark.skipif(not folder.is_dir(), reason=absent(folder))


def recording(name):
    """Return a path among the recordings; the test is skipped where it is absent."""
    path = RECORDINGS / name
    if not path.exists():
        pytest.skip(absent(path))
    return path


def absent(path):
    return f"no recorded numbers at '{path}' (set RSCC_FIXTURES to a folder that has them)"


def tensors(path):
    """Return the arrays of an ``.npz`` file as tensors by name."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    if 'index' in arrays:
        arrays = dict(unpacked(arrays))
    return {name: torch.from_numpy(value) for name, value in arrays.items()}


def doubles(path):
    """Return the arrays of an ``.npz`` file as tensors by name, floating ones in float64."""
    return {name: value.double() if value.is_floating_point() else value
            for name, value in tensors(path).items()}


def unpacked(arrays):
    """Yield name and array of a packed file, exactly as they were before.

    ``index`` is JSON: rows (name, shape, array, start, scale). The values are those of the array
    from ``start`` on, from its end to its beginning again, times ``scale`` in float64.
    """
    for name, shape, source, start, scale in json.loads(bytes(arrays['index'])):
        places = np.arange(start, start + math.prod(shape))
        values = np.take(arrays[source], places, mode='wrap')
        if scale != 1:
            values = (values.astype(np.float64) * scale).astype(values.dtype)
        yield name, values.reshape(shape)


def recorded_names(arrays):
    """Return the names of arrays, those of thinned ones without what marks them."""
    return {name.partition('__every')[0] for name in arrays}


def assert_recorded(ours, arrays, name, share):
    """Compare with a recorded array, allowing a share of its largest value everywhere.

    An array ``NAME__every5`` holds every fifth value of what ``NAME`` would hold, flattened.
    """
    ours, expected = ours.detach(), arrays.get(name)
    if expected is None:
        expected = arrays[f'{name}__every{EVERY}']
        ours = ours.flatten()[::EVERY]
    assert_within(ours, expected, share, name)
