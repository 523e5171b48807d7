"""Loading of frames and masks, and packing of samples: the two ends of every pipeline."""
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData

from rscc.rasters.headers import read_header
from rscc.rasters.image_files import (
    as_bands,
    check_band_numbers,
    read_frame_and_nodata,
    read_nodata,
)
from rscc.rasters.labels import IGNORE, read_mask
from rscc.rasters.pair_check import check_grids, check_kinds
from rscc.rasters.scales import check_scale, scale_in_tuples
from rscc.registry import TRANSFORMS
from rscc.structures import LABEL_MAPS, ChangeDataSample
from rscc.utils.logging import warn_once

TIFF = ('.tif', '.tiff')
#: Endings of pictures that may have an alpha channel.
ALPHA = ('.png', '.webp', '.gif')
FRAME_KEYS = ('img_path_from', 'img_path_to', 'img_path')


@TRANSFORMS.register_module()
class LoadFrames(BaseTransform):
    """Load all dates of a sample, each with the same band mapping.

    Reads ``img_path_from`` and ``img_path_to``, or ``img_path``; sets ``frames`` (list of T uint8
    (H, W, B), B = 3 without ``bands``), ``ori_shape`` and ``img_shape`` (H, W), and ``nodata``, a
    bool mask (H, W) where some date has no data, else None: pixels that the files call so, or those
    that have the dataset's ``nodata_colour`` at all dates. Frames that are there already (given as
    arrays, or from a cache) are checked and kept.

    Args:
        bands: The B bands that are read, counted from 1: red, green and blue, which pictures show,
            then any others that the encoder takes. Needed for files of more than 3 bands.
        scale: ``(low, high)`` values that become 0 and 255, one such pair for each band, or
            ``'percentile'`` (2 to 98 % of each band and date); needed for anything but 8-bit.

    Example:
        Sentinel-2 as blue, green, red, near infrared, the last of which is brighter:
        ``dict(type='LoadFrames', bands=(3, 2, 1, 4),
        scale=((0, 3000), (0, 3000), (0, 3000), (0, 6000)))``

    Raises:
        ValueError: If ``bands`` or ``scale`` is of no such form, or they do not fit each other.
    """

    def __init__(self, bands: Sequence[int] | None = None,
                 scale: Sequence[float] | Sequence[Sequence[float]] | str | None = None):
        if bands is not None:
            check_band_numbers(bands)
        check_scale(scale, bands)
        self.bands = None if bands is None else tuple(bands)
        self.scale = scale_in_tuples(scale)

    @property
    def count(self) -> int:
        """Number of bands B of a frame."""
        return 3 if self.bands is None else len(self.bands)

    def transform(self, results: dict) -> dict:
        """Add ``frames``, ``nodata``, ``ori_shape`` and ``img_shape``.

        Raises:
            FileNotFoundError: If an image is missing.
            ValueError: If one cannot be read, or the dates differ in size, kind, bands or grid.
        """
        if 'frames' not in results:
            paths = [results[key] for key in FRAME_KEYS if results.get(key)]
            if not paths:
                raise ValueError(f'LoadFrames found none of {FRAME_KEYS} and no frames in sample '
                                 f"'{results.get('sample_id')}'.")
            frames, empty = zip(*(self._read(path, results) for path in paths), strict=True)
            check_kinds({path: frame.ndim == 2 for path, frame in zip(paths, frames, strict=True)},
                        str(results.get('sample_id')))
            results['frames'] = [as_bands(frame) for frame in frames]
            _check_frames(results['frames'], results, self.count)
            _check_places(paths, results)
            results['nodata'] = _any([*empty, _in_colour(results['frames'], results)])
            if results['nodata'] is not None:
                results['nodata_pixels'] = int(results['nodata'].sum())
                warn_once('some images have pixels without data (their nodata value, or no '
                          'number): losses and scores ignore them, nodata_pixels of a sample '
                          'counts them')
        frames = results['frames']
        _check_frames(frames, results, self.count)
        results.setdefault('ori_shape', frames[0].shape[:2])
        results['img_shape'] = frames[0].shape[:2]
        return results

    def maps(self, item: Mapping) -> tuple[str, ...]:
        """Return the label maps that it sets for an item: none."""
        return ()

    def _read(self, path: str, results: dict) -> tuple[np.ndarray, np.ndarray | None]:
        with _naming(results):
            return read_frame_and_nodata(path, self.bands, self.scale)

    def __repr__(self) -> str:
        return f'LoadFrames(bands={self.bands}, scale={self.scale})'


