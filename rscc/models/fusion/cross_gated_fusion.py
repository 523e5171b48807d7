"""Mutual cross-attention gated by the difference.

The design family of MCINet's bi-temporal interaction (Liu et al., Change-Agent: Towards
Interactive Comprehensive Remote Sensing Change Interpretation and Analysis, TGRS 2024): each date
asks the other through keys and values weighted by the difference, then mixes its neighbourhood with
depth-wise convolutions. Written from the description; layer order and normalisation are ours.
"""
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from rscc.models.attention import BatchFirstAttention
from rscc.models.contracts import FeatureSpec, Need
from rscc.models.fusion.base import (
    DateEmbedding,
    Fusion,
    difference_vector,
    group_grid,
    times,
    with_difference,
)
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures, FrameFeatures


class NeighbourMixing(nn.Module):
    """Depth-wise 3x3, 1x5 and 5x1 convolutions, summed and projected.

    Args:
        channels: Width C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kernels = nn.ModuleList(
            nn.Conv2d(channels, channels, size, padding=(size[0] // 2, size[1] // 2),
                      groups=channels) for size in ((3, 3), (1, 5), (5, 1)))
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Mix tokens (N, h*w, C) over their grid (h, w)."""
        # Tokens as a map (N, C, h, w); three kernels, each channel by itself, then across channels.
        maps = tokens.transpose(1, 2).unflatten(2, grid)
        mixed = self.project(sum(kernel(maps) for kernel in self.kernels).relu())
        return mixed.flatten(2).transpose(1, 2)


class CrossGatedLayer(nn.Module):
    """One date asks the other: Q = asked-for date, K = V = conv(F_q * (F_other - F_q)).

    Args:
        channels: Width C.
        num_heads: Attention heads.
        dropout: Dropout of attention and residuals.
    """

    def __init__(self, channels: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(channels, channels), nn.GELU(),
                                  nn.Linear(channels, channels))
        self.norm_query = nn.LayerNorm(channels)
        self.norm_memory = nn.LayerNorm(channels)
        self.attention = BatchFirstAttention(channels, num_heads, dropout)
        self.norm_mixing = nn.LayerNorm(channels)
        self.mixing = NeighbourMixing(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, other: Tensor, grid: tuple[int, int]) -> Tensor:
        """Update ``query`` (N, h*w, C) by what ``other`` changed."""
        # K = V (N, h*w, C): the own features where, and as far as, the other date differs.
        memory = self.norm_memory(self.gate(query * (other - query)))
        # Q asks all places of the other date, then every place hears its neighbours.
        asked, _ = self.attention(self.norm_query(query), memory, memory, need_weights=False)
        query = query + self.dropout(asked)
        return query + self.dropout(self.mixing(self.norm_mixing(query), grid))


@MODELS.register_module()
class CrossGatedFusion(Fusion):
    """Three layers of mutual, difference-gated cross-attention over both dates.

    The layers are shared by the two directions; a class token, where the encoder has one, is
    left out.

    Args:
        channels: Token width C.
        num_layers: Layers.
        num_heads: Attention heads; divides C.
        dropout: Dropout inside the layers.
    """

    def __init__(self, channels: int, num_layers: int = 3, num_heads: int = 8,
                 dropout: float = 0.1) -> None:
        super().__init__()
        self.channels = channels
        self.layers = nn.ModuleList(
            CrossGatedLayer(channels, num_heads, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(channels)
        self.date_embedding = DateEmbedding(2, channels)

    def needs(self) -> Sequence[Need]:
        """Return tokens of the width of the layers, whose neighbours are known."""
        return [Need('tokens', self.channels, 'channels', placed=True)]

    def gives(self, frames: FeatureSpec, time_steps: int) -> FeatureSpec:
        """Return maps as from, to, difference, and three times the width of the tokens."""
        return replace(frames, source='CrossGatedFusion', maps=times(3, frames.maps),
                       pooled=times(3, self.channels), time_steps=time_steps)

    def fuse(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse a pair.

        Args:
            features: Tokens (N, 2, L, C) with ``token_grid``, maps (N, 2, C_i, h_i, w_i).

        Returns:
            Tokens (N, 2*h*w, C); maps (N, 3*C_i, h_i, w_i); pooled (N, 3C) of the fused tokens.
        """
        # Patch tokens of either date, (N, h*w, C); a class token has no neighbours.
        grid = features.token_grid
        patches = features.tokens[:, :, -(grid[0] * grid[1]):]
        before, after = patches[:, 0], patches[:, 1]
        for layer in self.layers:
            # Both ask at once: each reads the other as it was before this layer.
            before, after = layer(before, after, grid), layer(after, before, grid)
        # Both dates (N, 2, h*w, C), normalised by the same layer.
        fused = self.norm(torch.stack([before, after], 1))
        return ChangeFeatures(
            maps=[with_difference(feature) for feature in features.maps],
            tokens=self.date_embedding(fused).flatten(1, 2),
            pooled=difference_vector(FrameFeatures(tokens=fused)),
            token_grid=group_grid(features, 2))
