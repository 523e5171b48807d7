"""Mappers of ClipCap and CLIP-GPT: image features to the prefix of a language model.

``MLPMapper`` and ``TransformerMapper`` are ClipCap's (Mokady et al., ClipCap: CLIP Prefix for Image
Captioning, 2021, https://arxiv.org/abs/2111.09734); ``AMHTMapper`` is CLIP-GPT's (Song, Zhao, Yu,
Enhanced CLIP-GPT Framework for Cross-Lingual Remote Sensing Image Captioning, IEEE Access 13 (2025)
904-915, https://doi.org/10.1109/ACCESS.2024.3522585).
"""
import torch
from torch import Tensor, nn
from torch.nn import functional

from rscc.models.attention import merge_heads, split_heads
from rscc.registry import MODELS
from rscc.utils import did_you_mean


@MODELS.register_module()
class MLPMapper(nn.Module):
    """Perceptron (Linear, Tanh, Linear) from one image vector to P embeddings.

    Args:
        in_channels: Width D of the image vector.
        out_channels: Width E of the language model.
        prefix_length: Number P of embeddings.
        hidden_channels: Width between the layers; P * E / 2 (rounded down) if None, as ClipCap has
            it; 0 leaves a single linear layer.
        from_tokens: Must be off: this mapper reads one vector an image.

    Raises:
        ValueError: If tokens are to be mapped.
    """

    def __init__(self, in_channels: int, out_channels: int, prefix_length: int,
                 hidden_channels: int | None = None, from_tokens: bool = False) -> None:
        super().__init__()
        if from_tokens:
            raise ValueError("MLPMapper maps one vector an image, not source='tokens': take "
                             "TransformerMapper or AMHTMapper, or source='pooled'")
        # D -> P E / 2 -> P E, all embeddings at once.
        total = prefix_length * out_channels
        hidden = total // 2 if hidden_channels is None else hidden_channels
        self.shape = (prefix_length, out_channels)
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hidden), nn.Tanh(), nn.Linear(hidden, total)
        ) if hidden else nn.Sequential(nn.Linear(in_channels, total))

    def forward(self, vectors: Tensor) -> Tensor:
        """Map vectors (N, D) to prefixes (N, P, E)."""
        return self.layers(vectors).unflatten(1, self.shape)


