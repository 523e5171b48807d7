"""Attention whose heads together are of another width than the tokens.

As Chg2Cap (Chang and Ghamisi, TIP 2023, https://arxiv.org/abs/2304.01091) and BIT (Chen, Qi, Shi,
TGRS 2021, https://arxiv.org/abs/2103.00208) use it: no bias in queries, keys and values, one in the
projection back to the tokens.
"""
import torch.nn.functional as F
from torch import Tensor, nn


class InnerAttention(nn.Module):
    """Multi-head attention from tokens to a memory of the same width.

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
        query, key = self._split(self.query(tokens)), self._split(self.key(memory))
        value = key if self.value is None else self._split(self.value(memory))
        found = F.scaled_dot_product_attention(query, key, value,
                                               dropout_p=self.dropout * self.training)
        return self.project(found.transpose(1, 2).flatten(2))

    def _split(self, tokens: Tensor) -> Tensor:
        """Cut channels into heads: (N, L, inner) to (N, heads, L, d)."""
        return tokens.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
