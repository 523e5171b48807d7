"""The first date minus the second, and nothing else.

What KD-RSCC conditions its captions on: Yu, Ma, Qiao, IEEE GRSL 22 (2025),
https://doi.org/10.1109/LGRS.2025.3608489.
"""
from torch import nn

from rscc.models.fusion.base import group_grid, require_dates, require_tokens
from rscc.models.fusion.difference_fusion import difference_vector, with_difference
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures, FrameFeatures


@MODELS.register_module()
class SignedDifference(nn.Module):
    """Memory F_from - F_to, L tokens: the sign tells what came from what went.

    What both dates show alike is gone, and with it most of what a caption could say of a place.
    ``DifferenceFusion`` keeps the dates beside their difference, at three times the tokens.
    """

    def forward(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse a pair.

        Args:
            features: Tokens (N, 2, L, C), maps (N, 2, C_i, h_i, w_i).

        Returns:
            Tokens (N, L, C); maps (N, 3*C_i, h_i, w_i) and pooled (N, 3C) as ``DifferenceFusion``
            returns them.
        """
        require_dates(features, 2, 'SignedDifference', 'ConcatFusion or SingleFrame')
        tokens = require_tokens(features, 'SignedDifference')
        return ChangeFeatures(maps=[with_difference(feature) for feature in features.maps],
                              tokens=tokens[:, 0] - tokens[:, 1],
                              pooled=difference_vector(features),
                              token_grid=group_grid(features, 1))
