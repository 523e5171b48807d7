"""Test-time windows, views and exchanged dates: what is done to images and features in a test."""
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rscc.rasters.labels import shows_change
from rscc.structures import ChangeDataSample, FrameFeatures
from rscc.utils import did_you_mean

#: Views by name: quarter turns counter-clockwise after an optional mirroring left to right.
VIEWS = {'none': (0, False), 'hflip': (0, True), 'vflip': (2, True), 'rot90': (1, False),
         'rot180': (2, False), 'rot270': (3, False)}
MODES = ('whole', 'slide')
PROMPTS = ('image', 'window')
Size = tuple[int, int]


@dataclass(frozen=True)
class TestTime:
    """How change maps are computed at test time.

    Attributes:
        mode: ``'whole'`` images, or ``'slide'`` a window over them and average the logits.
        crop_size: (H, W) of the window, a multiple of the encoder's stride.
        stride: (H, W) between windows, at most ``crop_size``.
        window_batch: Windows in one call of the model.
        prompts: Class names are those of the whole ``'image'``, or of every ``'window'`` (needs a
            prompter that looks at images).
        views: Names of the flips and rotations whose probabilities are averaged.
        swap: Answer changed pairs a second time with their dates exchanged (``pred_swapped`` of the
            samples), for the scores of reversibility.
    """
    __test__ = False  # no test case, whatever pytest makes of the name
    mode: str = 'whole'
    crop_size: Size = (256, 256)
    stride: Size = (128, 128)
    window_batch: int = 8
    prompts: str = 'image'
    views: Sequence[str] = ('none',)
    swap: bool = False

    def __post_init__(self) -> None:
        _one_of('mode', self.mode, MODES)
        _one_of('prompts', self.prompts, PROMPTS)
        if isinstance(self.views, str):
            raise ValueError(f"test_cfg.views='{self.views}' must be a list: ('{self.views}',)")
        for view in self.views:
            _one_of('views', view, tuple(VIEWS))
        for name, size in (('crop_size', self.crop_size), ('stride', self.stride)):
            if not isinstance(size, Sequence) or len(size) != 2:
                raise ValueError(f'test_cfg.{name}={size} must be (height, width) in pixels')
        if not self.views:
            raise ValueError("test_cfg.views is empty; ('none',) is the image as it is")
        for stride, crop in zip(self.stride, self.crop_size, strict=True):
            if not 0 < stride <= crop:
                raise ValueError(f'test_cfg.stride={tuple(self.stride)} must be positive and at '
                                 f'most crop_size={tuple(self.crop_size)}: larger steps leave gaps')
        if self.window_batch < 1:
            raise ValueError(f'test_cfg.window_batch={self.window_batch} must be 1 or more')

    @property
    def plain(self) -> bool:
        """Whether one call on whole images is all."""
        return self.mode == 'whole' and tuple(self.views) == ('none',)


def _one_of(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"test_cfg.{name}: '{value}' is unknown, use one of {list(known)}."
                         f'{did_you_mean(value, known)}')


