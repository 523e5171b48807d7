"""The encoder half of RSICCformer: both dates ask their difference, stage by stage.

Paper: Liu, Zhao, Chen, Zou, Shi, Remote Sensing Image Change Captioning With Dual-Branch
Transformers: A New Method and a Large Scale Dataset, TGRS 2022,
https://doi.org/10.1109/TGRS.2022.3218921. Written from the paper and from the shapes of the
published model.
"""
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rscc.models.attention import BatchFirstAttention
from rscc.models.contracts import FeatureSpec, Need
from rscc.models.fusion.base import (
    Fusion,
    difference_vector,
    group_grid,
    times,
    with_difference,
)
from rscc.models.positions import AxisPositions
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures, FrameFeatures


class DifferenceAttention(nn.Module):
    """One stage: a date asks the difference of both dates, then a perceptron of four times C.

    Args:
        channels: Width C.
        num_heads: Attention heads; divides C.
        dropout: Of the attention weights and of both branches, 0 to 1.
    """

    def __init__(self, channels: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = BatchFirstAttention(channels, num_heads, dropout)
        self.norm_attention = nn.LayerNorm(channels)
        self.feed_forward = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4 * channels, channels))
        self.norm_output = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, difference: Tensor) -> Tensor:
        """Update tokens (N, L, C) of one date from ``difference`` (N, L, C)."""
        # Q of the date, K = V of the difference; each branch is added, then normalised.
        found, _ = self.attention(tokens, difference, difference, need_weights=False)
        tokens = self.norm_attention(tokens + self.dropout(found))
        return self.norm_output(tokens + self.dropout(self.feed_forward(tokens)))


class MapBottleneck(nn.Module):
    """Residual block of convolutions (1x1, 3x3, 1x1) at half the width inside.

    Args:
        channels: Width C of what comes and goes, an even number.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner), nn.ReLU(inplace=True),
            nn.Conv2d(inner, inner, 3, padding=1), nn.BatchNorm2d(inner), nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Mix tokens (N, h*w, C) over their grid (h, w)."""
        maps = tokens.transpose(1, 2).unflatten(2, grid)
        return F.relu(maps + self.convolutions(maps)).flatten(2).transpose(1, 2)


@MODELS.register_module()
class RSICCformerFusion(Fusion):
    """Cross-attention of both dates to their difference, all stages joined by residual blocks.

    Stage i: ``F_from, F_to`` each ask ``F_to - F_from``. The memory is built up from the first
    stage to the last: what both dates have become is added, side by side along channels, to the
    memory so far, which then passes a ``MapBottleneck`` and a layer norm.

    With a frozen ResNet-101 up to its third stage, pooled to 14 x 14 places, and a word decoder of
    one layer this is RSICCformer (``configs/rsiccformer_levircc.py``). A class token, where the
    encoder has one, is left out. The codes of rows and columns are interpolated to other grids;
    the published model takes no other.

    Args:
        channels: Width of the encoder's tokens.
        dims: Width C of the stages, an even number; the memory is twice as wide.
        num_layers: Stages.
        num_heads: Attention heads; divides ``dims``.
        dropout: Inside the stages, 0 to 1.
        grid: Rows and columns of the learned position codes.
    """

    def __init__(self, channels: int, dims: int = 512, num_layers: int = 3, num_heads: int = 8,
                 dropout: float = 0.5, grid: tuple[int, int] = (14, 14)) -> None:
        super().__init__()
        self.channels, self.dims = channels, dims
        self.project = nn.Linear(channels, dims)
        self.positions = AxisPositions(grid, dims)
        self.layers = nn.ModuleList(
            DifferenceAttention(dims, num_heads, dropout) for _ in range(num_layers))
        self.blocks = nn.ModuleList(MapBottleneck(2 * dims) for _ in range(num_layers))
        self.norms = nn.ModuleList(nn.LayerNorm(2 * dims) for _ in range(num_layers))

    def needs(self) -> Sequence[Need]:
        """Return tokens of the encoder's width that lie on a grid."""
        return [Need('tokens', self.channels, 'channels', placed=True)]

    def gives(self, frames: FeatureSpec, time_steps: int) -> FeatureSpec:
        """Return tokens of twice the width of the stages, maps as from, to, difference."""
        return replace(frames, source='RSICCformerFusion', maps=times(3, frames.maps),
                       tokens=2 * self.dims, pooled=3 * self.dims, time_steps=time_steps)

    def fuse(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse a pair.

        Args:
            features: Tokens (N, 2, L, C_in) with ``token_grid``, maps (N, 2, C_i, h_i, w_i).

        Returns:
            Tokens (N, h*w, 2C); maps (N, 3*C_i, h_i, w_i); pooled (N, 3C) of what the dates are
            behind the last stage.
        """
        # Both dates (N, h*w, C) at the width of the stages, with codes of their places.
        grid = features.token_grid
        patches = features.tokens[:, :, -(grid[0] * grid[1]):]
        before, after = (self.project(patches) + self.positions(grid)).unbind(1)
        memory = 0.0
        for layer, block, norm in zip(self.layers, self.blocks, self.norms, strict=True):
            # Both read the difference as it was before this stage.
            difference = after - before
            before, after = layer(before, difference), layer(after, difference)
            memory = norm(block(memory + torch.cat([before, after], -1), grid))
        return ChangeFeatures(
            maps=[with_difference(feature) for feature in features.maps], tokens=memory,
            pooled=difference_vector(FrameFeatures(tokens=torch.stack([before, after], 1))),
            token_grid=group_grid(features, 1))
