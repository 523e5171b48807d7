"""The residual network of CLIP with a dense attention pool.

Papers: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML
2021, https://arxiv.org/abs/2103.00020 (the network); Rao et al., DenseCLIP: Language-Guided Dense
Prediction with Context-Aware Prompting, CVPR 2022, https://arxiv.org/abs/2112.01518 (the dense
pool); Dong et al., ChangeCLIP, ISPRS Journal of Photogrammetry and Remote Sensing 208 (2024),
https://doi.org/10.1016/j.isprsjprs.2024.01.004 (its use on image pairs).
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rscc import compat
from rscc.models.clip.grid import check_image_size, resize_position_table
from rscc.models.encoders.base import FrameEncoder
from rscc.registry import MODELS
from rscc.structures import FrameFeatures

_STRIDE = 32  # of the last stage


@MODELS.register_module()
class CLIPResNet(FrameEncoder):
    """CLIP's image encoder RN50, RN101, ...: four maps, and CLIP-space features of every position.

    The modules are open_clip's, so ``visual.*`` has the key names of CLIP's files; only the pool is
    ours: all positions ask, where CLIP pools for the mean alone. Defaults are RN50 as ChangeCLIP
    uses it. Height and width must be multiples of 32.

    Args:
        layers: Blocks of the four stages.
        width: Channels of the stem; the stages have 4, 8, 16 and 32 times as many.
        heads: Attention heads of the pool; they divide ``32 * width``.
        output_dim: Width of CLIP's joint space.
        input_resolution: Image side in pixels for which positions are stored; other sizes
            interpolate them. CLIP's own is 224; ChangeCLIP resizes its table to 512.
        pretrained: CLIP weights, a file or ``'RN50:openai'``; see ``rscc.models.clip.weights``.
        dates_apart: See :class:`FrameEncoder`; the original trained so.
    """

    PRETRAINED_OPTIONAL = True

    def __init__(self, layers: Sequence[int] = (3, 4, 6, 3), width: int = 64, heads: int = 32,
                 output_dim: int = 1024, input_resolution: int = 512,
                 pretrained: str | None = None, dates_apart: bool = False) -> None:
        super().__init__()
        if 32 * width % heads:
            raise ValueError(f'the attention pool is 32 * width = {32 * width} wide, which '
                             f'{heads} heads do not divide')
        resnet = compat.import_open_clip('modified_resnet')
        self.visual = resnet.ModifiedResNet(layers, output_dim, heads, input_resolution, width)
        self.embed_dims = output_dim
        self.dates_apart = dates_apart
        if pretrained is not None:
            from rscc.models.clip.weights import load_visual
            load_visual(self.visual, pretrained, quick_gelu=None)  # it has ReLU only

    def encode(self, images: Tensor) -> FrameFeatures:
        """Return maps (M, 4/8/16/32 * width, h_i, w_i) at strides 4, 8, 16 and 32.

        Tokens (M, h*w, output_dim) lie on the coarsest grid, without class token; pooled is
        CLIP's global feature (M, output_dim), not normalised.

        Raises:
            ValueError: If a side of the images is no multiple of 32.
        """
        check_image_size(images, _STRIDE, 'CLIPResNet')
        visual = self.visual
        feature, maps = visual.stem(images), []
        for stage in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            feature = stage(feature)
            maps.append(feature)
        pooled = _pool_densely(visual.attnpool, feature)
        return FrameFeatures(maps=maps, tokens=pooled[:, 1:], pooled=pooled[:, 0],
                             token_grid=tuple(feature.shape[-2:]))


def _pool_densely(pool: nn.Module, feature: Tensor) -> Tensor:
    """Run CLIP's attention pool with the mean and every position as queries.

    Args:
        pool: open_clip's ``AttentionPool2d``.
        feature: Map (M, C, h, w).

    Returns:
        Tokens (M, 1 + h*w, D), the pooled mean first.
    """
    positions = resize_position_table(pool.positional_embedding, feature.shape[-2:])
    patches = feature.flatten(2).transpose(1, 2)
    tokens = torch.cat([patches.mean(1, keepdim=True), patches], 1) + positions
    query, key, value = (
        project(tokens).unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)
        for project in (pool.q_proj, pool.k_proj, pool.v_proj))
    mixed = F.scaled_dot_product_attention(query, key, value)
    return pool.c_proj(mixed.transpose(1, 2).flatten(2))
