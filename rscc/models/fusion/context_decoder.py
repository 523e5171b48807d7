"""Text embeddings that look at the image.

Papers: Rao et al., DenseCLIP, CVPR 2022, https://arxiv.org/abs/2112.01518 (vision-to-language
prompting); Dong et al., ChangeCLIP, ISPRS J. 208 (2024) 53-69,
https://doi.org/10.1016/j.isprsjprs.2024.01.004.
"""
import torch.nn.functional as F
from torch import Tensor, nn


class ContextDecoder(nn.Module):
    """A small transformer decoder: texts attend to each other, then to the visual tokens.

    Args:
        channels: Width C of texts and visual tokens.
        width: Inner width.
        heads: Attention heads.
        layers: Number of layers.
        dropout: After every sub-layer and inside the feed-forward part.
    """

    def __init__(self, channels: int, width: int = 256, heads: int = 4, layers: int = 3,
                 dropout: float = 0.1) -> None:
        super().__init__()
        self.memory_proj = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, width), nn.LayerNorm(width))
        self.text_proj = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width))
        self.layers = nn.ModuleList(_Layer(width, heads, dropout) for _ in range(layers))
        self.out_proj = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, channels))
        self.apply(_initialise)

    def forward(self, text: Tensor, visual: Tensor) -> Tensor:
        """Return what the image adds to each text.

        Args:
            text: Text embeddings (M, K, C).
            visual: Visual tokens (M, L, C) of the same images.

        Returns:
            (M, K, C).
        """
        memory, text = self.memory_proj(visual), self.text_proj(text)
        for layer in self.layers:
            text = layer(text, memory)
        return self.out_proj(text)


class _Layer(nn.Module):

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.self_attn, self.cross_attn = _Attention(width, heads), _Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, text: Tensor, memory: Tensor) -> Tensor:
        normed = self.norm1(text)
        text = text + self.dropout(self.self_attn(normed, normed))
        text = text + self.dropout(self.cross_attn(self.norm2(text), memory))
        return text + self.dropout(self.mlp(self.norm3(text)))


class _Attention(nn.Module):
    """Multi-head attention without biases on queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (
            nn.Linear(width, width, bias=False) for _ in range(3))
        self.proj = nn.Linear(width, width)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        q, k, v = (layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for layer, tokens in ((self.q_proj, queries), (self.k_proj, memory),
                                         (self.v_proj, memory)))
        attended = F.scaled_dot_product_attention(q, k, v)
        return self.proj(attended.transpose(1, 2).flatten(2))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
