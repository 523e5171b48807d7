"""Frame cache: frames decoded and resized once, then read from one array.

PNG decoding is what limits small models: three files a sample, every epoch. A cache holds what the
loading transforms of a dataset give, resized to one size, as plain ``.npy`` files that worker and
training processes map into memory together.
"""
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from mmengine.dist import barrier

from rscc.datasets.transforms.geometry import resize_frame, resize_mask
from rscc.utils import progress

VERSION = 1
PARTS = ('shapes', 'masks', 'frames')


class Cacheable(Protocol):
    """Contract of a dataset that can be cached; ``ChangeDataset`` keeps it."""

    TITLE: str
    data_root: str
    split: str | None
    test_mode: bool
    label_map: Mapping[int, int] | None

    def __len__(self) -> int: ...

    def get_data_info(self, idx: int) -> dict:
        """Return one item with the paths of its files."""

    def loaders(self) -> Sequence:
        """Return the loading transforms, whose results are cached."""

    def load_sample(self, idx: int) -> dict:
        """Return one item after the loading transforms."""


class FrameCache:
    """Cached arrays of all samples of one dataset.

    Args:
        arrays: ``frames`` uint8 (N, T, H, W, 3), ``shapes`` int32 (N, 2) sizes on disk, and
            optionally ``masks`` uint8 (N, H, W); none in test mode.
        stem: Path the arrays were read from, without ``.<part>.npy``; None for arrays in memory.
    """

    def __init__(self, arrays: dict[str, np.ndarray], stem: Path | None = None):
        self.arrays, self.stem = arrays, stem

    def fill(self, item: dict, idx: int) -> None:
        """Put frames, sizes and mask of sample ``idx`` into ``item`` as read-only views."""
        item['frames'] = [_plain(frame) for frame in self.arrays['frames'][idx]]
        item['ori_shape'] = tuple(int(size) for size in self.arrays['shapes'][idx])
        if 'masks' in self.arrays and item.get('seg_map_path'):
            item['gt_sem_seg'] = _plain(self.arrays['masks'][idx])

    def __getstate__(self) -> dict:
        """Send the file name, not the pixels, to worker processes that are started afresh."""
        return {'stem': self.stem, 'arrays': None if self.stem else self.arrays}

    def __setstate__(self, state: dict) -> None:
        self.stem = state['stem']
        self.arrays = state['arrays'] if self.stem is None else _open(self.stem)


def _plain(array: np.ndarray) -> np.ndarray:
    """Drop the memmap class, whose every view costs microseconds."""
    return np.ndarray.view(array, np.ndarray)


def open_cache(dataset: Cacheable, size: tuple[int, int] | None = None,
               where: str | None = None) -> FrameCache:
    """Open the cache of a dataset, building it first if there is none.

    The first process of each machine builds, the others wait; a kill while building leaves nothing
    behind that could be taken for a cache. The name holds a fingerprint of every file (path, size,
    time), of the loading transforms and of the size, so a changed dataset gets a new cache.

    Args:
        dataset: Fully initialised dataset.
        size: (H, W) of the stored frames, or None for the size on disk (which must be the same
            for all).
        where: Folder of the files, ``'memory'`` for none (each training process then holds its own
            copy), or None for ``.rscc_cache`` in the dataset's folder.

    Raises:
        OSError: If the folder cannot be written.
        ValueError: If ``size`` is None and sizes differ.
    """
    size = None if size is None else (int(size[0]), int(size[1]))
    if where == 'memory':
        return FrameCache(_build(dataset, size, None))
    folder = Path(where) if where else Path(dataset.data_root) / '.rscc_cache'
    shape = 'full' if size is None else f'{size[0]}x{size[1]}'
    title = f'{type(dataset).__name__}-{dataset.split or "all"}-{shape}'
    name = f'{title}-{_fingerprint(dataset, size)}'
    stem = folder / name
    first_here = int(os.environ.get('LOCAL_RANK', 0)) == 0
    if first_here and not _path(stem, 'frames').exists():
        _make_folder(folder)
        with _locked(stem.with_name(f'.{name}.lock')):
            if not _path(stem, 'frames').exists():
                _build(dataset, size, stem)
    barrier()
    return FrameCache(_open(stem), stem)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"the frame cache cannot be written to '{folder}': {error}. Use another "
                      "folder, cache=dict(where='/some/folder'), or where='memory'.") from error


def _path(stem: Path, part: str) -> Path:
    return stem.with_name(f'{stem.name}.{part}.npy')


def _open(stem: Path) -> dict[str, np.ndarray]:
    return {part: np.load(_path(stem, part), mmap_mode='r')
            for part in PARTS if _path(stem, part).exists()}


def _fingerprint(dataset: Cacheable, size: tuple[int, int] | None) -> str:
    digest = hashlib.sha256(f'{VERSION} {size} {dataset.loaders()} {dataset.label_map} '
                            f'{dataset.test_mode}'.encode())
    for idx in range(len(dataset)):
        item = dataset.get_data_info(idx)
        for key in ('img_path_from', 'img_path_to', 'img_path', 'seg_map_path'):
            if item.get(key):
                path = item[key].split('::')[0]
                status = os.stat(path)
                digest.update(f'{item[key]} {status.st_size} {status.st_mtime_ns}\n'.encode())
    return digest.hexdigest()[:16]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file that the system releases when the process ends, however it ends."""
    with path.open('w') as file:
        try:
            import fcntl
            fcntl.flock(file, fcntl.LOCK_EX)
        except ImportError:  # Windows: two builders do the work twice and the last rename stays
            pass
        yield


def _build(dataset: Cacheable, size: tuple[int, int] | None,
           stem: Path | None) -> dict[str, np.ndarray]:
    """Load every sample once, into files next to ``stem`` or into memory."""
    first = _resized(dataset.load_sample(0), size)
    count, frames = len(dataset), first['frames']
    layout = {'shapes': ((count, 2), np.int32)}
    # A test compares maps at the size on disk, so its masks are read from there.
    if len(dataset.loaders()) > 1 and not dataset.test_mode and any(
            dataset.get_data_info(idx).get('seg_map_path') for idx in range(count)):
        layout['masks'] = ((count, *frames[0].shape[:2]), np.uint8)
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
                         f"sample {arrays['frames'].shape[1:]}: a cache needs one size, pass "
                         'cache=dict(size=(H, W)).')
    arrays['frames'][idx] = frames
    arrays['shapes'][idx] = loaded['ori_shape']
    if 'masks' in arrays:
        arrays['masks'][idx] = loaded.get('gt_sem_seg', 255)


def _resized(loaded: dict, size: tuple[int, int] | None) -> dict:
    if size is not None:
        loaded['frames'] = [resize_frame(frame, size) for frame in loaded['frames']]
        if 'gt_sem_seg' in loaded:
            loaded['gt_sem_seg'] = resize_mask(loaded['gt_sem_seg'], size)
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
        arrays = {part: np.lib.format.open_memmap(drafts[part], 'w+', dtype, shape)
                  for part, (shape, dtype) in layout.items()}
        yield arrays
        for part, array in arrays.items():
            array.flush()
            os.replace(drafts[part], _path(stem, part))
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
