"""Hashes by which the files of a scene are known again, in another run or on another machine."""
import hashlib
import itertools
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from rscc.rasters.rows import gdal
from rscc.scenes.mosaics import driver_of, tiles_in
from rscc.utils import require

#: Bytes up to which all of a file is read.
_WHOLE = 64 * 2**20
_SAMPLED = 65536  # bytes read at each of some places of a larger file
#: Endings of files beside a raster that change what is read: notes, masks, overviews, place.
_NOTES = '.aux.xml'
_BESIDE = (_NOTES, '.msk', '.ovr', '.hdr', '.HDR')
#: What viewers note down in such a file and what changes no pixel.
_REMARKS = ('Metadata', 'Histograms')
_IN_PLACE = ('.tfw', '.tifw', '.hdr', '.HDR', '.prj')

Given = str | Path | tuple[str, ...]


def fingerprints(date: Given) -> list[str]:
    """Return a hash of every file that one date of a scene is read from, in a fixed order.

    Args:
        date: A raster, a picture, or the tiles of a mosaic (a folder or a tuple of paths).
    """
    paths = itertools.chain.from_iterable(map(_with_others, _given(date)))
    found = (fingerprint(path) for path in dict.fromkeys(paths))
    return [text for text in found if text]  # notes that say nothing count as if they were not


def _given(date: Given) -> list[str]:
    if isinstance(date, tuple):
        return list(date)
    if Path(date).is_dir():
        return [str(path) for path in tiles_in(date)]
    return [str(date)]


def _with_others(path: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield a file, those that lie beside it and belong to it, and those that a VRT reads."""
    if path in above:  # a virtual raster that reads itself, which its reader refuses
        return
    yield path
    if not Path(path).is_file():
        return
    beside = [Path(f'{path}{ending}') for ending in _BESIDE]
    beside += [Path(path).with_suffix(ending) for ending in _IN_PLACE]
    yield from (str(other) for other in beside if other.is_file() and str(other) != path)
    for inner in _inside(path):
        yield from _with_others(inner, (*above, path))


def _inside(path: str) -> list[str]:
    """Return the files that a virtual raster reads; none of other files."""
    try:
        if driver_of(path) != 'VRT':
            return []
    except ValueError:  # a picture
        return []
    rasterio = require('rasterio', f"reading '{path}'")
    with gdal(rasterio), rasterio.open(path, driver='VRT') as file:
        return [found for found in file.files if Path(found) != Path(path)]


def fingerprint(path: str) -> str:
    """Return a hash by which a file is known again, wherever it lies.

    Of a file of more than 64 MB, its length, the time of its last change and a hundred places are
    taken: scenes have gigabytes. A remote file is known by its address alone.
    """
    if not Path(path).is_file():
        return path
    facts = Path(path).stat()
    return _hash(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hash(path: str, size: int, changed: int) -> str:
    if path.endswith(_NOTES):
        return _hash_of_notes(path)
    digest = hashlib.sha256(str(size).encode())
    with open(path, 'rb') as file:
        if size <= _WHOLE:
            digest.update(file.read())
        else:
            digest.update(str(changed).encode())
            for place in np.unique(np.linspace(0, size - _SAMPLED, 100).astype(np.int64)):
                file.seek(int(place))
                digest.update(file.read(_SAMPLED))
    return digest.hexdigest()[:32]


def _hash_of_notes(path: str) -> str:
    """Return a hash of what notes beside a raster say of nodata, place and colours, ``''`` if none.

    Viewers add statistics to them while they show the raster, which is the same afterwards.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:32]
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in _REMARKS]:
            parent.remove(child)
    for band in root.findall('PAMRasterBand'):  # one that said nothing else
        if not len(band):
            root.remove(band)
    if not len(root):
        return ''
    text = ElementTree.tostring(root, encoding='unicode')
    return hashlib.sha256(''.join(text.split()).encode()).hexdigest()[:32]
