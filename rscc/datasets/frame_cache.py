"""Frame cache: frames decoded and resized once, then read from one array.

PNG decoding is what limits small models: three files a sample, every epoch. A cache holds what the
loading transforms of a dataset give, resized to one size, as plain ``.npy`` files that worker and
training processes map into memory together. Room on the disk is reserved before anything is
written, and checksums tell whether a sample is still what was written: when a cache is opened some
are probed (a damaged cache is built anew), and each process compares every sample at its first
visit.
"""
import hashlib
import logging
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from mmengine.dist import barrier
from mmengine.logging import print_log

from rscc.rasters.resizing import resize_frame, resize_mask
from rscc.structures import LABEL_MAPS, change_maps
from rscc.utils import progress
from rscc.utils.files import locked, reserve

VERSION = 2
#: Label map of a sample -> array, and part of the file name, in which those of all samples lie.
MAPS = {'gt_sem_seg': 'masks', 'gt_sem_seg_from': 'classes_from', 'gt_sem_seg_to': 'classes_to'}
#: Arrays in the order in which their files get their names; the last one marks a complete cache.
PARTS = ('shapes', *MAPS.values(), 'sums', 'frames')
_PROBED = 16  # samples whose checksums are compared when a cache is opened


class Cacheable(Protocol):
    """Contract of a dataset that can be cached; ``ChangeDataset`` keeps it."""

    TITLE: str
    data_root: str
    split: str | None
    test_mode: bool
    label_map: Mapping[int, int] | None
    semantic_labels: object | None
    nodata_colour: Sequence[int] | None

    def __len__(self) -> int: ...

    def get_data_info(self, idx: int) -> dict:
        """Return one item with the paths of its files."""

    def loaders(self) -> Sequence:
        """Return the loading transforms, whose results are cached."""

    def maps_of(self, item: Mapping) -> list[str]:
        """Return the label maps that the loading transforms set for an item."""

    def load_sample(self, idx: int) -> dict:
        """Return one item after the loading transforms."""


class FrameCache:
    """Cached arrays of all samples of one dataset.

    Args:
        arrays: ``frames`` uint8 (N, T, H, W, B), ``shapes`` int32 (N, 2) sizes on disk, ``sums``
            uint32 (N,) checksums, and optionally label maps uint8 (N, H, W) under the names in
            ``MAPS``; none in test mode.
        stem: Path the arrays were read from, without ``.<part>.npy``; None for arrays in memory.
    """

    def __init__(self, arrays: dict[str, np.ndarray], stem: Path | None = None):
        self.arrays, self.stem = arrays, stem
        self._compared = np.full(len(arrays['frames']), stem is None)

    def fill(self, item: dict, idx: int, maps: Iterable[str] = ()) -> None:
        """Put frames, sizes and label maps of sample ``idx`` into ``item`` as read-only views.

        Args:
            item: The sample; it is changed.
            idx: Its place in the dataset.
            maps: Label maps that the loading transforms would set for it, see :data:`MAPS`.

        Raises:
            ValueError: If the files do not hold any more what was written.
        """
        if not self._compared[idx]:
            if checksum(self.arrays, idx) != self.arrays['sums'][idx]:
                raise ValueError(f"sample '{item.get('sample_id')}' is damaged in the frame cache "
                                 f"'{self.stem}.*.npy': delete these files, and the next start "
                                 'writes them anew')
            self._compared[idx] = True
        item['frames'] = [_plain(frame) for frame in self.arrays['frames'][idx]]
        item['ori_shape'] = tuple(int(size) for size in self.arrays['shapes'][idx])
        for name in maps:
            if MAPS[name] in self.arrays:
                item[name] = _plain(self.arrays[MAPS[name]][idx])

    def __getstate__(self) -> dict:
        """Send the file name, not the pixels, to worker processes that are started afresh."""
        return {'stem': self.stem, 'arrays': None if self.stem else self.arrays}

    def __setstate__(self, state: dict) -> None:
        stem = state['stem']
        self.__init__(state['arrays'] if stem is None else _open(stem), stem)


def checksum(arrays: Mapping[str, np.ndarray], idx: int) -> int:
    """Return the checksum of everything that is cached of one sample."""
    total = zlib.crc32(arrays['shapes'][idx])
    for part in (*MAPS.values(), 'frames'):
        if part in arrays:
            total = zlib.crc32(arrays[part][idx], total)
    return total


def _plain(array: np.ndarray) -> np.ndarray:
    """Drop the memmap class, whose every view costs microseconds."""
    return np.ndarray.view(array, np.ndarray)


