"""The vision transformer of BLIP, through transformers.

Paper: Li et al., BLIP: Bootstrapping Language-Image Pre-training for Unified Vision-Language
Understanding and Generation, ICML 2022, https://arxiv.org/abs/2201.12086.
"""
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from rscc import compat
from rscc.models.contracts import FeatureSpec
from rscc.models.encoders.base import FrameEncoder, number_layers
from rscc.models.pretrained import load_blip, make_config
from rscc.registry import MODELS
from rscc.structures import FrameFeatures


@MODELS.register_module()
class BlipViT(FrameEncoder):
    """BLIP's image encoder: class token and patch tokens, and maps of chosen layers on request.

    Any image size is accepted: the position table is interpolated (transformers alone would read a
    smaller image with wrong positions, without a word).

    Args:
        pretrained: Hub name or local folder of a BLIP captioning model, for example
            ``'Salesforce/blip-image-captioning-base'``.
        config: Fields of ``BlipVisionConfig`` for random weights, where nothing is pretrained.
            ``initializer_range`` is 0.02 unless given (the library's default, 1e-10, makes a
            random model blind to its image).
        out_layers: Layers, counted from 1, whose patch tokens are returned as ``maps``
            (M, C, h, w); the last layer's are normalised. Empty for captioning alone.
        checkpointing: Recompute activations in the backward pass (about 6x less memory).
    """

    NESTED_OPTIONS: ClassVar[dict] = dict(config=dict)

    def __init__(self, pretrained: str | None = None, config: dict | None = None,
                 out_layers: Sequence[int] = (), checkpointing: bool = False) -> None:
        super().__init__()
        if (pretrained is None) == (config is None):
            raise ValueError('BlipViT takes either pretrained (a hub name or folder) or config '
                             f'(fields for random weights), found pretrained={pretrained!r}, '
                             f'config={config!r}')
        self.vision_model = (load_blip(pretrained).vision_model if pretrained
                             else _random_vision_model(config))
        self.embed_dims = self.vision_model.config.hidden_size
        self.patch_size = self.vision_model.config.patch_size
        depth = self.vision_model.config.num_hidden_layers
        # Layers are counted from 1, as hidden state 0 is what enters the first one.
        wrong = [layer for layer in out_layers if not 1 <= layer <= depth]
        if wrong:
            raise ValueError(f'out_layers={list(out_layers)} of a model with layers 1 to {depth}: '
                             f'{wrong} do not exist')
        self.out_layers = tuple(out_layers)
        if checkpointing:
            compat.compute_again(self.vision_model)

    def gives(self) -> FeatureSpec:
        """Return the width of tokens and maps, all at the stride of the patches."""
        count = len(self.out_layers)
        return FeatureSpec(
            'BlipViT', maps=(self.embed_dims, ) * count, strides=(self.patch_size, ) * count,
            tokens=self.embed_dims, token_stride=self.patch_size, placed=True,
            pooled=self.embed_dims,
            advice=dict(maps='set out_layers of BlipViT, for example (3, 6, 9, 12)'))

    def parameter_depths(self) -> dict[str, int]:
        """Return the embeddings, every layer, and the norm with the last one."""
        return number_layers(
            (name for name, _ in self.named_parameters()), stem=r'vision_model\.embeddings',
            layers=r'vision_model\.encoder\.layers\.(\d+)\.',
            last=r'vision_model\.post_layernorm')

    def encode(self, images: Tensor) -> FrameFeatures:
        """Return tokens (M, 1 + h*w, C), class token first; pooled is the class token."""
        output = self.vision_model(pixel_values=images, interpolate_pos_encoding=True,
                                   output_hidden_states=bool(self.out_layers))
        # Patches (h, w), then tokens (M, 1 + h*w, C) with the class token first.
        grid = (images.shape[-2] // self.patch_size, images.shape[-1] // self.patch_size)
        # Maps (M, C, h, w) of the layers asked for, without the class token, which is pooled.
        tokens = output.last_hidden_state
        maps = [_to_map(self._layer(output, layer), grid) for layer in self.out_layers]
        return FrameFeatures(maps=maps, tokens=tokens, token_grid=grid, pooled=tokens[:, 0])

    def _layer(self, output: object, layer: int) -> Tensor:
        """Return the tokens after ``layer``; the last one is the normalised output."""
        if layer == self.vision_model.config.num_hidden_layers:
            return output.last_hidden_state
        return output.hidden_states[layer]


def _to_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Turn (M, 1 + h*w, C) into (M, C, h, w), leaving the class token out."""
    return tokens[:, 1:].transpose(1, 2).unflatten(2, grid)


def _random_vision_model(config: dict) -> torch.nn.Module:
    blip = compat.import_transformers('models.blip')
    return blip.BlipVisionModel(make_config(blip.BlipVisionConfig, config, 'BlipViT',
                                            initializer_range=0.02))
