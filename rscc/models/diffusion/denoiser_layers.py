"""Layers of the denoiser of KD-RSCC.

Paper: Yu, Ma, Qiao, KD-RSCC, IEEE GRSL 22 (2025), https://doi.org/10.1109/LGRS.2025.3608489.
Adaptive norm: Perez et al., FiLM, AAAI 2018; Peebles and Xie, DiT, ICCV 2023.

N samples, R = N * K rows of text (K of every sample, side by side), L words, M memory tokens, width
H, heads of width d.
"""
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from rscc.models.attention import merge_heads, split_heads


class FourierFeatures(nn.Module):
    """Cosines and sines of a number at random frequencies, fixed when the model is made.

    Args:
        dims: Number of features, even.
    """

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.register_buffer('frequencies', torch.randn(dims // 2))

    def forward(self, values: Tensor) -> Tensor:
        """Return features (R, dims) of numbers (R,)."""
        # 2 pi f v for every frequency (R, dims / 2).
        angles = 2 * math.pi * values[:, None] * self.frequencies
        return torch.cat([angles.cos(), angles.sin()], 1)


class Memory(NamedTuple):
    """Keys and values of what is attended to: computed once, read at every sampling step.

    Attributes:
        key: (N, heads, M, d).
        value: (N, heads, M, d).
    """
    key: Tensor
    value: Tensor


class MemoryAttention(nn.Module):
    """Attention from words to a memory.

    Words do not see each other here, so the K rows that share a sample's memory are one row of
    K * L queries: the memory is never copied.

    Args:
        channels: Width H of the words.
        memory_channels: Width of the memory.
        num_heads: Heads.
        inner_dims: Width of all heads together; H if None.
        dropout: Of the attention weights, 0 to 1.
    """

    def __init__(self, channels: int, memory_channels: int, num_heads: int,
                 inner_dims: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        inner_dims = inner_dims or channels
        _check_heads(inner_dims, num_heads)
        # Queries of the words, keys and values of the memory, all inner_dims wide.
        self.num_heads, self.dropout = num_heads, dropout
        self.query = nn.Linear(channels, inner_dims)
        self.key = nn.Linear(memory_channels, inner_dims)
        self.value = nn.Linear(memory_channels, inner_dims)
        self.project = nn.Linear(inner_dims, channels)

    def remember(self, memory: Tensor) -> Memory:
        """Project a memory (N, M, C) to keys and values."""
        return Memory(split_heads(self.key(memory), self.num_heads),
                      split_heads(self.value(memory), self.num_heads))

    def forward(self, words: Tensor, memory: Memory) -> Tensor:
        """Return what the words (R, L, H) find, (R, L, H)."""
        found = functional.scaled_dot_product_attention(
            self._queries(words, memory), *memory, dropout_p=self.dropout * self.training)
        return self.project(merge_heads(found)).view_as(words)

    def weights(self, words: Tensor, memory: Memory) -> Tensor:
        """Return how much of each of the M memory tokens the words find, (R, heads, L, M)."""
        shares = _weights(self._queries(words, memory), memory.key)
        # (N, heads, K * L, M) to rows of their own.
        shares = shares.unflatten(2, (-1, words.shape[1])).transpose(1, 2)
        return shares.flatten(0, 1)

    def _queries(self, words: Tensor, memory: Memory) -> Tensor:
        """Return queries (N, heads, K * L, d): K rows of L words that share a memory are one."""
        query = self.query(words).reshape(len(memory.key), -1, self.query.out_features)
        return split_heads(query, self.num_heads)


class WordAttention(nn.Module):
    """Attention of the words of a row among themselves, padding included.

    Args:
        channels: Width H.
        num_heads: Heads.
        dropout: Of the attention weights, 0 to 1.
    """

    def __init__(self, channels: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        _check_heads(channels, num_heads)
        self.num_heads, self.dropout = num_heads, dropout
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)

    def forward(self, words: Tensor) -> Tensor:
        """Return what the words (R, L, H) find, (R, L, H)."""
        return self.project(merge_heads(functional.scaled_dot_product_attention(
            *self._parts(words), dropout_p=self.dropout * self.training)))

    def weights(self, words: Tensor) -> Tensor:
        """Return how much of each other the words (R, L, H) find, (R, heads, L, L)."""
        query, key, _ = self._parts(words)
        return _weights(query, key)

    def _parts(self, words: Tensor) -> list[Tensor]:
        """Return query, key and value, each (R, heads, L, d)."""
        return [split_heads(part, self.num_heads)
                for part in self.query_key_value(words).chunk(3, -1)]


class LevelNorm(nn.LayerNorm):
    """Layer norm whose scale and shift may also depend on the noise level (adaptive norm).

    Args:
        channels: Width H.
        eps: Added to the variance.
        level_dims: Width of the noise level's vector; None for a plain layer norm.
    """

    def __init__(self, channels: int, eps: float = 1e-5, level_dims: int | None = None) -> None:
        super().__init__(channels, eps)
        self.modulation = None
        if level_dims is not None:
            # At zero it starts as a plain layer norm.
            self.modulation = nn.Linear(level_dims, 2 * channels)
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def forward(self, words: Tensor, level: Tensor | None = None) -> Tensor:
        """Normalise words (R, L, H), given the level (R, level_dims) where it is adaptive."""
        normal = super().forward(words)
        if self.modulation is None:
            return normal
        # Both (R, 1, H), the same for all words of a row.
        scale, shift = self.modulation(functional.silu(level))[:, None].chunk(2, -1)
        return normal * (1 + scale) + shift


class LocalMixing(nn.Module):
    """Pre-norm convolution along the words: what stands beside a word says most about it.

    Attention has to learn where neighbours are; a small model on a small budget does not get that
    far.

    Args:
        channels: Width H.
        kernel_size: Words seen at once, odd.
    """

    def __init__(self, channels: int, kernel_size: int = 5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.convolution = nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2)
        self.project = nn.Linear(channels, channels)

    def forward(self, words: Tensor) -> Tensor:
        """Mix neighbours into words (R, L, H)."""
        # Convolutions want (R, H, L).
        seen = self.convolution(self.norm(words).transpose(1, 2)).transpose(1, 2)
        return words + self.project(functional.gelu(seen))


class AlignmentBlock(nn.Module):
    """Semantic-spatial alignment: what the words find in the memory takes their place.

    As published the words themselves go no further (``residual=False``): they reach the rest of the
    network through the attention pattern alone, and where the memory is the same everywhere, as it
    is for two equal images, not at all.

    Args:
        attention: The attention.
        channels: Width H.
        feedforward_dims: Hidden width of the perceptron after it.
        dropout: After the perceptron, 0 to 1.
        residual: Add the words to what they found.
        level_dims: Width of the level's vector for an adaptive norm, or None.
    """

    def __init__(self, attention: MemoryAttention, channels: int, feedforward_dims: int,
                 dropout: float = 0.0, residual: bool = False,
                 level_dims: int | None = None) -> None:
        super().__init__()
        # Attention, then a perceptron with its shortcut, then a norm over both.
        self.attention, self.residual = attention, residual
        self.feed_forward = nn.Sequential(
            nn.Linear(channels, feedforward_dims), nn.ReLU(),
            nn.Linear(feedforward_dims, channels), nn.Dropout(dropout))
        self.norm = LevelNorm(channels, level_dims=level_dims)

    def remember(self, memory: Tensor) -> Memory:
        """Return keys and values of a memory (N, M, C)."""
        return self.attention.remember(memory)

    def forward(self, words: Tensor, memory: Memory, level: Tensor | None = None) -> Tensor:
        """Return the aligned words (R, L, H)."""
        # What is found in the memory (R, L, H); the perceptron refines that, not the words.
        found = self.attention(words, memory)
        found = words + found if self.residual else found
        return self.norm(found + self.feed_forward(found), level)


class RefinementLayer(nn.Module):
    """Transformer layer over the words: attention, on request to the memory too, perceptron.

    Args:
        channels: Width H.
        num_heads: Heads of the words' attention.
        feedforward_dims: Hidden width of the perceptron (exact GELU).
        attention_dropout: Of the attention weights, 0 to 1.
        memory_attention: Attention to the memory, or None.
        norm_first: Normalise what enters each part, not what leaves it (BERT's order).
        level_dims: Width of the level's vector for adaptive norms, or None.
        eps: Of the norms.
    """

    def __init__(self, channels: int, num_heads: int, feedforward_dims: int,
                 attention_dropout: float = 0.0, memory_attention: MemoryAttention | None = None,
                 norm_first: bool = False, level_dims: int | None = None,
                 eps: float = 1e-12) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.word_attention = WordAttention(channels, num_heads, attention_dropout)
        self.memory_attention = memory_attention
        self.feed_forward = nn.Sequential(nn.Linear(channels, feedforward_dims), nn.GELU(),
                                          nn.Linear(feedforward_dims, channels))
        self.norms = nn.ModuleList(LevelNorm(channels, eps, level_dims)
                                   for _ in range(2 if memory_attention is None else 3))

    def remember(self, memory: Tensor) -> Memory:
        """Return keys and values of a memory (N, M, C)."""
        return self.memory_attention.remember(memory)

    def forward(self, words: Tensor, memory: Memory | None = None,
                level: Tensor | None = None) -> Tensor:
        """Refine words (R, L, H)."""
        # Attention of the words, to the memory, perceptron; each with its shortcut and norm.
        parts = [self.word_attention, self.feed_forward]
        if self.memory_attention is not None:
            parts.insert(1, lambda entering: self.memory_attention(entering, memory))
        for norm, part in zip(self.norms, parts, strict=True):
            words = (words + part(norm(words, level)) if self.norm_first
                     else norm(words + part(words), level))
        return words


def _check_heads(dims: int, num_heads: int) -> None:
    if num_heads < 1 or dims % num_heads:
        raise ValueError(f'{num_heads} attention heads do not divide a width of {dims}')


def _weights(query: Tensor, key: Tensor) -> Tensor:
    """Return the weights (..., L, M) that queries (..., L, d) give keys (..., M, d)."""
    return (query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])).softmax(-1)
