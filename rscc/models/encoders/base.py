"""What every encoder shares: all dates of all samples go through in one batched call."""
from abc import ABCMeta, abstractmethod

from torch import Tensor, nn

from rscc.structures import FrameFeatures


class FrameEncoder(nn.Module, metaclass=ABCMeta):
    """Siamese encoder: one set of weights for every date.

    Subclasses see plain images (N*T, 3, H, W) in ``encode`` and return features whose first axis is
    N*T; this class folds the dates in and out.
    """

    def forward(self, inputs: Tensor) -> FrameFeatures:
        """Encode every date.

        Args:
            inputs: Normalised frames (N, T, 3, H, W).

        Returns:
            Features with axes (N, T, ...).
        """
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
