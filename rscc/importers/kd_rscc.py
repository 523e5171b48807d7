"""Weights of the original KD-RSCC under our names.

Paper: Yu, Ma, Qiao, KD-RSCC, IEEE GRSL 22 (2025), https://doi.org/10.1109/LGRS.2025.3608489.
"""
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rscc.importers.conversion import rename_start

HEAD = 'caption_head.'
#: (name there, name here), the first that matches counts.
RULES = [
    (r'img_embedding\.net\.0\.', 'encoder.backbone.conv1.'),
    (r'img_embedding\.net\.1\.', 'encoder.backbone.bn1.'),
    (r'img_embedding\.net\.(\d)\.', lambda m: f'encoder.backbone.layer{int(m[1]) - 3}.'),
    (r'word_embedding\.weight$', HEAD + 'space.table'),
    (r'lm_head\.bias$', HEAD + 'space.bias'),
    (r'input_up_proj\.', HEAD + 'denoiser.words_in.'),
    (r'output_down_proj\.', HEAD + 'denoiser.words_out.'),
    (r'position_embeddings\.', HEAD + 'denoiser.positions.'),
    (r'time_emb\.weight$', HEAD + 'denoiser.level_features.frequencies'),
    (r'time_in_proj\.', HEAD + 'denoiser.level_in.'),
    (r'attention\.wq\.', HEAD + 'denoiser.alignment.attention.query.'),
    (r'attention\.wk\.', HEAD + 'denoiser.alignment.attention.key.'),
    (r'attention\.wv\.', HEAD + 'denoiser.alignment.attention.value.'),
    (r'attention\.reversion\.', HEAD + 'denoiser.alignment.attention.project.'),
    (r'attention\.feedforward\.', HEAD + 'denoiser.alignment.feed_forward.'),
    (r'attention\.norm2\.', HEAD + 'denoiser.alignment.norm.'),
    (r'LayerNorm\.', HEAD + 'denoiser.norm.'),
    (r'input_transformers\.layer\.(\d+)\.', HEAD + r'denoiser.layers.\1.'),
]
#: The same inside a layer of the encoder; queries, keys and values become one below.
LAYER_RULES = [
    ('.attention.output.dense.', '.word_attention.project.'),
    ('.attention.output.LayerNorm.', '.norms.0.'),
    ('.intermediate.dense.', '.feed_forward.0.'),
    ('.output.dense.', '.feed_forward.2.'),
    ('.output.LayerNorm.', '.norms.1.'),
]
#: The classifier is tied to the table; positions are counted.
DROPPED = ('lm_head.weight', 'position_ids')
#: Of the attention to the image in the original's code, in no tensor.
ALIGNMENT_HEADS, HEAD_WIDTH = 8, 64


@dataclass(frozen=True)
class KDRSCCShape:
    """What the shapes of the tensors tell.

    Attributes:
        vocab_size: Number V of words, specials included.
        head: Fields of ``KarrasCaptionHead`` for these weights.
    """
    vocab_size: int
    head: dict[str, Any]


def read_shape(state: Mapping[str, Tensor], num_heads: int | None = None) -> KDRSCCShape:
    """Read the sizes of a model from its tensors.

    Args:
        state: The original's state dict.
        num_heads: Heads of the encoder; None takes width / 64, BERT's rule.

    Raises:
        ValueError: If this is no such model, or one of the predecessor Diffusion-RSCC.
    """
    if 'time_embed.0.weight' in state:
        raise ValueError('these are weights of Diffusion-RSCC, the predecessor: its noise levels '
                         'are 2,000 numbered steps, not sigmas, and KarrasCaptionHead cannot read '
                         'them')
    needed = ('word_embedding.weight', 'input_up_proj.0.weight', 'attention.wk.weight',
              'attention.feedforward.0.weight', 'position_embeddings.weight',
              'input_transformers.layer.0.intermediate.dense.weight')
    absent = [name for name in needed if name not in state]
    if absent:
        raise ValueError(f'no KD-RSCC weights: {len(state)} tensors without {absent[0]!r}; first '
                         f'names {sorted(state)[:3]}')
    table, words_in, keys, narrow, positions, wide = (state[name] for name in needed)
    hidden = words_in.shape[0]
    layers = {name.split('.')[2] for name in state if name.startswith('input_transformers.layer.')}
    return KDRSCCShape(table.shape[0], dict(
        memory_channels=keys.shape[1], embed_channels=table.shape[1],
        denoiser=dict(
            hidden_dims=hidden, num_layers=len(layers),
            num_heads=num_heads or max(1, hidden // HEAD_WIDTH), feedforward_dims=wide.shape[0],
            max_positions=positions.shape[0], alignment_heads=ALIGNMENT_HEADS,
            alignment_dims=keys.shape[0], alignment_feedforward=narrow.shape[0])))


def rename_kd_rscc(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of an original KD-RSCC.

    Queries, keys and values of a layer become one tensor. A name that no rule knows is kept, so
    that comparing with the model tells of it.

    Args:
        state: ``model`` or ``model_ema`` of a training file, or a slim file, float16 allowed.

    Returns:
        The tensors under the names of ``ChangeInterpreter``, float32.

    Raises:
        ValueError: If the classifier is not tied to the word table, or a layer has queries without
            keys or values.
    """
    tied, table = state.get('lm_head.weight'), state.get('word_embedding.weight')
    if tied is not None and table is not None and not torch.equal(tied, table):
        raise ValueError('lm_head.weight differs from word_embedding.weight, and KarrasCaptionHead '
                         'has one table for both')
    renamed = {rename(name): _plain(tensor) for name, tensor in state.items()
               if name not in DROPPED and '.attention.self.' not in name}
    for name in state:
        if '.attention.self.query.' in name:
            target = rename(name).replace('.attention.self.query.',
                                          '.word_attention.query_key_value.')
            parts = [name.replace('.query.', f'.{part}.') for part in ('query', 'key', 'value')]
            absent = [part for part in parts if part not in state]
            if absent:
                raise ValueError(f'{name!r} is there and {absent[0]!r} is not: the file is cut '
                                 'short')
            renamed[target] = torch.cat([_plain(state[part]) for part in parts])
    frequencies = HEAD + 'denoiser.level_features.frequencies'
    if frequencies in renamed:
        renamed[frequencies] = renamed[frequencies].flatten()
    return renamed


def _plain(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def rename(name: str) -> str:
    """Return our name of an original tensor, or the name itself where no rule knows it."""
    target = rename_start(RULES, name)
    if target is None:
        return name
    for there, here in LAYER_RULES if '.denoiser.layers.' in target else ():
        if there in target:
            return target.replace(there, here)
    return target
