"""Encoders made of any backbone that returns feature maps: MMSegmentation's, or of transformers."""
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from rscc.models.contracts import (
    PROBE_SIDE,
    FeatureSpec,
    Normalisation,
    probe_backbone,
    probed_strides,
)
from rscc.models.encoders.base import FrameEncoder, map_to_tokens, number_layers, token_projection
from rscc.models.positions import check_position_width
from rscc.models.pretrained import (
    ARCHITECTURE,
    image_statistics,
    load_backbone,
    pack_architecture,
    random_backbone,
)
from rscc.registry import MODELS, Part
from rscc.structures import FrameFeatures
from rscc.utils import did_you_mean


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
        # With kernels that are channels-last the maps become so by themselves, as was asked for.
        self.any_format = not channels_last and type(self.backbone).__name__ in _ANY_FORMAT and (
            not getattr(self.backbone, 'plugins', None))
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

    def normalisation(self) -> Normalisation | None:
        """Return ImageNet's statistics for weights of torchvision, else what the backbone tells.

        Weights of other origin (``open-mmlab://...``, files) were trained in more than one way, and
        nothing beside them says which.
        """
        if isinstance(self.backbone, TransformersBackbone):
            return self.backbone.normalisation
        # MMEngine's classes hold one initialisation, a list of several, or none.
        told = getattr(self.backbone, 'init_cfg', None) or []
        sources = [str(one.get('checkpoint')) for one in ([told] if isinstance(told, Mapping)
                                                          else told)]
        source = next((name for name in sources if name.startswith('torchvision://')), None)
        return None if source is None else Normalisation(*_IMAGENET, source)

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


#: Networks of convolutions that never reshape their maps.
_ANY_FORMAT = ('ResNet', 'ResNetV1c', 'ResNetV1d', 'ResNeXt')
#: Mean and standard deviation of red, green and blue, for all weights of torchvision.
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
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
    Cityscapes. Returns the map of every stage. Checkpoints tell the architecture, so that testing
    and inference of a trained model need neither the hub nor the folder.

    Args:
        pretrained: Hub name, or a folder, of a model; see ``load_backbone``. None for random
            weights.
        config: Fields of the backbone's configuration, ``model_type`` among them, for random
            weights: ``dict(model_type='swin', embed_dim=96)``.
        drop_path_rate: Stochastic depth; None keeps the model's own.

    Attributes:
        architecture: Configuration of the model, packed; see ``pack_architecture``.
        normalisation: How the published model was trained to see images; None where nobody knows.
    """

    CARRIED: ClassVar[tuple[str, ...]] = (ARCHITECTURE, )

    def __init__(self, pretrained: str | None = None, config: Mapping | None = None,
                 drop_path_rate: float | None = None) -> None:
        super().__init__()
        if (pretrained is None) == (config is None):
            raise ValueError('TransformersBackbone takes pretrained, the name of a model, or '
                             "config, dict(model_type='swin', ...) for random weights: give one "
                             'of the two')
        if config is None:
            self.model = load_backbone(pretrained, drop_path_rate)
            self.normalisation = image_statistics(pretrained)
        else:
            self.model = random_backbone(config, drop_path_rate)
            self.normalisation = None
        self.register_buffer(ARCHITECTURE, pack_architecture(self.model))
        # Swin's last norm is for a classifier: no map passes it, and no gradient would reach it.
        if hasattr(self.model, 'swin'):
            self.model.swin.layernorm.requires_grad_(False)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args) -> None:
        """Take weights from files that do not tell the architecture, of other code bases."""
        state_dict.setdefault(prefix + ARCHITECTURE, self.architecture)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return maps (M, C_i, h_i, w_i), fine to coarse, of images (M, 3, H, W)."""
        return list(self.model(images).feature_maps)
