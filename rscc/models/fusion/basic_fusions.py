"""Simple fusions: a single frame, concatenation, and two kinds of difference.

The signed difference is what KD-RSCC conditions its captions on: Yu, Ma, Qiao, IEEE GRSL 22 (2025),
https://doi.org/10.1109/LGRS.2025.3608489.
"""
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from rscc.models.contracts import FeatureSpec, Need
from rscc.models.fusion.base import (
    DateEmbedding,
    Fusion,
    difference_vector,
    difference_width,
    group_grid,
    pool_dates,
    pooled_width,
    times,
    with_difference,
)
from rscc.models.positions import check_position_width, sine_positions
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures, FrameFeatures


@MODELS.register_module()
class SingleFrame(Fusion):
    """Hand the features of a single image (T = 1) to the heads unchanged."""
    time_steps = (1, )
    otherwise = 'ConcatFusion or DifferenceFusion for pairs'

    def gives(self, frames: FeatureSpec, time_steps: int) -> FeatureSpec:
        """Return what comes."""
        return replace(frames, time_steps=time_steps)

    def fuse(self, features: FrameFeatures) -> ChangeFeatures:
        """Drop the axis of time steps."""
        return ChangeFeatures(
            maps=[feature[:, 0] for feature in features.maps],
            tokens=None if features.tokens is None else features.tokens[:, 0],
            pooled=None if features.pooled is None else features.pooled[:, 0],
            token_grid=group_grid(features, 1))


@MODELS.register_module()
class ConcatFusion(Fusion):
    """Concatenate the dates: tokens along their axis, maps and pooled vectors along channels.

    The fusion of the original BLIP captioner on LEVIR-CC, plus a date embedding (zero at the start,
    so a pretrained decoder begins as it was). Any number of dates up to ``dates``.

    Args:
        channels: Token width C.
        dates: Largest number of dates.
        date_embedding: Off reproduces the original, whose two halves are exchangeable.
    """

    def __init__(self, channels: int, dates: int = 2, date_embedding: bool = True) -> None:
        super().__init__()
        self.channels, self.time_steps = channels, range(1, dates + 1)
        self.otherwise = f'ConcatFusion(dates={dates + 1}) or more'
        self.date_embedding = DateEmbedding(dates, channels) if date_embedding else nn.Identity()

    def needs(self) -> Sequence[Need]:
        """Return tokens of the width of the date embedding."""
        return [Need('tokens', self.channels, 'channels')]

    def gives(self, frames: FeatureSpec, time_steps: int) -> FeatureSpec:
        """Return T times the width of maps and pooled vectors."""
        return replace(frames, source='ConcatFusion', maps=times(time_steps, frames.maps),
                       pooled=times(time_steps, pooled_width(frames)), time_steps=time_steps)

    def fuse(self, features: FrameFeatures) -> ChangeFeatures:
        """Return tokens (N, T*L, C), maps (N, T*C_i, h_i, w_i) and pooled (N, T*C)."""
        # Tokens of all dates in one row, each with the vector of its date; channels side by side.
        tokens = features.tokens
        return ChangeFeatures(
            maps=[feature.flatten(1, 2) for feature in features.maps],
            tokens=torch.flatten(self.date_embedding(tokens), 1, 2),
            pooled=pool_dates(features).flatten(1),
            token_grid=group_grid(features, tokens.shape[1]))


@MODELS.register_module()
class DifferenceFusion(Fusion):
    """Memory [F_from + t_1 ; F_to + t_2 ; W (F_to - F_from) + t_3], 3L tokens.

    With W zero the memory starts as plain concatenation followed by L empty tokens, so a pretrained
    cross-attention keeps its feature space and learns the change tokens as it goes.

    Args:
        channels: Token width C.
        zero_init: Start W at zero (for pretrained decoders); off starts it as the identity, which
            lets a model trained from scratch see the difference from the first step.
        position: Add sine-cosine position codes to the difference tokens. Codes that the encoder
            added to both dates cancel in their difference, and with them where the change is.
    """

    def __init__(self, channels: int, zero_init: bool = True, position: bool = False) -> None:
        super().__init__()
        self.channels, self.position = channels, position
        if position:
            check_position_width(channels)
        self.date_embedding = DateEmbedding(3, channels)
        self.difference = nn.Linear(channels, channels)
        nn.init.zeros_(self.difference.bias)
        if zero_init:
            nn.init.zeros_(self.difference.weight)
        else:
            nn.init.eye_(self.difference.weight)

    def needs(self) -> Sequence[Need]:
        """Return tokens of the width of the linear layer W."""
        return [Need('tokens', self.channels, 'channels', placed=self.position)]

    def gives(self, frames: FeatureSpec, time_steps: int) -> FeatureSpec:
        """Return from, to and difference along channels: three times the width."""
        return _differences(frames, 'DifferenceFusion', time_steps)

    def fuse(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse a pair.

        Args:
            features: Tokens (N, 2, L, C), maps (N, 2, C_i, h_i, w_i).

        Returns:
            Tokens (N, 3L, C); maps (N, 3*C_i, h_i, w_i) as from, to, difference; pooled
            (N, 3C) as ``difference_vector`` describes.
        """
        # W (F_to - F_from), (N, L, C): what became different, place by place.
        tokens = features.tokens
        difference = self.difference(tokens[:, 1] - tokens[:, 0])
        if self.position:
            codes = sine_positions(features.token_grid, tokens.shape[-1], tokens)
            # A class token, which comes first, has no place.
            difference = difference + F.pad(codes, (0, 0, tokens.shape[2] - codes.shape[1], 0))
        # Three groups (N, 3, L, C), each with a vector of its own, one after another.
        stacked = torch.cat([tokens, difference[:, None]], 1)
        return ChangeFeatures(
            maps=[with_difference(feature) for feature in features.maps],
            tokens=self.date_embedding(stacked).flatten(1, 2),
            pooled=difference_vector(features),
            token_grid=group_grid(features, 3))


def _differences(frames: FeatureSpec, source: str, time_steps: int) -> FeatureSpec:
    """Return the widths of maps as from, to, difference, and of ``difference_vector``."""
    return replace(frames, source=source, maps=times(3, frames.maps),
                   pooled=difference_width(frames), time_steps=time_steps)


@MODELS.register_module()
class SignedDifference(Fusion):
    """Memory F_from - F_to, L tokens: the sign tells what came from what went.

    What both dates show alike is gone, and with it most of what a caption could say of a place.
    ``DifferenceFusion`` keeps the dates beside their difference, at three times the tokens.
    """

    def needs(self) -> Sequence[Need]:
        """Return tokens of any width."""
        return [Need('tokens')]

    def gives(self, frames: FeatureSpec, time_steps: int) -> FeatureSpec:
        """Return tokens as they come, maps and pooled vectors three times as wide."""
        return _differences(frames, 'SignedDifference', time_steps)

    def fuse(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse a pair.

        Args:
            features: Tokens (N, 2, L, C), maps (N, 2, C_i, h_i, w_i).

        Returns:
            Tokens (N, L, C); maps (N, 3*C_i, h_i, w_i) and pooled (N, 3C) as ``DifferenceFusion``
            returns them.
        """
        # F_from - F_to, (N, L, C): positive where something went, negative where something came.
        tokens = features.tokens
        return ChangeFeatures(maps=[with_difference(feature) for feature in features.maps],
                              tokens=tokens[:, 0] - tokens[:, 1],
                              pooled=difference_vector(features),
                              token_grid=group_grid(features, 1))
