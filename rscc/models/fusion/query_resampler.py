"""Few learned queries in place of a long memory.

The resampler of Flamingo (Alayrac et al., NeurIPS 2022, https://arxiv.org/abs/2204.14198) in its
plain form: learned queries attend to the memory, layer by layer.
"""
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from rscc.models.attention import BatchFirstAttention
from rscc.models.contracts import FeatureSpec, Need
from rscc.models.fusion.base import Fusion
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures, FrameFeatures


class ResamplerLayer(nn.Module):
    """Pre-norm cross-attention to the memory, then a feed-forward block.

    Args:
        channels: Width C.
        num_heads: Attention heads; divides C.
        dropout: Dropout of the attention.
    """

    def __init__(self, channels: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_query = nn.LayerNorm(channels)
        self.norm_memory = nn.LayerNorm(channels)
        self.attention = BatchFirstAttention(channels, num_heads, dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 4 * channels), nn.GELU(),
            nn.Linear(4 * channels, channels))

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Update queries (N, Q, C) from memory (N, L, C)."""
        # The queries are part of what is attended to, so they can divide the work.
        asked = self.norm_query(queries)
        keys = torch.cat([self.norm_memory(memory), asked], 1)  # (N, L + Q, C)
        found, _ = self.attention(asked, keys, keys, need_weights=False)
        queries = queries + found  # residual, and a perceptron of four times the width
        return queries + self.feed_forward(queries)


@MODELS.register_module()
class QueryResampler(Fusion):
    """Shorten the memory of another fusion to ``num_queries`` tokens.

    Decoding cost grows with the memory: 32 tokens instead of three times 257 make beam search
    about as cheap as greedy. Maps and pooled vectors of the inner fusion pass through.

    Args:
        fusion: Config of the fusion whose tokens are resampled, ``DifferenceFusion`` for instance.
        channels: Token width C.
        num_queries: Tokens kept.
        num_layers: Layers.
        num_heads: Attention heads; divides C.
        dropout: Dropout of the attention.
    """

    def __init__(self, fusion: dict, channels: int, num_queries: int = 32, num_layers: int = 2,
                 num_heads: int = 8, dropout: float = 0.0) -> None:
        super().__init__()
        self.fusion = MODELS.build(fusion)
        self.channels = channels
        self.time_steps, self.otherwise = self.fusion.time_steps, self.fusion.otherwise
        self.queries = nn.Parameter(torch.randn(num_queries, channels) * 0.02)
        self.layers = nn.ModuleList(
            ResamplerLayer(channels, num_heads, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(channels)

    @property
    def title(self) -> str:
        """Name in messages, with that of the inner fusion, which does the reading."""
        return f'QueryResampler of {self.fusion.title}'

    def needs(self) -> Sequence[Need]:
        """Return what the inner fusion reads."""
        return self.fusion.needs()

    def gives(self, frames: FeatureSpec, time_steps: int) -> FeatureSpec:
        """Return what the inner fusion gives, and as wide tokens.

        Raises:
            ValueError: If the inner fusion gives tokens of another width.
        """
        fused = self.fusion.gives(frames, time_steps)
        misfit = Need('tokens', self.channels, 'channels').misfit('QueryResampler', fused)
        if misfit:
            raise ValueError(misfit)
        return replace(fused, source=self.title, tokens=self.channels)

    def fuse(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse, then resample tokens (N, L, C) to (N, num_queries, C)."""
        fused = self.fusion(features)
        # The same learned queries for every sample, (N, Q, C), updated layer by layer.
        queries = self.queries.expand(fused.tokens.shape[0], -1, -1)
        for layer in self.layers:
            queries = layer(queries, fused.tokens)
        return ChangeFeatures(maps=fused.maps, tokens=self.norm(queries), pooled=fused.pooled,
                              text=fused.text)
