"""Writing a feature file row by row: tokens of a dataset may be larger than the memory."""
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from rscc.datasets.features import FORMAT, POOLED, TOKENS, digest_of, index_path
from rscc.utils import write_json
from rscc.utils.files import atomic_path

#: Types of numbers by safetensors' names for them.
_DTYPES = {'F16': np.dtype('<f2'), 'F32': np.dtype('<f4')}


def write_features(file: str | Path, pooled: Tensor, tokens: Tensor | None, images: Sequence[str],
                   facts: Mapping[str, Any]) -> None:
    """Write a feature file and its index; each appears whole or not at all.

    Args:
        file: The safetensors file.
        pooled: (N, D), float16 or float32.
        tokens: (N, L, D), or None.
        images: N names, see :func:`rscc.datasets.features.key_of`.
        facts: For the index: ``model`` (its name) and whatever tells where the features are from.

    Raises:
        ValueError: If the numbers of rows and names differ, a name comes twice, or the numbers are
            of another type.
    """
    tensors = {POOLED: pooled} | ({} if tokens is None else {TOKENS: tokens})
    layout = {name: tensor.numpy() for name, tensor in tensors.items()}
    with feature_file(file, {name: array.shape for name, array in layout.items()},
                      layout[POOLED].dtype, images, facts) as rows:
        for name, array in layout.items():
            rows[name][:] = array


@contextmanager
def feature_file(file: str | Path, shapes: Mapping[str, Sequence[int]], dtype: np.dtype | str,
                 images: Sequence[str], facts: Mapping[str, Any]
                 ) -> Iterator[dict[str, np.ndarray]]:
    """Give arrays to fill that lie in the file, and write the index when all are filled.

    Args:
        file: The safetensors file; it takes its name when the block ends without error.
        shapes: ``pooled`` (N, D) and perhaps ``tokens`` (N, L, D).
        dtype: float16 or float32.
        images: See :func:`write_features`.
        facts: See :func:`write_features`.

    Yields:
        The arrays by name, mapped into memory.

    Raises:
        ValueError: As :func:`write_features`.
    """
    count, width = shapes[POOLED]
    if not len(images) == len(set(images)) == count:
        raise ValueError(f'{count} rows of features for {len(images)} images, {len(set(images))} '
                         'of them different')
    with atomic_path(file) as temporary:
        arrays = _map(temporary, shapes, np.dtype(dtype), {'images': digest_of(images)})
        yield arrays
        for array in arrays.values():
            array.flush()
    tokens = shapes[TOKENS][1] if TOKENS in shapes else 0
    write_json(index_path(file), {
        'format': FORMAT, **facts, 'dtype': np.dtype(dtype).name, 'width': width, 'tokens': tokens,
        'images': list(images)})


def _map(path: Path, shapes: Mapping[str, Sequence[int]], dtype: np.dtype,
         metadata: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Lay out a safetensors file: length of the header, header (JSON), numbers of every tensor."""
    kind = next((name for name, known in _DTYPES.items() if known == dtype), None)
    if kind is None:
        raise ValueError(f'features are stored as float16 or float32, found {dtype}')
    header: dict[str, Any] = {'__metadata__': dict(metadata)}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + int(np.prod(shape)) * dtype.itemsize
        header[name] = dict(dtype=kind, shape=list(shape), data_offsets=[start, end])
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with path.open('wb') as stream:
        stream.write(len(text).to_bytes(8, 'little') + text)
        stream.truncate(8 + len(text) + end)
    return {name: np.memmap(path, dtype, 'r+', 8 + len(text) + header[name]['data_offsets'][0],
                            tuple(shape)) for name, shape in shapes.items()}
