"""A denoiser with the layers of a word-by-word decoder, whose weights it can start from.

Taking over a decoder that writes from left to right for one that finds all words at once: Guo et
al., Fine-Tuning by Curriculum Learning for Non-Autoregressive Machine Translation, AAAI 2020,
https://arxiv.org/abs/1911.08717.
"""
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rscc.models.diffusion.denoiser import Denoiser
from rscc.models.diffusion.denoiser_layers import (
    LocalMixing,
    Memory,
    MemoryAttention,
    RefinementLayer,
)
from rscc.registry import MODELS

EPS = 1e-12  # of BERT's norms
#: Parts of the published decoder, as transformers names them -> ours.
_NAMES = {
    r'bert\.embeddings\.position_embeddings': 'positions',
    r'bert\.embeddings\.LayerNorm': 'norm',
    r'bert\.encoder\.layer\.(\d+)\.attention\.output\.dense': r'layers.\1.word_attention.project',
    r'bert\.encoder\.layer\.(\d+)\.attention\.output\.LayerNorm': r'layers.\1.norms.0',
    r'bert\.encoder\.layer\.(\d+)\.crossattention\.self\.(query|key|value)':
        r'layers.\1.memory_attention.\2',
    r'bert\.encoder\.layer\.(\d+)\.crossattention\.output\.dense':
        r'layers.\1.memory_attention.project',
    r'bert\.encoder\.layer\.(\d+)\.crossattention\.output\.LayerNorm': r'layers.\1.norms.1',
    r'bert\.encoder\.layer\.(\d+)\.intermediate\.dense': r'layers.\1.feed_forward.0',
    r'bert\.encoder\.layer\.(\d+)\.output\.dense': r'layers.\1.feed_forward.2',
    r'bert\.encoder\.layer\.(\d+)\.output\.LayerNorm': r'layers.\1.norms.2',
    r'cls\.predictions\.transform\.dense': 'words_out.0',
    r'cls\.predictions\.transform\.LayerNorm': 'words_out.2',
    r'cls\.predictions\.decoder': 'words_out.3',
}
_QUERY = re.compile(r'bert\.encoder\.layer\.(\d+)\.attention\.self\.query\.(weight|bias)')
#: Weights by which such a decoder is known, and its word vectors.
POSITIONS = 'bert.embeddings.position_embeddings.weight'
_WORDS = 'bert.embeddings.word_embeddings.weight'