def open_cache(dataset: Cacheable, size: tuple[int, int] | None = None,
               where: str | None = None) -> FrameCache:
    """Open the cache of a dataset, building it first if there is none, or a damaged one.

    The first process of each machine builds, the others wait; a kill while building leaves nothing
    behind that could be taken for a cache, and its drafts are removed by the next build. The name
    holds a fingerprint of every file (path, size, time), of the loading transforms and of the size,
    so a changed dataset gets a new cache.

    Args:
        dataset: Fully initialised dataset.
        size: (H, W) of the stored frames, or None for the size on disk (which must be the same
            for all).
        where: Folder of the files, ``'memory'`` for none (each training process then holds its own
            copy), or None for ``.rscc_cache`` in the dataset's folder.

    Raises:
        OSError: If the folder cannot be written, or the disk has not the room.
        ValueError: If ``size`` is None and sizes differ.
    """
    size = None if size is None else (int(size[0]), int(size[1]))
    if where == 'memory':
        return FrameCache(_build(dataset, size, None))
    folder = Path(where) if where else Path(dataset.data_root) / '.rscc_cache'
    shape = 'full' if size is None else f'{size[0]}x{size[1]}'
    title = f'{type(dataset).__name__}-{dataset.split or "all"}-{shape}'
    stem = folder / f'{title}-{_fingerprint(dataset, size)}'
    first_here = int(os.environ.get('LOCAL_RANK', 0)) == 0
    if first_here and _fault(dataset, size, stem):
        _make_folder(folder)
        with locked(_lock(stem)):
            fault = _fault(dataset, size, stem)  # another process may have built it meanwhile
            if fault:
                if _path(stem, 'frames').exists():
                    print_log(f"the frame cache '{stem}' is damaged ({fault}) and built anew",
                              'current', logging.WARNING)
                _remove_drafts(stem)
                _build(dataset, size, stem)
    barrier()
    return FrameCache(_open(stem), stem)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"the frame cache cannot be written to '{folder}': {error}. Use another "
                      "folder, cache=dict(where='/some/folder'), or where='memory'.") from error


def _lock(stem: Path) -> Path:
    return stem.with_name(f'.{stem.name}.lock')


def _path(stem: Path, part: str) -> Path:
    return stem.with_name(f'{stem.name}.{part}.npy')


def _open(stem: Path) -> dict[str, np.ndarray]:
    return {part: np.load(_path(stem, part), mmap_mode='r')
            for part in PARTS if _path(stem, part).exists()}


def _fault(dataset: Cacheable, size: tuple[int, int] | None, stem: Path) -> str | None:
    """Say why the files of a cache cannot be used: missing, cut short, of other form, damaged."""
    stored = [MAPS[name] for name in _stored_maps(dataset)]
    wanted = [part for part in PARTS if part not in MAPS.values() or part in stored]
    missing = [part for part in wanted if not _path(stem, part).exists()]
    if missing:
        return f'without {missing}'
    try:
        arrays = _open(stem)
    except (OSError, ValueError, EOFError) as error:
        return str(error)
    count, frames = len(dataset), arrays['frames']
    expected = {'shapes': (count, 2), 'sums': (count,),
                **dict.fromkeys(stored, (count, *frames.shape[2:4])),
                'frames': (count, frames.shape[1] if frames.ndim == 5 else 0,
                           *(size or frames.shape[2:4]), frames.shape[-1])}
    for part in wanted:
        if arrays[part].shape != expected[part]:
            return f'{part} of shape {arrays[part].shape}, expected {expected[part]}'
    probed = np.unique(np.linspace(0, count - 1, _PROBED).astype(int)) if count else []
    if any(checksum(arrays, idx) != arrays['sums'][idx] for idx in probed):
        return 'checksums do not agree'
    return None


def _stored_maps(dataset: Cacheable) -> list[str]:
    """Return which label maps are cached; a test compares maps at the size on disk, so none there.

    They are those that the loading transforms set for some sample.
    """
    if dataset.test_mode:
        return []
    found = {name for idx in range(len(dataset))
             for name in dataset.maps_of(dataset.get_data_info(idx))}
    return [name for name in MAPS if name in found]


def _remove_drafts(stem: Path) -> None:
    """Remove what killed builds left: of this cache, and of others that nobody builds."""
    for draft in stem.parent.glob('.*.tmp'):
        owner = stem.with_name(draft.name[1:].rsplit('.', 3)[0])
        if owner == stem:
            draft.unlink(missing_ok=True)
        elif _lock(owner).exists():
            with locked(_lock(owner), wait=False) as idle:
                if idle:
                    draft.unlink(missing_ok=True)


