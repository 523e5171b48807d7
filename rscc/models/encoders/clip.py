"""Image towers of CLIP with dense features: residual network and vision transformer.

Papers: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML
2021, https://arxiv.org/abs/2103.00020 (the network); Rao et al., DenseCLIP: Language-Guided Dense
Prediction with Context-Aware Prompting, CVPR 2022, https://arxiv.org/abs/2112.01518 (the dense
pool); Dong et al., ChangeCLIP, ISPRS Journal of Photogrammetry and Remote Sensing 208 (2024),
https://doi.org/10.1016/j.isprsjprs.2024.01.004 (taps, pyramid, and the use on image pairs).
"""
from collections.abc import Sequence
from math import log2
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rscc import compat
from rscc.models.attention import merge_heads, split_heads, use_batch_first_attention
from rscc.models.contracts import FeatureSpec, Normalisation, whole
from rscc.models.encoders.base import FrameEncoder, number_layers
from rscc.models.positions import check_image_size, resize_position_table
from rscc.registry import MODELS
from rscc.structures import FrameFeatures

if TYPE_CHECKING:
    from rscc.models.clip.weight_files import WeightFacts

_STRIDES = (4, 8, 16, 32)  # of the ResNet's stages and of the pyramid of patches of 16


class JointSpaceEncoder(FrameEncoder):
    """Base class of image towers whose features lie in one space with those of texts.

    Attributes:
        facts: Normalisation and identity of the weights; None without any.
    """
    facts: 'WeightFacts | None' = None

    def normalisation(self) -> Normalisation | None:
        """Return the statistics of the weights, None without any."""
        return self.facts and self.facts.normalisation


@MODELS.register_module()
class CLIPResNet(JointSpaceEncoder):
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
        pretrained: CLIP weights: a file, ``'RN50:openai'`` or ``'remoteclip-rn50'``; see
            ``rscc.models.clip.weights``.
        dates_apart: See :class:`FrameEncoder`; the original trained so.
    """

    PRETRAINED_OPTIONAL: ClassVar[bool] = True

    def __init__(self, layers: Sequence[int] = (3, 4, 6, 3), width: int = 64, heads: int = 32,
                 output_dim: int = 1024, input_resolution: int = 512,
                 pretrained: str | None = None, dates_apart: bool = False) -> None:
        super().__init__()
        if 32 * width % heads:
            raise ValueError(f'the attention pool is 32 * width = {32 * width} wide, which '
                             f'{heads} heads do not divide')
        resnet = compat.import_open_clip('modified_resnet')
        self.visual = resnet.ModifiedResNet(layers, output_dim, heads, input_resolution, width)
        self.width, self.embed_dims = width, output_dim
        self.dates_apart, self.any_format = dates_apart, True
        if pretrained is not None:
            from rscc.models.clip.weights import load_visual
            self.facts = load_visual(self.visual, pretrained, quick_gelu=None).facts  # ReLU only

    def gives(self) -> FeatureSpec:
        """Return the widths of four maps and of CLIP's joint space."""
        return FeatureSpec(
            'CLIPResNet', maps=tuple(times * self.width for times in (4, 8, 16, 32)),
            strides=_STRIDES, tokens=self.embed_dims, token_stride=_STRIDES[-1], placed=True,
            pooled=self.embed_dims, space=self.facts and self.facts.identity)

    def parameter_depths(self) -> dict[str, int]:
        """Return the stem, every block of the four stages, and the pool with the last one."""
        return number_layers(
            (name for name, _ in self.named_parameters()), stem=r'visual\.(conv|bn)\d',
            layers=r'visual\.layer(\d+)\.(\d+)\.', last=r'visual\.attnpool')

    def encode(self, images: Tensor) -> FrameFeatures:
        """Return maps (M, 4/8/16/32 * width, h_i, w_i) at strides 4, 8, 16 and 32.

        Tokens (M, h*w, output_dim) lie on the coarsest grid, without class token; pooled is
        CLIP's global feature (M, output_dim), not normalised.

        Raises:
            ValueError: If a side of the images is no multiple of 32.
        """
        check_image_size(images, _STRIDES[-1], 'CLIPResNet')
        visual = self.visual
        # Stem (M, width, H/4, W/4), then four stages, each a map.
        feature, maps = visual.stem(images), []
        for stage in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            feature = stage(feature)
            maps.append(feature)
        # CLIP's pool over the last map: global feature and one per position, (M, 1 + h*w, D).
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
    # Tokens (M, 1 + h*w, C): the mean, then every position; CLIP has a query for the mean alone.
    positions = resize_position_table(pool.positional_embedding, feature.shape[-2:])
    patches = feature.flatten(2).transpose(1, 2)
    tokens = torch.cat([patches.mean(1, keepdim=True), patches], 1) + positions
    # Multi-head attention among them, heads first: (M, heads, 1 + h*w, C / heads).
    query, key, value = (
        split_heads(project(tokens), pool.num_heads)
        for project in (pool.q_proj, pool.k_proj, pool.v_proj))
    mixed = F.scaled_dot_product_attention(query, key, value)
    return pool.c_proj(merge_heads(mixed))


