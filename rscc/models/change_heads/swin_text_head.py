"""ChangeCLIP's vision-language-driven decoder: from fused maps and texts to a change map.

Coarse to fine, each stage doubles the resolution, lets every position attend to the texts and to
its neighbours in (shifted) windows, and joins the next finer map.

Papers: Liu et al., Swin Transformer, ICCV 2021, https://arxiv.org/abs/2103.14030 (windows); Dong et
al., ChangeCLIP, ISPRS J. 208 (2024) 53-69, https://doi.org/10.1016/j.isprsjprs.2024.01.004.
"""
from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

from rscc.models.change_heads.base import PixelHead
from rscc.models.contracts import FeatureSpec, Need
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures

Size = tuple[int, int]
BLOCKED = -100.0  # Swin's "minus infinity" between tokens that the shift made neighbours


@MODELS.register_module()
class SwinTextHead(PixelHead):
    """Decode maps from coarse to fine; in each stage every position attends to the texts.

    Args:
        text_channels: Width of the texts.
        in_channels: Channels of each fused map.
        channels: Inner width; a stage returns twice as many.
        levels: Number of fused maps.
        num_classes: Classes of the change map, 0 being "unchanged".
        dates: Dates T whose texts arrive.
        heads, window, rank, mlp_ratio: See ``SwinTextBlock``.
        drop_path: Stochastic depth of every second block.
        groups: Groups of the group norm.
        dropout: Rate at which whole channels are dropped before the classifier.
        loss_decode: One config or several of MMSegmentation's losses, such as
            ``dict(type='mmseg.DiceLoss', loss_weight=0.5)``.
        ignore_index: Label without a loss.
    """

    def __init__(self, text_channels: int, in_channels: int = 256, channels: int = 128,
                 levels: int = 4, num_classes: int = 2, dates: int = 2, heads: int = 2,
                 window: int = 7, rank: int = 64, mlp_ratio: int = 4, drop_path: float = 0.2,
                 groups: int = 32, dropout: float = 0.1,
                 loss_decode: Mapping | Sequence[Mapping] | None = None,
                 ignore_index: int = 255) -> None:
        super().__init__(
            loss_decode or dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True), ignore_index)
        if num_classes < 2:
            raise ValueError(f'SwinTextHead(num_classes={num_classes}): classes include '
                             '"unchanged", so 2 for plain change detection')
        self.num_classes = self.out_channels = num_classes
        self.text_channels, self.in_channels, self.levels = text_channels, in_channels, levels
        self.text_projections = nn.ModuleList(
            nn.Sequential(nn.Linear(text_channels, channels), nn.LayerNorm(channels))
            for _ in range(dates))
        block = dict(heads=heads, window=window, rank=rank, mlp_ratio=mlp_ratio)
        self.stages = nn.ModuleList(
            SwinTextStage(2 * channels if stage else in_channels, in_channels, channels, groups,
                          drop_path, block) for stage in range(levels - 1))
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(2 * channels, num_classes, 1)
        nn.init.normal_(self.classify.weight, std=0.01)
        nn.init.zeros_(self.classify.bias)

    def needs(self) -> Sequence[Need]:
        """Return the texts, and ``levels`` maps of one width."""
        return [Need('text', self.text_channels, 'text_channels'),
                Need('maps', (self.in_channels, ) * self.levels, 'in_channels')]

    def misfit(self, given: FeatureSpec) -> str:
        """Also compare the dates, and ask for maps each of twice the stride of the one before."""
        misfit, dates = super().misfit(given), len(self.text_projections)
        if misfit:
            return misfit
        if given.time_steps not in (None, dates):
            return (f'SwinTextHead reads the texts of {dates} dates (dates) and {given.source} '
                    f'gives those of {given.time_steps}: set dates={given.time_steps}')
        pairs = zip((given.strides or ())[:-1], (given.strides or ())[1:], strict=True)
        if any(coarse != 2 * fine for fine, coarse in pairs):
            return (f'SwinTextHead needs maps each of twice the stride of the one before and '
                    f'{given.source} gives strides {given.strides}: set pyramid=True of CLIPViT, '
                    "or neck=dict(type='SimpleFeaturePyramid')")
        return ''

    def forward(self, features: ChangeFeatures) -> Tensor:
        """Return logits (N, classes, h, w) at the stride of the finest map."""
        maps, text = features.maps, features.text
        if text is None or text.shape[1] != len(self.text_projections):
            found = 'none' if text is None else f'those of {text.shape[1]} date(s)'
            raise ValueError(f'SwinTextHead needs the texts of {len(self.text_projections)} dates, '
                             f'found {found}; LanguageGuidedFusion provides them')
        # The K texts of every date, each date by its own projection: (N, T*K, channels).
        text = torch.cat([project(text[:, date])
                          for date, project in enumerate(self.text_projections)], dim=1)
        # From the coarsest map up, each stage joining the next finer one.
        decoded = maps[-1]
        for stage, skip in zip(self.stages, reversed(maps[:-1]), strict=True):
            decoded = stage(decoded, skip, text)
        return self.classify(self.dropout(decoded))

    def details(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return ``acc_seg``, the share of right pixels in percent."""
        return dict(acc_seg=_accuracy(logits, target, self.ignore_index))


def _accuracy(logits: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """Return the share of right pixels in percent; comparing costs a third of ``argmax``."""
    valid = target != ignore_index
    chosen = logits.gather(1, target.where(valid, 0)[:, None]).squeeze(1)
    right = (chosen == logits.amax(1)) & valid
    return 100 * right.sum() / valid.sum().clamp(min=1)


class SwinTextStage(nn.Module):
    """Double the resolution, attend to texts and neighbours, join the finer map.

    Args:
        deep_channels: Channels of what comes from the stage before.
        skip_channels: Channels of the finer map.
        channels: Inner width; twice as many are returned.
        groups: Groups of the group norm.
        drop_path: Stochastic depth of the second block.
        block: Further fields of ``SwinTextBlock``.
    """

    def __init__(self, deep_channels: int, skip_channels: int, channels: int, groups: int,
                 drop_path: float, block: Mapping) -> None:
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(deep_channels, channels, 3, padding=1),
                                    nn.GroupNorm(groups, channels), nn.ReLU(inplace=True))
        shift = block['window'] // 2
        self.blocks = nn.ModuleList([
            SwinTextBlock(channels, shift=0, **block),
            SwinTextBlock(channels, shift=shift, drop_path=drop_path, **block)])
        self.refine = nn.Conv2d(channels, channels, 1)
        self.skip = nn.Conv2d(skip_channels, channels, 1)
        self.merge = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)

    def forward(self, deep: Tensor, skip: Tensor, text: Tensor) -> Tensor:
        """Return (N, 2*channels, 2*h, 2*w).

        Args:
            deep: (N, deep_channels, h, w).
            skip: (N, skip_channels, 2*h, 2*w).
            text: (N, K, channels).
        """
        # The coarse map at twice the resolution, (N, channels, 2*h, 2*w), as tokens to the blocks.
        maps = self.reduce(F.interpolate(deep, scale_factor=2, mode='nearest'))
        size: Size = tuple(maps.shape[-2:])
        tokens = maps.flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens, size, text)
        # Beside the finer map: (N, 2*channels, 2*h, 2*w).
        refined = F.relu(self.refine(tokens.transpose(1, 2).unflatten(2, size)))
        return F.relu(self.merge(torch.cat([F.relu(self.skip(skip)), refined], dim=1)))


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
        # As in the paper: texts first, then neighbours, then each position by itself.
        tokens = tokens + self.text_attn(tokens, text)
        tokens = tokens + self.drop_path(self._attend(self.norm1(tokens), size))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))

    def _attend(self, tokens: Tensor, size: Size) -> Tensor:
        """Attend inside windows of the map, padded with zeros at the right and bottom."""
        # Positions as a map (N, H, W, C), its sides multiples of the window.
        height, width = size
        # Rounded up without negative numbers, which // of an exported model rounds another way.
        padded = tuple((length + self.window - 1) // self.window * self.window for length in size)
        maps = F.pad(tokens.unflatten(1, size),
                     (0, 0, 0, padded[1] - width, 0, padded[0] - height))
        # Every second block moves the windows, so that neighbours across their borders meet.
        mask = None
        if self.shift:
            maps = maps.roll((-self.shift, -self.shift), (1, 2))
            # An export follows the size of the image, which no memory can hold for it.
            make = shift_mask.__wrapped__ if torch.compiler.is_compiling() else shift_mask
            mask = make(padded, self.window, self.shift, tokens.device)
        # Attention inside windows (N, W, window**2, C), and back to the map.
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
        # Weights (N, L, K) of K texts at L positions, from queries and keys of a low rank.
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
        if channels % heads:
            raise ValueError(f'SwinTextHead: channels={channels} cannot be divided among '
                             f'heads={heads} of the window attention')
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
        # Queries, keys and values, each (N, W, heads, window**2, C / heads).
        q, k, v = self.qkv(windows).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(
            -2, -3).unbind(0)
        # A learned bias per head and relative position, (heads, window**2, window**2).
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
    # Along each axis three stretches: moved windows join the last two, which are not neighbours.
    places = [torch.arange(length) for length in padded]
    labels = [(axis >= length - window).float() + (axis >= length - shift).float()
              for axis, length in zip(places, padded, strict=True)]
    # Nine regions of the map; inside a window, pairs of different regions are kept apart.
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
