"""A prefix by a multilayer perceptron.

Paper: Mokady et al., ClipCap: CLIP Prefix for Image Captioning, 2021,
https://arxiv.org/abs/2111.09734.
"""
from torch import Tensor, nn

from rscc.registry import MODELS


@MODELS.register_module()
class MLPMapper(nn.Module):
    """``Linear, Tanh, Linear``: one image vector to P embeddings.

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
        total = prefix_length * out_channels
        hidden = total // 2 if hidden_channels is None else hidden_channels
        self.shape = (prefix_length, out_channels)
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hidden), nn.Tanh(), nn.Linear(hidden, total)
        ) if hidden else nn.Sequential(nn.Linear(in_channels, total))

    def forward(self, vectors: Tensor) -> Tensor:
        """Map vectors (N, D) to prefixes (N, P, E)."""
        return self.layers(vectors).unflatten(1, self.shape)