def _fingerprint(dataset: Cacheable, size: tuple[int, int] | None) -> str:
    digest = hashlib.sha256(f'{VERSION} {size} {dataset.loaders()} {dataset.label_map} '
                            f'{dataset.test_mode}'.encode())
    for meaning in (dataset.semantic_labels, dataset.nodata_colour):
        digest.update(b'' if meaning is None else str(meaning).encode())
    for idx in range(len(dataset)):
        item = dataset.get_data_info(idx)
        keys = ('img_path_from', 'img_path_to', 'img_path', 'seg_map_path')
        for path in (*map(item.get, keys), *item.get('semantic_paths', ())):
            if path:
                status = os.stat(path.split('::')[0])
                digest.update(f'{path} {status.st_size} {status.st_mtime_ns}\n'.encode())
    return digest.hexdigest()[:16]


def _build(dataset: Cacheable, size: tuple[int, int] | None,
           stem: Path | None) -> dict[str, np.ndarray]:
    """Load every sample once, into files next to ``stem`` or into memory."""
    first = _resized(dataset.load_sample(0), size)
    count, frames = len(dataset), first['frames']
    layout = {'shapes': ((count, 2), np.int32)}
    layout |= {MAPS[name]: ((count, *frames[0].shape[:2]), np.uint8)
               for name in _stored_maps(dataset)}
    layout['sums'] = ((count,), np.uint32)
    layout['frames'] = ((count, len(frames), *frames[0].shape), np.uint8)
    with _writing(layout, stem) as arrays:

        def work(idx: int) -> None:
            _store(arrays, idx, _resized(dataset.load_sample(idx), size))

        title = f'caching {dataset.TITLE} {dataset.split or "all"}'
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            for _ in progress(pool.map(work, range(count)), title, total=count, unit='sample'):
                pass
    return arrays


def _store(arrays: dict[str, np.ndarray], idx: int, loaded: dict) -> None:
    frames = np.stack(loaded['frames'])
    if frames.shape != arrays['frames'].shape[1:]:
        raise ValueError(f"sample '{loaded['sample_id']}' has frames {frames.shape}, the first "
                         f"sample {arrays['frames'].shape[1:]}: all images of a cache must have "
                         'one size: pass cache=dict(size=(H, W)).')
    arrays['frames'][idx] = frames
    arrays['shapes'][idx] = loaded['ori_shape']
    for name, part in MAPS.items():
        if part in arrays:
            arrays[part][idx] = loaded.get(name, LABEL_MAPS[name])
    arrays['sums'][idx] = checksum(arrays, idx)


def _resized(loaded: dict, size: tuple[int, int] | None) -> dict:
    if size is not None:
        loaded['frames'] = [resize_frame(frame, size) for frame in loaded['frames']]
        change_maps(loaded, lambda labels, _: resize_mask(labels, size))
    return loaded


@contextmanager
def _writing(layout: dict[str, tuple[tuple[int, ...], type]],
             stem: Path | None) -> Iterator[dict[str, np.ndarray]]:
    """Yield arrays to fill; files get their names at the end, the frames (the mark) last."""
    if stem is None:
        yield {part: np.empty(shape, dtype) for part, (shape, dtype) in layout.items()}
        return
    drafts = {part: stem.with_name(f'.{stem.name}.{part}.{os.getpid()}.tmp') for part in layout}
    try:
        arrays = {part: _reserved(drafts[part], layout) for part in layout}
        yield arrays
        for array in arrays.values():
            array.flush()  # to the disk, so that a power cut leaves no file of zeros
        for part in layout:
            os.replace(drafts[part], _path(stem, part))
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def _reserved(draft: Path, layout: dict[str, tuple[tuple[int, ...], type]]) -> np.ndarray:
    """Write the head of one array's file, reserve its room, and map it into memory."""
    shape, dtype = layout[draft.name.rsplit('.', 3)[1]]
    with draft.open('wb') as file:
        np.lib.format.write_array_header_1_0(file, {
            'descr': np.lib.format.dtype_to_descr(np.dtype(dtype)), 'fortran_order': False,
            'shape': shape})
        start = file.tell()
    try:
        reserve(draft, start + int(np.prod(shape)) * np.dtype(dtype).itemsize)
    except OSError as error:
        needed = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize
                     for shape, dtype in layout.values())
        raise OSError(
            error.errno, f'the frame cache needs {needed / 1e6:,.0f} MB and '
            f'{shutil.disk_usage(draft.parent).free / 1e6:,.0f} MB are free ({error.strerror}): '
            "use another folder, cache=dict(where='/some/folder'), where='memory', or a smaller "
            'size', str(draft.parent)) from error
    return np.load(draft, mmap_mode='r+')
