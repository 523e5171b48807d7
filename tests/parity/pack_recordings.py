"""Make the small folder of recordings that comes with the tests from the complete one.

    python tests/parity/pack_recordings.py FIXTURES tests/parity/data

Numbers are kept bit for bit. Of large arrays that are only compared with, every fifth value is
kept (``NAME__every5``). The weights of ChangeCLIP repeat one table of random numbers, scaled: they
are stored as places in that table (``recordings.unpacked`` reads them).
"""
import argparse
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from recordings import EVERY, unpacked

SYSTEMS = ('changeclip', 'clip_gpt', 'kd_rscc')
LARGE = 1500  # values above which an array is thinned
COMPARED = {'io.npz': '(?!.*inputs_raw|gt|tokens_)', 'denoiser_tiny.npz': 'act/'}
SHORTEST = 24  # values that a place in the table is looked for


def thinned(arrays, pattern):
    """Yield name and values, every fifth of the large arrays whose name matches."""
    for name, value in arrays.items():
        if value.size > LARGE and re.match(pattern, name):
            yield f'{name}__every{EVERY}', value.ravel()[::EVERY]
        else:
            yield name, value


def table_of(arrays):
    """Return the numbers that the largest array repeats."""
    values = max(arrays.values(), key=np.size).ravel()
    length = next(n for n in range(1, len(values)) if np.array_equal(values[n:], values[:-n]))
    return values[:length]


def place_of(values, table):
    """Return (start, scale) with which the table gives exactly these values, or None."""
    first = values[:len(table)].astype(np.float64)
    if first.size < SHORTEST or not first.any():
        return None
    cyclic = np.concatenate([table, table[:len(first) - 1]]).astype(np.float64)
    products = np.correlate(cyclic, first, 'valid')
    squares = np.convolve(cyclic**2, np.ones(len(first)), 'valid')
    start = int(np.argmax(np.abs(products) / np.sqrt(squares)))
    source = np.take(table, np.arange(start, start + len(values)), mode='wrap').astype(np.float64)
    scale = scale_of(values, source)
    exact = scale is not None and np.array_equal((source * scale).astype(values.dtype), values)
    return (start, scale) if exact else None


def scale_of(values, source):
    """Return a number that takes every source to its value in float32, or None."""
    if not source.all():
        return None
    ends = [(values.astype(np.float64) + np.nextafter(values, np.float32(side))) / 2 / source
            for side in (-np.inf, np.inf)]
    low, high = np.minimum(*ends).max(), np.maximum(*ends).min()
    return None if low > high else float((low + high) / 2)


def packed(arrays):
    """Return the arrays of a packed file, which :func:`recordings.unpacked` turns back."""
    table, index, rest = table_of(arrays), [], {}
    for name, value in arrays.items():
        flat = value.ravel()
        place = place_of(flat, table) if value.dtype == table.dtype else None
        if place is None:
            parts = rest.setdefault(value.dtype.name, [])
            place = sum(map(len, parts)), 1
            parts.append(flat)
            index.append([name, value.shape, value.dtype.name, *place])
        else:
            index.append([name, value.shape, 'table', *place])
    text = np.frombuffer(json.dumps(index).encode(), np.uint8)
    out = {'index': text, 'table': table,
           **{name: np.concatenate(parts) for name, parts in rest.items()}}
    back = dict(unpacked(out))
    assert back.keys() == arrays.keys()
    assert all(np.array_equal(back[name], value) and back[name].dtype == value.dtype
               for name, value in arrays.items())
    return out


def pack(source, target):
    """Write one file the small way."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix != '.npz':
        shutil.copy(source, target)
        return
    with np.load(source) as file:
        arrays = {name: file[name] for name in file.files}
    if source.name == 'weights.npz':
        arrays = packed(arrays)
    elif source.name in COMPARED:
        arrays = dict(thinned(arrays, COMPARED[source.name]))
    np.savez_compressed(target, **arrays)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='folder with all recordings')
    parser.add_argument('target', type=Path, help='folder to write')
    args = parser.parse_args()
    for system in SYSTEMS:
        for path in sorted((args.source / system).rglob('*')):
            if path.is_file() and path.suffix != '.md':
                pack(path, args.target / path.relative_to(args.source))


if __name__ == '__main__':
    main()
