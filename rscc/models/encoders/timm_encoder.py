"""Any model of timm as an encoder: convolutional, hierarchical, or a plain vision transformer.

Paper of the pyramid on plain transformers: Li et al., Exploring Plain Vision Transformer Backbones
for Object Detection, ECCV 2022, https://arxiv.org/abs/2203.16527. The models and their names are
those of timm, https://github.com/huggingface/pytorch-image-models.
"""
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rscc.models.change_heads.base import SimpleFeaturePyramid
from rscc.models.contracts import FeatureSpec, Normalisation, whole
from rscc.models.encoders.base import FrameEncoder, map_to_tokens, token_projection
from rscc.models.encoders.timm_weights import (
    BAND_RULES,
    import_timm,
    load_weights,
    read_weights,
)
from rscc.models.positions import check_image_size, check_position_width
from rscc.registry import MODELS
from rscc.structures import FrameFeatures
from rscc.utils import check_choice, did_you_mean

_LEVELS = 4  # maps that are taken by default, and that the pyramid makes
_WIDEST = 256  # channels of the pyramid's maps, unless it is told
#: Arguments of ``timm.create_model`` that the encoder sets itself, or that name files.
_TAKEN = ('pretrained', 'pretrained_cfg', 'pretrained_cfg_overlay', 'checkpoint_path', 'cache_dir',
          'features_only', 'out_indices', 'feature_cls', 'in_chans', 'num_classes', 'img_size',
          'patch_size', 'drop_path_rate', 'dynamic_img_size', 'strict_img_size')


