"""Image tower of SigLIP with dense features in the space of its texts.

Paper: Zhai et al., Sigmoid Loss for Language Image Pre-Training, ICCV 2023,
https://arxiv.org/abs/2303.15343. Weights for remote sensing: Li et al., Git-RSCLIP.
"""
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rscc import compat
from rscc.models.contracts import FeatureSpec
from rscc.models.encoders.clip import (
    JointSpaceEncoder,
    build_pyramid,
    check_taps,
    pyramid_divisor,
    pyramid_strides,
)
from rscc.models.positions import check_image_size
from rscc.registry import MODELS
from rscc.structures import FrameFeatures


@MODELS.register_module()
class SiglipViT(JointSpaceEncoder):
    """SigLIP's image encoder: features of every patch in the space of its texts, maps on request.

    The modules are transformers', so ``visual.*`` has the key names of published files without
    ``vision_model.``. Defaults are ViT-L/16 of Git-RSCLIP; for captioning alone set
    ``out_indices=(), pyramid=False``. Height and width must be multiples of the patch size, with
    the pyramid of 32 for patches of 16.

    SigLIP has no class token and no projection: a learned query attends to all patches, and a small
    MLP follows. The dense features are what that pool would answer if the patch was all it saw, so
    they are in the space of the pooled vector, and of the texts. An image of equal patches has
    dense features that equal its pooled vector.

    Args:
        width: Width of the transformer, and of the joint space.
        layers: Number of blocks.
        heads: Attention heads of every block, and of the pool.
        patch_size: Side of a patch in pixels.
        input_resolution: Image side in pixels for which positions are stored, that of the weights;
            for images of other sizes they are interpolated.
        mlp_width: Inner width of every block's MLP; four times ``width`` unless given.
        out_indices: Blocks, counted from 0, whose patch tokens become maps.
        pyramid: Bring four maps to strides 4, 8, 16 and 32; without it every map has the stride of
            the patches.
        pretrained: SigLIP weights: a folder or file with transformers' names, or ``'git-rsclip'``;
            see ``rscc.models.clip.weights``. The pyramid starts from random weights.
        checkpointing: Recompute the blocks' activations in the backward pass to save memory.
        dates_apart: See :class:`FrameEncoder`; it matters to the pyramid's BatchNorm.
    """

    PRETRAINED_OPTIONAL: ClassVar[bool] = True

    def __init__(self, width: int = 1024, layers: int = 24, heads: int = 16, patch_size: int = 16,
                 input_resolution: int = 256, mlp_width: int | None = None,
                 out_indices: Sequence[int] = (7, 11, 15, 23), pyramid: bool = True,
                 pretrained: str | None = None, checkpointing: bool = False,
                 dates_apart: bool = False) -> None:
        super().__init__()
        check_taps(out_indices, layers, pyramid)
        library = compat.import_transformers('models.siglip')
        self.visual = library.SiglipVisionModel(library.SiglipVisionConfig(
            hidden_size=width, intermediate_size=mlp_width or 4 * width, num_hidden_layers=layers,
            num_attention_heads=heads, image_size=input_resolution, patch_size=patch_size))
        self.pyramid = build_pyramid(width, patch_size) if pyramid else None
        self.divisor = pyramid_divisor(patch_size) if pyramid else patch_size
        self.width, self.patch_size, self.out_indices = width, patch_size, tuple(out_indices)
        self.checkpointing, self.dates_apart = checkpointing, dates_apart
        if pretrained is not None:
            from rscc.models.clip.weights import load_siglip
            self.facts = load_siglip(self.visual, pretrained, 'vision_model').facts

    def gives(self) -> FeatureSpec:
        """Return the widths of the maps asked for and of the joint space."""
        count = len(self.out_indices)
        return FeatureSpec(
            'SiglipViT', maps=(self.width, ) * count,
            strides=(pyramid_strides(self.patch_size) if self.pyramid is not None else
                     (self.patch_size, ) * count),
            tokens=self.width, token_stride=self.patch_size, placed=True, pooled=self.width,
            space=self.facts and self.facts.identity,
            advice=dict(maps='set out_indices of SiglipViT, for example (7, 11, 15, 23)'))

    def encode(self, images: Tensor) -> FrameFeatures:
        """Return maps (M, width, h_i, w_i) of ``out_indices``, scaled by the pyramid.

        Tokens (M, h*w, width) are the patches' features, pooled is SigLIP's global feature
        (M, width), not normalised.

        Raises:
            ValueError: If a side of the images does not suit patches or pyramid.
        """
        check_image_size(images, self.divisor, 'SiglipViT')
        # Patches with their positions (M, h*w, width), through the blocks; some leave maps.
        grid = tuple(side // self.patch_size for side in images.shape[-2:])
        tokens = self.visual.embeddings(images, interpolate_pos_encoding=True)
        taps = {}
        for index, block in enumerate(self.visual.encoder.layers):
            tokens = self._run(block, tokens)
            if index in self.out_indices:
                taps[index] = tokens.transpose(1, 2).unflatten(2, grid)
        maps = [taps[index] for index in self.out_indices]
        if self.pyramid is not None:
            maps = [scale(feature) for scale, feature in zip(self.pyramid, maps, strict=True)]
        # The pool over all patches (M, width), and over each alone (M, h*w, width).
        tokens = self.visual.post_layernorm(tokens)
        return FrameFeatures(maps=maps, tokens=_pool_each(self.visual.head, tokens),
                             token_grid=grid, pooled=self.visual.head(tokens))

    def _run(self, block: nn.Module, tokens: Tensor) -> Tensor:
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(block, tokens, None, use_reentrant=False)
        return block(tokens, None)


def _pool_each(head: nn.Module, tokens: Tensor) -> Tensor:
    """Run SigLIP's pool with every token as the only one that the query sees.

    Attention to one token is that token's value, whatever the query.

    Args:
        head: transformers' ``SiglipMultiheadAttentionPoolingHead``.
        tokens: (M, L, C).

    Returns:
        (M, L, C).
    """
    attention, width = head.attention, tokens.shape[-1]
    values = F.linear(tokens, attention.in_proj_weight[2 * width:],
                      attention.in_proj_bias[2 * width:])
    mixed = attention.out_proj(values)
    return mixed + head.mlp(head.layernorm(mixed))
