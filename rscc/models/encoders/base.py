"""What every encoder shares: all dates of all samples go through in one batched call."""
from abc import ABCMeta, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rscc.structures import FrameFeatures


class FrameEncoder(nn.Module, metaclass=ABCMeta):
    """Siamese encoder: one set of weights for every date.

    Subclasses see plain images (N*T, 3, H, W) in ``encode`` and return features whose first axis is
    N*T; this class folds the dates in and out.

    Attributes:
        dates_apart: In training, encode one date after the other, so that each has BatchNorm
            statistics of its own, as methods that call their backbone twice were trained. In
            evaluation both ways are equal, and the one call is faster.
    """
    dates_apart: bool = False

    def forward(self, inputs: Tensor) -> FrameFeatures:
        """Encode every date.

        Args:
            inputs: Normalised frames (N, T, 3, H, W).

        Returns:
            Features with axes (N, T, ...).

        Raises:
            ValueError: If the inputs are no frames.
        """
        if inputs.ndim != 5:
            raise ValueError(f'{type(self).__name__} encodes frames (N, T, 3, H, W), found '
                             f'{tuple(inputs.shape)}. Features that the dataset brings go to '
                             "encoder=dict(type='StoredFeatures')")
        if self.training and self.dates_apart:
            return _stack([self.encode(images) for images in inputs.unbind(1)])
        features = self.encode(inputs.flatten(0, 1))
        split = inputs.shape[:2]
        return FrameFeatures(
            maps=[feature.unflatten(0, split) for feature in features.maps],
            tokens=None if features.tokens is None else features.tokens.unflatten(0, split),
            token_grid=features.token_grid,
            pooled=None if features.pooled is None else features.pooled.unflatten(0, split))

    @abstractmethod
    def encode(self, images: Tensor) -> FrameFeatures:
        """Encode images (M, 3, H, W); M = N*T takes the place of (N, T) in the result."""


def _stack(dates: Sequence[FrameFeatures]) -> FrameFeatures:
    """Join the features of single dates, each (N, ...), along a new axis 1."""
    first, *_ = dates
    maps = zip(*(date.maps for date in dates), strict=True)
    return FrameFeatures(
        maps=[torch.stack(level, 1) for level in maps],
        tokens=None if first.tokens is None else torch.stack([date.tokens for date in dates], 1),
        token_grid=first.token_grid,
        pooled=None if first.pooled is None else torch.stack([date.pooled for date in dates], 1))
