"""Base class of encoders, any backbone as an encoder, and stored features in place of one."""
import math
import re
from abc import ABCMeta, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional

from rscc.models.contracts import (
    PROBE_SIDE,
    FeatureSpec,
    Normalisation,
    probe_backbone,
    probed_strides,
)
from rscc.models.positions import check_position_width, sine_positions
from rscc.models.pretrained import load_backbone, random_backbone
from rscc.registry import MODELS, Part
from rscc.structures import FrameFeatures
from rscc.utils import did_you_mean


class Encoder(Part, nn.Module, metaclass=ABCMeta):
    """Base class of what gives ``FrameFeatures`` to a fusion.

    Attributes:
        bands: Channels B of the images that it takes; the first three are red, green and blue.
        size_divisor: Height and width of the images that it takes are multiples of this; the
            preprocessor pads batches accordingly.
        reads_images: Whether it takes images; False for features that were computed before.
    """
    bands: int = 3
    size_divisor: int = 1
    reads_images: bool = True

    def gives(self) -> FeatureSpec:
        """Return widths and strides of the features; what nobody can tell before data is None."""
        return FeatureSpec(type(self).__name__)

    def normalisation(self) -> Normalisation | None:
        """Return how the weights were trained to see images; None where nobody knows."""
        return None

    def parameter_depths(self) -> dict[str, int]:
        """Return how deep in the encoder every parameter lies, for layer-wise learning rates.

        ``paramwise_cfg=dict(layer_decay=0.75)`` of :class:`rscc.engine.optim.GroupedConstructor`
        reads it, see there.

        Returns:
            Name of a parameter, as in ``named_parameters``, to the number of its layer: 0 nearest
            to the image, then 1, 2, ... Parameters that are left out (a projection behind the
            network, for instance) learn at the full rate. {} where nobody knows the layers.
        """
        return {}

    def init_weights(self) -> None:
        """Read the weights that the config names; parts that did so when built do nothing."""


class FrameEncoder(Encoder):
    """Siamese encoder: one set of weights for every date.

    Subclasses see plain images (N*T, B, H, W) in ``encode`` and return features whose first axis is
    N*T; this class folds the dates in and out.

    Attributes:
        dates_apart: In training, encode one date after the other, so that each has BatchNorm
            statistics of its own, as methods that call their backbone twice were trained. In
            evaluation both ways are equal, and the one call is faster.
    """
    dates_apart: bool = False

    def forward(self, inputs: Tensor) -> FrameFeatures:
        """Encode every date.

        Args:
            inputs: Normalised frames (N, T, B, H, W).

        Returns:
            Features with axes (N, T, ...).

        Raises:
            ValueError: If the inputs are no frames.
        """
        if inputs.ndim != 5:
            raise ValueError(f'{type(self).__name__} encodes frames (N, T, B, H, W), found '
                             f'{tuple(inputs.shape)}. Features that the dataset brings go to '
                             "encoder=dict(type='StoredFeatures')")
        if self.training and self.dates_apart:
            return _stack([self.encode(images) for images in inputs.unbind(1)])
        # (N, T, B, H, W) -> (N*T, B, H, W) -> features (N*T, ...) -> (N, T, ...)
        features = self.encode(inputs.flatten(0, 1))
        split = inputs.shape[:2]
        return FrameFeatures(
            maps=[feature.unflatten(0, split) for feature in features.maps],
            tokens=None if features.tokens is None else features.tokens.unflatten(0, split),
            token_grid=features.token_grid,
            pooled=None if features.pooled is None else features.pooled.unflatten(0, split))

    @abstractmethod
    def encode(self, images: Tensor) -> FrameFeatures:
        """Encode images (M, B, H, W); M = N*T takes the place of (N, T) in the result."""


def _stack(dates: Sequence[FrameFeatures]) -> FrameFeatures:
    """Join the features of single dates, each (N, ...), along a new axis 1."""
    # Every date has the same levels: level by level (N, T, C, h, w), tokens (N, T, L, C).
    first, *_ = dates
    maps = zip(*(date.maps for date in dates), strict=True)
    return FrameFeatures(
        maps=[torch.stack(level, 1) for level in maps],
        tokens=None if first.tokens is None else torch.stack([date.tokens for date in dates], 1),
        token_grid=first.token_grid,
        pooled=None if first.pooled is None else torch.stack([date.pooled for date in dates], 1))