@MODELS.register_module()
class TimmEncoder(FrameEncoder):
    """Any timm model: feature maps at several strides, tokens on a grid, a pooled vector.

    Hierarchical models (ResNet, EfficientNet, ConvNeXt, Swin) give their last four stages as they
    are, and the tokens are those of one map. Plain transformers (DINOv2, DINOv3, SigLIP) give the
    patches of four blocks, which a pyramid brings to four strides; the tokens are their patches
    behind the last block, without class and register tokens. The classifier, and stages that
    nobody reads, are not kept.

    Images may have any size: position tables are interpolated. What a model cannot take (sides
    that are no multiple of a patch) is padded by the preprocessor and cut off the predictions.

    Args:
        model: Name in timm, with or without the tag of its weights: ``'resnet50'``,
            ``'vit_small_patch14_dinov2.lvd142m'``.
        pretrained: True for the weights that timm publishes under that name;
            ``'package:efficientnet-lite0'``; ``'hf-hub:OWNER/NAME'``; or a file or folder. None
            (or False) starts from random weights. See ``timm_weights.read_weights``.
        bands: Channels B of the images, 3 or more; red, green and blue come first.
        band_rule: How pretrained first layers get further bands: ``'repeat'``, ``'mean'`` or
            ``'new'``, see ``timm_weights.widen``. Random weights need no rule.
        image_size: Side, or (height, width), of the images in training. Position tables and
            windows are then fitted to it once, when the model is built; without it those of the
            weights are kept, and interpolated in every step where the images differ.
            Convolutional networks take any size, and ignore it.
        patch_size: Side of the patches of a transformer in pixels; pretrained patch embeddings are
            resampled.
        out_indices: Stages, or blocks of a plain transformer, that become maps, counted from 0.
            By default the last four stages, or four blocks at equal distances; () for none.
        pyramid: Width of the maps that the pyramid makes of a plain transformer's four at 1/4,
            1/2, 1 and 2 times its patch: strides 4, 8, 16, 32 of patches of 16 pixels; 3.5, 7, 14,
            28 of 14 pixels (``patch_size=16`` gives the former). None for the model's own width,
            256 at most; False for maps at the stride of the patches.
        token_level: Index of the map that becomes the tokens; a plain transformer has its own.
        embed_dims: Project tokens and pooled vector to this width, a linear layer with layer norm.
        position: Add sine-cosine position codes to the tokens.
        pool_tokens: Average the tokens to this many places, a side or (h, w).
        channels_last: Run the convolutions in that memory format; None for all but plain
            transformers.
        dates_apart: See :class:`FrameEncoder`; it matters to BatchNorm, the pyramid's as well.
        drop_path_rate: Stochastic depth, as far as the model has it; None for the model's own.
        checkpointing: Recompute activations in the backward pass to save memory.
        options: Further arguments of the timm model, ``dict(depth=4)`` for instance.

    Raises:
        ValueError: If the name is unknown, a size or index is impossible, or the weights do not
            fit; the message says what does.
        TypeError: If the model takes no such option.
        FileNotFoundError, ImportError, OSError: As ``timm_weights.read_weights``.
    """

    PRETRAINED_OPTIONAL: ClassVar[bool] = True
    NESTED_OPTIONS: ClassVar[dict] = dict(options=dict)

    def __init__(self, model: str, pretrained: bool | str | None = None, bands: int = 3,
                 band_rule: str = 'repeat', image_size: int | Sequence[int] | None = None,
                 patch_size: int | None = None, out_indices: Sequence[int] | None = None,
                 pyramid: int | bool | None = None, token_level: int = -1,
                 embed_dims: int | None = None, position: bool = False,
                 pool_tokens: int | tuple[int, int] | None = None,
                 channels_last: bool | None = None, dates_apart: bool = False,
                 drop_path_rate: float | None = None, checkpointing: bool = False,
                 options: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        if bands < 3:
            raise ValueError(f'bands={bands}: images have red, green and blue first, so 3 or more')
        check_choice('band_rule', band_rule, BAND_RULES)
        self.name, self.bands, self.dates_apart = model, bands, dates_apart
        self.token_level, self.pool_tokens = token_level, pool_tokens
        self.model, self.fixed_size = _create(
            model, bands, options or {}, image_size,
            dict(patch_size=patch_size, drop_path_rate=drop_path_rate))
        self._set_levels(out_indices)
        self._load(pretrained, band_rule)
        if checkpointing:
            self.model.set_grad_checkpointing(True)
        self._widen_normalisation()
        if channels_last or (channels_last is None and not self.has_tokens):
            self.model.to(memory_format=torch.channels_last)
        width = self._settle_sizes()
        # Behind the network: pyramid and projection, with random weights.
        self.pyramid = self._build_pyramid(pyramid)
        self.project = token_projection(width, embed_dims)
        self.embed_dims, self.position = embed_dims or width, position
        if position:
            check_position_width(self.embed_dims)

    # ---- building ------------------------------------------------------------------------------

    def _set_levels(self, out_indices: Sequence[int] | None) -> None:
        """Choose the levels that become maps, by what timm says of the model."""
        info = getattr(self.model, 'feature_info', None)
        if not info or not hasattr(self.model, 'forward_intermediates'):
            raise ValueError(f"timm's {self.name} does not give feature maps "
                             '(forward_intermediates), which TimmEncoder reads: choose another '
                             'model')
        # Stages that end at the same stride are those of a plain network: blocks, all alike.
        info = list(getattr(info, 'info', info))
        depth, strides = len(info), [level['reduction'] for level in info]
        self.plain = depth > 1 and len(set(strides)) == 1
        self.has_tokens = self.plain and hasattr(self.model, 'num_prefix_tokens')
        if out_indices is None:
            count = min(_LEVELS, depth)
            out_indices = ([depth * (level + 1) // count - 1 for level in range(count)]
                           if self.plain else range(depth - count, depth))
        self.out_indices = tuple(out_indices)
        wrong = [index for index in self.out_indices if not 0 <= index < depth]
        if wrong or list(self.out_indices) != sorted(set(self.out_indices)):
            raise ValueError(
                f'out_indices={self.out_indices} of {self.name}, whose '
                f"{'blocks' if self.plain else 'stages'} are 0 to {depth - 1}: "
                + (f'{wrong} do not exist' if wrong else 'give each once, in rising order'))
        if not self.out_indices and not self.has_tokens:
            raise ValueError(f'out_indices=() leaves nothing of {self.name}, whose tokens are '
                             'those of a map')
        self.widths = tuple(info[index]['num_chs'] for index in self.out_indices)
        self.strides = tuple(strides[index] for index in self.out_indices)
        self.stride = strides[-1]
        if self.out_indices and not -len(self.widths) <= self.token_level < len(self.widths):
            raise ValueError(
                f'token_level={self.token_level} of TimmEncoder, and {self.name} gives '
                f'{len(self.widths)} maps (out_indices={self.out_indices}): give 0 to '
                f'{len(self.widths) - 1}, or -1 for the coarsest')

    def _load(self, pretrained: bool | str | None, band_rule: str) -> None:
        """Take out what nobody reads, and load weights where any are named."""
        told = self.model.pretrained_cfg
        self.statistics = Normalisation(tuple(told['mean']), tuple(told['std']),
                                        f"timm's entry of {self.name}")
        if not pretrained:
            self._prune(self.model)
            return
        weights = read_weights(pretrained, self.name, self.model)
        load_weights(self.model, weights, self.bands, band_rule, self._prune)
        if weights.mean is not None:
            source = weights.source if pretrained is not True else f'timm {self.name}'
            self.statistics = Normalisation(weights.mean, weights.std, source)

    def _prune(self, model: nn.Module) -> None:
        """Leave out later stages and what only a classifier reads."""
        if not self.has_tokens:  # a plain transformer pools with its own head
            model.prune_intermediate_layers(list(self.out_indices), prune_norm=True,
                                            prune_head=True)

    def _widen_normalisation(self) -> None:
        """Give further bands the average mean and standard deviation of red, green and blue."""
        told, further = self.statistics, self.bands - 3
        self.statistics = Normalisation(told.mean + (sum(told.mean) / 3, ) * further,
                                        told.std + (sum(told.std) / 3, ) * further, told.source)

    def _settle_sizes(self) -> int:
        """Find by small images what sizes the model takes.

        Sets ``size_divisor``, ``tried_size`` (H, W), and ``own_pooling``: whether the model's own
        pooled vector is as wide as its tokens, so that both can be projected alike.

        Returns:
            Width of the tokens.

        Raises:
            ValueError: If the model runs on no image.
        """
        coarsest, patch = max(self.strides, default=self.stride), _patch_of(self.model)
        # The largest image below two places of the coarsest map that a divisor allows: a model
        # that fills up the missing pixels passes, one that cuts them off does not.
        tries = [(divisor, 2 * coarsest - divisor) for divisor in (1, patch) if divisor < coarsest]
        tries = [*([] if self.has_tokens else tries), (coarsest, 2 * coarsest),
                 (8 * coarsest, 8 * coarsest)]  # convolutions that fill up nothing, blocks
        reasons = []
        for divisor, side in [(1, 0)] if self.fixed_size else tries:
            self.tried_size = self.fixed_size or (side, side)
            try:
                level, *maps = self.try_out()
            except Exception as error:  # timm asserts, and torch has errors of its own
                reasons.append(f'{self.tried_size} px: {str(error) or type(error).__name__}')
                continue
            exact = all(one.shape[-1] == -(-side // stride)
                        for one, stride in zip(maps, self.strides, strict=False))
            if exact or self.fixed_size or divisor > coarsest:
                self.size_divisor = divisor
                pooled = maps[len(self.strides):]
                self.own_pooling = bool(pooled) and pooled[0].shape[1:] == level.shape[1:2]
                return level.shape[1]
        raise ValueError(f'{self.name} does not run on images: ' + '; '.join(reasons))

    @torch.no_grad()
    def try_out(self) -> list[Tensor]:
        """Return what the network makes of the smallest image: token map, maps, pooled vector.

        It runs in evaluation mode and is left as it was; the image (1, B, H, W) is always the same
        noise.
        """
        like, mode = next(self.model.parameters()), self.model.training
        noise = torch.rand(1, self.bands, *self.tried_size,
                           generator=torch.Generator().manual_seed(0))
        self.model.eval()
        try:
            level, maps, pooled = self._run(noise.to(like))
        finally:
            self.model.train(mode)
        return [level, *maps, *([] if pooled is None else [pooled])]

    def _build_pyramid(self, width: int | bool | None) -> nn.Module | None:
        """Build the pyramid of a plain transformer; None where its maps stay as they are."""
        if not self.plain:
            if width:
                raise ValueError(f'pyramid={width}: {self.name} has maps of several strides by '
                                 'itself; leave pyramid out')
            return None
        if width is False or (width is None and len(self.widths) != _LEVELS):
            return None
        if len(self.widths) != _LEVELS:
            raise ValueError(f'the pyramid takes {_LEVELS} out_indices, found {self.out_indices}: '
                             'set pyramid=False for maps at the stride of the patches')
        own = self.widths[0]
        wide = min(own, _WIDEST) if width is None or width is True else width
        self.widths = (wide, ) * _LEVELS
        self.strides = tuple(whole(self.stride * times) for times in (1 / 4, 1 / 2, 1, 2))
        return SimpleFeaturePyramid(own, wide)

    # ---- what others ask -----------------------------------------------------------------------

    def gives(self) -> FeatureSpec:
        """Return widths and strides of maps and tokens."""
        at = self.stride if self.plain else self.strides[self.token_level]
        return FeatureSpec(
            f'TimmEncoder of {self.name}', maps=self.widths, strides=self.strides,
            tokens=self.embed_dims, token_stride=None if self.pool_tokens else at, placed=True,
            pooled=self.embed_dims,
            advice=dict(maps='leave out_indices of TimmEncoder out'))

    def normalisation(self) -> Normalisation:
        """Return the statistics of the weights, or of timm's entry of the model."""
        return self.statistics

    def parameter_depths(self) -> dict[str, int]:
        """Return layers as timm groups them: the stem, then every block, with the norm behind."""
        if not hasattr(self.model, 'group_matcher'):
            return {}
        from timm.models import group_parameters
        depths = group_parameters(self.model, self.model.group_matcher(coarse=False),
                                  reverse=True)
        return {f'model.{name}': depth for name, depth in depths.items()}

    # ---- images to features --------------------------------------------------------------------

    def encode(self, images: Tensor) -> FrameFeatures:
        """Encode images (M, B, H, W).

        Returns:
            Maps (M, C_i, h_i, w_i) of ``out_indices``, scaled by the pyramid; tokens (M, h*w, D) of
            one of them, of a plain transformer those of its patches behind the last block; pooled
            (M, D): of a plain transformer what its own rule makes of class token or patches, in
            the tokens' projection, of others the mean of the tokens.

        Raises:
            ValueError: If a side of the images is not as the model takes it.
        """
        self._check_size(images)
        level, maps, pooled = self._run(images)
        tokens, grid = map_to_tokens(level, self.project, self.position, self.pool_tokens)
        if self.pyramid is not None:
            maps = self.pyramid(maps)
        return FrameFeatures(maps=maps, tokens=tokens, token_grid=grid, pooled=(
            self.project(pooled) if self.own_pooling else tokens.mean(1)))

    def _run(self, images: Tensor) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """Return the map (M, C, h, w) that becomes tokens, all maps, and the pooled vector."""
        network, indices = self.model, list(self.out_indices)
        if not self.has_tokens:
            maps = list(network.forward_intermediates(images, indices=indices,
                                                      intermediates_only=True))
            return maps[self.token_level], maps, None
        final, maps = (network.forward_intermediates(images, indices=indices) if indices else
                       (network.forward_features(images), []))
        pooled = network.forward_head(final, pre_logits=True)
        if final.ndim == 4:  # SAM keeps rows and columns to the end
            return final, list(maps), pooled
        # (M, prefix + h*w, C): class and register tokens come first.
        patches = final[:, network.num_prefix_tokens:].transpose(1, 2)
        grid = (images.shape[-2] // self.stride, images.shape[-1] // self.stride)
        return patches.unflatten(2, grid), list(maps), pooled

    def _check_size(self, images: Tensor) -> None:
        size = tuple(images.shape[-2:])
        if self.fixed_size is None:
            check_image_size(images, self.size_divisor, f'TimmEncoder of {self.name}')
        elif size != self.fixed_size:
            wanted, found = (f'{height} x {width}' for height, width in (self.fixed_size, size))
            raise ValueError(f'{self.name} takes images of {wanted} px alone, found {found}: set '
                             f'image_size={size} of TimmEncoder, or resize the images')


# ---- timm's models by name -----------------------------------------------------------------------


def _create(name: str, bands: int, options: Mapping[str, Any],
            image_size: int | Sequence[int] | None, wishes: Mapping[str, Any]
            ) -> tuple[nn.Module, tuple[int, int] | None]:
    """Build a timm model with random weights, without classifier, for images of any size.

    Returns:
        The model, and the one size (H, W) of images that it takes; None where it takes any.
    """
    timm = import_timm()
    _check_name(name)
    for key in options:
        if key in _TAKEN:
            raise ValueError(f"options of TimmEncoder may not hold '{key}', which the encoder sets "
                             'itself from its own arguments')
    given = {key: value for key, value in wishes.items() if value is not None}
    arguments = dict(options) | dict(num_classes=0, in_chans=bands) | given
    # Models that are made for one size have a table of positions, or windows.
    told = timm.get_pretrained_cfg(name)
    if told.fixed_input_size and image_size is not None:
        arguments['img_size'] = _pair(image_size)
    flexible = [dict(dynamic_img_size=True), dict(strict_img_size=False)]
    for further in (*flexible, {}) if told.fixed_input_size else ({}, ):
        try:
            model = timm.create_model(name, pretrained=False, **arguments, **further)
        except TypeError as error:
            if any(key in str(error) for key in further):
                continue
            raise TypeError(f"timm's {name} does not take what TimmEncoder hands on "
                            f'({", ".join([*given, *options])}): {error}') from error
        except (AssertionError, ValueError, RuntimeError, ZeroDivisionError) as error:
            raise ValueError(f"timm's {name} cannot be built with "
                             f'{dict(arguments)}: {error}') from error
        size = arguments.get('img_size', tuple(told.input_size[-2:]))
        _check_patches(model, name, arguments.get('img_size'))
        return model, None if further or not told.fixed_input_size else tuple(size)
    raise AssertionError('the last attempt either returned or raised')


def _check_name(name: str) -> None:
    """Refuse a name that timm does not know; the message gives the nearest one."""
    timm = import_timm()
    architecture, _, tag = name.partition('.')
    if ':' in name or '/' in name:
        raise ValueError(f"model='{name}' is no name of timm: model names the architecture, for "
                         "example 'vit_small_patch14_dinov2', and pretrained the weights: "
                         "'hf-hub:OWNER/NAME', a file or a folder")
    if not timm.is_model(architecture):
        raise ValueError(f"timm {timm.__version__} knows no model '{architecture}'."
                         f'{did_you_mean(architecture, timm.list_models())} All names: '
                         'timm.list_models()')
    tags = [known.partition('.')[2] for known in timm.list_models(f'{architecture}.*',
                                                                  pretrained=True)]
    if tag and tag not in tags:
        raise ValueError(f"timm publishes no weights '{tag}' of {architecture}, only "
                         f'{", ".join(tags) or "none"}.{did_you_mean(tag, tags)}')


def _check_patches(model: nn.Module, name: str, size: tuple[int, int] | None) -> None:
    patch = _patch_of(model)
    if size is not None and any(side % patch for side in size):
        raise ValueError(f'image_size={size} of {name}: its patches of {patch} px do not fill such '
                         'an image; choose multiples')


def _patch_of(model: nn.Module) -> int:
    """Return the side of a model's patches in pixels, 1 where it has none."""
    return max(_pair(getattr(getattr(model, 'patch_embed', None), 'patch_size', None) or 1))


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)