@MODELS.register_module()
class ProjectionMapper(nn.Module):
    """Perceptron that turns every token into one embedding, as LLaVA's projector does.

    The tokens are few already (``QueryResampler``), so that P of them are the prefix. LLaVA: Liu et
    al., Improved Baselines with Visual Instruction Tuning, CVPR 2024,
    https://arxiv.org/abs/2310.03744.

    Args:
        in_channels: Width D of the tokens.
        out_channels: Width E of the language model.
        prefix_length: Number P of tokens that there must be.
        hidden_channels: Width between the two layers; E if None, 0 leaves a single linear layer.
        from_tokens: Must be on: this mapper reads tokens.

    Raises:
        ValueError: If a pooled vector is to be mapped.
    """

    def __init__(self, in_channels: int, out_channels: int, prefix_length: int,
                 hidden_channels: int | None = None,
                 from_tokens: bool = True) -> None:
        super().__init__()
        if not from_tokens:
            raise ValueError("ProjectionMapper maps tokens, one by one, not source='pooled': set "
                             "source='tokens', or take MLPMapper")
        hidden = out_channels if hidden_channels is None else hidden_channels
        self.prefix_length = prefix_length
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hidden), nn.GELU(), nn.Linear(hidden, out_channels)
        ) if hidden else nn.Sequential(nn.Linear(in_channels, out_channels))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (N, P, D) to prefixes (N, P, E).

        Raises:
            ValueError: If there are not P tokens.
        """
        # An exported graph takes any number, of which only this one comes.
        if not torch.compiler.is_compiling() and tokens.shape[1] != self.prefix_length:
            raise ValueError(f'ProjectionMapper makes one embedding of each of {tokens.shape[1]} '
                             f'tokens, and prefix_length={self.prefix_length}: set them alike '
                             '(num_queries of QueryResampler)')
        return self.layers(tokens)


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
        return split_heads(self.query(tokens), self.num_heads)

    def forward(self, tokens: Tensor) -> Tensor:
        """Let every token (N, L, E) attend to all."""
        # (N, H, L, d) each, and back to (N, L, E).
        key, value = (split_heads(part, self.num_heads)
                      for part in self.key_value(tokens).chunk(2, dim=2))
        seen = functional.scaled_dot_product_attention(self.queries(tokens), key, value)
        return self.project(merge_heads(seen))

    def maps(self, tokens: Tensor) -> Tensor:
        """Return what each token attends to, (N, H, L, L); the last axis sums to 1."""
        # Softmax of q k / sqrt(d) over the keys.
        query = self.queries(tokens)
        key = split_heads(self.key_value(tokens).chunk(2, dim=2)[0], self.num_heads)
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
    """Transformer in which P learned constants attend to the image and become the prefix.

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
        # (N, D) -> (N, C, E), or (N, L, D) -> (N, L, E), beside P constants.
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
        # A vector becomes C tokens; image tokens are projected one by one.
        image = self.project(features)
        image = image if self.from_tokens else image.unflatten(1, (-1, self.width))
        return torch.cat([image, self.constant.expand(len(image), -1, -1)], 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map vectors (N, D), or tokens (N, L, D), to prefixes (N, P, E)."""
        return self.blocks(self.tokens(features))[:, -self.prefix_length:]


INITS = ('he3d', 'he', 'identity')


class AdaptiveAttention(PrefixAttention):
    """Attention whose queries pass a matrix of their head: ``q_h A_h + b_h``.

    Args:
        channels: Width E.
        num_heads: Number H of heads, each of width d.
        query_bias: As for ``PrefixAttention``.
        init: How A starts, see ``AMHTMapper``; b starts at 0.
    """

    def __init__(self, channels: int, num_heads: int, query_bias: bool = False,
                 init: str = 'he3d') -> None:
        super().__init__(channels, num_heads, query_bias)
        # A (H, d, d) and b (H, d).
        width = channels // num_heads
        self.adaptation = nn.Parameter(torch.eye(width).repeat(num_heads, 1, 1))
        self.adaptation_bias = nn.Parameter(torch.zeros(num_heads, width))
        if init != 'identity':
            # He's rule for uniform numbers, |a| <= sqrt(6 / inputs). The published initialiser sees
            # a tensor with three axes and takes d * d for the number of inputs.
            inputs = width**2 if init == 'he3d' else width
            nn.init.uniform_(self.adaptation, -(6 / inputs)**0.5, (6 / inputs)**0.5)

    def queries(self, tokens: Tensor) -> Tensor:
        """Return the adapted queries (N, H, L, d) of tokens (N, L, E)."""
        return super().queries(tokens) @ self.adaptation + self.adaptation_bias[:, None]

    def folded_query(self) -> tuple[Tensor, Tensor]:
        """Return weight (E, E) and bias (E,) of the plain projection that gives these queries."""
        # (W t + c) A + b = (A' W) t + A' c + b, head by head.
        transposed = self.adaptation.transpose(1, 2)
        weight = transposed @ self.query.weight.unflatten(0, (self.num_heads, -1))
        bias = self.adaptation_bias
        if self.query.bias is not None:
            own = self.query.bias.unflatten(0, (self.num_heads, -1))
            bias = bias + (transposed @ own[..., None])[..., 0]
        return weight.flatten(0, 1), bias.flatten()


@MODELS.register_module()
class AMHTMapper(TransformerMapper):
    """Adaptive multi-head transformer: ``TransformerMapper`` with adaptive queries.

    The matrices do not depend on the image, so after training they are no more than a projection
    with a bias: ``fold`` writes them into a ``TransformerMapper`` that gives the same prefixes.

    Args:
        in_channels, out_channels, prefix_length, input_length: As for ``TransformerMapper``.
        num_layers, num_heads, query_bias, from_tokens: As for ``TransformerMapper``.
        init: How the d x d matrices start: ``'he3d'`` as published (entries within sqrt(6) / d,
            which shrinks the queries, so attention starts almost uniform), ``'he'`` (within
            sqrt(6 / d)), ``'identity'`` (starts as plain attention).

    Raises:
        ValueError: If ``init`` is unknown (the nearest name is given), or as for
            ``TransformerMapper``.
    """

    def __init__(self, in_channels: int, out_channels: int, prefix_length: int,
                 input_length: int | None = None, num_layers: int = 8, num_heads: int = 8,
                 query_bias: bool = False, from_tokens: bool = False, init: str = 'he3d') -> None:
        super().__init__(in_channels, out_channels, prefix_length, input_length, num_layers,
                         num_heads, query_bias, from_tokens)
        if init not in INITS:
            raise ValueError(f"AMHTMapper has no init='{init}', only {list(INITS)}."
                             f'{did_you_mean(init, INITS)}')
        for block in self.blocks:
            block.attn = AdaptiveAttention(out_channels, num_heads, query_bias, init)

    @torch.no_grad()
    def fold(self) -> TransformerMapper:
        """Return a ``TransformerMapper`` with a query bias that gives the same prefixes."""
        plain = TransformerMapper(
            self.project.in_features, self.width, self.prefix_length,
            input_length=None if self.from_tokens else self.input_length,
            num_layers=len(self.blocks), num_heads=self.num_heads, query_bias=True,
            from_tokens=self.from_tokens).to(self.constant)

        # Everything but the matrices as it is, the query projections with them folded in.
        state = {name: value for name, value in self.state_dict().items()
                 if '.attn.adaptation' not in name}
        for number, block in enumerate(self.blocks):
            weight, bias = block.attn.folded_query()
            state |= {f'blocks.{number}.attn.query.weight': weight,
                      f'blocks.{number}.attn.query.bias': bias}
        plain.load_state_dict(state)
        return plain.train(self.training)
