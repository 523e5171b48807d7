"""Necks over fused maps.

Paper: Li et al., Exploring Plain Vision Transformer Backbones for Object Detection, ECCV 2022,
https://arxiv.org/abs/2203.16527. Widths are reduced before upsampling, which the paper does after.
"""
from collections.abc import Sequence

from torch import Tensor, nn

from rscc.registry import MODELS


@MODELS.register_module()
class SimpleFeaturePyramid(nn.Module):
    """Bring maps of a plain transformer (stride 16) to strides 4, 8, 16 and 32.

    Transposed convolutions unfold what a patch token knows about the inside of its patch, which
    interpolation cannot.

    Args:
        in_channels: Width of every incoming map.
        out_channels: Width of every outgoing map.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        # Stride 16 to 4 by two doublings, to 8 by one, 16 as it is, 32 by pooling.
        self.reduce = nn.ModuleList(_reduce(in_channels, out_channels) for _ in range(4))
        self.scale = nn.ModuleList([
            nn.Sequential(_double(out_channels), nn.GELU(), _double(out_channels)),
            _double(out_channels), nn.Identity(), nn.MaxPool2d(2, ceil_mode=True)])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Scale four maps (N, C_in, h, w) by 4, 2, 1 and 1/2, each to width C_out.

        Raises:
            ValueError: If there are not four maps.
        """
        if len(maps) != len(self.reduce):
            raise ValueError(f'SimpleFeaturePyramid takes 4 maps, found {len(maps)}: set '
                             'out_layers of the encoder to 4 layers, (3, 6, 9, 12) for instance')
        # Level by level: 1x1 convolution to C_out, then up by 4 and 2, as it is, and down by 2.
        return [scale(reduce(feature))
                for feature, reduce, scale in zip(maps, self.reduce, self.scale, strict=True)]


def _reduce(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False),
                         nn.BatchNorm2d(out_channels))


def _double(channels: int) -> nn.Module:
    return nn.ConvTranspose2d(channels, channels, 2, stride=2)
