"""Attention among tokens (N, L, C): of torch's weights without transposed views, and of any width.

``nn.MultiheadAttention`` hands batch-first tokens to its projections as a transposed view. Under
bfloat16 autocast on CPUs, where the weights are frozen or no gradients are computed, torch then
multiplies with one copy of the weights per token: a ViT-B/16 takes more than three times as long.
"""
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


def split_heads(tokens: Tensor, num_heads: int) -> Tensor:
    """Cut channels into heads: (N, L, heads * d) to (N, heads, L, d)."""
    return tokens.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(found: Tensor) -> Tensor:
    """Put heads side by side: (N, heads, L, d) to (N, L, heads * d)."""
    return found.transpose(1, 2).flatten(2)


class BatchFirstAttention(nn.MultiheadAttention):
    """Multi-head attention; answers are torch's up to rounding, and names of weights are the same.

    Args:
        embed_dim: Width C of tokens and memory.
        num_heads: Heads; divides C.
        dropout: Of the attention weights, 0 to 1.
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__(embed_dim, num_heads, dropout, batch_first=True)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, *args: Any,
                need_weights: bool = True, attn_mask: Tensor | None = None, **named: Any
                ) -> tuple[Tensor, Tensor | None]:
        """Let tokens (N, L, C) ask a memory (N, M, C); returns what they find (N, L, C), and None.

        Whatever else torch offers (attention weights, paddings, ...) it computes itself.

        Args:
            query: The tokens.
            key: The memory; the tokens themselves for self-attention.
            value: The same tensor.
            *args: As torch takes them.
            need_weights: Return the attention weights, too.
            attn_mask: Added to the scores (L, M), or True where a place must not be asked.
            **named: As torch takes them.
        """
        plain = query.dim() == 3 and (attn_mask is None or attn_mask.dim() == 2)
        if need_weights or args or named or key is not value or not plain:
            return super().forward(query, key, value, *args, need_weights=need_weights,
                                   attn_mask=attn_mask, **named)
        # Queries (N, heads, L, d), keys and values (N, heads, M, d).
        parts = (split_heads(part, self.num_heads) for part in self._project(query, key))
        if attn_mask is not None and not attn_mask.is_floating_point():
            attn_mask = attn_mask.logical_not()  # there, True is what may be asked
        found = F.scaled_dot_product_attention(*parts, attn_mask=attn_mask,
                                               dropout_p=self.dropout * self.training)
        return self.out_proj(merge_heads(found)), None

    def _project(self, query: Tensor, key: Tensor) -> tuple[Tensor, ...]:
        """Return queries (N, L, C), keys and values (N, M, C)."""
        weight, bias = self.in_proj_weight, self.in_proj_bias
        if key is query:
            return F.linear(query.contiguous(), weight, bias).chunk(3, -1)
        width = self.embed_dim
        first, second = (None, None) if bias is None else (bias[:width], bias[width:])
        return (F.linear(query.contiguous(), weight[:width], first),
                *F.linear(key.contiguous(), weight[width:], second).chunk(2, -1))


def use_batch_first_attention(module: nn.Module) -> None:
    """Make torch's batch-first attentions inside a module, open_clip's for instance, ours.

    Args:
        module: Its attentions change their class in place; weights and their names stay.
    """
    for layer in module.modules():
        plain = type(layer) is nn.MultiheadAttention and layer.batch_first
        if plain and layer.in_proj_weight is not None and layer.bias_k is None and (
                not layer.add_zero_attn):
            layer.__class__ = BatchFirstAttention


class InnerAttention(nn.Module):
    """Multi-head attention whose heads together are of another width than the tokens.

    As Chg2Cap (Chang and Ghamisi, TIP 2023, https://arxiv.org/abs/2304.01091) and BIT (Chen, Qi,
    Shi, TGRS 2021, https://arxiv.org/abs/2103.00208) use it: no bias in queries, keys and values,
    one in the projection back to the tokens.

    Args:
        channels: Width C of tokens and memory.
        inner_dims: Width of all heads together; a multiple of ``num_heads``.
        num_heads: Heads.
        dropout: Of the attention weights and of the result, 0 to 1.
        tied_values: Use the keys as values, too.

    Raises:
        ValueError: If the heads do not divide ``inner_dims``.
    """

    def __init__(self, channels: int, inner_dims: int, num_heads: int, dropout: float = 0.0,
                 tied_values: bool = False) -> None:
        super().__init__()
        if inner_dims % num_heads:
            raise ValueError(f'num_heads={num_heads} do not divide the {inner_dims} channels of '
                             'the attention')
        self.num_heads, self.dropout = num_heads, dropout
        self.query = nn.Linear(channels, inner_dims, bias=False)
        self.key = nn.Linear(channels, inner_dims, bias=False)
        self.value = None if tied_values else nn.Linear(channels, inner_dims, bias=False)
        self.project = nn.Sequential(nn.Linear(inner_dims, channels), nn.Dropout(dropout))

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        """Return what tokens (N, L, C) find in a memory (N, M, C), (N, L, C)."""
        # Queries (N, heads, L, d), keys and values (N, heads, M, d).
        query = split_heads(self.query(tokens), self.num_heads)
        key = split_heads(self.key(memory), self.num_heads)
        value = key if self.value is None else split_heads(self.value(memory), self.num_heads)
        found = F.scaled_dot_product_attention(query, key, value,
                                               dropout_p=self.dropout * self.training)
        return self.project(merge_heads(found))
