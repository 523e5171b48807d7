"""The encoder half of Chg2Cap: self-attention of each date, then of both side by side.

Paper: Chang and Ghamisi, Changes to Captions: An Attentive Network for Remote Sensing Change
Captioning, TIP 2023, https://arxiv.org/abs/2304.01091. Written from the paper and from the shapes
of the published model.
"""
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rscc.models.attention import InnerAttention
from rscc.models.contracts import FeatureSpec, Need
from rscc.models.fusion.base import (
    Fusion,
    difference_vector,
    group_grid,
    times,
    with_difference,
)
from rscc.models.fusion.rsiccformer_fusion import MapBottleneck
from rscc.models.positions import AxisPositions
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures, FrameFeatures


class SelfAttentionLayer(nn.Module):
    """Self-attention and a perceptron, each added and then normalised.

    Args:
        channels: Width C.
        attention_dims: Width of all heads together.
        hidden_dims: Width inside the perceptron.
        num_heads: Attention heads; divides ``attention_dims``.
        dropout: Inside, 0 to 1.
        tied_values: See ``InnerAttention``.
    """

    def __init__(self, channels: int, attention_dims: int, hidden_dims: int, num_heads: int,
                 dropout: float, tied_values: bool) -> None:
        super().__init__()
        self.attention = InnerAttention(channels, attention_dims, num_heads, dropout, tied_values)
        self.norm_attention = nn.LayerNorm(channels)
        self.feed_forward = nn.Sequential(
            nn.Linear(channels, hidden_dims), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden_dims, channels), nn.Dropout(dropout))
        self.norm_output = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return updated tokens (N, L, C)."""
        tokens = self.norm_attention(tokens + self.attention(tokens, tokens))
        return self.norm_output(tokens + self.feed_forward(tokens))


@MODELS.register_module()
class Chg2CapFusion(Fusion):
    """Attention inside each date, then over both along channels, and a map of their likeness.

    In every layer a date attends to itself, and then both dates together, side by side along
    channels (2C); each half of the result is added to the features that the encoder gave. The
    memory is made of both dates and of the cosine of the angle between them, which is added to all
    channels of a place, by a linear layer and a ``MapBottleneck``.

    With a ResNet-101 that learns, and a word decoder of one layer, this is Chg2Cap
    (``configs/chg2cap_levircc.py``). A class token, where the encoder has one, is left out.

    Args:
        channels: Width C of the encoder's tokens, an even number.
        dims: Width of the memory, an even number.
        attention_dims: Width of all attention heads together.
        hidden_dims: Width inside the perceptrons.
        num_layers: Layers.
        num_heads: Attention heads; divides ``attention_dims``.
        dropout: Inside the layers, 0 to 1.
        grid: Rows and columns of the learned position codes, which are interpolated to others.
        tied_values: Use keys as values, as the published training did: its values pass the
            projection of the keys, and the one that was made for them learns nothing.
    """

    def __init__(self, channels: int, dims: int = 2048, attention_dims: int = 2048,
                 hidden_dims: int = 512, num_layers: int = 3, num_heads: int = 8,
                 dropout: float = 0.1, grid: tuple[int, int] = (16, 16),
                 tied_values: bool = False) -> None:
        super().__init__()
        self.channels, self.dims = channels, dims
        self.positions = AxisPositions(grid, channels)

        def layers(width: int) -> nn.ModuleList:
            return nn.ModuleList(
                SelfAttentionLayer(width, attention_dims, hidden_dims, num_heads, dropout,
                                   tied_values) for _ in range(num_layers))

        self.alone, self.together = layers(channels), layers(2 * channels)
        self.project = nn.Linear(2 * channels, dims)
        self.block = MapBottleneck(dims)

    def needs(self) -> Sequence[Need]:
        """Return tokens of the encoder's width that lie on a grid."""
        return [Need('tokens', self.channels, 'channels', placed=True)]

    def gives(self, frames: FeatureSpec, time_steps: int) -> FeatureSpec:
        """Return tokens of the width of the memory, maps as from, to, difference."""
        return replace(frames, source='Chg2CapFusion', maps=times(3, frames.maps),
                       tokens=self.dims, pooled=3 * self.channels, time_steps=time_steps)

    def fuse(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse a pair.

        Args:
            features: Tokens (N, 2, L, C) with ``token_grid``, maps (N, 2, C_i, h_i, w_i).

        Returns:
            Tokens (N, h*w, dims); maps (N, 3*C_i, h_i, w_i); pooled (N, 3C) of both dates behind
            the last layer.
        """
        # Both dates with codes of their places, (N, 2, h*w, C).
        grid = features.token_grid
        placed = features.tokens[:, :, -(grid[0] * grid[1]):] + self.positions(grid)
        dates = placed
        for alone, together in zip(self.alone, self.together, strict=True):
            # A date by itself, weights shared; then one row of tokens with both, (N, h*w, 2C).
            flat = dates.flatten(0, 1)
            dates = (flat + alone(flat)).view_as(placed)
            joined = together(torch.cat(dates.unbind(1), -1))
            dates = placed + torch.stack(joined.chunk(2, -1), 1)
        # How alike both dates are at a place, (N, h*w, 1), from -1 to 1.
        before, after = dates.unbind(1)
        likeness = F.cosine_similarity(before, after, dim=-1)[..., None]
        memory = self.project(torch.cat([before, after], -1) + likeness)
        return ChangeFeatures(
            maps=[with_difference(feature) for feature in features.maps],
            tokens=self.block(memory, grid),
            pooled=difference_vector(FrameFeatures(tokens=dates)),
            token_grid=group_grid(features, 1))
