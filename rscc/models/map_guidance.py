"""The change map as evidence for words: sentence and flag are told what the map shows, and where.

A mask head learns from every pixel of a pair, a caption head from a few sentences. What the mask
head has understood of real images therefore carries further than what the words have, and a
sentence that contradicts the map beside it helps nobody. Wang et al., Change-Agent (TGRS 2024,
https://arxiv.org/abs/2403.19646), answer with both from one encoder; here the map also reaches the
words.
"""
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rscc.models.contracts import FeatureSpec, Need
from rscc.registry import MODELS, Part
from rscc.structures import ChangeFeatures
from rscc.utils import check_choice

#: Added to the changed share of the image before its logarithm: a pixel in a 100x100 map.
_LEAST = 1e-4


@MODELS.register_module()
class MapGuidance(Part, nn.Module):
    """Add the change map to the memory of the caption head and to the pooled vector.

    Every token learns how likely each kind of change is at its place, on average and at most; the
    pooled vector how much of the image each kind covers and how sure its surest place is. No
    gradient flows back into the map: words use it, they do not bend it.

    Args:
        channels: Width of the tokens.
        num_classes: Classes of the change map, "unchanged" first; 1 for the single logit of
            "changed". The interpreter fills it in.
        pooled: ``'joined'`` puts the summary of the map behind the pooled vector of the fusion,
            ``'map'`` in its place: a flag that sees the map alone cannot learn to tell renderings
            or cities apart instead of changes.
        pooled_channels: Width of the summary.
    """

    def __init__(self, channels: int, num_classes: int, pooled: str = 'joined',
                 pooled_channels: int = 64) -> None:
        super().__init__()
        check_choice('pooled', pooled, ('joined', 'map'))
        self.channels, self.pooled, self.pooled_channels = channels, pooled, pooled_channels
        kinds = 1 if num_classes <= 2 else num_classes  # each, and all of them together
        self.place = nn.Linear(2 * kinds, channels)
        self.summary = nn.Sequential(nn.Linear(3 * kinds, pooled_channels), nn.GELU())

    def needs(self) -> Sequence[Need]:
        """Return tokens on a grid."""
        return [Need('tokens', self.channels, 'channels', placed=True)]

    def gives(self, fused: FeatureSpec) -> FeatureSpec:
        """Return what the heads of words and flag then read."""
        width = self.pooled_channels
        if self.pooled == 'joined':
            width = None if fused.pooled is None else width + fused.pooled
        return replace(fused, source=f'MapGuidance behind {fused.source}', pooled=width)

    def forward(self, features: ChangeFeatures, logits: Tensor) -> ChangeFeatures:
        """Return the features with the map in them.

        Args:
            features: Tokens (N, L, C) of G groups of h x w places, pooled (N, D).
            logits: Of the change map, (N, classes, H, W), at any resolution.

        Returns:
            Tokens (N, L, C) and pooled (N, D + pooled_channels), or (N, pooled_channels).
        """
        # Probability of every kind of change (N, K, H, W); average and maximum over the pixels of
        # each token's place, (N, K, h, w) both.
        chances = _chances(logits.detach().float())
        groups, *grid = features.token_grid
        mean, most = F.adaptive_avg_pool2d(chances, grid), F.adaptive_max_pool2d(chances, grid)
        places = self.place(torch.cat([mean, most], 1).flatten(2).transpose(1, 2))
        # The same addition in every group; a class token, which comes first in it, has no place.
        length = features.tokens.shape[1] // groups
        places = F.pad(places, (0, 0, length - places.shape[1], 0))
        tokens = features.tokens + places.repeat(1, groups, 1).to(features.tokens.dtype)
        # Of the whole image: logarithm of the share, surest place, surest pixel, (N, 3K).
        summary = self.summary(torch.cat([
            (chances.mean((2, 3)) + _LEAST).log(), mean.amax((2, 3)), chances.amax((2, 3))], 1))
        if self.pooled == 'joined':
            summary = torch.cat([features.pooled, summary.to(features.pooled.dtype)], 1)
        return replace(features, tokens=tokens, pooled=summary)


def _chances(logits: Tensor) -> Tensor:
    """Return the probability of each kind of change, and last of any, (N, K, H, W)."""
    if logits.shape[1] == 1:
        return logits.sigmoid()
    chances = logits.softmax(1)
    if logits.shape[1] == 2:
        return chances[:, 1:]
    return torch.cat([chances[:, 1:], 1 - chances[:, :1]], 1)
