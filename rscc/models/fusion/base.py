"""Base class of fusions, and the simple ones: single frame, concatenation, differences.

The signed difference is what KD-RSCC conditions its captions on: Yu, Ma, Qiao, IEEE GRSL 22 (2025),
https://doi.org/10.1109/LGRS.2025.3608489.
"""
from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rscc.models.contracts import FeatureSpec, Need
from rscc.models.positions import check_position_width, sine_positions
from rscc.registry import MODELS, Part
from rscc.structures import ChangeFeatures, FrameFeatures
from rscc.utils import check_choice


class Fusion(Part, nn.Module, metaclass=ABCMeta):
    """Features of every time step to those of one sample.

    Subclasses fuse in ``fuse`` and declare in ``needs`` and ``gives`` what they read and return;
    this class compares the former with what comes, and hands on the maps of every date beside the
    fused ones.

    Attributes:
        time_steps: Numbers T of time steps that a sample may have.
        otherwise: What to use for samples with another number, for the message.
    """
    time_steps: Sequence[int] = (2, )
    otherwise: str = 'ConcatFusion or SingleFrame'

    @abstractmethod
    def gives(self, frames: FeatureSpec, time_steps: int) -> FeatureSpec:
        """Return widths and strides of the fused features.

        Args:
            frames: Those of the features of every time step.
            time_steps: T, one of the numbers that the fusion takes.

        Raises:
            ValueError: If parts inside the fusion do not fit each other.
        """

    @abstractmethod
    def fuse(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse features that are as the fusion declares them."""

    def forward(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse.

        Args:
            features: Tokens (N, T, L, C), maps (N, T, C_i, h_i, w_i), pooled (N, T, C).

        Raises:
            ValueError: If T, a width or an absent feature is not what the fusion is made for.
        """
        self.check_time_steps(features)
        # What no encoder could declare before there were data is compared now.
        misfit = self.misfit(FeatureSpec.of(features))
        if misfit:
            raise ValueError(misfit)
        fused = self.fuse(features)
        return fused if fused.date_maps else replace(fused, date_maps=features.maps)

    def check_time_steps(self, features: FrameFeatures) -> None:
        """Raise a ValueError where a sample has a number of time steps that is not taken."""
        some = next(part for part in (features.tokens, features.pooled, *features.maps)
                    if part is not None)
        if some.shape[1] not in self.time_steps:
            taken = ' or '.join(map(str, self.time_steps))
            raise ValueError(f'{self.title} takes {taken} date(s) a sample, found {some.shape[1]}; '
                             f'use {self.otherwise}')


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


def pool_dates(features: FrameFeatures) -> Tensor:
    """Return one vector per date (N, T, C): the encoder's, else the mean of its tokens."""
    if features.pooled is not None:
        return features.pooled
    return features.tokens.mean(2)


def pooled_width(frames: FeatureSpec) -> int | None:
    """Return the width of what ``pool_dates`` returns."""
    return frames.tokens if frames.pooled == 0 else frames.pooled


def group_grid(features: FrameFeatures, groups: int) -> tuple[int, int, int] | None:
    """Return ``ChangeFeatures.token_grid`` of a memory of ``groups`` token maps, if it has one."""
    return None if features.token_grid is None else (groups, *features.token_grid)


def times(count: int, width: int | tuple[int, ...] | None) -> int | tuple[int, ...] | None:
    """Return the widths of ``count`` features one after another along channels."""
    if isinstance(width, tuple):
        return tuple(count * one for one in width)
    return None if width is None else count * width


def join_dates(feature: Tensor) -> Tensor:
    """Return all dates side by side along channels, in their memory format.

    That of plain maps is a view; ``flatten`` would write channels-last maps plainly, for the next
    convolution to turn them back.

    Args:
        feature: Maps (N, T, C, h, w).

    Returns:
        Maps (N, T*C, h, w).
    """
    return feature.flatten(1, 2) if feature.is_contiguous() else torch.cat(feature.unbind(1), 1)


def with_difference(feature: Tensor) -> Tensor:
    """Return from, to and signed difference along channels: (N, 2, C, h, w) to (N, 3C, h, w)."""
    return torch.cat([feature[:, 0], feature[:, 1], feature[:, 1] - feature[:, 0]], 1)


def difference_vector(features: FrameFeatures) -> Tensor:
    """Return the pooled vectors of both dates and of their absolute difference, (N, 3C).

    The difference is pooled by its maximum over positions: one new house among hundreds of tokens
    would vanish in a mean.
    """
    # Means say what is there, the maximum over positions (N, C) what stands out as different.
    pooled = pool_dates(features)
    strongest = (features.tokens[:, 1] - features.tokens[:, 0]).abs().amax(1)
    return torch.cat([pooled[:, 0], pooled[:, 1], strongest], -1)


def difference_width(frames: FeatureSpec) -> int | None:
    """Return the width of what ``difference_vector`` returns."""
    # Both dates pooled, and the strongest difference of their tokens.
    pooled = pooled_width(frames)
    return None if None in (pooled, frames.tokens) else 2 * pooled + frames.tokens


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
            maps=[join_dates(feature) for feature in features.maps],
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


@MODELS.register_module()
class MapFusion(Fusion):
    """Fuse both dates level by level: their difference, or both side by side along channels.

    The plain way of change detectors. BTC (Rolih et al., TGRS 2025,
    https://arxiv.org/abs/2507.03367) takes the signed difference, FC-Siam-diff the absolute one and
    FC-Siam-conc both dates (Daudt et al., ICIP 2018, https://arxiv.org/abs/1810.08462). Tokens, for
    a caption head beside, are fused as the maps are. There are no parameters.

    Args:
        kind: ``'signed'``, F_from - F_to; ``'absolute'``, its absolute value, which is the same
            with the dates exchanged; ``'concat'``, F_from and F_to, twice as wide.
        coarsest: ``'fused'`` treats the coarsest map as all others; ``'to'`` takes that of the
            later date alone, as the decoder of FC-Siam does.
    """

    def __init__(self, kind: str = 'signed', coarsest: str = 'fused') -> None:
        super().__init__()
        check_choice('kind', kind, ('signed', 'absolute', 'concat'))
        check_choice('coarsest', coarsest, ('fused', 'to'))
        self.kind, self.coarsest = kind, coarsest

    def needs(self) -> Sequence[Need]:
        """Return maps of any width."""
        return [Need('maps')]

    def gives(self, frames: FeatureSpec, time_steps: int) -> FeatureSpec:
        """Return maps and tokens as wide as they come, or twice as wide for ``'concat'``."""
        copies = 2 if self.kind == 'concat' else 1
        maps = times(copies, frames.maps)
        if maps and self.coarsest == 'to':
            maps = (*maps[:-1], frames.maps[-1])
        # Without tokens there is no strongest difference, and so no pooled vector.
        pooled = difference_width(frames) if frames.tokens else frames.tokens
        return replace(frames, source='MapFusion', maps=maps, tokens=times(copies, frames.tokens),
                       pooled=pooled, time_steps=time_steps)

    def fuse(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse a pair.

        Args:
            features: Maps (N, 2, C_i, h_i, w_i); tokens (N, 2, L, C) or None.

        Returns:
            Maps (N, C_i, h_i, w_i), 2 * C_i channels for ``'concat'``; tokens (N, L, C) likewise;
            pooled (N, 3C) as ``difference_vector`` describes, where there are tokens.
        """
        maps = [self._pair(level, 1) for level in features.maps]
        if self.coarsest == 'to':
            maps[-1] = features.maps[-1][:, 1]
        if features.tokens is None:
            return ChangeFeatures(maps=maps)
        return ChangeFeatures(maps=maps, tokens=self._pair(features.tokens, -1),
                              pooled=difference_vector(features),
                              token_grid=group_grid(features, 1))

    def _pair(self, feature: Tensor, channels: int) -> Tensor:
        """Fuse one feature (N, 2, ...); ``channels`` is their axis once the dates are apart."""
        earlier, later = feature.unbind(1)
        if self.kind == 'concat':
            return torch.cat([earlier, later], channels)
        difference = earlier - later
        return difference.abs() if self.kind == 'absolute' else difference
