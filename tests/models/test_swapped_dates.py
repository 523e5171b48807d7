"""Changed pairs answered a second time with their dates exchanged, by every kind of model."""
import copy

import pytest
import torch
from testers import batch, build_interpreter
from tiny_models import CHANGECLIP, FLAG, JOINT, LSTM

from rscc.registry import MODELS

MODELS_IN_MINIATURE = {
    'joint': JOINT,
    'map alone': dict(JOINT, caption_head=None, flag_head=None),
    'guided': dict(JOINT, guidance=dict(type='MapGuidance', channels='auto'),
                   flag_head=dict(FLAG, in_channels='auto')),
    'lstm': dict(JOINT, caption_head=LSTM),
    'language-guided': CHANGECLIP,
}


def build(config, **test_cfg):
    torch.manual_seed(0)
    config = {key: value for key, value in copy.deepcopy(config).items() if value is not None}
    return MODELS.build(config | dict(test_cfg=test_cfg)).eval()


def backwards(data):
    return {**data, 'inputs': [frames.flip(0) for frames in data['inputs']],
            'data_samples': copy.deepcopy(data['data_samples'])}


@pytest.mark.parametrize('name', MODELS_IN_MINIATURE)
def test_the_second_answer_is_that_of_the_exchanged_pair(name):
    data = batch(4)
    turned = build(MODELS_IN_MINIATURE[name]).test_step(backwards(data))
    plain = build(MODELS_IN_MINIATURE[name]).test_step(copy.deepcopy(data))
    both = build(MODELS_IN_MINIATURE[name], swap=True).test_step(copy.deepcopy(data))
    assert ['pred_swapped' in sample for sample in both] == [False, True, False, True]
    for found, alone, expected in zip(both, plain, turned, strict=True):
        # The first answer is as it is without the second.
        assert found.get('pred_caption') == alone.get('pred_caption')
        assert torch.equal(found.pred_sem_seg.data, alone.pred_sem_seg.data)
        if 'pred_swapped' in found:
            assert found.pred_swapped.get('pred_caption') == expected.get('pred_caption')
            assert torch.equal(found.pred_swapped.pred_sem_seg.data, expected.pred_sem_seg.data)
            assert 'seg_logits' not in found.pred_swapped


def test_frames_are_encoded_once():
    model, calls = build(JOINT, swap=True), []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    model.test_step(batch(4))
    assert len(calls) == 1


def test_windows_and_views_are_those_of_the_first_answer():
    settings = dict(mode='slide', crop_size=(32, 32), stride=(32, 32), views=('none', 'hflip'))
    data = batch(2)
    turned = build(JOINT, **settings).test_step(backwards(data))
    found = build(JOINT, swap=True, **settings).test_step(copy.deepcopy(data))
    assert torch.equal(found[1].pred_swapped.pred_sem_seg.data, turned[1].pred_sem_seg.data)


def test_an_empty_mask_tells_an_unchanged_pair_where_no_flag_does():
    data = batch(3)
    for sample in data['data_samples']:
        del sample.gt_change_flag
    data['data_samples'][0].gt_sem_seg.data.zero_()
    data['data_samples'][1].gt_sem_seg.data.fill_(255)
    found = build_interpreter(test_cfg=dict(swap=True)).eval().test_step(data)
    assert ['pred_swapped' in sample for sample in found] == [False, False, True]


def test_single_images_are_answered_once():
    model = build(dict(JOINT, fusion=dict(type='SingleFrame'), change_head=None,
                       flag_head=None), swap=True)
    assert not any('pred_swapped' in sample for sample in model.test_step(batch(2, dates=1)))


def test_what_is_drawn_for_the_second_answer_changes_no_other_answer():
    def said(swap):
        model = build_interpreter(test_cfg=dict(swap=swap)).eval()
        torch.manual_seed(5)
        options = dict(sample=True, temperature=2.0)
        return [sample.pred_caption for _ in range(3) for sample in model.predict(
            **model.data_preprocessor(batch(2), False), **options)]

    assert said(True) == said(False)
