"""Mosaics: samples that are joined from parts of several samples of a dataset."""
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset, RepeatDataset
from mmengine.structures import PixelData

from rscc.datasets.concat import leaves
from rscc.datasets.samplers import Visit
from rscc.rasters import labels
from rscc.registry import DATASETS
from rscc.structures import CLASS_MAPS, LABEL_MAPS, ChangeDataSample
from rscc.utils import check_choice

TRIALS = 10  # samples drawn to find an unchanged one
_STREAM = 4  # keeps the random numbers of mosaics apart from those of the samples inside

Region = tuple[slice, slice]


@DATASETS.register_module()
class MosaicDataset(RepeatDataset):
    """Dataset some samples of which are mosaics: two halves or four quarters of several samples.

    Wraps any dataset whose pipeline ends in ``PackChangeInputs`` with frames of one size, joined
    datasets included. Lines through all dates at drawn places cut the frame into parts; each part
    shows another sample, at the place it has there, all dates and label maps alike. So a mosaic
    holds up to four scenes, each with light and sensor of its own, and edges of image strips that
    are no change; what is "on the left" stays there. The sample that was asked for takes the part
    in which most of it has changed, and gives the mosaic its id, paths and prompts.

    The change flag of a mosaic is that of its mask; it is left out where parts of unknown content
    do not tell. Sentences stay true where a single part shows change and shows all that has changed
    in its sample, or where nothing has changed anywhere.

    Args:
        dataset: The dataset inside, or its config.
        prob: Probability that a sample becomes a mosaic.
        cut: Least and largest place of a cut, as shares of height and width.
        captions: What becomes of captioned samples. ``'skip'`` makes a mosaic only where sentences
            stay true, and to that end prefers parts of unchanged samples; ``'drop'`` makes it
            anyway, without captions where they are not true (training of masks).
        seed: First number of every mosaic's random seed.
        lazy_init: Whether ``full_init`` is left to the caller.

    Raises:
        ValueError: If a setting is outside its range; while samples are read, if these differ in
            size or are stored features.
    """

    def __init__(self, dataset: BaseDataset | Mapping, prob: float = 0.3,
                 cut: tuple[float, float] = (0.3, 0.7), captions: str = 'skip', seed: int = 0,
                 lazy_init: bool = False):
        if not 0 <= prob <= 1:
            raise ValueError(f'prob={prob} must be in [0, 1].')
        if len(cut) != 2 or not 0 < cut[0] <= cut[1] < 1:
            raise ValueError(f'cut={cut} must be two shares (least, most) in (0, 1).')
        check_choice('captions', captions, ('skip', 'drop'))
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
        self.prob, self.cut, self.captions, self.seed = prob, tuple(cut), captions, seed
        # One round of MMEngine's RepeatDataset: indices pass through with their epoch.
        self.times, self._metainfo, self._fully_initialized = 1, self.dataset.metainfo, False
        if not lazy_init:
            self.full_init()

    def __getitem__(self, idx: int) -> dict:
        """Return sample ``idx`` as it is, or a mosaic with parts of others.

        All depends on (seed, epoch, index) alone, as everywhere.
        """
        if not self._fully_initialized:
            self.full_init()
        epoch = getattr(idx, 'epoch', None)
        epoch = leaves(self.dataset)[0].epoch if epoch is None else epoch
        idx = int(idx) % len(self)
        first = self.dataset[Visit(idx, epoch)]
        rng = np.random.default_rng((self.seed, epoch, idx, _STREAM))
        if rng.random() >= self.prob:
            return first
        sample = first['data_samples']
        regions = arranged(draw_regions(rng, frame_size(first), self.cut), sample)
        told = self.captions == 'skip' and bool(sample.get('gt_captions'))
        others = [self.dataset[Visit(self._other(rng, told), epoch)] for _ in regions[1:]]
        parts = [first, *others]
        mosaic = join(parts, regions)
        return first if told and not mosaic['data_samples'].get('gt_captions') else mosaic

    def _other(self, rng: np.random.Generator, unchanged: bool) -> int:
        """Draw another sample, if asked one that the annotations call unchanged."""
        for _ in range(TRIALS if unchanged else 1):
            found = int(rng.integers(len(self)))
            if unchanged and self.dataset.get_data_info(found).get('gt_change_flag') is False:
                break
        return found


def frame_size(packed: Mapping[str, Any]) -> tuple[int, int]:
    """Return (H, W) of a packed sample.

    Raises:
        ValueError: If it holds no frames.
    """
    inputs = packed.get('inputs')
    if not isinstance(inputs, torch.Tensor) or inputs.dtype != torch.uint8 or inputs.ndim != 4:
        found = (f'{inputs.dtype} {tuple(inputs.shape)}' if isinstance(inputs, torch.Tensor)
                 else f'keys {sorted(packed)}')
        raise ValueError('MosaicDataset joins frames, uint8 (T, B, H, W): let the pipeline of the '
                         f'dataset inside end in PackChangeInputs; found {found}. Stored features '
                         'cannot be joined.')
    return tuple(inputs.shape[-2:])


