"""Weights of CLIP-GPT under our names: ClipCap, and the tutorial on Show, Attend and Tell.

Papers: Mokady et al., ClipCap, 2021, https://arxiv.org/abs/2111.09734; Song, Zhao, Yu, Enhanced
CLIP-GPT Framework, IEEE Access 13 (2025) 904-915, https://doi.org/10.1109/ACCESS.2024.3522585.

github.com/sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning keeps whole modules in its checkpoints;
``rscc.importers.conversion`` makes the state dicts of them that are renamed here.
"""
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from rscc.importers.conversion import rename_start
from rscc.utils import did_you_mean

HEAD = 'caption_head.'
#: (name there, name here), the first that matches counts.
RULES = [
    (r'clip_project\.model\.', 'mapper.layers.'),
    (r'clip_project\.linear\.', 'mapper.project.'),
    (r'clip_project\.prefix_const$', 'mapper.constant'),
    (r'clip_project\.transformer\.layers\.', 'mapper.blocks.'),
    (r'clip_project\.(weight|bias)$', r'mapper.layers.0.\1'),
    (r'gpt2?\.', 'language_model.model.'),
]
#: The same inside a layer of a transformer mapper, after its number.
BLOCK_RULES = [
    ('attn.to_queries.', 'attn.query.'),
    ('attn.to_keys_values.', 'attn.key_value.'),
    ('attn.adaptive_weights', 'attn.adaptation'),
    ('attn.adaptive_biases', 'attn.adaptation_bias'),
    ('mlp.fc1.', 'mlp.0.'),
    ('mlp.fc2.', 'mlp.2.'),
]
#: Causal masks that GPT-2 used to store.
MASKS = re.compile(r'gpt2?\.transformer\.h\.\d+\.attn\.(masked_)?bias$')
BLOCK = 'clip_project.transformer.layers.0.attn.'
#: Heads of mappers whose shapes do not tell: ClipCap's code has 8, CLIP-GPT's AMHT tells its own.
NUM_HEADS = 8


@dataclass(frozen=True)
class ClipCapShape:
    """What the shapes of the tensors tell.

    Attributes:
        clip_channels: Width D of the image vector.
        prefix_length: Number P of embeddings.
        mapper: Config of the mapper.
        language_model: Sizes of the GPT-2: ``vocab_size``, ``n_positions``, ``n_embd``,
            ``n_layer``, ``n_head``.
    """
    clip_channels: int
    prefix_length: int
    mapper: dict[str, Any]
    language_model: dict[str, Any]

    def head(self) -> dict[str, Any]:
        """Return what a ``PrefixGPTHead`` config needs for these weights."""
        return dict(memory_channels=self.clip_channels, prefix_length=self.prefix_length,
                    mapper=self.mapper,
                    language_model=dict(config=self.language_model, tune='frozen'))


