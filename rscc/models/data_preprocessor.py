"""From a list of uint8 samples to one normalised batch on the device."""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from rscc.registry import MODELS

IGNORE_INDEX = 255


@MODELS.register_module()
class ChangeDataPreprocessor(BaseDataPreprocessor):
    """Stack, move, convert and normalise the frames of a batch.

    Bytes travel as uint8 and become floats on the device. Samples of different size are padded at
    the bottom and right, with the mean colour (0 after normalisation) and 255 in masks. Features
    that were computed once (see ``StoredFeatures``) are stacked and become floats, nothing else.

    Args:
        mean: Channel means of RGB on the 0-1 scale of the published weights.
        std: Channel standard deviations, same scale.
        size_divisor: Pad height and width to a multiple of this.
        channels_last: Give convolutions the memory format that suits them; values are unchanged.
        non_blocking: Copy to the device without waiting (pinned memory only).
    """

    def __init__(self, mean: Sequence[float] = (0.5, 0.5, 0.5),
                 std: Sequence[float] = (0.5, 0.5, 0.5), size_divisor: int = 1,
                 channels_last: bool = False, non_blocking: bool = False) -> None:
        super().__init__(non_blocking=non_blocking)
        if max(*mean, *std) > 1:
            raise ValueError(f'mean and std are on the 0-1 scale, found mean={tuple(mean)}, '
                             f'std={tuple(std)}: divide both by 255')
        self.size_divisor = size_divisor
        self.channels_last = channels_last
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare one batch.

        Args:
            data: ``inputs``, a list of N uint8 tensors (T, 3, H, W) or of N floating ones
                (T, L, D), and optionally ``data_samples``, a list of N ``ChangeDataSample``.
            training: Unused: train and test batches are treated alike.

        Returns:
            dict: ``inputs`` float (N, T, 3, H, W), about zero mean and unit variance, and
            ``data_samples`` whose masks share that size and whose metainfo has ``img_shape`` and
            ``pad_shape``. Features come as float (N, T, L, D).
        """
        # Features that were computed once, (T, L, D), take a short way.
        frames = list(data['inputs'])
        if all(frame.is_floating_point() and frame.ndim == 3 for frame in frames):
            return self._features(frames, data.get('data_samples'))
        _check_frames(frames)
        # One size for the batch; samples learn it, and their masks are padded like their images.
        height, width = self._padded_size(frames)
        samples = data.get('data_samples')
        if samples is not None:
            for frame, sample in zip(frames, samples, strict=True):
                _set_shapes(sample, tuple(frame.shape[-2:]), (height, width))
            samples = self.cast_data(list(samples))
        return dict(inputs=self._batch(frames, (height, width)), data_samples=samples)

    def _features(self, features: list[Tensor], samples: list | None) -> dict:
        shapes = sorted({tuple(feature.shape) for feature in features})
        if len(shapes) > 1:
            raise ValueError(f'one batch mixes stored features of the shapes {shapes}: they come '
                             'from files of several models')
        return dict(inputs=self.cast_data(torch.stack(features)).float(),
                    data_samples=None if samples is None else self.cast_data(list(samples)))

    def _padded_size(self, frames: list[Tensor]) -> tuple[int, int]:
        """Return the smallest height and width that hold every frame, rounded up."""
        # Largest height and width, each rounded up to a multiple of the divisor.
        sizes = torch.tensor([frame.shape[-2:] for frame in frames]).amax(0)
        rounded = (sizes + self.size_divisor - 1) // self.size_divisor * self.size_divisor
        return int(rounded[0]), int(rounded[1])

    def _batch(self, frames: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Normalise; equal sizes cross to the device in one copy."""
        if all(tuple(frame.shape[-2:]) == size for frame in frames):
            batch = self._normalise(self.cast_data(torch.stack(frames)))
        else:
            # Padded after normalisation: 0 is then the mean colour.
            normalised = [self._normalise(self.cast_data(frame)) for frame in frames]
            batch = torch.stack([_pad(frame, size, 0) for frame in normalised])
        # torch knows the format for 4 axes only: (N, T, 3, H, W) passes through (N*T, 3, H, W).
        if self.channels_last:
            merged = batch.flatten(0, 1).contiguous(memory_format=torch.channels_last)
            batch = merged.unflatten(0, batch.shape[:2])
        return batch

    def _normalise(self, frames: Tensor) -> Tensor:
        return (frames.float().div_(255) - self.mean) / self.std

    def denormalise(self, inputs: Tensor) -> Tensor:
        """Return RGB from 0 to 1 of normalised frames (N, T, 3, H, W)."""
        return (inputs * self.std + self.mean).clamp(0, 1)


def _check_frames(frames: list[Tensor]) -> None:
    """Reject what is not (T, 3, H, W) uint8 with one T for the whole batch."""
    for frame in frames:
        if frame.ndim != 4 or frame.shape[1] != 3 or frame.dtype != torch.uint8:
            raise ValueError('each input is uint8 (T, 3, H, W), found '
                             f'{frame.dtype} {tuple(frame.shape)}: end the pipeline with '
                             "dict(type='PackChangeInputs')")
    dates = {frame.shape[0] for frame in frames}
    if len(dates) > 1:
        raise ValueError(f'one batch mixes samples of {sorted(dates)} dates; '
                         'use one dataset per number of dates')


def _pad(image: Tensor, size: tuple[int, int], value: int) -> Tensor:
    """Pad the last two axes at the bottom and right."""
    missing = (size[0] - image.shape[-2], size[1] - image.shape[-1])
    return F.pad(image, (0, missing[1], 0, missing[0]), value=value) if any(missing) else image


def _set_shapes(sample: object, image_size: tuple[int, int], size: tuple[int, int]) -> None:
    """Record the sizes and pad the mask like its image.

    A mask of another size than its image (a test keeps masks as they are on disk) is left alone.
    """
    sample.set_metainfo(dict(img_shape=image_size, pad_shape=size, batch_input_shape=size))
    if 'gt_sem_seg' in sample:
        mask = sample.gt_sem_seg.data
        if tuple(mask.shape[-2:]) == image_size != size:
            padded = _pad(mask, size, IGNORE_INDEX)
            sample.gt_sem_seg = type(sample.gt_sem_seg)(data=padded)
