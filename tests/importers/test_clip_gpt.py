import pytest
import torch
from testers import WORDS

from rscc.importers.clip_gpt import (
    DECODER,
    published_habits,
    read_shape,
    rename,
    rename_clipcap,
    rename_decoder,
    rename_encoder,
    sizes_of,
)
from rscc.models.encoders.base import build_encoder
from rscc.registry import MODELS

D, P, C, E, H = 6, 3, 2, 128, 4


def gpt(prefix='gpt.'):
    """Return the names and shapes of a GPT-2 of two layers, with the masks of old versions."""
    state = {'transformer.wte.weight': torch.zeros(11, E), 'lm_head.weight': torch.zeros(11, E),
             'transformer.wpe.weight': torch.zeros(20, E)}
    for layer in range(2):
        state |= {f'transformer.h.{layer}.attn.c_attn.bias': torch.zeros(3 * E),
                  f'transformer.h.{layer}.attn.bias': torch.ones(1, 1, 20, 20),
                  f'transformer.h.{layer}.attn.masked_bias': torch.tensor(-1e4)}
    return {prefix + name: value for name, value in state.items()}


def transformer(adaptive=False):
    state = {'linear.weight': torch.zeros(C * E, D), 'prefix_const': torch.zeros(P, E)}
    for layer in range(3):
        state[f'transformer.layers.{layer}.attn.to_queries.weight'] = torch.zeros(E, E)
        if adaptive:
            state[f'transformer.layers.{layer}.attn.adaptive_weights'] = torch.zeros(H, 32, 32)
    return {f'clip_project.{name}': value for name, value in state.items()}


def mlp():
    return {'clip_project.model.0.weight': torch.zeros(5, D),
            'clip_project.model.2.weight': torch.zeros(P * E, 5)}


@pytest.mark.parametrize('there, here', [
    ('clip_project.model.2.bias', 'mapper.layers.2.bias'),
    ('clip_project.weight', 'mapper.layers.0.weight'),
    ('clip_project.linear.bias', 'mapper.project.bias'),
    ('clip_project.prefix_const', 'mapper.constant'),
    ('clip_project.transformer.layers.10.norm1.bias', 'mapper.blocks.10.norm1.bias'),
    ('clip_project.transformer.layers.1.attn.to_queries.weight',
     'mapper.blocks.1.attn.query.weight'),
    ('clip_project.transformer.layers.1.attn.to_keys_values.weight',
     'mapper.blocks.1.attn.key_value.weight'),
    ('clip_project.transformer.layers.1.attn.project.bias', 'mapper.blocks.1.attn.project.bias'),
    ('clip_project.transformer.layers.1.attn.adaptive_weights', 'mapper.blocks.1.attn.adaptation'),
    ('clip_project.transformer.layers.1.attn.adaptive_biases',
     'mapper.blocks.1.attn.adaptation_bias'),
    ('clip_project.transformer.layers.1.mlp.fc1.bias', 'mapper.blocks.1.mlp.0.bias'),
    ('clip_project.transformer.layers.1.mlp.fc2.bias', 'mapper.blocks.1.mlp.2.bias'),
    ('gpt.transformer.ln_f.bias', 'language_model.model.transformer.ln_f.bias'),
    ('gpt2.lm_head.weight', 'language_model.model.lm_head.weight')])
def test_names(there, here):
    assert rename(there) == f'caption_head.{here}'


def test_an_unknown_name_is_kept():
    assert rename('something.else') == 'something.else'


@pytest.mark.parametrize('prefix', ['gpt.', 'gpt2.'])
def test_stored_causal_masks_are_dropped_and_biases_are_not(prefix):
    renamed = rename_clipcap(gpt(prefix))
    assert sorted(renamed) == sorted(f'caption_head.language_model.model.{name}' for name in [
        'transformer.wte.weight', 'transformer.wpe.weight', 'lm_head.weight',
        'transformer.h.0.attn.c_attn.bias', 'transformer.h.1.attn.c_attn.bias'])


def test_a_classifier_that_is_not_stored_is_the_table_of_tokens():
    state = gpt()
    del state['gpt.lm_head.weight']
    renamed = rename_clipcap(state)
    assert renamed['caption_head.language_model.model.lm_head.weight'] is state[
        'gpt.transformer.wte.weight']


@pytest.mark.parametrize('mapper, config', [
    (mlp(), dict(type='MLPMapper', hidden_channels=5)),
    ({'clip_project.weight': torch.zeros(P * E, D)}, dict(type='MLPMapper', hidden_channels=0)),
    (transformer(), dict(type='TransformerMapper', input_length=C, num_layers=3, num_heads=8)),
    (transformer(True), dict(type='AMHTMapper', input_length=C, num_layers=3, num_heads=H))])
def test_sizes_are_read_from_the_shapes(mapper, config):
    shape = read_shape(mapper | gpt())
    assert (shape.clip_channels, shape.prefix_length, shape.mapper) == (D, P, config)
    assert shape.language_model == dict(vocab_size=11, n_positions=20, n_embd=E, n_layer=2,
                                        n_head=2)


def test_heads_are_given_where_no_shape_tells():
    shape = read_shape(transformer() | gpt(), num_heads=16, lm_heads=8)
    assert shape.mapper['num_heads'] == 16 and shape.language_model['n_head'] == 8
    with pytest.raises(ValueError, match='num_heads=16, but the file has 4 heads'):
        read_shape(transformer(True) | gpt(), num_heads=16)


@pytest.mark.parametrize('state, message', [
    ({'a': 0}, r"no ClipCap weights: among 1 tensors there is no 'gpt.transformer.wte.weight'"),
    (gpt() | {'clip_project.bert.x': torch.zeros(1)},
     r"the mapper is none of mlp, .* begin with \['clip_project.bert.x'\]"),
    (gpt() | mlp() | {'clip_project.model.4.weight': torch.zeros(1)}, 'more than two layers')])
def test_other_files_are_told(state, message):
    with pytest.raises(ValueError, match=message):
        read_shape(state)


def test_habits_of_the_originals():
    assert published_habits('clipcap')['stop_text'] == ['.']
    assert published_habits('clipcap_rsic')['stop_text'] == ['.', ' .']
    assert not published_habits('clipcap')['learn_end']


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