def read_shape(state: Mapping[str, Tensor], num_heads: int | None = None,
               lm_heads: int | None = None) -> ClipCapShape:
    """Read sizes and kind of a model from its tensors.

    Args:
        state: The original's state dict.
        num_heads: Heads of a transformer mapper; None takes those of its adaptive matrices, else 8.
        lm_heads: Heads of the language model; None takes width / 64, GPT-2's rule.

    Raises:
        ValueError: If this is no such model, or ``num_heads`` contradicts the matrices.
    """
    tokens, positions = (_find(state, f'transformer.{name}.weight') for name in ('wte', 'wpe'))
    vocab_size, width = tokens.shape
    layers = {name.split('.h.')[1].split('.')[0] for name in state if re.match(r'gpt2?\..*\.h\.',
                                                                               name)}
    gpt = dict(vocab_size=vocab_size, n_positions=positions.shape[0], n_embd=width,
               n_layer=len(layers), n_head=lm_heads or max(1, width // 64))
    channels, length, mapper = _mapper(state, width, num_heads)
    return ClipCapShape(channels, length, mapper, gpt)


def _find(state: Mapping[str, Tensor], name: str) -> Tensor:
    for prefix in ('gpt.', 'gpt2.'):
        if prefix + name in state:
            return state[prefix + name]
    raise ValueError(f"no ClipCap weights: among {len(state)} tensors there is no 'gpt.{name}'; "
                     f'first names {sorted(state)[:3]}')


def _mapper(state: Mapping[str, Tensor], width: int, num_heads: int | None
            ) -> tuple[int, int, dict[str, Any]]:
    """Return D, P and the config of the mapper."""
    if 'clip_project.prefix_const' in state:
        spread = state['clip_project.linear.weight']
        options = dict(input_length=spread.shape[0] // width,
                       num_layers=sum(name.endswith('.attn.to_queries.weight') for name in state),
                       num_heads=num_heads or NUM_HEADS)
        adaptive = state.get(BLOCK + 'adaptive_weights')
        if adaptive is not None:
            own = adaptive.shape[0]
            if num_heads not in (None, own):
                raise ValueError(f'num_heads={num_heads}, but the file has {own} heads: leave '
                                 'num_heads out')
            options['num_heads'] = own
        kind = 'TransformerMapper' if adaptive is None else 'AMHTMapper'
        length = state['clip_project.prefix_const'].shape[0]
        return spread.shape[1], length, dict(type=kind, **options)
    if 'clip_project.model.0.weight' in state:
        if 'clip_project.model.4.weight' in state:
            raise ValueError('an MLP mapper of more than two layers; MLPMapper has two at most')
        hidden, channels = state['clip_project.model.0.weight'].shape
        total = state['clip_project.model.2.weight'].shape[0]
        return channels, total // width, dict(type='MLPMapper', hidden_channels=hidden)
    if 'clip_project.weight' in state:
        total, channels = state['clip_project.weight'].shape
        return channels, total // width, dict(type='MLPMapper', hidden_channels=0)
    names = sorted(name for name in state if name.startswith('clip_project.'))
    raise ValueError('the mapper is none of mlp, transformer, amht and linear; its names begin '
                     f'with {names[:3]}')


def rename_clipcap(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of an original; stored causal masks are dropped.

    A name that no rule knows is kept, so that comparing with the model tells of it.

    Args:
        state: The original's state dict.

    Returns:
        The tensors under the names of ``ChangeInterpreter``.
    """
    renamed = {rename(name): tensor for name, tensor in state.items() if not MASKS.match(name)}
    tied, tokens = (f'{HEAD}language_model.model.{name}.weight' for name in ('lm_head',
                                                                             'transformer.wte'))
    if tied not in renamed and tokens in renamed:
        renamed[tied] = renamed[tokens]
    return renamed


def rename(name: str) -> str:
    """Return our name of an original tensor, or the name itself where no rule knows it."""
    target = rename_start(RULES, name)
    if target is None:
        return name
    for there, here in BLOCK_RULES if target.startswith('mapper.blocks.') else ():
        target = target.replace(f'.{there}', f'.{here}')
    return HEAD + target


def published_habits(kind: str) -> dict[str, Any]:
    """Return options of ``PrefixGPTHead`` with which training and search repeat an original.

    Args:
        kind: ``'clipcap'`` or ``'clipcap_rsic'`` (CLIP-GPT).
    """
    stops = {'clipcap': ['.'], 'clipcap_rsic': ['.', ' .']}
    return dict(learn_end=False, ignore_zero=True, pad_to_max=True, stop_text=stops[kind],
                decoding=dict(beam_rule='clipcap'))


#: Module of the decoder there -> below ``AttentionLSTMHead`` here.
DECODER = {
    'attention.encoder_att': 'decoder.attention.memory',
    'attention.decoder_att': 'decoder.attention.hidden',
    'attention.full_att': 'decoder.attention.score',
    'embedding': 'decoder.embedding',
    'decode_step': 'decoder.cell',
    'init_h': 'decoder.init_hidden',
    'init_c': 'decoder.init_cell',
    'f_beta': 'decoder.gate',
    'fc': 'decoder.classify',
}
#: Place in the encoder's ``resnet`` there -> module of a ResNet.
ENCODER = {'0': 'conv1', '1': 'bn1', '4': 'layer1', '5': 'layer2', '6': 'layer3', '7': 'layer4'}


def rename_tutorial(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rename the tensors of a checkpoint to those of ``ChangeInterpreter``.

    Args:
        checkpoint: State dicts under ``'decoder'`` and, if it is there, ``'encoder'``; or the
            decoder's state dict.

    Raises:
        ValueError: If a name is none of the tutorial's, or one is missing.
    """
    weights = {f'caption_head.{name}': tensor
               for name, tensor in rename_decoder(decoder_of(checkpoint)).items()}
    if 'encoder' in checkpoint:
        weights |= {f'encoder.{name}': tensor
                    for name, tensor in rename_encoder(checkpoint['encoder']).items()}
    return weights


def decoder_of(checkpoint: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """Return the decoder's state dict of a checkpoint, which may be the whole of it."""
    return checkpoint.get('decoder', checkpoint)


def rename_decoder(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the decoder's tensors to those of ``AttentionLSTMHead``.

    Args:
        state: The decoder's ``state_dict``.

    Raises:
        ValueError: If a name is none of the decoder's, or one is missing.
    """
    renamed = {}
    for name, tensor in state.items():
        module, _, kind = name.rpartition('.')
        if module not in DECODER:
            shape = tuple(getattr(tensor, 'shape', ()))
            raise ValueError(f"'{name}' {shape} is no tensor of the tutorial's "
                             f'decoder.{did_you_mean(module, DECODER)} Expected '
                             f'{", ".join(DECODER)}')
        renamed[f'{DECODER[module]}.{kind}'] = tensor
    missing = [module for module in DECODER if not any(name.startswith(f'{module}.')
                                                       for name in state)]
    if missing:
        raise ValueError(f"the tutorial's decoder has '{missing[0]}', and among these "
                         f'{len(state)} tensors it is missing ({len(missing)} modules are)')
    return renamed


def rename_encoder(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the encoder's tensors to those of ``BackboneEncoder`` over ``mmseg.ResNet``.

    Args:
        state: The encoder's ``state_dict``, ResNet-50, 101 or 152.

    Raises:
        ValueError: If a name is none of that encoder's.
    """
    renamed = {}
    for name, tensor in state.items():
        found = re.fullmatch(r'resnet\.(\d+)\.(.+)', name)
        if found is None or found[1] not in ENCODER:
            raise ValueError(f"'{name}' is no tensor of the tutorial's encoder; expected "
                             f'resnet.{{{",".join(ENCODER)}}}.*')
        renamed[f'backbone.{ENCODER[found[1]]}.{found[2]}'] = tensor
    return renamed


def tutorial_habits() -> dict[str, Any]:
    """Return options of ``AttentionLSTMHead`` with which training and search repeat the tutorial's.

    Its captions have up to 50 words, its search gives up after 51 steps.
    """
    return dict(max_tokens=50, decoding=dict(max_tokens=51, beam_rule='show_attend_tell'))


def sizes_of(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the arguments of ``AttentionLSTMHead`` that the decoder's tensors tell.

    Args:
        state: The decoder's ``state_dict``, under the original names.
    """
    attention, memory_channels = state['attention.encoder_att.weight'].shape
    return dict(memory_channels=memory_channels, attention_dims=attention,
                embed_dims=state['embedding.weight'].shape[1],
                hidden_dims=state['decode_step.weight_hh'].shape[1])
