import copy

import pytest
from testers import TINY_CAPTION_HEAD, TINY_INTERPRETER, batch, build_interpreter, losses, total

from rscc.models.contracts import FeatureSpec, fill_widths

GIVEN = FeatureSpec('Given', maps=(8, 16, 32, 64), strides=(4, 8, 16, 32), tokens=24, pooled=72)


def given():
    return GIVEN


def test_widths_that_say_auto_are_those_of_what_comes_before():
    head = dict(type='mmseg.FPNHead', in_channels='auto', feature_strides='auto', in_index=[0, 2],
                channels=8)
    filled = fill_widths(head, 'change_head', given)
    assert (filled['in_channels'], filled['feature_strides']) == ([8, 32], [4, 16])
    assert head['in_channels'] == 'auto', 'the config itself keeps its word'
    assert fill_widths(dict(in_channels='auto'), 'change_head', given) == dict(in_channels=64)
    assert fill_widths(dict(in_channels='auto'), 'neck', given) == dict(in_channels=[8, 16, 32, 64])
    assert fill_widths(dict(channels='auto'), 'fusion', given) == dict(channels=24)
    assert fill_widths(dict(memory_channels='auto'), 'caption_head', given) == dict(
        memory_channels=24)
    assert fill_widths(dict(in_channels='auto'), 'flag_head', given) == dict(in_channels=72)


def test_nobody_is_asked_where_numbers_stand():
    def ask():
        raise AssertionError('asked in vain')

    assert fill_widths(dict(channels=3, norm='auto_mode'), 'fusion', ask) == dict(
        channels=3, norm='auto_mode')


@pytest.mark.parametrize(('cfg', 'part', 'message'), [
    (dict(num_classes='auto'), 'change_head', r"change_head\.num_classes='auto': only in_channels, "
                                              r'feature_strides, text_channels, date_channels of '
                                              'change_head can'),
    (dict(in_channels='auto', in_index=[0, 4]), 'change_head',
     r'in_index=\[0, 4\] of the change head, which gets 4 maps: \[4\] do not exist'),
    (dict(text_channels='auto'), 'change_head', 'Given gives no text embeddings'),
])
def test_what_cannot_be_filled_in_is_refused(cfg, part, message):
    with pytest.raises(ValueError, match=message):
        fill_widths(cfg, part, given)


def test_widths_that_nobody_knows_before_there_are_data_are_asked_for():
    with pytest.raises(ValueError, match=r"fusion\.channels='auto': StoredFeatures does not know "
                       r'its widths before there are data: give numbers'):
        build_interpreter(encoder=dict(type='StoredFeatures'), change_head=None, flag_head=None,
                          fusion=dict(type='DifferenceFusion', channels='auto'))


def test_a_model_whose_widths_say_auto_is_the_one_with_numbers():
    cfg = copy.deepcopy(TINY_INTERPRETER)
    cfg['fusion']['channels'] = cfg['flag_head']['in_channels'] = 'auto'
    cfg['change_head'] |= dict(in_channels='auto', feature_strides='auto')
    cfg['caption_head'] = TINY_CAPTION_HEAD | dict(memory_channels='auto')
    numbers, words = build_interpreter(), build_interpreter(**cfg)
    assert {name: value.shape for name, value in words.named_parameters()} == {
        name: value.shape for name, value in numbers.named_parameters()}
    assert total(losses(words, batch())).isfinite()


def test_a_neck_stands_between_the_maps_and_a_head_that_says_auto():
    neck = dict(type='mmseg.FPN', in_channels='auto', out_channels=8, num_outs=4)
    head = TINY_INTERPRETER['change_head'] | dict(in_channels='auto', feature_strides='auto')
    model = build_interpreter(neck=neck, change_head=head, caption_head=None, flag_head=None)
    assert list(model.neck.in_channels) == [12, 24, 48, 96]
    assert list(model.change_head.in_channels) == [8] * 4
    assert model.change_head.feature_strides == [4, 8, 16, 32]