@MODELS.register_module()
class CLIPViT(JointSpaceEncoder):
    """CLIP's image encoder ViT-B/16, ...: CLIP-space features of every patch, maps on request.

    The modules are open_clip's, so ``visual.*`` has the key names of CLIP's files. Defaults are
    ViT-B/16 as ChangeCLIP uses it; for captioning alone set ``out_indices=(), pyramid=False``.
    Height and width must be multiples of the patch size; of 32 with the pyramid over patches of 8,
    16 or 32, and of 28 with that over patches of 14.

    Args:
        width: Width of the transformer.
        layers: Number of blocks.
        heads: Attention heads of every block.
        patch_size: Side of a patch in pixels.
        output_dim: Width of CLIP's joint space.
        input_resolution: Image side in pixels for which positions are stored; other sizes
            interpolate them.
        out_indices: Blocks, counted from 0, whose patch tokens become maps.
        pyramid: Bring four maps to strides 4, 8, 16 and 32, or 3.5, 7, 14 and 28 for patches of
            14; without it every map has the stride of the patches.
        drop_path_rate: Stochastic depth of the last block; it grows linearly from 0.
        quick_gelu: Activation ``x * sigmoid(1.702 x)``, with which OpenAI's weights were trained,
            in place of the exact GELU of most other weights.
        double_class_embedding: Add the class embedding twice, as the original ChangeCLIP does.
        pretrained: CLIP weights: a file, ``'ViT-B-16-quickgelu:dfn2b'`` or
            ``'remoteclip-vit-l-14'``; see ``rscc.models.clip.weights``. The pyramid starts from
            random weights.
        checkpointing: Recompute the blocks' activations in the backward pass to save memory.
        dates_apart: See :class:`FrameEncoder`; it matters to the pyramid's BatchNorm.
    """

    PRETRAINED_OPTIONAL: ClassVar[bool] = True

    def __init__(self, width: int = 768, layers: int = 12, heads: int = 12, patch_size: int = 16,
                 output_dim: int = 512, input_resolution: int = 256,
                 out_indices: Sequence[int] = (3, 5, 7, 11), pyramid: bool = True,
                 drop_path_rate: float = 0.1, quick_gelu: bool = True,
                 double_class_embedding: bool = False, pretrained: str | None = None,
                 checkpointing: bool = False, dates_apart: bool = False) -> None:
        super().__init__()
        check_taps(out_indices, layers, pyramid)
        self.visual = _build_tower(
            quick_gelu, image_size=input_resolution, patch_size=patch_size, width=width,
            layers=layers, heads=heads, output_dim=output_dim)
        self.pyramid = build_pyramid(width, patch_size) if pyramid else None
        self.divisor = pyramid_divisor(patch_size) if pyramid else patch_size
        self.width, self.patch_size, self.embed_dims = width, patch_size, output_dim
        self.out_indices = tuple(out_indices)
        self.double_class_embedding = double_class_embedding
        self.checkpointing = checkpointing
        self.dates_apart = dates_apart
        use_batch_first_attention(self.visual)
        _drop_paths(self.visual.transformer.resblocks, drop_path_rate)
        if pretrained is not None:
            from rscc.models.clip.weights import load_visual
            self.facts = load_visual(self.visual, pretrained, quick_gelu=quick_gelu).facts

    def gives(self) -> FeatureSpec:
        """Return the widths of the maps asked for and of CLIP's joint space."""
        count = len(self.out_indices)
        return FeatureSpec(
            'CLIPViT', maps=(self.width, ) * count,
            strides=(pyramid_strides(self.patch_size) if self.pyramid is not None else
                     (self.patch_size, ) * count),
            space=self.facts and self.facts.identity,
            tokens=self.embed_dims, token_stride=self.patch_size, placed=True,
            pooled=self.embed_dims,
            advice=dict(maps='set out_indices of CLIPViT, for example (3, 5, 7, 11)'))

    def parameter_depths(self) -> dict[str, int]:
        """Return the embedding, every block, and norm and projection with the last one."""
        return number_layers(
            (name for name, _ in self.named_parameters()),
            stem=r'visual\.(conv1|class_embedding|positional_embedding|ln_pre)',
            layers=r'visual\.transformer\.resblocks\.(\d+)\.', last=r'visual\.(ln_post|proj)')

    def encode(self, images: Tensor) -> FrameFeatures:
        """Return maps (M, width, h_i, w_i) of ``out_indices``, scaled by the pyramid.

        Tokens (M, h*w, output_dim) are the patches' features without class token, pooled is CLIP's
        global feature (M, output_dim), not normalised.

        Raises:
            ValueError: If a side of the images does not suit patches or pyramid.
        """
        check_image_size(images, self.divisor, 'CLIPViT')
        # Blocks over tokens (M, 1 + h*w, width); some leave their patches as maps (M, width, h, w).
        tokens, grid = self._embed(images)
        taps = {}
        for index, block in enumerate(self.visual.transformer.resblocks):
            tokens = self._run(block, tokens)
            if index in self.out_indices:
                taps[index] = tokens[:, 1:].transpose(1, 2).unflatten(2, grid)
        maps = [taps[index] for index in self.out_indices]
        if self.pyramid is not None:
            maps = [scale(feature) for scale, feature in zip(self.pyramid, maps, strict=True)]
        # What CLIP does to its class token alone, here to every token: into the joint space.
        dense = self.visual.ln_post(tokens) @ self.visual.proj
        return FrameFeatures(maps=maps, tokens=dense[:, 1:], token_grid=grid, pooled=dense[:, 0])

    def _embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return tokens (M, 1 + h*w, width) ready for the first block, and the grid (h, w)."""
        visual = self.visual
        # Patches (M, width, h, w) and a position for each, interpolated to their grid.
        patches = visual.conv1(images)
        grid = tuple(patches.shape[-2:])
        positions = resize_position_table(visual.positional_embedding, grid)
        # The class token leads, (M, 1, width); the original adds its embedding twice.
        times = 2 if self.double_class_embedding else 1
        leading = (times * visual.class_embedding + positions[0]).expand(images.shape[0], 1, -1)
        patches = patches.flatten(2).transpose(1, 2) + positions[1:]
        return visual.ln_pre(torch.cat([leading, patches], 1)), grid

    def _run(self, block: nn.Module, tokens: Tensor) -> Tensor:
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(block, tokens, use_reentrant=False)
        return block(tokens)


def check_taps(out_indices: Sequence[int], layers: int, pyramid: bool) -> None:
    """Refuse blocks that do not exist, and a pyramid of other than four maps.

    Raises:
        ValueError: If there is such a block, or another number of maps.
    """
    wrong = [index for index in out_indices if not 0 <= index < layers]
    if wrong:
        raise ValueError(f'out_indices={tuple(out_indices)} of a model with blocks 0 to '
                         f'{layers - 1}: {wrong} do not exist')
    if pyramid and len(out_indices) != len(_STRIDES):
        raise ValueError(f'the pyramid takes {len(_STRIDES)} out_indices, found '
                         f'out_indices={tuple(out_indices)}: set pyramid=False for plain maps or '
                         'none')


def _build_tower(quick_gelu: bool, **sizes: int) -> nn.Module:
    """Build open_clip's tower with random weights, drawn as open_clip trains from scratch."""
    transformer = compat.import_open_clip('transformer')
    activation = transformer.QuickGELU if quick_gelu else nn.GELU
    return transformer.VisionTransformer(mlp_ratio=4.0, act_layer=activation, **sizes)


