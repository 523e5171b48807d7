"""One date: nothing to fuse."""
from torch import nn

from rscc.models.fusion.base import group_grid, require_dates
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures, FrameFeatures


@MODELS.register_module()
class SingleFrame(nn.Module):
    """Hand the features of a single image (T = 1) to the heads unchanged."""

    def forward(self, features: FrameFeatures) -> ChangeFeatures:
        """Drop the axis of dates.

        Raises:
            ValueError: If a sample has more than one date.
        """
        require_dates(features, 1, 'SingleFrame', 'ConcatFusion or DifferenceFusion for pairs')
        return ChangeFeatures(
            maps=[feature[:, 0] for feature in features.maps],
            tokens=None if features.tokens is None else features.tokens[:, 0],
            pooled=None if features.pooled is None else features.pooled[:, 0],
            token_grid=group_grid(features, 1))
