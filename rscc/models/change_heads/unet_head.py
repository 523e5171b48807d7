"""Decoder half of a U-Net: from fused maps of several resolutions to a change map.

Papers: Ronneberger, Fischer, Brox, U-Net, MICCAI 2015, https://arxiv.org/abs/1505.04597; Daudt, Le
Saux, Boulch, Fully Convolutional Siamese Networks for Change Detection, ICIP 2018,
https://arxiv.org/abs/1810.08462, whose widths, depths and dropout are the defaults.
"""
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rscc.models.change_heads.base import PixelHead
from rscc.models.contracts import FeatureSpec, Need
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures


@MODELS.register_module()
class UNetHead(PixelHead):
    """Double the resolution stage by stage, each time joining the next finer fused map.

    With ``UNetEncoder`` and ``MapFusion(coarsest='to')`` this is FC-Siam-diff
    (``kind='absolute'``) or FC-Siam-conc (``kind='concat'``) of Daudt et al.: the decoder starts
    from the deepest map of the later date and sees both dates in the maps that it joins. The
    published decoder writes its convolutions as transposed ones of stride 1, which are the same
    with mirrored kernels. It also takes the maps of other encoders, 4 to 32 pixels apart for
    instance; the change map is then interpolated from the finest of them.

    Losses returned: those of ``loss_decode`` by their names.

    Args:
        in_channels: Channels of each map that is read, fine to coarse; the last is where it
            starts. ``'auto'`` in a config needs ``in_index``.
        channels: Width of the stage that joins each map but the last, fine to coarse.
        convs: Convolutions of each of these stages, two or more; the last of them narrows to the
            width of the next finer stage or, in the finest, to the logits.
        num_classes: Classes of the change map, 0 being "unchanged".
        out_channels: Channels of the logits: ``num_classes``, or 1 for the single logit of
            "changed" (with ``DiceLoss``).
        dropout: Rate at which whole channels are dropped after every convolution but the last.
        loss_decode: One config or several of ours or MMSegmentation's losses.
        ignore_index: Label without a loss.
        in_index: Indices of the fused maps that are read; None for all.
    """

    def __init__(self, in_channels: Sequence[int] = (16, 32, 64, 128, 128),
                 channels: Sequence[int] = (16, 32, 64, 128), convs: Sequence[int] = (2, 2, 3, 3),
                 num_classes: int = 2, out_channels: int | None = None, dropout: float = 0.2,
                 loss_decode: Mapping | Sequence[Mapping] | None = None,
                 ignore_index: int = 255, in_index: Sequence[int] | None = None) -> None:
        super().__init__(loss_decode or dict(type='CrossEntropyLoss'), ignore_index)
        out_channels = out_channels or num_classes
        if isinstance(in_channels, int):
            raise ValueError(f'UNetHead joins two maps or more, found in_channels={in_channels}: '
                             "give a number a map, or 'auto' beside in_index")
        if not len(in_channels) - 1 == len(channels) == len(convs) > 0 or min(convs) < 2:
            raise ValueError(
                f'channels={tuple(channels)} and convs={tuple(convs)} of UNetHead have one number '
                f'(two convolutions or more) for each of in_channels={tuple(in_channels)} but the '
                'last')
        if num_classes < 2 or out_channels not in (1, num_classes) or (
                out_channels == 1 and num_classes > 2):
            raise ValueError(f'UNetHead(num_classes={num_classes}, out_channels={out_channels}): '
                             'classes include "unchanged", so num_classes=2 for plain change '
                             'detection; out_channels is that number, or 1 for two classes')
        self.in_channels = tuple(in_channels)
        self.in_index = None if in_index is None else tuple(in_index)
        self.out_channels = out_channels
        # Each stage ends at the width of the next finer one; they are run from coarse to fine.
        deeper = (*channels[:-1], in_channels[-1])
        finer = (None, *channels[:-1])
        stages = [_Stage(deep, skip, width, end, count, dropout) for deep, skip, width, end, count
                  in zip(deeper, in_channels[:-1], channels, finer, convs, strict=True)]
        self.stages = nn.ModuleList(stages[::-1])
        self.classify = nn.Conv2d(channels[0], out_channels, 3, padding=1)

    def needs(self) -> Sequence[Need]:
        """Return maps of the widths it is made for."""
        return [Need('maps', self.in_channels, 'in_channels', self.in_index)]

    def misfit(self, given: FeatureSpec) -> str:
        """Also ask for maps each of twice the stride of the one before."""
        misfit = super().misfit(given)
        strides = () if misfit or not given.strides else self._read(given.strides)
        if any(coarse != 2 * fine for fine, coarse in pairwise(strides)):
            return (f'UNetHead needs maps each of twice the stride of the one before and '
                    f'{given.source} gives strides {strides}: choose other maps of the encoder, or '
                    "set neck=dict(type='SimpleFeaturePyramid') for maps of one stride")
        return misfit

    def forward(self, features: ChangeFeatures) -> Tensor:
        """Return logits (N, out_channels, h, w) at the resolution of the finest map."""
        *finer, decoded = self._read(features.maps)
        for stage, skip in zip(self.stages, reversed(finer), strict=True):
            decoded = stage(decoded, skip)
        return self.classify(decoded)

    def _read(self, levels: Sequence) -> tuple:
        """Keep of one value a map, in their order, those of the maps in ``in_index``."""
        return tuple(levels if self.in_index is None else map(levels.__getitem__, self.in_index))


class _Stage(nn.Module):
    """Double the resolution, join the finer map, convolve.

    Args:
        deep: Channels of what comes from the stage before.
        skip: Channels of the finer map.
        width: Channels of the stage.
        end: Channels of its last convolution; None leaves that one to the classifier.
        count: Convolutions, the classifier included.
        dropout: See ``UNetHead``.
    """

    def __init__(self, deep: int, skip: int, width: int, end: int | None, count: int,
                 dropout: float) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(deep, deep, 3, stride=2, padding=1, output_padding=1)
        widths = [deep + skip, *[width] * (count - 1), *([] if end is None else [end])]
        self.convs = nn.Sequential(*(
            nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after),
                          nn.ReLU(inplace=True), nn.Dropout2d(dropout))
            for before, after in pairwise(widths)))

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """Return (N, end, H, W) of (N, deep, h, w) and (N, skip, H, W), H about 2h."""
        upper = self.up(deep)
        # Pooling rounds odd sizes down or up: repeat the border, or cut it.
        height, width = skip.shape[-2:]
        missing = (height - upper.shape[-2], width - upper.shape[-1])
        if any(missing):
            upper = F.pad(upper, (0, max(missing[1], 0), 0, max(missing[0], 0)), mode='replicate')
            upper = upper[..., :height, :width]
        return self.convs(torch.cat([upper, skip], 1))
