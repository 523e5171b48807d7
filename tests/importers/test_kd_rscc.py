import pytest
import torch
from kdrscc_records import kd_rscc

from rscc.importers.kd_rscc import read_shape, rename, rename_kd_rscc

HEAD = 'caption_head.'
LAYER = 'input_transformers.layer.1.'


@pytest.mark.parametrize('there, here', [
    ('img_embedding.net.0.weight', 'encoder.backbone.conv1.weight'),
    ('img_embedding.net.1.running_var', 'encoder.backbone.bn1.running_var'),
    ('img_embedding.net.4.0.conv1.weight', 'encoder.backbone.layer1.0.conv1.weight'),
    ('img_embedding.net.6.22.downsample.1.bias', 'encoder.backbone.layer3.22.downsample.1.bias'),
    ('word_embedding.weight', HEAD + 'space.table'),
    ('lm_head.bias', HEAD + 'space.bias'),
    ('input_up_proj.2.weight', HEAD + 'denoiser.words_in.2.weight'),
    ('output_down_proj.0.bias', HEAD + 'denoiser.words_out.0.bias'),
    ('position_embeddings.weight', HEAD + 'denoiser.positions.weight'),
    ('time_emb.weight', HEAD + 'denoiser.level_features.frequencies'),
    ('time_in_proj.weight', HEAD + 'denoiser.level_in.weight'),
    ('attention.wq.bias', HEAD + 'denoiser.alignment.attention.query.bias'),
    ('attention.reversion.weight', HEAD + 'denoiser.alignment.attention.project.weight'),
    ('attention.feedforward.2.bias', HEAD + 'denoiser.alignment.feed_forward.2.bias'),
    ('attention.norm2.weight', HEAD + 'denoiser.alignment.norm.weight'),
    ('LayerNorm.bias', HEAD + 'denoiser.norm.bias'),
    (LAYER + 'attention.output.dense.weight',
     HEAD + 'denoiser.layers.1.word_attention.project.weight'),
    (LAYER + 'attention.output.LayerNorm.bias', HEAD + 'denoiser.layers.1.norms.0.bias'),
    (LAYER + 'intermediate.dense.weight', HEAD + 'denoiser.layers.1.feed_forward.0.weight'),
    (LAYER + 'output.dense.bias', HEAD + 'denoiser.layers.1.feed_forward.2.bias'),
    (LAYER + 'output.LayerNorm.weight', HEAD + 'denoiser.layers.1.norms.1.weight')])
def test_names(there, here):
    assert rename(there) == here


def test_an_unknown_name_is_kept():
    assert rename('something.else') == 'something.else'
    assert 'something.else' in rename_kd_rscc({'something.else': torch.zeros(1)})


def test_queries_keys_and_values_become_one():
    state = kd_rscc(9)
    renamed = rename_kd_rscc(state)
    for kind in ('weight', 'bias'):
        expected = torch.cat([state[f'{LAYER}attention.self.{part}.{kind}']
                              for part in ('query', 'key', 'value')])
        assert torch.equal(
            renamed[f'{HEAD}denoiser.layers.1.word_attention.query_key_value.{kind}'], expected)
    assert not any('attention.self' in name for name in renamed)


def test_the_tied_classifier_and_counted_positions_are_dropped():
    renamed = rename_kd_rscc(kd_rscc(9))
    assert not {'lm_head.weight', 'position_ids'} & set(renamed)
    assert renamed[HEAD + 'denoiser.level_features.frequencies'].shape == (8,)


def test_half_precision_becomes_single_and_counters_stay_integers():
    state = {name: value.half() if value.is_floating_point() else value
             for name, value in kd_rscc(9).items()}
    renamed = rename_kd_rscc(state)
    kinds = {name: value.dtype for name, value in renamed.items()}
    assert {kind for name, kind in kinds.items() if 'tracked' not in name} == {torch.float32}
    assert kinds['encoder.backbone.bn1.num_batches_tracked'] == torch.int64


def test_sizes_are_read_from_the_tensors():
    shape = read_shape(kd_rscc(9, hidden=128, layers=3, positions=20))
    assert shape.vocab_size == 9
    assert shape.head == dict(memory_channels=16, embed_channels=4, denoiser=dict(
        hidden_dims=128, num_layers=3, num_heads=2, feedforward_dims=32, max_positions=20,
        alignment_heads=8, alignment_dims=24, alignment_feedforward=5))


def test_heads_are_given_where_no_shape_tells():
    assert read_shape(kd_rscc(9)).head['denoiser']['num_heads'] == 1
    assert read_shape(kd_rscc(9), num_heads=4).head['denoiser']['num_heads'] == 4


def test_a_classifier_that_is_not_tied_is_refused():
    state = kd_rscc(9)
    state['lm_head.weight'] = state['lm_head.weight'] + 1
    with pytest.raises(ValueError, match=r'lm_head\.weight differs from word_embedding\.weight, '
                       'and KarrasCaptionHead has one table for both'):
        rename_kd_rscc(state)


def test_a_layer_without_its_keys_is_told():
    state = kd_rscc(9)
    del state[LAYER + 'attention.self.key.bias']
    with pytest.raises(ValueError, match=r"query\.bias' is there and '.*self\.key\.bias' is not: "
                       'the file is cut short'):
        rename_kd_rscc(state)


@pytest.mark.parametrize('state, message', [
    ({'a': 0, 'b': 0}, r"no KD-RSCC weights: 2 tensors without 'word_embedding\.weight'; first "
     r"names \['a', 'b'\]"),
    (kd_rscc(9) | {'time_embed.0.weight': torch.zeros(1)},
     'weights of Diffusion-RSCC, the predecessor: .* numbered steps, not sigmas')])
def test_other_models_are_told(state, message):
    with pytest.raises(ValueError, match=message):
        read_shape(state)