def number_layers(names: Iterable[str], stem: str, layers: str, last: str = r'(?!)'
                  ) -> dict[str, int]:
    """Number the layers of a network by the names of its parameters.

    Args:
        names: Of all its parameters.
        stem: Regular expression, matched from the start of a name, of what comes first: layer 0.
        layers: That of the layers in between, whose groups are their numbers.
        last: That of what stands behind them and counts to the last one.

    Returns:
        Name to number, of the names that match.
    """
    places: dict[str, tuple[int, ...]] = {}
    for name in names:
        match = re.match(layers, name)
        if match:
            places[name] = (0, *map(int, match.groups()))
        elif re.match(stem, name):
            places[name] = ()
        elif re.match(last, name):
            places[name] = (1, )
    # Distinct places in order; what stands behind the last layer joins it.
    order = sorted({place for place in places.values() if place != (1, )})
    depths = {place: depth for depth, place in enumerate(order)} | {(1, ): max(len(order) - 1, 0)}
    return {name: depths[place] for name, place in places.items()}


def map_to_tokens(level: Tensor, project: nn.Module, position: bool,
                  pool: int | tuple[int, int] | None) -> tuple[Tensor, tuple[int, int]]:
    """Turn one feature map into tokens.

    Args:
        level: Map (M, C, h, w).
        project: From width C to that of the tokens.
        position: Add sine-cosine position codes.
        pool: Average the map to this many places, a side or (h, w), beforehand.

    Returns:
        Tokens (M, h*w, D), and their grid (h, w).
    """
    if pool is not None:
        level = functional.adaptive_avg_pool2d(level, pool)
    grid = tuple(level.shape[-2:])
    tokens = project(level.flatten(2).transpose(1, 2))
    if position:
        tokens = tokens + sine_positions(grid, tokens.shape[-1], tokens)
    return tokens, grid


def token_projection(channels: int | None, embed_dims: int | None) -> nn.Module:
    """Return a linear layer with layer norm from one width to another; the identity for None."""
    if embed_dims is None:
        return nn.Identity()
    return nn.Sequential(nn.Linear(channels, embed_dims), nn.LayerNorm(embed_dims))