def window_corners(size: Size, crop: Size, stride: Size) -> list[Size]:
    """Return the (top, left) corners of the windows; the last of a row is shifted inside.

    Args:
        size: (H, W) of the image.
        crop: (H, W) of a window; at most the image counts.
        stride: Steps between windows.
    """
    def starts(length: int, window: int, step: int) -> Iterator[int]:
        # Steps until the far side is reached, each at most as far as the last window can lie.
        room = max(length - window, 0)
        return (min(index * step, room) for index in range(-(-room // step) + 1))

    columns = list(starts(size[1], crop[1], stride[1]))
    return [(top, left) for top in starts(size[0], crop[0], stride[0]) for left in columns]


def slide(logits_of: Callable[[Tensor, list[int]], Tensor], inputs: Tensor, options: TestTime
          ) -> Tensor:
    """Average the logits of overlapping windows; windows of all samples share batches.

    Args:
        logits_of: From windows (M, T, B, h, w) and the number of the sample of each to logits
            (M, classes, h, w).
        inputs: Frames (N, T, B, H, W).
        options: Window, stride and batch.

    Returns:
        Logits (N, classes, H, W).
    """
    # One grid of windows for all samples; a window is no larger than the image.
    size = tuple(inputs.shape[-2:])
    height, width = (min(crop, length) for crop, length in zip(options.crop_size, size,
                                                               strict=True))
    corners = window_corners(size, (height, width), options.stride)
    jobs = [(row, corner) for row in range(len(inputs)) for corner in corners]
    # How many windows cover each pixel, (H, W).
    sums, counts = None, inputs.new_zeros(size)
    for top, left in corners:
        counts[top:top + height, left:left + width] += 1
    # Windows (M, T, B, h, w) of any samples at once; their logits are added where they came from.
    for start in range(0, len(jobs), options.window_batch):
        chunk = jobs[start:start + options.window_batch]
        windows = torch.stack([inputs[row, :, :, top:top + height, left:left + width]
                               for row, (top, left) in chunk])
        logits = logits_of(windows, [row for row, _ in chunk])
        if sums is None:
            sums = logits.new_zeros(len(inputs), logits.shape[1], *size, dtype=torch.float32)
        for (row, (top, left)), scores in zip(chunk, logits, strict=True):
            sums[row, :, top:top + height, left:left + width] += scores
    return sums / counts


def view(images: Tensor, name: str) -> Tensor:
    """Show images (..., H, W) in one view of ``VIEWS``; quarter turns exchange H and W."""
    turns, mirrored = VIEWS[name]
    images = images.flip(-1) if mirrored else images
    return images.rot90(turns, (-2, -1)) if turns else images


def undo_view(maps: Tensor, name: str) -> Tensor:
    """Bring maps (..., h, w) of a view back to the place of the plain image."""
    # In the opposite order of ``view``: first the turn, then the mirror.
    turns, mirrored = VIEWS[name]
    maps = maps.rot90(-turns, (-2, -1)) if turns else maps
    return maps.flip(-1) if mirrored else maps


def average_views(logits_of: Callable[[Tensor], Tensor], inputs: Tensor, views: Sequence[str],
                  groups: Sequence[int] | None = None) -> Tensor:
    """Average the probabilities of several views.

    Args:
        logits_of: From frames (N, T, B, H, W) to logits (N, classes, H, W); a single channel is
            that of "changed" against "unchanged".
        inputs: Frames (N, T, B, H, W).
        views: Names of ``VIEWS``; for a single one its logits are returned as they are.
        groups: Channels of each group that has a softmax of its own, see ``ChangeHead.groups``;
            None for one group of all.

    Returns:
        Logits (N, classes, H, W) whose softmax (sigmoid for one channel), group by group, is the
        average.
    """
    # Each view is seen by the model and its logits are turned back, one view at a time.
    every = (undo_view(logits_of(view(inputs, name)), name).float() for name in views)
    if len(views) == 1:
        return next(every)
    # Mean probabilities of each group, (N, C, H, W), and logits that have them again.
    means: list[Tensor | float] = []
    for logits in every:
        parts = [logits] if groups is None else logits.split(tuple(groups), 1)
        means = means or [0.0] * len(parts)
        means = [mean + (part.sigmoid() if part.shape[1] == 1 else part.softmax(1)) / len(views)
                 for mean, part in zip(means, parts, strict=True)]
    return torch.cat([torch.logit(mean, eps=1e-6) if mean.shape[1] == 1 else
                      mean.clamp(min=1e-12).log() for mean in means], 1)


def changed_rows(data_samples: Sequence[ChangeDataSample]) -> list[int]:
    """Return the places of the samples whose reference does not say that nothing changed.

    The flag of a sample says so, or without one an empty mask.
    """
    rows = []
    for row, sample in enumerate(data_samples):
        changed = sample.get('gt_change_flag')
        if changed is None and 'gt_sem_seg' in sample:
            changed = bool(shows_change(sample.gt_sem_seg.data).any())
        rows += [] if changed is False else [row]
    return rows


def exchanged(frames: FrameFeatures, rows: list[int]) -> FrameFeatures:
    """Return the features of some pairs with their dates exchanged.

    An encoder sees one date at a time, so nothing has to be encoded again.

    Args:
        frames: Of N samples and T = 2 dates.
        rows: Places of those that are wanted.
    """
    turned = {name: None if value is None else value[rows].flip(1)
              for name, value in (('tokens', frames.tokens), ('pooled', frames.pooled))}
    prompts = frames.prompts and [frames.prompts[row][::-1] for row in rows]
    return replace(frames, maps=[level[rows].flip(1) for level in frames.maps], prompts=prompts,
                   **turned)
