"""The transformer mapper with a matrix and a vector a head between queries and keys.

Paper: Song, Zhao, Yu, Enhanced CLIP-GPT Framework for Cross-Lingual Remote Sensing Image
Captioning, IEEE Access 13 (2025) 904-915, https://doi.org/10.1109/ACCESS.2024.3522585.
"""
import torch
from torch import Tensor, nn

from rscc.models.caption_heads.mappers.transformer import PrefixAttention, TransformerMapper
from rscc.registry import MODELS
from rscc.utils import did_you_mean

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
        in_channels, out_channels, prefix_length, input_length, num_layers, num_heads, query_bias,
            from_tokens: As for ``TransformerMapper``.
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
        state = {name: value for name, value in self.state_dict().items()
                 if '.attn.adaptation' not in name}
        for number, block in enumerate(self.blocks):
            weight, bias = block.attn.folded_query()
            state |= {f'blocks.{number}.attn.query.weight': weight,
                      f'blocks.{number}.attn.query.bias': bias}
        plain.load_state_dict(state)
        return plain.train(self.training)
