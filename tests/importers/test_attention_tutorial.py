import pytest
import torch
from testers import WORDS

from rscc.importers.attention_tutorial import DECODER, rename_decoder, rename_encoder, sizes_of
from rscc.models.encoders.base import build_encoder
from rscc.registry import MODELS

SIZES = dict(memory_channels=10, attention_dims=6, embed_dims=7, hidden_dims=8)


def head():
    return MODELS.build(dict(type='AttentionLSTMHead', **SIZES,
                             tokenizer=dict(type='WordTokenizer', words=WORDS)))


def original(state):
    """Our decoder's tensors under the tutorial's names."""
    back = {ours: theirs for theirs, ours in DECODER.items()}
    return {f'{back[name.rpartition(".")[0]]}.{name.rpartition(".")[2]}': tensor
            for name, tensor in state.items() if name != 'vocabulary'}


def test_every_tensor_of_the_decoder_finds_its_place():
    state = original(head().state_dict())
    assert sizes_of(state) == SIZES
    missing, unexpected = head().load_state_dict(rename_decoder(state), strict=False)
    assert (missing, unexpected) == (['vocabulary'], [])


def test_an_unknown_tensor_names_the_nearest():
    state = original(head().state_dict())
    state['attention.encoder_at.weight'] = torch.zeros(3, 4)
    with pytest.raises(ValueError, match=r"'attention.encoder_at.weight' \(3, 4\) .* Did you mean "
                                         "'attention.encoder_att'"):
        rename_decoder(state)


def test_a_missing_module_is_named():
    state = original(head().state_dict())
    del state['f_beta.weight'], state['f_beta.bias']
    with pytest.raises(ValueError, match=r"has 'f_beta', and among these 17 tensors it is missing"):
        rename_decoder(state)


def test_the_encoder_loads_into_a_resnet():
    places = {'conv1': '0', 'bn1': '1', 'layer1': '4', 'layer2': '5', 'layer3': '6', 'layer4': '7'}
    encoder = build_encoder(dict(type='mmseg.ResNet', depth=50, base_channels=4, stem_channels=4))
    state = {}
    for name, tensor in encoder.state_dict().items():
        _, module, rest = name.split('.', 2)
        state[f'resnet.{places[module]}.{rest}'] = tensor
    encoder.load_state_dict(rename_encoder(state))


def test_a_tensor_of_another_encoder_is_refused():
    with pytest.raises(ValueError, match=r"'resnet.8.weight' is no tensor of the tutorial's"):
        rename_encoder({'resnet.8.weight': torch.zeros(1)})
