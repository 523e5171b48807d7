"""Windowed self-attention over positions that first listen to texts.

Papers: Liu et al., Swin Transformer, ICCV 2021, https://arxiv.org/abs/2103.14030; Dong et al.,
ChangeCLIP, ISPRS J. 208 (2024) 53-69, https://doi.org/10.1016/j.isprsjprs.2024.01.004.
"""
from functools import lru_cache

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

Size = tuple[int, int]
BLOCKED = -100.0  # Swin's "minus infinity" between tokens that the shift made neighbours


class SwinTextBlock(nn.Module):
    """Text attention, then one Swin block.

    Args:
        channels: Width C of the positions and of the texts.
        heads: Heads of the window attention.
        window: Side of a window in positions.
        shift: Positions by which the windows are moved; 0 for none.
        mlp_ratio: Inner width of the feed-forward part over C.
        rank: Width of queries and keys of the text attention.
        drop_path: Rate of stochastic depth.
    """

    def __init__(self, channels: int, heads: int = 2, window: int = 7, shift: int = 0,
                 mlp_ratio: int = 4, rank: int = 64, drop_path: float = 0.0) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.text_attn = TextAttention(channels, rank)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, window)
        self.mlp = nn.Sequential(nn.Linear(channels, mlp_ratio * channels), nn.GELU(),
                                 nn.Linear(mlp_ratio * channels, channels))
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, tokens: Tensor, size: Size, text: Tensor) -> Tensor:
        """Return (N, h*w, C) of tokens (N, h*w, C) on ``size`` = (h, w) and texts (N, K, C)."""
        tokens = tokens + self.text_attn(tokens, text)
        tokens = tokens + self.drop_path(self._attend(self.norm1(tokens), size))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))

    def _attend(self, tokens: Tensor, size: Size) -> Tensor:
        """Attend inside windows of the map, padded with zeros at the right and bottom."""
        height, width = size
        padded = tuple(-(-length // self.window) * self.window for length in size)
        maps = F.pad(tokens.unflatten(1, size),
                     (0, 0, 0, padded[1] - width, 0, padded[0] - height))
        mask = None
        if self.shift:
            maps = maps.roll((-self.shift, -self.shift), (1, 2))
            mask = shift_mask(padded, self.window, self.shift, tokens.device)
        windows = self.attn(_to_windows(maps, self.window), mask)
        maps = _from_windows(windows, padded, self.window)
        if self.shift:
            maps = maps.roll((self.shift, self.shift), (1, 2))
        return maps[:, :height, :width].flatten(1, 2)


class TextAttention(nn.Module):
    """Every position mixes the texts: softmax over K of low-rank products.

    Args:
        channels: Width C of positions and texts.
        rank: Width of queries and keys.
    """

    def __init__(self, channels: int, rank: int = 64) -> None:
        super().__init__()
        self.query = nn.Linear(channels, rank)
        self.key = nn.Linear(channels, rank)
        self.value = nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(2 * channels, channels)

    def forward(self, tokens: Tensor, text: Tensor) -> Tensor:
        """Return (N, L, C) of positions (N, L, C) and texts (N, K, C)."""
        weights = self.query(tokens) @ self.key(text).transpose(1, 2)
        weights = (weights * self.query.out_features**-0.5).softmax(-1)
        return self.proj(weights @ self.value(text))


class WindowAttention(nn.Module):
    """Multi-head self-attention inside windows with a learned bias per relative position.

    Args:
        channels: Width C.
        heads: Attention heads.
        window: Side of a window.
    """

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.relative_position_bias_table = nn.Parameter(
            torch.empty((2 * window - 1)**2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer('index', relative_position_index(window), persistent=False)

    def forward(self, windows: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend inside each window.

        Args:
            windows: (N, W, window**2, C).
            mask: Added to the scores, (W, window**2, window**2), or None.

        Returns:
            (N, W, window**2, C).
        """
        q, k, v = self.qkv(windows).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(
            -2, -3).unbind(0)
        bias = self.relative_position_bias_table[self.index].permute(2, 0, 1)
        if mask is not None:
            bias = bias + mask[:, None]
        # Written out: for a bias per window and head torch's fused attention falls back to a slower
        # path.
        scores = (q * q.shape[-1]**-0.5) @ k.transpose(-1, -2) + bias
        attended = scores.softmax(-1).to(v.dtype) @ v
        return self.proj(attended.transpose(-2, -3).flatten(-2))


def relative_position_index(window: int) -> Tensor:
    """Return for each pair of positions in a window the row of the bias table, int64 (L, L)."""
    places = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window),
                                        indexing='ij')).flatten(1)
    rows, columns = (places[:, :, None] - places[:, None]) + window - 1
    return rows * (2 * window - 1) + columns


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # one made while predicting serves training as well
def shift_mask(padded: Size, window: int, shift: int, device: torch.device | str = 'cpu'
               ) -> Tensor:
    """Return what keeps shifted windows from joining opposite borders, (W, L, L), 0 or -100.

    Args:
        padded: (H, W) of the map, multiples of ``window``.
        window: Side of a window.
        shift: Positions by which the windows are moved.
        device: Where the mask, made once, stays.
    """
    labels = []
    for length in padded:
        axis = torch.zeros(length)
        axis[length - window:length - shift] = 1
        axis[length - shift:] = 2
        labels.append(axis)
    region = (3 * labels[0][:, None] + labels[1])[None, :, :, None]
    regions = _to_windows(region, window)[0, :, :, 0]
    apart = regions[:, None] != regions[:, :, None]
    return (apart.float() * BLOCKED).to(device)


def _to_windows(maps: Tensor, window: int) -> Tensor:
    """Cut (N, H, W, C) into (N, windows, window**2, C), row by row."""
    cut = maps.unflatten(1, (-1, window)).unflatten(3, (-1, window))
    return cut.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _from_windows(windows: Tensor, size: Size, window: int) -> Tensor:
    """Undo ``_to_windows``; returns (N, H, W, C)."""
    rows, columns = size[0] // window, size[1] // window
    maps = windows.unflatten(1, (rows, columns)).unflatten(3, (window, window))
    return maps.transpose(2, 3).flatten(1, 2).flatten(2, 3)
