"""Any MMSegmentation (or timm) backbone as an encoder."""
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from rscc.models.encoders.base import FrameEncoder
from rscc.models.positions import sine_positions
from rscc.registry import MODELS
from rscc.structures import FrameFeatures


@MODELS.register_module()
class BackboneEncoder(FrameEncoder):
    """Wrap a backbone that returns feature maps; one of them also becomes the tokens.

    ``encoder=dict(type='mmseg.ResNet', depth=18)`` is wrapped in this with its defaults; name it
    to set more. ``mmseg.TIMMBackbone`` brings every timm model.

    Args:
        backbone: Config of the backbone, for example ``dict(type='mmseg.ResNet', depth=50)``.
        token_level: Index of the map that becomes the tokens, -1 for the coarsest.
        out_channels: Channels of that map; needed with ``embed_dims``.
        embed_dims: Project the tokens to this width by a linear layer with layer norm.
        position: Add sine-cosine position codes to the tokens. Convolutions know little of where
            they are, and captions say where.
        pool_tokens: Average that map to this many places, a side or (h, w), before it becomes the
            tokens, so that they are as many for images of any size.
        channels_last: Run the convolutions in that memory format.
    """

    def __init__(self, backbone: dict, token_level: int = -1, out_channels: int | None = None,
                 embed_dims: int | None = None, position: bool = False,
                 channels_last: bool = False,
                 pool_tokens: int | tuple[int, int] | None = None) -> None:
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.token_level = token_level
        self.position = position
        self.pool_tokens = pool_tokens
        if embed_dims is not None and out_channels is None:
            raise ValueError(f'embed_dims={embed_dims} needs out_channels, the width of map '
                             f'{token_level} of the backbone')
        self.project = nn.Identity() if embed_dims is None else nn.Sequential(
            nn.Linear(out_channels, embed_dims), nn.LayerNorm(embed_dims))
        if channels_last:
            self.backbone.to(memory_format=torch.channels_last)

    def init_weights(self) -> None:
        """Initialise the backbone as its own config says (pretrained weights included)."""
        if hasattr(self.backbone, 'init_weights'):
            self.backbone.init_weights()

    def encode(self, images: Tensor) -> FrameFeatures:
        """Return every map (M, C_i, h_i, w_i); tokens (M, h*w, C) come from ``token_level``."""
        maps = _as_maps(self.backbone(images))
        chosen = maps[self.token_level]
        if self.pool_tokens is not None:
            chosen = functional.adaptive_avg_pool2d(chosen, self.pool_tokens)
        grid = tuple(chosen.shape[-2:])
        tokens = self.project(chosen.flatten(2).transpose(1, 2))
        if self.position:
            tokens = tokens + sine_positions(grid, tokens.shape[-1], tokens)
        return FrameFeatures(maps=maps, tokens=tokens, token_grid=grid, pooled=tokens.mean(1))


def _as_maps(output: Tensor | Sequence[Tensor]) -> list[Tensor]:
    maps = [output] if isinstance(output, Tensor) else list(output)
    if any(feature.ndim != 4 for feature in maps):
        raise ValueError('the backbone must return maps (M, C, h, w), found shapes '
                         f'{[tuple(feature.shape) for feature in maps]}')
    return maps
