"""What fusions share: checks on the number of dates and the date embedding."""
import torch
from torch import Tensor, nn

from rscc.structures import FrameFeatures


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
