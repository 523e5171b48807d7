"""The denoising network of KD-RSCC: noisy words and a memory of the images in, clean words out.

Paper: Yu, Ma, Qiao, KD-RSCC, IEEE GRSL 22 (2025), https://doi.org/10.1109/LGRS.2025.3608489.
Self-conditioning: Chen et al., Analog Bits, ICLR 2023, https://arxiv.org/abs/2208.04202.
"""
from abc import ABC, abstractmethod
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rscc.models.diffusion.denoiser_layers import (
    AlignmentBlock,
    FourierFeatures,
    LevelNorm,
    LocalMixing,
    Memory,
    MemoryAttention,
    RefinementLayer,
    WordAttention,
)
from rscc.models.generation.attended import cross_attention_rollout
from rscc.registry import MODELS
from rscc.utils import did_you_mean

ALIGNMENTS = ('once', 'every_layer')


class Denoiser(nn.Module, ABC):
    """Base class of networks that a head of whole captions asks for the words of its rows.

    Attributes:
        max_positions: The longest caption, in ids.
        self_conditioning: Whether the last estimate is read beside the words.
    """

    max_positions: int
    self_conditioning: bool = False

    @abstractmethod
    def remember(self, memory: Tensor) -> list[Memory]:
        """Return keys and values of a memory (N, M, C), for any number of calls."""

    @abstractmethod
    def forward(self, words: Tensor, level: Tensor, memories: list[Memory],
                previous: Tensor | None = None) -> Tensor:
        """Estimate F.

        Args:
            words: Word vectors (R, L, C), noisy ones scaled by c_in, K rows of every sample in
                turn.
            level: c_noise, or the share of masks (R,).
            memories: What ``remember`` returned for N samples; R = N * K.
            previous: Last estimate of the clean vectors (R, L, C) for self-conditioning; None is
                no estimate yet.

        Returns:
            F (R, L, C), or (R, L, out_channels).
        """

    def look(self, *given: Any) -> Tensor:
        """Return where each word looks: its shares (R, L, M) of the memory, which sum to one.

        One more pass, whose attention weights are rolled out over the layers.

        Args:
            *given: What :meth:`forward` takes.
        """
        seen: list[tuple[Tensor | None, Tensor | None]] = []
        hooks = [part.register_forward_pre_hook(partial(_note, seen)) for part in self.modules()
                 if isinstance(part, WordAttention | MemoryAttention)]
        try:
            self(*given)
        finally:
            for hook in hooks:
                hook.remove()
        return cross_attention_rollout(seen)


