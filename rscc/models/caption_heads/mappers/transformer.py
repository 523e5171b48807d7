"""A prefix by a transformer.

Paper: Mokady et al., ClipCap: CLIP Prefix for Image Captioning, 2021,
https://arxiv.org/abs/2111.09734.
"""
import torch
from torch import Tensor, nn
from torch.nn import functional

from rscc.registry import MODELS


class PrefixAttention(nn.Module):
    """Multi-head self-attention, queries and keys with values each by one projection.

    Args:
        channels: Width E.
        num_heads: Number H of heads, each of width d = E / H.
        query_bias: Give the query projection a bias (what ``AMHTMapper.fold`` needs).
    """

    def __init__(self, channels: int, num_heads: int, query_bias: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(channels, channels, bias=query_bias)
        self.key_value = nn.Linear(channels, 2 * channels, bias=False)
        self.project = nn.Linear(channels, channels)

    def queries(self, tokens: Tensor) -> Tensor:
        """Return the queries (N, H, L, d) of tokens (N, L, E)."""
        return self._split(self.query(tokens))

    def _split(self, values: Tensor) -> Tensor:
        return values.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Let every token (N, L, E) attend to all."""
        key, value = map(self._split, self.key_value(tokens).chunk(2, dim=2))
        seen = functional.scaled_dot_product_attention(self.queries(tokens), key, value)
        return self.project(seen.transpose(1, 2).flatten(2))

    def maps(self, tokens: Tensor) -> Tensor:
        """Return what each token attends to, (N, H, L, L); the last axis sums to 1."""
        query = self.queries(tokens)
        key = self._split(self.key_value(tokens).chunk(2, dim=2)[0])
        return (query @ key.transpose(2, 3) / query.shape[3]**0.5).softmax(3)


class PrefixBlock(nn.Module):
    """Pre-norm attention and a ReLU perceptron of twice the width, each with its shortcut.

    Args:
        attn: The attention.
        channels: Width E.
    """

    def __init__(self, attn: PrefixAttention, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attn = attn
        self.mlp = nn.Sequential(nn.Linear(channels, 2 * channels), nn.ReLU(),
                                 nn.Linear(2 * channels, channels))

    def forward(self, tokens: Tensor) -> Tensor:
        """Refine tokens (N, L, E)."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


@MODELS.register_module()
class TransformerMapper(nn.Module):
    """P learned constants that attend to the image: what they become is the prefix.

    An image vector is first spread over C tokens; image tokens (ours; ClipCap reads one vector) are
    taken as they are, each projected to the width of the language model.

    Args:
        in_channels: Width D of the image vector, or of the image tokens.
        out_channels: Width E of the language model.
        prefix_length: Number P of constants.
        input_length: Number C of tokens that a vector is spread over; P if None. Tokens bring their
            own number.
        num_layers: Layers.
        num_heads: Attention heads; they divide E.
        query_bias: Give query projections a bias.
        from_tokens: Read tokens (N, L, D) in place of a vector (N, D).

    Raises:
        ValueError: If the heads do not divide the width, or ``input_length`` is given for tokens.
    """

    def __init__(self, in_channels: int, out_channels: int, prefix_length: int,
                 input_length: int | None = None, num_layers: int = 8, num_heads: int = 8,
                 query_bias: bool = False, from_tokens: bool = False) -> None:
        super().__init__()
        if out_channels % num_heads:
            raise ValueError(f'{type(self).__name__}: num_heads={num_heads} does not divide the '
                             f"language model's width {out_channels}")
        if from_tokens and input_length is not None:
            raise ValueError(f'{type(self).__name__}: input_length={input_length} spreads a vector '
                             "over tokens; source='tokens' brings its own, leave it out")
        self.width, self.prefix_length = out_channels, prefix_length
        self.input_length = 1 if from_tokens else input_length or prefix_length
        self.num_heads, self.from_tokens = num_heads, from_tokens
        self.project = nn.Linear(in_channels, self.input_length * out_channels)
        self.constant = nn.Parameter(torch.randn(prefix_length, out_channels))
        self.blocks = nn.Sequential(*(
            PrefixBlock(PrefixAttention(out_channels, num_heads, query_bias), out_channels)
            for _ in range(num_layers)))

    def tokens(self, features: Tensor) -> Tensor:
        """Return what enters the layers (N, C + P, E) or (N, L + P, E): image, then constants."""
        image = self.project(features)
        image = image if self.from_tokens else image.unflatten(1, (-1, self.width))
        return torch.cat([image, self.constant.expand(len(image), -1, -1)], 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map vectors (N, D), or tokens (N, L, D), to prefixes (N, P, E)."""
        return self.blocks(self.tokens(features))[:, -self.prefix_length:]
