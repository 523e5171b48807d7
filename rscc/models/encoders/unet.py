"""Encoder half of a U-Net: maps of every stage, from full resolution down.

Papers: Ronneberger, Fischer, Brox, U-Net, MICCAI 2015, https://arxiv.org/abs/1505.04597; Daudt, Le
Saux, Boulch, Fully Convolutional Siamese Networks for Change Detection, ICIP 2018,
https://arxiv.org/abs/1810.08462, whose widths, depths and dropout are the defaults. The decoder is
``UNetHead``; either half works with other encoders and heads.
"""
from collections.abc import Sequence

from torch import Tensor, nn

from rscc.models.contracts import FeatureSpec
from rscc.models.encoders.base import FrameEncoder
from rscc.registry import MODELS
from rscc.structures import FrameFeatures


@MODELS.register_module()
class UNetEncoder(FrameEncoder):
    """Stages of 3x3 convolutions, each followed by max pooling that halves the resolution.

    Gives the map of every stage before its pooling, at strides 1, 2, 4, ..., and last the pooled
    map of the deepest stage, where the decoder begins. That one also becomes the tokens.

    Args:
        widths: Channels of every stage.
        convs: Convolutions of every stage, each with batch norm, ReLU and dropout.
        dropout: Rate at which whole channels are dropped after every convolution.
        bands: Channels B of the images; there are no published weights that ask for three.
        dates_apart: See :class:`FrameEncoder`; the original trained so.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 128),
                 convs: Sequence[int] = (2, 2, 3, 3), dropout: float = 0.2, bands: int = 3,
                 dates_apart: bool = False) -> None:
        super().__init__()
        self.dates_apart, self.any_format = dates_apart, True
        if len(widths) != len(convs) or not widths or min(convs) < 1:
            raise ValueError(f'widths={tuple(widths)} and convs={tuple(convs)} of UNetEncoder tell '
                             'channels and convolutions (one or more) of every stage: give as many '
                             'of the one as of the other')
        self.widths, self.bands = tuple(widths), bands
        self.stages = nn.ModuleList(
            _stage(before, width, count, dropout) for before, width, count in
            zip((bands, *widths[:-1]), widths, convs, strict=True))
        self.pool = nn.MaxPool2d(2)

    def gives(self) -> FeatureSpec:
        """Return the widths of the stages, and once more that of the deepest, pooled."""
        width, depth = self.widths[-1], len(self.widths)
        return FeatureSpec(
            'UNetEncoder', maps=(*self.widths, width),
            strides=tuple(2**level for level in range(depth + 1)), tokens=width,
            token_stride=2**depth, placed=True, pooled=width)

    def encode(self, images: Tensor) -> FrameFeatures:
        """Return maps (M, C_i, H / 2**i, W / 2**i), and tokens (M, h*w, C) of the last.

        Raises:
            ValueError: If the images are too small to be halved at every stage.
        """
        side = 2**len(self.stages)
        if min(images.shape[-2:]) < side:
            raise ValueError(f'UNetEncoder halves images {len(self.stages)} times: they need '
                             f'{side} x {side} pixels or more, found {tuple(images.shape[-2:])}')
        maps, pooled = [], images
        for stage in self.stages:
            maps.append(stage(pooled))
            pooled = self.pool(maps[-1])
        tokens = pooled.flatten(2).transpose(1, 2)
        return FrameFeatures(maps=[*maps, pooled], tokens=tokens,
                             token_grid=tuple(pooled.shape[-2:]), pooled=tokens.mean(1))


def _stage(before: int, width: int, count: int, dropout: float) -> nn.Sequential:
    """Return ``count`` convolutions, the first from ``before`` channels."""
    return nn.Sequential(*(
        nn.Sequential(nn.Conv2d(width if index else before, width, 3, padding=1),
                      nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Dropout2d(dropout))
        for index in range(count)))