def _drop_paths(blocks: Sequence[nn.Module], rate: float) -> None:
    """Give the blocks stochastic depth, linear from 0 to ``rate``.

    ``ls_1`` and ``ls_2`` are where open_clip scales the two branches before they are added;
    CLIP's models have an identity there.
    """
    for index, block in enumerate(blocks):
        share = rate * index / max(len(blocks) - 1, 1)
        if share:
            block.ls_1, block.ls_2 = DropPath(share), DropPath(share)


def _doublings(patch: int) -> list[int]:
    """Return how often each of the four maps is doubled, or halved where negative.

    They come as near to strides 4, 8, 16 and 32 as doubling can bring them.
    """
    return [round(log2(patch / stride)) for stride in _STRIDES]


def pyramid_strides(patch: int) -> tuple[float, ...]:
    """Return the strides of the four maps over patches of so many pixels, fine to coarse."""
    return tuple(whole(patch / 2**times) for times in _doublings(patch))


def pyramid_divisor(patch: int) -> int:
    """Return what the sides of images must be a multiple of, so that no map is cut."""
    return patch * 2**max(0, -min(_doublings(patch)))


def build_pyramid(width: int, patch: int) -> nn.ModuleList:
    """Build the four scalings of maps of plain patches.

    For patches of 16 they are named and ordered like the weights of the original ChangeCLIP.

    Args:
        width: Channels of every map.
        patch: Side of a patch in pixels.
    """
    return nn.ModuleList(_scaling(width, times) for times in _doublings(patch))


def _scaling(width: int, times: int) -> nn.Module:
    """Build what doubles a map so many times, with a norm before and BatchNorms in between."""
    norm = nn.GroupNorm(1, width)
    if times == 0:
        return norm
    if times < 0:
        return nn.Sequential(norm, nn.MaxPool2d(2**-times))
    layers = [norm]
    for step in range(times):
        layers += [nn.BatchNorm2d(width), nn.GELU()] if step else []
        layers.append(nn.ConvTranspose2d(width, width, 2, stride=2))
    return nn.Sequential(*layers)
