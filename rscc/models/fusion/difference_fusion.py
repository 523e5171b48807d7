"""From, to and difference tokens in one memory."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rscc.models.fusion.base import (
    DateEmbedding,
    group_grid,
    pool_dates,
    require_dates,
    require_tokens,
)
from rscc.models.positions import sine_positions
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures, FrameFeatures


@MODELS.register_module()
class DifferenceFusion(nn.Module):
    """Memory [F_from + t_1 ; F_to + t_2 ; W (F_to - F_from) + t_3], 3L tokens.

    With W zero the memory starts as plain concatenation followed by L empty tokens, so a pretrained
    cross-attention keeps its feature space and learns the change tokens as it goes.

    Args:
        channels: Token width C.
        zero_init: Start W at zero (for pretrained decoders); off starts it as the identity, which
            lets a model trained from scratch see the difference from the first step.
        position: Add sine-cosine position codes to the difference tokens. Codes that the encoder
            added to both dates cancel in their difference, and with them where the change is.
    """

    def __init__(self, channels: int, zero_init: bool = True, position: bool = False) -> None:
        super().__init__()
        self.position = position
        self.date_embedding = DateEmbedding(3, channels)
        self.difference = nn.Linear(channels, channels)
        nn.init.zeros_(self.difference.bias)
        if zero_init:
            nn.init.zeros_(self.difference.weight)
        else:
            nn.init.eye_(self.difference.weight)

    def forward(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse a pair.

        Args:
            features: Tokens (N, 2, L, C), maps (N, 2, C_i, h_i, w_i).

        Returns:
            Tokens (N, 3L, C); maps (N, 3*C_i, h_i, w_i) as from, to, difference; pooled
            (N, 3C) as ``difference_vector`` describes.
        """
        require_dates(features, 2, 'DifferenceFusion', 'ConcatFusion or SingleFrame')
        tokens = require_tokens(features, 'DifferenceFusion')
        difference = self.difference(tokens[:, 1] - tokens[:, 0])
        if self.position:
            codes = sine_positions(features.token_grid, tokens.shape[-1], tokens)
            # A class token, which comes first, has no place.
            difference = difference + F.pad(codes, (0, 0, tokens.shape[2] - codes.shape[1], 0))
        stacked = torch.cat([tokens, difference[:, None]], 1)
        return ChangeFeatures(
            maps=[with_difference(feature) for feature in features.maps],
            tokens=self.date_embedding(stacked).flatten(1, 2),
            pooled=difference_vector(features),
            token_grid=group_grid(features, 3))


def with_difference(feature: Tensor) -> Tensor:
    """Return from, to and signed difference along channels: (N, 2, C, h, w) to (N, 3C, h, w)."""
    return torch.cat([feature[:, 0], feature[:, 1], feature[:, 1] - feature[:, 0]], 1)


def difference_vector(features: FrameFeatures) -> Tensor:
    """Return the pooled vectors of both dates and of their absolute difference, (N, 3C).

    The difference is pooled by its maximum over positions: one new house among hundreds of tokens
    would vanish in a mean.
    """
    pooled = pool_dates(features)
    strongest = (features.tokens[:, 1] - features.tokens[:, 0]).abs().amax(1)
    return torch.cat([pooled[:, 0], pooled[:, 1], strongest], -1)
