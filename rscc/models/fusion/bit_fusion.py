"""BIT: both dates summed up in a few semantic tokens, which refine every place of their maps.

Paper: Chen, Qi, Shi, Remote Sensing Image Change Detection with Transformers, TGRS 2021,
https://arxiv.org/abs/2103.00208. Written from the paper and from the shapes of the published model.
"""
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rscc.models.attention import InnerAttention
from rscc.models.contracts import FeatureSpec, Need, whole
from rscc.models.fusion.base import Fusion, difference_vector
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures, FrameFeatures


class SemanticTokenizer(nn.Module):
    """Sum a map up in K tokens, each the mean of all places by weights of its own.

    Args:
        channels: Width C.
        num_tokens: Tokens K.
    """

    def __init__(self, channels: int, num_tokens: int) -> None:
        super().__init__()
        self.attend = nn.Linear(channels, num_tokens, bias=False)

    def forward(self, places: Tensor) -> Tensor:
        """Return tokens (M, K, C) of places (M, h*w, C)."""
        # A = softmax over places of W x; tokens are A^T X.
        return self.attend(places).softmax(1).transpose(1, 2) @ places


class TokenLayer(nn.Module):
    """Pre-norm attention to a memory and a perceptron, each added to what comes.

    Args:
        channels: Width C.
        num_heads: Attention heads.
        head_dims: Width of a head.
        hidden_dims: Width inside the perceptron.
        dropout: Inside, 0 to 1.
    """

    def __init__(self, channels: int, num_heads: int, head_dims: int, hidden_dims: int,
                 dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.attention = InnerAttention(channels, num_heads * head_dims, num_heads, dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, hidden_dims), nn.GELU(),
            nn.Dropout(dropout), nn.Linear(hidden_dims, channels), nn.Dropout(dropout))

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Update queries (M, L, C) from a memory (M, K, C), which has the same norm."""
        queries = queries + self.attention(self.norm(queries), self.norm(memory))
        return queries + self.feed_forward(queries)


@MODELS.register_module()
class BITFusion(Fusion):
    """Semantic tokens of both dates, a transformer over them, and back to the places of each date.

    The tokens of the encoder, as a map, are doubled in resolution and narrowed to C channels. A
    tokenizer sums up each date in K tokens; a transformer encoder runs over those of both dates
    together; decoder layers let every place of a date read the tokens of that date. The fused map
    is the absolute difference of both dates, for ``EnlargedConvHead``; the semantic tokens are the
    memory of a caption head beside it.

    With a ResNet-18 of three stages, the last without stride, this is BIT
    (``configs/bit_levircd.py``). Attention is scaled by the width of a head.

    Args:
        channels: Width of the encoder's tokens. A class token is left out.
        dims: Width C.
        num_tokens: Semantic tokens K of each date.
        encoder_layers: Layers over the semantic tokens.
        decoder_layers: Layers from places to semantic tokens.
        num_heads: Attention heads.
        head_dims: Width of a head in the encoder.
        decoder_head_dims: Width of a head in the decoder; 8 in one of the published models.
        hidden_dims: Width inside the perceptrons.
        upsample: Factor of the resolution before anything else.
        dropout: Inside the layers, 0 to 1.
    """

    def __init__(self, channels: int, dims: int = 32, num_tokens: int = 4, encoder_layers: int = 1,
                 decoder_layers: int = 8, num_heads: int = 8, head_dims: int = 64,
                 decoder_head_dims: int = 64, hidden_dims: int = 64, upsample: int = 2,
                 dropout: float = 0.0) -> None:
        super().__init__()
        self.channels, self.dims, self.upsample = channels, dims, upsample
        self.narrow = nn.Conv2d(channels, dims, 3, padding=1)
        self.tokenizer = SemanticTokenizer(dims, num_tokens)
        # A code for each token of either date; the encoder knows by it which date it is of.
        self.positions = nn.Parameter(torch.randn(1, 2 * num_tokens, dims))
        self.encoder = nn.ModuleList(
            TokenLayer(dims, num_heads, head_dims, hidden_dims, dropout)
            for _ in range(encoder_layers))
        self.decoder = nn.ModuleList(
            TokenLayer(dims, num_heads, decoder_head_dims, hidden_dims, dropout)
            for _ in range(decoder_layers))

    def needs(self) -> Sequence[Need]:
        """Return tokens of the encoder's width that lie on a grid."""
        return [Need('tokens', self.channels, 'channels', placed=True)]

    def gives(self, frames: FeatureSpec, time_steps: int) -> FeatureSpec:
        """Return one map, and semantic tokens that have no place."""
        stride = frames.token_stride
        strides = None if stride is None else (whole(stride / self.upsample), )
        return replace(frames, source='BITFusion', maps=(self.dims, ), strides=strides,
                       tokens=self.dims, token_stride=None, placed=False, pooled=3 * self.dims,
                       time_steps=time_steps)

    def fuse(self, features: FrameFeatures) -> ChangeFeatures:
        """Fuse a pair.

        Args:
            features: Tokens (N, 2, L, C_in) with ``token_grid`` (h, w).

        Returns:
            One map (N, C, upsample*h, upsample*w); tokens (N, 2K, C), those of the earlier date
            first; pooled (N, 3C) of the refined places.
        """
        # Maps of either date, (2N, C_in, h, w), enlarged and narrowed to C channels.
        grid = features.token_grid
        patches = features.tokens[:, :, -(grid[0] * grid[1]):].flatten(0, 1)
        maps = patches.transpose(1, 2).unflatten(2, grid)
        if self.upsample != 1:
            maps = F.interpolate(maps, scale_factor=self.upsample, mode='bilinear',
                                 align_corners=False)
        maps = self.narrow(maps)
        places = maps.flatten(2).transpose(1, 2)
        # Semantic tokens of both dates in one row, (N, 2K, C), through the encoder.
        tokens = self.tokenizer(places).unflatten(0, (-1, 2)).flatten(1, 2) + self.positions
        for layer in self.encoder:
            tokens = layer(tokens, tokens)
        # Every place (2N, h*w, C) reads the tokens of its own date, (2N, K, C).
        own = tokens.unflatten(1, (2, -1)).flatten(0, 1)
        for layer in self.decoder:
            places = layer(places, own)
        dates = places.unflatten(0, (-1, 2))
        difference = (dates[:, 1] - dates[:, 0]).abs()
        return ChangeFeatures(
            maps=[difference.transpose(1, 2).unflatten(2, maps.shape[-2:])], tokens=tokens,
            pooled=difference_vector(FrameFeatures(tokens=dates)))
