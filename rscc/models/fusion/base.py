"""Base class of fusions, and what several of them do: date embeddings and differences."""
from abc import ABCMeta, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rscc.models.contracts import FeatureSpec
from rscc.registry import Part
from rscc.structures import ChangeFeatures, FrameFeatures


class Fusion(Part, nn.Module, metaclass=ABCMeta):
    """Features of every time step to those of one sample.

    Subclasses fuse in ``fuse`` and declare in ``needs`` and ``gives`` what they read and return;
    this class compares the former with what comes.

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
        return self.fuse(features)

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
