"""From a list of uint8 samples to one normalised batch on the device."""
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from rscc.models.contracts import Normalisation
from rscc.models.encoders.base import Encoder
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample, change_packed_maps
from rscc.utils.forms import check_form


def _default(bands: int) -> Normalisation:
    """Return the statistics where neither config nor encoder tells: values from -1 to 1."""
    return Normalisation((0.5, ) * bands, (0.5, ) * bands, 'the default')


@MODELS.register_module()
class ChangeDataPreprocessor(BaseDataPreprocessor):
    """Stack, move, convert and normalise the frames of a batch.

    Bytes travel as uint8 and become floats on the device. Samples of different size are padded at
    the bottom and right, with the mean colour (0 after normalisation) and 255 in masks. Features
    that were computed once (see ``StoredFeatures``) are stacked and become floats, nothing else.

    Args:
        mean: Mean of every band on the 0-1 scale of the published weights. None takes those that
            the encoder's weights were trained with, and 0.5 where nobody knows them.
        std: Standard deviation of every band, same scale; given or left out with ``mean``.
        size_divisor: Pad height and width to a multiple of this, and of what the encoder asks for.
        channels_last: Give convolutions the memory format that suits them; values are unchanged.
        non_blocking: Copy to the device without waiting (pinned memory only).
        train_sizes: Heights and widths of training batches, one of which is drawn for each batch:
            frames and masks are resized to it whole, so that sentences stay true, the ground
            resolution varies, and small batches save time. None keeps the size of the samples.
    """

    def __init__(self, mean: Sequence[float] | None = None, std: Sequence[float] | None = None,
                 size_divisor: int = 1, channels_last: bool = False,
                 non_blocking: bool = False,
                 train_sizes: Sequence[tuple[int, int]] | None = None) -> None:
        super().__init__(non_blocking=non_blocking)
        self.size_divisor = size_divisor
        self.train_sizes = [tuple(size) for size in train_sizes or ()]
        self.channels_last = channels_last
        self.sees_images = True
        if (mean is None) != (std is None):
            raise ValueError('data_preprocessor has mean or std alone: give both, or neither to '
                             "take those of the encoder's weights")
        self.configured = mean is not None
        for name in ('mean', 'std'):
            self.register_buffer(name, None, persistent=False)
        self.set(Normalisation(tuple(mean), tuple(std), 'the config') if self.configured else
                 _default(3))

    @property
    def bands(self) -> int:
        """Number of channels B of every image."""
        return len(self.mean)

    def set(self, normalisation: Normalisation) -> None:
        """Normalise as told from now on.

        Raises:
            ValueError: If the statistics are not on the 0-1 scale, or of unlike numbers of bands.
        """
        mean, std = normalisation.mean, normalisation.std
        if len(mean) != len(std):
            raise ValueError(f'mean has {len(mean)} numbers and std {len(std)}: give one a band')
        if max(*mean, *std) > 1:
            raise ValueError(f'mean and std are on the 0-1 scale, found mean={tuple(mean)}, '
                             f'std={tuple(std)}: divide both by 255')
        self.normalisation = normalisation
        for name, values in (('mean', mean), ('std', std)):
            setattr(self, name, torch.tensor(values, device=self.device).view(-1, 1, 1))

    def suit(self, encoder: Encoder) -> None:
        """Prepare images of the encoder's bands as its weights were trained to see them.

        Raises:
            ValueError: If the statistics of the config are of another number of bands.
        """
        self.sees_images = encoder.reads_images
        self.adopt(encoder.normalisation(), encoder.bands)
        own, asked = self.size_divisor, encoder.size_divisor
        self.size_divisor = math.lcm(own, asked)
        if self.size_divisor > max(own, asked):
            print_log(f'images are padded to multiples of {self.size_divisor} px, of both {asked} '
                      f'({encoder.title}) and {own} (size_divisor in data_preprocessor): leave '
                      'size_divisor out if no other part needs it', 'current', logging.WARNING)

    def adopt(self, normalisation: Normalisation | None, bands: int) -> None:
        """Take the statistics of the encoder's weights, unless the config gives some.

        Args:
            normalisation: Those of the weights, or None.
            bands: Channels B of the images that the encoder takes.

        Raises:
            ValueError: If the statistics of the config are of another number of bands.
        """
        if not self.configured:
            self.set(normalisation or _default(bands))
        if self.bands != bands:
            raise ValueError(
                f'data_preprocessor has mean and std of {self.bands} bands and the encoder takes '
                f'images of {bands}: give {bands} numbers each, or change bands of the encoder')

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare one batch.

        Args:
            data: ``inputs``, a list of N uint8 tensors (T, B, H, W) or of N floating ones
                (T, L, D), and optionally ``data_samples``, a list of N ``ChangeDataSample``.
            training: Whether to draw one of ``train_sizes``.

        Returns:
            dict: ``inputs`` float (N, T, B, H, W), about zero mean and unit variance, and
            ``data_samples`` whose masks share that size and whose metainfo has ``img_shape`` and
            ``pad_shape``. Features come as float (N, T, L, D).
        """
        # Features that were computed once, (T, L, D), take a short way.
        frames = list(data['inputs'])
        if all(frame.is_floating_point() and frame.ndim == 3 for frame in frames):
            return self._features(frames, data.get('data_samples'))
        _check_frames(frames, self.bands)
        if training and self.train_sizes:
            # From torch's generator, which the seed of the run sets.
            size = self.train_sizes[int(torch.randint(len(self.train_sizes), ()))]
            frames = [_resized(frame, size) for frame in frames]
            for sample in data.get('data_samples') or ():
                _resize_masks(sample, size)
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
        # torch knows the format for 4 axes only: (N, T, B, H, W) passes through (N*T, B, H, W).
        if self.channels_last:
            merged = batch.flatten(0, 1).contiguous(memory_format=torch.channels_last)
            batch = merged.unflatten(0, batch.shape[:2])
        return batch

    def _normalise(self, frames: Tensor) -> Tensor:
        return (frames.float().div_(255) - self.mean) / self.std

    def denormalise(self, inputs: Tensor) -> Tensor:
        """Return RGB (N, T, 3, H, W) from 0 to 1 of normalised frames (N, T, B, H, W)."""
        return (inputs[:, :, :3] * self.std[:3] + self.mean[:3]).clamp(0, 1)


def _check_frames(frames: list[Tensor], bands: int) -> None:
    """Reject what is not (T, B, H, W) uint8 with one T for the whole batch."""
    for frame in frames:
        if frame.ndim != 4 or frame.dtype != torch.uint8:
            raise ValueError(f'each input is uint8 (T, {bands}, H, W), found '
                             f'{frame.dtype} {tuple(frame.shape)}: end the pipeline with '
                             "dict(type='PackChangeInputs')")
        if frame.shape[1] != bands:
            raise ValueError(
                f'the encoder takes images of {bands} bands, found {frame.shape[1]} in an input '
                f'{tuple(frame.shape)}: choose {bands} in LoadFrames(bands=(...)), or set the '
                'bands of an encoder that knows them (TimmEncoder)')
    dates = {frame.shape[0] for frame in frames}
    if len(dates) > 1:
        raise ValueError(f'one batch mixes samples of {sorted(dates)} dates; '
                         'use one dataset per number of dates')


def _resized(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """Return frames uint8 (T, B, H, W) at another size, without aliasing."""
    if tuple(frame.shape[-2:]) == size:
        return frame
    return F.interpolate(frame, size, mode='bilinear', antialias=True, align_corners=False)


def _resize_masks(sample: ChangeDataSample, size: tuple[int, int]) -> None:
    """Bring the label maps of a sample to another size, by the nearest pixel."""

    def resized(labels: Tensor, _: int) -> Tensor:
        if tuple(labels.shape[-2:]) == size:
            return labels
        return F.interpolate(labels[None].float(), size, mode='nearest-exact')[0].to(labels.dtype)

    change_packed_maps(sample, resized)


def _pad(image: Tensor, size: tuple[int, int], value: int) -> Tensor:
    """Pad the last two axes at the bottom and right."""
    missing = (size[0] - image.shape[-2], size[1] - image.shape[-1])
    return F.pad(image, (0, missing[1], 0, missing[0]), value=value) if any(missing) else image


def _set_shapes(sample: ChangeDataSample, image_size: tuple[int, int], size: tuple[int, int]
                ) -> None:
    """Record the sizes and pad the label maps like their image.

    A map of another size than its image (a test keeps maps as they are on disk) is left alone.
    """
    sample.set_metainfo(dict(img_shape=image_size, pad_shape=size, batch_input_shape=size))
    change_packed_maps(sample, lambda labels, unknown: _pad(labels, size, unknown) if (
        tuple(labels.shape[-2:]) == image_size != size) else labels)


def normalisation_record(model: nn.Module) -> dict[str, Any]:
    """Return what a checkpoint or a result notes of how a model's images are normalised.

    Returns:
        ``normalisation``: mean, std and source; None of a model that reads features, whose images
        another one has seen. Nothing of a model that another preprocessor serves.
    """
    preprocessor = model.data_preprocessor
    if not isinstance(preprocessor, ChangeDataPreprocessor):
        return {}
    return dict(normalisation=preprocessor.normalisation.as_dict()
                if preprocessor.sees_images else None)


def restore_normalisation(model: nn.Module, checkpoint: Mapping[str, Any],
                          missing: Iterable[str] = ()) -> None:
    """Normalise as a checkpoint was trained, where the config leaves that to the encoder's weights.

    Another release of a library may publish other statistics for the same weights, and answers
    would change silently. A checkpoint without the record is from before encoders told theirs, when
    mean and std were 0.5 unless the config gave others.

    Args:
        model: The model into which the checkpoint was loaded.
        checkpoint: The whole checkpoint; one that holds weights alone changes nothing.
        missing: Parameters that it lacks: where the encoder's are among them, the encoder is
            another one, and keeps its own statistics.

    Raises:
        ValueError: If the record is damaged.
    """
    meta = checkpoint.get('meta')
    trained = (meta or {}).get('normalisation', _default(3).as_dict())
    preprocessor = model.data_preprocessor
    another = any(name.startswith('encoder.') for name in missing)
    if not meta or not trained or another or not isinstance(
            preprocessor, ChangeDataPreprocessor) or preprocessor.configured:
        return
    check_form(trained, dict(mean=[float], std=[float], source=str),
               'the normalisation in the checkpoint')
    if len(trained['mean']) == preprocessor.bands:
        preprocessor.set(Normalisation(tuple(trained['mean']), tuple(trained['std']),
                                       trained['source']))