@MODELS.register_module()
class DecoderDenoiser(Denoiser):
    """BERT-like layers that attend to the memory, each word looking both ways.

    ``words + position -> local layers -> norm -> layers (words, memory, perceptron) ->
    perceptron``: but for the local layers the decoder of ``BlipCaptionHead`` without its causal
    mask. A ``MaskedCaptionHead`` that loads the checkpoint of such a captioner begins with its
    decoder, :func:`weights_of_decoder`.

    Args:
        channels: Width C of the word vectors and of all layers.
        memory_channels: Width of the memory.
        out_channels: Width of what is estimated; C if None.
        num_layers: Layers.
        num_heads: Heads of both attentions; they divide C. Weights do not tell how many they were
            trained with: give those of the decoder.
        feedforward_dims: Hidden width of the perceptrons (exact GELU).
        max_positions: Rows of the position table: the longest caption.
        local_layers: Convolutions over neighbouring words before everything else.

    Raises:
        ValueError: If heads do not divide the width, or there is no layer.
    """

    def __init__(self, channels: int, memory_channels: int, out_channels: int | None = None,
                 num_layers: int = 2, num_heads: int = 4, feedforward_dims: int = 256,
                 max_positions: int = 512, local_layers: int = 0) -> None:
        super().__init__()
        if num_layers < 1 or local_layers < 0:
            raise ValueError(f'DecoderDenoiser num_layers={num_layers}, local_layers={local_layers}'
                             ': expected 1 or more, and 0 or more')
        self.max_positions = max_positions
        self.positions = nn.Embedding(max_positions, channels)
        self.norm = nn.LayerNorm(channels, EPS)
        # New to a decoder: at zero they change nothing yet.
        self.local = nn.Sequential(*(LocalMixing(channels) for _ in range(local_layers)))
        for layer in self.local:
            nn.init.zeros_(layer.project.weight)
            nn.init.zeros_(layer.project.bias)
        self.layers = nn.ModuleList(
            RefinementLayer(channels, num_heads, feedforward_dims,
                            memory_attention=MemoryAttention(channels, memory_channels, num_heads),
                            eps=EPS) for _ in range(num_layers))
        self.words_out = nn.Sequential(
            nn.Linear(channels, channels), nn.GELU(), nn.LayerNorm(channels, EPS),
            nn.Linear(channels, out_channels or channels))

    def remember(self, memory: Tensor) -> list[Memory]:
        """Return keys and values of a memory (N, M, C) for every layer."""
        return [layer.remember(memory) for layer in self.layers]

    def forward(self, words: Tensor, level: Tensor, memories: list[Memory],
                previous: Tensor | None = None) -> Tensor:
        """Estimate (R, L, out_channels); see ``Denoiser``.

        ``level`` and ``previous`` are not read: how much is hidden shows in the masks themselves.
        """
        hidden = self.norm(self.local(words + self.positions.weight[:words.shape[1]]))
        for layer, memory in zip(self.layers, memories, strict=True):
            hidden = layer(hidden, memory)
        return self.words_out(hidden)


def misfit_of_decoder(state: Mapping[str, Tensor], denoiser: DecoderDenoiser, length: int) -> str:
    """Return what of a word-by-word decoder does not fit a denoiser, '' where all fits.

    Args:
        state: Weights of a ``BlipTextLMHeadModel`` of transformers.
        denoiser: What is to begin with them.
        length: Positions that its head needs.
    """
    positions, width = state[POSITIONS].shape
    layers = 1 + max(int(found[1]) for found in map(_QUERY.fullmatch, state) if found)
    told = []
    if width != denoiser.norm.weight.numel():
        told.append(f'is {width} wide: set embed_channels={width}')
    if layers != len(denoiser.layers):
        told.append(f'has {layers} layers: set denoiser.num_layers={layers}')
    if positions < max(length, denoiser.max_positions):
        told.append(f'has {positions} positions: set denoiser.max_positions={positions}'
                    + (f' and max_tokens={positions - 2}' if length > positions else ''))
    return ', '.join(told)


def weights_of_decoder(state: Mapping[str, Tensor], max_positions: int) -> dict[str, Tensor]:
    """Return the weights of a word-by-word decoder under the names of a masked head.

    Args:
        state: Weights of a ``BlipTextLMHeadModel`` of transformers.
        max_positions: How many positions are wanted; further ones are left out.

    Returns:
        ``table.weight`` (V + 1, C), the word vectors and their mean for the mask, and all
        weights of ``denoiser`` but those of local layers.

    Raises:
        KeyError: If a weight of the decoder is missing.
    """
    taken = {}
    for name, value in state.items():
        part, _, kind = name.rpartition('.')
        for theirs, ours in _NAMES.items():
            if found := re.fullmatch(theirs, part):
                taken[f'denoiser.{found.expand(ours)}.{kind}'] = value
        if found := _QUERY.fullmatch(name):
            # Query, key and value of the words are one matrix here.
            number, kind = found.groups()
            parts = [state[name.replace('.query.', f'.{one}.')]
                     for one in ('query', 'key', 'value')]
            taken[f'denoiser.layers.{number}.word_attention.query_key_value.{kind}'] = (
                torch.cat(parts))
    positions, words = 'denoiser.positions.weight', state[_WORDS]
    taken[positions] = taken[positions][:max_positions]
    taken['table.weight'] = torch.cat([words, words.mean(0, keepdim=True)])
    return taken