@MODELS.register_module()
class BackboneEncoder(FrameEncoder):
    """Backbone that returns feature maps, one of which also becomes the tokens.

    ``encoder=dict(type='mmseg.ResNet', depth=18)`` is wrapped in this with its defaults; name it
    to set more. Models of timm have an encoder of their own, ``TimmEncoder``; through
    ``mmseg.TIMMBackbone`` they take images of one size alone where they are transformers.

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
        self.backbone = _build_backbone(backbone)
        self.token_level = token_level
        self.position = position
        self.pool_tokens = pool_tokens
        self.out_channels, self.embed_dims = out_channels, embed_dims
        if embed_dims is not None and out_channels is None:
            raise ValueError(f'embed_dims={embed_dims} needs out_channels, the width of map '
                             f'{token_level} of the backbone')
        self.project = token_projection(out_channels, embed_dims)
        if channels_last:
            self.backbone.to(memory_format=torch.channels_last)

    def init_weights(self) -> None:
        """Initialise the backbone as its own config says (pretrained weights included)."""
        if isinstance(self.backbone, BaseModule):
            self.backbone.init_weights()

    def gives(self) -> FeatureSpec:
        """Return the widths that one run of the backbone on a small image shows.

        Raises:
            ValueError: If ``out_channels`` is not the width of the map that becomes the tokens.
        """
        name = f'{type(self).__name__} of {type(self.backbone).__name__}'
        output, side = self._probe()
        if output is None:
            return FeatureSpec(name, tokens=self.embed_dims, pooled=self.embed_dims)
        # What the run shows: channels and stride of each map, the chosen one being the tokens.
        maps = _as_maps(output)
        widths, strides = tuple(level.shape[1] for level in maps), probed_strides(maps, side)
        width = widths[self.token_level]
        if self.embed_dims is not None and width != self.out_channels:
            raise ValueError(
                f'BackboneEncoder projects a map of width {self.out_channels} (out_channels) and '
                f'map {self.token_level} (token_level) of {type(self.backbone).__name__} is '
                f'{width} wide, of {widths}: set out_channels={width}')
        width = self.embed_dims or width
        if self.position:
            check_position_width(width)
        return FeatureSpec(
            name, maps=widths, strides=strides, tokens=width, pooled=width,
            token_stride=None if self.pool_tokens else strides[self.token_level], placed=True)

    def _probe(self) -> tuple[Any | None, int]:
        """Return what the backbone makes of a small image, or None, and the side of that image.

        Raises:
            ValueError: If it is a timm model that takes neither that nor an image of its own size.
        """
        output = probe_backbone(self.backbone)
        timm_model = getattr(self.backbone, 'timm_model', None)  # of mmseg.TIMMBackbone
        if output is not None or timm_model is None:
            return output, PROBE_SIDE
        # A transformer of timm takes one size alone here.
        side = _own_side(timm_model)
        output = probe_backbone(self.backbone, side)
        if output is None:
            raise ValueError(f'mmseg.TIMMBackbone cannot run this model of timm on images of '
                             f'{PROBE_SIDE} or {side} px. {_TIMM_ADVICE}')
        return output, side

    def _run(self, images: Tensor) -> Tensor | Sequence[Tensor]:
        """Run the backbone; a timm model that takes another size alone says what to use."""
        try:
            return self.backbone(images)
        except AssertionError as error:
            if not hasattr(self.backbone, 'timm_model'):
                raise
            raise ValueError(f'mmseg.TIMMBackbone does not take images of {images.shape[-2]} x '
                             f'{images.shape[-1]} px ({error}). {_TIMM_ADVICE}') from error

    def parameter_depths(self) -> dict[str, int]:
        """Return the blocks of residual networks in order; of other backbones nobody knows them."""
        names = [name for name, _ in self.named_parameters() if name.startswith('backbone.')]
        depths = number_layers(names, stem=r'backbone\.(conv1|bn1|norm1|gn1|stem)\b',
                               layers=r'backbone\.layer(\d+)\.(\d+)\.')
        return depths if len(depths) == len(names) else {}

    def encode(self, images: Tensor) -> FrameFeatures:
        """Return every map (M, C_i, h_i, w_i); tokens (M, h*w, C) come from ``token_level``."""
        maps = _as_maps(self._run(images))
        tokens, grid = map_to_tokens(maps[self.token_level], self.project, self.position,
                                     self.pool_tokens)
        # The pooled vector (M, C) is the mean of the tokens: no backbone has one of its own.
        return FrameFeatures(maps=maps, tokens=tokens, token_grid=grid, pooled=tokens.mean(1))


#: What to do where MMSegmentation's wrapper of timm models is not enough.
_TIMM_ADVICE = ("Use encoder=dict(type='TimmEncoder', model=NAME), which takes images of any size, "
                'counts channels itself and pyramids plain transformers')


def _build_backbone(cfg: dict) -> nn.Module:
    """Build a backbone; an unknown name of timm gets the nearest one, and the encoder to use."""
    try:
        return MODELS.build(cfg)
    except RuntimeError as error:
        if 'Unknown model' not in str(error):
            raise
        from timm import list_models
        name = str(cfg.get('model_name'))
        raise ValueError(f"mmseg.TIMMBackbone: timm knows no model '{name}'."
                         f'{did_you_mean(name, list_models())} {_TIMM_ADVICE}') from error


def _own_side(timm_model: nn.Module) -> int:
    """Return the side in pixels of the images that a timm model was made for."""
    inner = getattr(timm_model, 'model', timm_model)  # inside timm's wrapper for features
    told = getattr(inner, 'pretrained_cfg', None) or getattr(timm_model, 'pretrained_cfg', None)
    size = getattr(getattr(inner, 'patch_embed', None), 'img_size', None)
    return (size or (told or {}).get('input_size', (3, 224)))[-1]


def _as_maps(output: Tensor | Sequence[Tensor]) -> list[Tensor]:
    maps = [output] if isinstance(output, Tensor) else list(output)
    if any(feature.ndim != 4 for feature in maps):
        raise ValueError('the backbone must return maps (M, C, h, w), found shapes '
                         f'{[tuple(feature.shape) for feature in maps]}')
    return maps


@MODELS.register_module()
class TransformersBackbone(Part, nn.Module):
    """Image backbone of a model of transformers, for ``BackboneEncoder``.

    Of a segmenter (Mask2Former, MaskFormer, UPerNet) it is the part that sees the image: BTC (see
    ``configs/btc_swin_b_levircd.py``) starts from the Swin of a Mask2Former that knows the
    Cityscapes. Returns the map of every stage.

    Args:
        pretrained: Hub name, or a folder, of a model; see ``load_backbone``. None for random
            weights.
        config: Fields of the backbone's configuration, ``model_type`` among them, for random
            weights: ``dict(model_type='swin', embed_dim=96)``.
        drop_path_rate: Stochastic depth; None keeps the model's own.
    """

    def __init__(self, pretrained: str | None = None, config: Mapping | None = None,
                 drop_path_rate: float | None = None) -> None:
        super().__init__()
        if (pretrained is None) == (config is None):
            raise ValueError('TransformersBackbone takes pretrained, the name of a model, or '
                             "config, dict(model_type='swin', ...) for random weights: give one "
                             'of the two')
        if config is None:
            self.model = load_backbone(pretrained, drop_path_rate)
        else:
            self.model = random_backbone(config, drop_path_rate)
        # Swin's last norm is for a classifier: no map passes it, and no gradient would reach it.
        if hasattr(self.model, 'swin'):
            self.model.swin.layernorm.requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return maps (M, C_i, h_i, w_i), fine to coarse, of images (M, 3, H, W)."""
        return list(self.model(images).feature_maps)