@MODELS.register_module()
class ChangeDenoiser(Denoiser):
    """Network F(c_in x, c_noise, memory) of the preconditioned denoiser.

    ``words -> perceptron, + position, + noise level -> alignment with the memory -> refinement
    layers -> perceptron``. The defaults are the published network; it lacks
    ``alignment='every_layer'``, ``residual``, ``adaptive_norm``, ``self_conditioning`` and
    ``local_layers``.

    Args:
        channels: Width C of the word vectors.
        memory_channels: Width of the memory.
        out_channels: Width of what is estimated; C if None.
        hidden_dims: Width H.
        num_layers: Refinement layers. (The published config says 12 and its code builds 3.)
        num_heads: Heads of the words' attention; they divide H.
        feedforward_dims: Hidden width of the refinement layers.
        max_positions: Rows of the position table: the longest caption.
        alignment: ``'once'``: one block before post-norm layers. ``'every_layer'``: attention to
            the memory within every layer, with residuals and norms first.
        alignment_heads: Heads of the attention to the memory.
        alignment_dims: Width of those heads together.
        alignment_feedforward: Hidden width of the perceptron of the single block; layers have
            their own.
        residual: Let the words pass the single block; every layer always does.
        attention_dropout: Of all attention weights, 0 to 1.
        alignment_dropout: After the perceptron of the single block, 0 to 1.
        adaptive_norm: Let the noise level scale and shift every norm, not only be added once.
        self_conditioning: Read the last estimate beside the noisy words.
        local_layers: Convolutions over neighbouring words before everything else.

    Raises:
        ValueError: If ``alignment`` is unknown, or heads do not divide a width.
    """

    def __init__(self, channels: int, memory_channels: int, out_channels: int | None = None,
                 hidden_dims: int = 768, num_layers: int = 3, num_heads: int = 12,
                 feedforward_dims: int = 3072, max_positions: int = 512,
                 alignment: str = 'once', alignment_heads: int = 8,
                 alignment_dims: int = 2048, alignment_feedforward: int = 128,
                 residual: bool = False, attention_dropout: float = 0.1,
                 alignment_dropout: float = 0.1, adaptive_norm: bool = False,
                 self_conditioning: bool = False, local_layers: int = 0) -> None:
        super().__init__()
        if alignment not in ALIGNMENTS:
            raise ValueError(f"ChangeDenoiser alignment='{alignment}' is none of "
                             f'{list(ALIGNMENTS)}.{did_you_mean(alignment, ALIGNMENTS)}')
        # What words, positions and noise level become before they are added: width H each.
        self.max_positions, self.self_conditioning = max_positions, self_conditioning
        self.words_in = _perceptron((2 if self_conditioning else 1) * channels, hidden_dims,
                                    hidden_dims)
        self.local = nn.Sequential(*(LocalMixing(hidden_dims) for _ in range(local_layers)))
        self.words_out = _perceptron(hidden_dims, hidden_dims, out_channels or channels)
        self.positions = nn.Embedding(max_positions, hidden_dims)
        self.level_features = FourierFeatures(hidden_dims)
        self.level_in = nn.Linear(hidden_dims, hidden_dims, bias=False)

        # Attention to the memory, once before the layers or inside each of them.
        level_dims = hidden_dims if adaptive_norm else None

        def memory_attention() -> MemoryAttention:
            return MemoryAttention(hidden_dims, memory_channels, alignment_heads, alignment_dims,
                                   attention_dropout)

        once = alignment == 'once'
        self.alignment = AlignmentBlock(
            memory_attention(), hidden_dims, alignment_feedforward, alignment_dropout, residual,
            level_dims) if once else None
        # After the block, or after layers that normalise what enters them.
        self.norm = LevelNorm(hidden_dims, 1e-12, level_dims)
        self.layers = nn.ModuleList(
            RefinementLayer(hidden_dims, num_heads, feedforward_dims, attention_dropout,
                            None if once else memory_attention(), norm_first=not once,
                            level_dims=level_dims) for _ in range(num_layers))

    def remember(self, memory: Tensor) -> list[Memory]:
        """Return keys and values of a memory (N, M, C), of every part that reads it."""
        blocks = self.layers if self.alignment is None else [self.alignment]
        return [block.remember(memory) for block in blocks]

    def forward(self, words: Tensor, level: Tensor, memories: list[Memory],
                previous: Tensor | None = None) -> Tensor:
        """Estimate F (R, L, out_channels); see ``Denoiser``."""
        # Beside the noisy words their last estimate (R, L, 2 C), zeros where there is none.
        if self.self_conditioning:
            previous = torch.zeros_like(words) if previous is None else previous
            words = torch.cat([words, previous], -1)

        # Words, positions and noise level (R, H), added up to (R, L, H).
        sigma = self.level_in(self.level_features(level))
        hidden = self.local(self.words_in(words))
        hidden = hidden + self.positions.weight[:words.shape[1]] + sigma[:, None]

        # Semantic-spatial alignment as published, then layers without the memory.
        if self.alignment is not None:
            hidden = self.norm(self.alignment(hidden, memories[0], sigma), sigma)
            memories = [None] * len(self.layers)

        # Refinement; each layer has its own keys and values where it attends to the memory.
        for layer, memory in zip(self.layers, memories, strict=True):
            hidden = layer(hidden, memory, sigma)
        if self.alignment is None:
            hidden = self.norm(hidden, sigma)
        return self.words_out(hidden)


def _note(seen: list[tuple[Tensor | None, Tensor | None]], part: nn.Module,
          given: tuple[Any, ...]) -> None:
    """Note the weights of an attention that is about to run: of words, or over the memory."""
    weights = part.weights(*given)
    seen.append((weights, None) if isinstance(part, WordAttention) else (None, weights))


def _perceptron(entering: int, hidden: int, leaving: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(entering, hidden), nn.Tanh(), nn.Linear(hidden, leaving))
