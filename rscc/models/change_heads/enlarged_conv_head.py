"""Change head of BIT: enlarge the fused map to the image, then two convolutions.

Paper: Chen, Qi, Shi, Remote Sensing Image Change Detection with Transformers, TGRS 2021,
https://arxiv.org/abs/2103.00208.
"""
from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from rscc.models.change_heads.base import PixelHead
from rscc.models.contracts import Need
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures


@MODELS.register_module()
class EnlargedConvHead(PixelHead):
    """Small convolutional classifier at the resolution of the image, over one fused map.

    The convolutions run behind the enlargement, where most heads enlarge their logits: borders are
    drawn at full resolution, at ``scale**2`` times the cost.

    Losses returned: those of ``loss_decode`` by their names.

    Args:
        in_channels: Channels of the map. ``'auto'`` in a config needs ``in_index``.
        in_index: Index of the fused map that is read.
        scale: Factor of the enlargement, bilinear: the stride of the map, for the image's size.
        num_classes: Classes of the change map, 0 being "unchanged".
        loss_decode: One config or several of ours or MMSegmentation's losses.
        ignore_index: Label without a loss.
    """

    def __init__(self, in_channels: int = 32, in_index: int = 0, scale: int = 4,
                 num_classes: int = 2, loss_decode: Mapping | Sequence[Mapping] | None = None,
                 ignore_index: int = 255) -> None:
        super().__init__(loss_decode or dict(type='CrossEntropyLoss'), ignore_index)
        if num_classes < 2:
            raise ValueError(f'EnlargedConvHead(num_classes={num_classes}): classes include '
                             '"unchanged", so num_classes=2 for plain change detection')
        self.in_channels, self.in_index, self.scale = in_channels, in_index, scale
        self.out_channels = num_classes
        self.convolve = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True))
        self.classify = nn.Conv2d(in_channels, num_classes, 3, padding=1)

    def needs(self) -> Sequence[Need]:
        """Return the map."""
        return [Need('maps', (self.in_channels, ), 'in_channels', (self.in_index, ))]

    def forward(self, features: ChangeFeatures) -> Tensor:
        """Return logits (N, num_classes, scale*h, scale*w) of a map (N, C, h, w)."""
        fused = F.interpolate(features.maps[self.in_index], scale_factor=self.scale,
                              mode='bilinear', align_corners=False)
        return self.classify(self.convolve(fused))