def build_encoder(cfg: dict) -> Encoder:
    """Build an encoder; a config of another scope (``mmseg.ResNet``) is a backbone to wrap."""
    if '.' in cfg['type']:
        return BackboneEncoder(cfg)
    return MODELS.build(cfg)


@MODELS.register_module()
class StoredFeatures(Encoder):
    """Hand the features that a dataset brings to the fusion; nothing to train, nothing stored.

    The dataset reads them from a file (``features=dict(file=..., tokens=True)`` of
    ``ChangeDataset``; ``tools/extract_features.py`` writes it for the encoder of any config,
    ``tools/extract_clip_embeddings.py`` for a CLIP), so no image is read and no image network runs:
    a small caption head trains many times as fast. They equal those of the frozen encoder on images
    prepared as for a test, so a trained head also works behind that encoder. There is no
    augmentation, and there are no feature maps for a change head.

    Args:
        channels: Width D of the features; None takes what comes.
        token_grid: (h, w) of the tokens, with or without a class token before them; None takes a
            square, where their number allows one.
    """

    reads_images = False

    def __init__(self, channels: int | None = None,
                 token_grid: Sequence[int] | None = None) -> None:
        super().__init__()
        self.embed_dims = channels
        self.token_grid = None if token_grid is None else tuple(token_grid)

    def gives(self) -> FeatureSpec:
        """Return the width of the features; whether there are tokens, only a file can tell."""
        return FeatureSpec(
            'StoredFeatures', maps=(), tokens=self.embed_dims, pooled=self.embed_dims,
            advice=dict(maps='train a change head on images, behind the encoder itself'))

    def forward(self, inputs: Tensor) -> FrameFeatures:
        """Sort the features.

        Args:
            inputs: (N, T, 1, D), the pooled feature alone, or (N, T, 1 + L, D), those of L tokens
                after it.

        Returns:
            Pooled (N, T, D); tokens (N, T, L, D) and their grid where there are any.

        Raises:
            ValueError: If the inputs are images, of another width, or of another grid.
        """
        if inputs.ndim != 4:
            raise ValueError(f'StoredFeatures takes features (N, T, L, D), found '
                             f'{tuple(inputs.shape)}: give the dataset features=dict(file=...), '
                             "or images to encoder=dict(type='CLIPViT')")
        if self.embed_dims not in (None, inputs.shape[-1]):
            raise ValueError(f'the features are {inputs.shape[-1]} wide and the encoder is set to '
                             f'channels={self.embed_dims}: the file is of another encoder')
        # The pooled feature comes first, the tokens after it: (N, T, L, D), L may be 0.
        tokens = inputs[:, :, 1:]
        count = tokens.shape[2]
        return FrameFeatures(pooled=inputs[:, :, 0], tokens=tokens if count else None,
                             token_grid=self._grid(count) if count else None)

    def _grid(self, count: int) -> tuple[int, int] | None:
        """Return the grid of ``count`` tokens, None where it is neither said nor square."""
        side = math.isqrt(count)
        grid = self.token_grid or (side, side)
        # One more: a class token comes first. No number is a square and one more than another.
        if grid[0] * grid[1] in (count, count - 1):
            return grid
        if self.token_grid is None:
            return None
        raise ValueError(f'{count} tokens do not lie on the grid (h, w) of {grid} that '
                         'StoredFeatures.token_grid says')
