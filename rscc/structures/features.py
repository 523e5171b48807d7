"""The two feature records between encoder, fusion and heads.

N samples, T dates (index 0 the earliest), C channels, L tokens, h x w positions, K texts.
"""
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class FrameFeatures:
    """Features of every date, from an encoder.

    Attributes:
        maps: Feature maps, each (N, T, C_i, h_i, w_i), fine to coarse; may be empty.
        tokens: Token features (N, T, L, C), or None.
        token_grid: (h, w) of the patch tokens, or None. L is h*w, or h*w + 1 with a leading class
            token.
        pooled: One vector per date (N, T, C), or None.
        prompts: Class names of every sample and date, likeliest first, or None where the model has
            no prompter.
    """
    maps: list[Tensor] = field(default_factory=list)
    tokens: Tensor | None = None
    token_grid: tuple[int, int] | None = None
    pooled: Tensor | None = None
    prompts: list[list[list[str]]] | None = None


@dataclass
class ChangeFeatures:
    """Features of one sample, from a fusion, for every head.

    Attributes:
        maps: Feature maps, each (N, C_i, h_i, w_i), fine to coarse; may be empty.
        tokens: Memory for caption heads (N, L, C), or None.
        pooled: One vector per sample (N, C), or None.
        text: Text embeddings per date (N, T, K, C), or None.
        token_grid: (G, h, w) of the tokens: G groups (dates, differences) of h x w places, each
            group with or without a leading class token; None where tokens have no place.
        date_maps: Feature maps of every date, each (N, T, C_i, h_i, w_i), fine to coarse, for heads
            that answer for each date; those of the encoder unless a fusion gives others. Empty
            behind a neck, which sees fused maps alone.
    """
    maps: list[Tensor] = field(default_factory=list)
    tokens: Tensor | None = None
    pooled: Tensor | None = None
    text: Tensor | None = None
    token_grid: tuple[int, int, int] | None = None
    date_maps: list[Tensor] = field(default_factory=list)
