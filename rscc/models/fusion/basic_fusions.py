"""Helpers of all fusions, and the simple ones: single frame, concatenation, difference.

What KD-RSCC conditions its captions on: Yu, Ma, Qiao, IEEE GRSL 22 (2025),
https://doi.org/10.1109/LGRS.2025.3608489.
"""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rscc.models.positions import sine_positions
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures, FrameFeatures


def require_dates(features: FrameFeatures, expected: int, fusion: str, instead: str) -> None:
    """Raise where a fusion meets another number of dates than it is made for.

    Args:
        features: Features with axes (N, T, ...).
        expected: The T that the fusion takes.
        fusion: Name of the fusion, for the message.
        instead: What to use for other inputs, for the message.

    Raises:
        ValueError: If T differs.
    """
    some = next(part for part in (features.tokens, features.pooled, *features.maps)
                if part is not None)
    if some.shape[1] != expected:
        raise ValueError(f'{fusion} takes {expected} date(s) a sample, found {some.shape[1]}; '
                         f'use {instead}')


def require_tokens(features: FrameFeatures, fusion: str) -> Tensor:
    """Return the tokens (N, T, L, C) or say that the encoder has none."""
    if features.tokens is None:
        raise ValueError(f'{fusion} needs tokens and the encoder returned none; stored features '
                         'have some with features.tokens=True')
    return features.tokens


def pool_dates(features: FrameFeatures) -> Tensor:
    """Return one vector per date (N, T, C): the encoder's, else the mean of its tokens."""
    if features.pooled is not None:
        return features.pooled
    return features.tokens.mean(2)


def group_grid(features: FrameFeatures, groups: int) -> tuple[int, int, int] | None:
    """Return ``ChangeFeatures.token_grid`` of a memory of ``groups`` token maps, if it has one."""
    return None if features.token_grid is None else (groups, *features.token_grid)


class DateEmbedding(nn.Module):
    """One learned vector per date, zero at the start.

    Without it the decoder cannot tell which half of a concatenated memory came first; at zero it
    leaves a pretrained decoder as it was.

    Args:
        dates: Number of dates T.
        channels: Token width C.
    """

    def __init__(self, dates: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dates, channels))

    def forward(self, tokens: Tensor) -> Tensor:
        """Add the date's vector to its tokens (N, T, L, C)."""
        return tokens + self.weight[None, :tokens.shape[1], None]


@MODELS.register_module()
class SingleFrame(nn.Module):
    """Hand the features of a single image (T = 1) to the heads unchanged."""

    def forward(self, features: FrameFeatures) -> ChangeFeatures:
        """Drop the axis of dates.

        Raises:
            ValueError: If a sample has more than one date.
        """
        require_dates(features, 1, 'SingleFrame', 'ConcatFusion or DifferenceFusion for pairs')
        return ChangeFeatures(
            maps=[feature[:, 0] for feature in features.maps],
            tokens=None if features.tokens is None else features.tokens[:, 0],
            pooled=None if features.pooled is None else features.pooled[:, 0],
            token_grid=group_grid(features, 1))


@MODELS.register_module()
class ConcatFusion(nn.Module):
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
        self.date_embedding = DateEmbedding(dates, channels) if date_embedding else nn.Identity()

    def forward(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse.

        Args:
            features: Tokens (N, T, L, C), maps (N, T, C_i, h_i, w_i).

        Returns:
            Tokens (N, T*L, C), maps (N, T*C_i, h_i, w_i), pooled (N, T*C).
        """
        tokens = require_tokens(features, 'ConcatFusion')
        return ChangeFeatures(
            maps=[feature.flatten(1, 2) for feature in features.maps],
            tokens=torch.flatten(self.date_embedding(tokens), 1, 2),
            pooled=pool_dates(features).flatten(1),
            token_grid=group_grid(features, tokens.shape[1]))


@MODELS.register_module()
class DifferenceFusion(nn.Module):
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
        self.position = position
        self.date_embedding = DateEmbedding(3, channels)
        self.difference = nn.Linear(channels, channels)
        nn.init.zeros_(self.difference.bias)
        if zero_init:
            nn.init.zeros_(self.difference.weight)
        else:
            nn.init.eye_(self.difference.weight)

    def forward(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse a pair.

        Args:
            features: Tokens (N, 2, L, C), maps (N, 2, C_i, h_i, w_i).

        Returns:
            Tokens (N, 3L, C); maps (N, 3*C_i, h_i, w_i) as from, to, difference; pooled
            (N, 3C) as ``difference_vector`` describes.
        """
        require_dates(features, 2, 'DifferenceFusion', 'ConcatFusion or SingleFrame')
        tokens = require_tokens(features, 'DifferenceFusion')
        difference = self.difference(tokens[:, 1] - tokens[:, 0])
        if self.position:
            codes = sine_positions(features.token_grid, tokens.shape[-1], tokens)
            # A class token, which comes first, has no place.
            difference = difference + F.pad(codes, (0, 0, tokens.shape[2] - codes.shape[1], 0))
        stacked = torch.cat([tokens, difference[:, None]], 1)
        return ChangeFeatures(
            maps=[with_difference(feature) for feature in features.maps],
            tokens=self.date_embedding(stacked).flatten(1, 2),
            pooled=difference_vector(features),
            token_grid=group_grid(features, 3))


def with_difference(feature: Tensor) -> Tensor:
    """Return from, to and signed difference along channels: (N, 2, C, h, w) to (N, 3C, h, w)."""
    return torch.cat([feature[:, 0], feature[:, 1], feature[:, 1] - feature[:, 0]], 1)


def difference_vector(features: FrameFeatures) -> Tensor:
    """Return the pooled vectors of both dates and of their absolute difference, (N, 3C).

    The difference is pooled by its maximum over positions: one new house among hundreds of tokens
    would vanish in a mean.
    """
    pooled = pool_dates(features)
    strongest = (features.tokens[:, 1] - features.tokens[:, 0]).abs().amax(1)
    return torch.cat([pooled[:, 0], pooled[:, 1], strongest], -1)


@MODELS.register_module()
class SignedDifference(nn.Module):
    """Memory F_from - F_to, L tokens: the sign tells what came from what went.

    What both dates show alike is gone, and with it most of what a caption could say of a place.
    ``DifferenceFusion`` keeps the dates beside their difference, at three times the tokens.
    """

    def forward(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse a pair.

        Args:
            features: Tokens (N, 2, L, C), maps (N, 2, C_i, h_i, w_i).

        Returns:
            Tokens (N, L, C); maps (N, 3*C_i, h_i, w_i) and pooled (N, 3C) as ``DifferenceFusion``
            returns them.
        """
        require_dates(features, 2, 'SignedDifference', 'ConcatFusion or SingleFrame')
        tokens = require_tokens(features, 'SignedDifference')
        return ChangeFeatures(maps=[with_difference(feature) for feature in features.maps],
                              tokens=tokens[:, 0] - tokens[:, 1],
                              pooled=difference_vector(features),
                              token_grid=group_grid(features, 1))
