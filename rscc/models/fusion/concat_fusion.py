"""All dates side by side."""
import torch
from torch import nn

from rscc.models.fusion.base import DateEmbedding, group_grid, pool_dates, require_tokens
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures, FrameFeatures


@MODELS.register_module()
class ConcatFusion(nn.Module):
    """Concatenate the dates: tokens along their axis, maps and pooled vectors along channels.

    The fusion of the original BLIP captioner on LEVIR-CC, plus a date embedding (zero at the start,
    so a pretrained decoder begins as it was). Any number of dates up to ``dates``.

    Args:
        channels: Token width C.
        dates: Largest number of dates.
        date_embedding: Off reproduces the original, whose two halves are exchangeable.
    """

    def __init__(self, channels: int, dates: int = 2, date_embedding: bool = True) -> None:
        super().__init__()
        self.date_embedding = DateEmbedding(dates, channels) if date_embedding else nn.Identity()

    def forward(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse.

        Args:
            features: Tokens (N, T, L, C), maps (N, T, C_i, h_i, w_i).

        Returns:
            Tokens (N, T*L, C), maps (N, T*C_i, h_i, w_i), pooled (N, T*C).
        """
        tokens = require_tokens(features, 'ConcatFusion')
        return ChangeFeatures(
            maps=[feature.flatten(1, 2) for feature in features.maps],
            tokens=torch.flatten(self.date_embedding(tokens), 1, 2),
            pooled=pool_dates(features).flatten(1),
            token_grid=group_grid(features, tokens.shape[1]))
