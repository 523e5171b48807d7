"""Weights of the PyTorch tutorial on Show, Attend and Tell under our names.

github.com/sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning keeps whole modules in its checkpoints;
``rscc.importers.conversion`` makes the state dicts of them that are renamed here.
"""
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rscc.utils import did_you_mean

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


def published_habits() -> dict[str, Any]:
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
