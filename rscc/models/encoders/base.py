"""Base classes of encoders, and stored features in place of one."""
import math
import re
from abc import ABCMeta, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from rscc.models.contracts import FeatureSpec, Normalisation
from rscc.models.positions import sine_positions
from rscc.registry import MODELS, Part
from rscc.structures import FrameFeatures


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
        any_format: Whether it takes images in any memory format. Under autocast on CPUs, in
            training too, it then gets them channels-last, in which convolutions take half the time.
            Networks that reshape maps by ``view`` cannot.
    """
    dates_apart: bool = False
    any_format: bool = False

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
            return _stack([self._encode(images) for images in inputs.unbind(1)])
        # (N, T, B, H, W) -> (N*T, B, H, W) -> features (N*T, ...) -> (N, T, ...)
        features = self._encode(inputs.flatten(0, 1))
        split = inputs.shape[:2]
        return FrameFeatures(
            maps=[feature.unflatten(0, split) for feature in features.maps],
            tokens=None if features.tokens is None else features.tokens.unflatten(0, split),
            token_grid=features.token_grid,
            pooled=None if features.pooled is None else features.pooled.unflatten(0, split))

    def _encode(self, images: Tensor) -> FrameFeatures:
        """Encode in the memory format that suits; heads get maps in the format of the images."""
        reduced = images.device.type == 'cpu' and torch.is_autocast_enabled('cpu')
        # Told by the strides: one date of a batch is channels-last too, but not dense.
        channels_last = images.stride(1) == 1 < images.shape[1]
        if not (self.any_format and reduced) or channels_last:
            return self.encode(images)
        features = self.encode(images.contiguous(memory_format=torch.channels_last))
        return replace(features, maps=[feature.contiguous() for feature in features.maps])

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


def build_encoder(cfg: dict) -> Encoder:
    """Build an encoder; a config of another scope (``mmseg.ResNet``) is a backbone to wrap."""
    if '.' in cfg['type']:
        return MODELS.build(dict(type='BackboneEncoder', backbone=cfg))
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