@contextmanager
def _naming(results: Mapping) -> Iterator[None]:
    """Put the name of the sample before what a reader says of its files."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        raise kind(f"sample '{results.get('sample_id')}': {error}") from error


def _check_places(paths: Sequence[str], results: dict) -> None:
    """Refuse GeoTIFFs of different grids."""
    if sum(Path(path).suffix.lower() in TIFF for path in paths) > 1:
        with _naming(results):
            check_grids(paths)


def _in_colour(frames: Sequence[np.ndarray], results: Mapping) -> np.ndarray | None:
    """Return where all dates have the colour that stands for no data, None where none have."""
    colour = results.get('nodata_colour')
    if colour is None:
        return None
    empty = np.logical_and.reduce([(frame == np.uint8(colour)).all(2) for frame in frames])
    return empty if empty.any() else None


def _any(masks: Sequence[np.ndarray | None]) -> np.ndarray | None:
    found = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(found) if found else None


def _check_frames(frames: Sequence[np.ndarray], results: dict, bands: int) -> None:
    """Refuse frames that are not uint8 (H, W, B), or of unlike sizes."""
    for frame in frames:
        if not (isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3
                and frame.shape[2] == bands):
            found = (f'{frame.dtype} {frame.shape}' if isinstance(frame, np.ndarray)
                     else type(frame).__name__)
            kind = 'RGB ' if bands == 3 else ''
            raise ValueError(
                f"frames of sample '{results.get('sample_id')}' must be uint8 {kind}arrays "
                f'(H, W, {bands}); found {found}. Their number of bands is that of '
                'LoadFrames(bands=(...)), 3 without it.')
    if len({frame.shape for frame in frames}) > 1:
        sizes = ', '.join(f'{name} {frame.shape[:2]}'
                          for name, frame in zip(_frame_names(len(frames)), frames, strict=True))
        files = ', '.join(f"'{results[key]}'" for key in FRAME_KEYS if results.get(key))
        raise ValueError(f"pair sizes differ: {sizes} in '{results.get('sample_id')}'"
                         f"{f' ({files})' if files else ''}. Crop or resize both to one grid "
                         'first.')


def _frame_names(count: int) -> list[str]:
    return ['img_from', 'img_to'] if count == 2 else [f'frame {index}' for index in range(count)]


@TRANSFORMS.register_module()
class LoadChangeMask(BaseTransform):
    """Load the one label map that all dates share.

    Reads ``seg_map_path`` (nothing happens without one) and sets ``gt_sem_seg`` uint8 (H, W), at
    the size on disk: a training pipeline loads it before ``FramesResize``; a test after it, so that
    the predicted map is compared at full size. Pixels without data at some date are ignored (255).

    Args:
        label_map: File value -> class index; overrides the dataset's. Without either, {0, 255} and
            {0, 1} are recognised as unchanged / changed and anything else is an error. Beside
            ``palette``: place in it -> class index.
        palette: Colour of each class, [red, green, blue] or with alpha, for labels stored as
            colours.
    """

    def __init__(self, label_map: Mapping[int, int] | None = None,
                 palette: Sequence[Sequence[int]] | None = None):
        self.label_map = None if label_map is None else {int(k): int(v)
                                                         for k, v in label_map.items()}
        self.palette = palette

    def maps(self, item: Mapping) -> tuple[str, ...]:
        """Return the label maps that it sets for an item."""
        return ('gt_sem_seg', ) if item.get('seg_map_path') else ()

    def transform(self, results: dict) -> dict:
        """Add ``gt_sem_seg``.

        Raises:
            FileNotFoundError: If the file is missing.
            ValueError: If it holds unexpected values or its size is not that of the frames on disk.
        """
        if 'gt_sem_seg' in results and results.get('unlabelled'):
            results['gt_sem_seg'] = np.full_like(results['gt_sem_seg'], IGNORE)
        if 'gt_sem_seg' in results or not results.get('seg_map_path'):
            return results
        label_map = self.label_map
        if label_map is None and self.palette is None:
            label_map = results.get('label_map')
        with _naming(results):
            mask = read_mask(results['seg_map_path'], label_map, self.palette)
        check_label(mask, results['seg_map_path'], results)
        empty = nodata_of(results)
        if empty is not None and empty.shape == mask.shape:
            mask = np.where(empty, np.uint8(IGNORE), mask)
        results['gt_sem_seg'] = np.full_like(mask, IGNORE) if results.get('unlabelled') else mask
        return results

    def __repr__(self) -> str:
        return f'LoadChangeMask(label_map={self.label_map}, palette={self.palette})'


def check_label(labels: np.ndarray, path: str, results: Mapping) -> None:
    """Refuse a label map (H, W) that is of another size or place than its frames on disk."""
    expected = results.get('ori_shape')
    if expected is not None and labels.shape != tuple(expected):
        raise ValueError(
            f"label '{path}' is {labels.shape} (H, W), the frames of "
            f"'{results.get('sample_id')}' are {tuple(expected)}. Crop or resize them to one "
            'grid first.')
    _check_places([*_frame_paths(results)[:1], path], results)


def nodata_of(results: Mapping) -> np.ndarray | None:
    """Return where some date has no data, bool (H, W) at the size on disk; None where nowhere.

    Frames that came from a cache do not tell, so their files are looked at again.
    """
    if 'nodata' in results:
        return results['nodata']
    paths = _frame_paths(results)
    with _naming(results):
        headers = {path: read_header(path) for path in paths
                   if Path(path).suffix.lower() in (*TIFF, *ALPHA) and Path(path).is_file()}
        empty = [read_nodata(path) for path, header in headers.items()
                 if header.nodata is not None or header.alpha]
    if results.get('nodata_colour') is not None and all(Path(path).is_file() for path in paths):
        frames = [as_bands(read_frame_and_nodata(path)[0]) for path in paths]
        empty.append(_in_colour(frames, results))
    return _any(empty)


def _frame_paths(results: Mapping) -> list[str]:
    return [results[key] for key in FRAME_KEYS if results.get(key)]


META_KEYS = ('sample_id', 'imgid', 'split', 'language', 'img_path_from', 'img_path_to', 'img_path',
             'ori_shape', 'img_shape', 'flip', 'nodata_pixels', 'kind')
CAPTION_KEYS = ('gt_captions', 'target_captions')


@TRANSFORMS.register_module()
class PackChangeInputs(BaseTransform):
    """Pack all dates into one tensor and the annotations into a ``ChangeDataSample``.

    The tensor stays uint8: a quarter of the bytes through the worker's pipe, and the model's
    preprocessor normalises on the device. Features that the dataset brings in place of images
    (``features`` of ``ChangeDataset``) are packed as they are.

    Args:
        meta_keys: What to keep as metainfo, where present.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS):
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Return ``inputs`` and ``data_samples``.

        Inputs are uint8 (T, B, H, W), or features (T, 1, D) or (T, 1 + L, D), the pooled first.

        Raises:
            ValueError: If the sample has neither frames nor features, or both.
        """
        inputs = _inputs(results)
        sample = ChangeDataSample(
            metainfo={key: results[key] for key in self.meta_keys if results.get(key) is not None})
        for name in (name for name in LABEL_MAPS if name in results):
            labels = torch.from_numpy(results[name].astype(np.int64))[None]
            setattr(sample, name, PixelData(data=labels))
        for key in CAPTION_KEYS:
            if key in results:
                setattr(sample, key, list(results[key]))
        if results.get('prompts') is not None:
            sample.prompts = [list(names) for names in results['prompts']]
        if results.get('gt_change_flag') is not None:
            sample.gt_change_flag = bool(results['gt_change_flag'])
        return {'inputs': inputs, 'data_samples': sample}

    def __repr__(self) -> str:
        return f'PackChangeInputs(meta_keys={self.meta_keys})'


def _inputs(results: dict) -> torch.Tensor:
    frames, features = results.get('frames'), results.get('features')
    if frames is None and features is None:
        raise ValueError(f"sample '{results.get('sample_id')}' has neither images nor "
                         "stored features: begin the pipeline with dict(type='LoadFrames'), or "
                         'give the dataset features.')
    if frames is not None and features is not None:
        raise ValueError(f"sample '{results.get('sample_id')}' has both frames and stored "
                         'features: leave LoadFrames and the transforms of frames out of the '
                         'pipeline, or the features out of the dataset.')
    if features is not None:
        return features
    stacked = np.stack([frame.transpose(2, 0, 1) for frame in frames])
    return torch.from_numpy(np.ascontiguousarray(stacked))