def draw_regions(rng: np.random.Generator, size: tuple[int, int], cut: tuple[float, float]
                 ) -> list[Region]:
    """Draw how a frame is cut: in half of the cases into quarters, else into two halves.

    Args:
        rng: Where the numbers come from.
        size: (H, W) of the frame.
        cut: Least and largest place of a cut, as shares of height and width.

    Returns:
        Rows and columns of two or four parts that together cover the frame.
    """
    kind, places = rng.random(), rng.uniform(*cut, 2)
    row, column = (min(max(1, round(place * side)), max(1, side - 1))
                   for place, side in zip(places, size, strict=True))
    rows = [slice(0, row), slice(row, size[0])] if kind < 0.75 else [slice(0, size[0])]
    columns = ([slice(0, column), slice(column, size[1])] if kind < 0.5 or kind >= 0.75
               else [slice(0, size[1])])
    return [(across, along) for across in rows for along in columns]


def arranged(regions: list[Region], sample: ChangeDataSample) -> list[Region]:
    """Return the regions, the one that holds most of a sample's changed pixels first."""
    changed = changed_pixels(sample)
    if changed is not None and changed.any():
        regions = sorted(regions, key=lambda region: -int(changed[region].sum()))
    return regions


def changed_pixels(sample: ChangeDataSample) -> torch.Tensor | None:
    """Return where a sample's mask holds a class of change, bool (H, W), None without a mask."""
    if 'gt_sem_seg' not in sample:
        return None
    return labels.shows_change(sample.gt_sem_seg.data[0])


def join(parts: Sequence[Mapping[str, Any]], regions: Sequence[Region]) -> dict:
    """Return the mosaic of packed samples, each shown in its region.

    Args:
        parts: Packed samples of one size; the first gives id, paths and prompts.
        regions: Rows and columns of each.

    Raises:
        ValueError: If they differ in size, dates, bands, or in whether they have a mask.
    """
    samples = [part['data_samples'] for part in parts]
    _check_alike(parts)
    inputs, mosaic = parts[0]['inputs'].clone(), samples[0].clone()
    for part, region in zip(parts, regions, strict=True):
        inputs[(..., *region)] = part['inputs'][(..., *region)]
    for name in (name for name in LABEL_MAPS if name in mosaic):
        labels = getattr(mosaic, name).data.clone()
        for sample, region in zip(samples, regions, strict=True):
            labels[(..., *region)] = getattr(sample, name).data[(..., *region)]
        setattr(mosaic, name, PixelData(data=labels))
    shown = [shows_change(sample, region) for sample, region in zip(samples, regions, strict=True)]
    source = source_of_captions(samples, regions, shown)
    for key in ('gt_captions', 'target_captions', 'gt_change_flag'):
        if key in mosaic:
            delattr(mosaic, key)
    for key in ('gt_captions', 'target_captions'):
        if source is not None and key in source:
            setattr(mosaic, key, list(source.get(key)))
    if any(shown) or None not in shown:
        mosaic.gt_change_flag = any(shown)
    mosaic.set_metainfo({'mosaic': [sample.sample_id for sample in samples]})
    if source is not None and 'language' in source:
        mosaic.set_metainfo({'language': source.language})
    return {'inputs': inputs, 'data_samples': mosaic}


def _check_alike(parts: Sequence[Mapping[str, Any]]) -> None:
    """Refuse packed samples that do not fit into one frame."""
    found = {(frame_size(part), tuple(part['inputs'].shape[:2]),
              tuple(name for name in LABEL_MAPS if name in part['data_samples'])):
             part['data_samples'].sample_id for part in parts}
    if len(found) > 1:
        listed = '; '.join(f"'{name}': {size} (H, W), {dates} dates of {bands} bands, "
                           f"{_listed(maps)}"
                           for (size, (dates, bands), maps), name in found.items())
        raise ValueError(f'samples of a mosaic differ: {listed}. Bring them to one size with '
                         'FramesRandomCrop or FramesResize, and join only samples of one kind.')


def _listed(maps: Sequence[str]) -> str:
    """Say which label maps a sample has."""
    if not maps:
        return 'without a mask'
    classes = ' and class maps' if any(name in CLASS_MAPS for name in maps) else ''
    return f'with a mask{classes}'


def shows_change(sample: ChangeDataSample, region: Region) -> bool | None:
    """Return whether a region of a sample shows change; None where that is not known."""
    changed = changed_pixels(sample)
    if changed is not None and changed[region].any():
        return True
    if sample.get('gt_change_flag') is False:
        return False
    whole = changed is not None and not sample.gt_sem_seg.data[0][region].any()
    return False if whole else None


def source_of_captions(samples: Sequence[ChangeDataSample], regions: Sequence[Region],
                       shown: Sequence[bool | None]) -> ChangeDataSample | None:
    """Return the sample whose sentences are true of the whole mosaic, None where there is none.

    Args:
        samples: The parts' samples.
        regions: What the mosaic shows of each.
        shown: Whether each shows change there, see :func:`shows_change`.
    """
    if None in shown:
        return None
    if not any(shown):
        return next((sample for sample in samples if sample.get('gt_change_flag') is False), None)
    if sum(shown) > 1:
        return None
    place = list(shown).index(True)
    changed = changed_pixels(samples[place])
    return samples[place] if changed.sum() == changed[regions[place]].sum() else None
