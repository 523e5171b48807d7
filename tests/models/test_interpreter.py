import copy

import pytest
import torch
from testers import batch, build_interpreter, losses, total

from rscc.registry import MODELS

SINGLE_CHANNEL = dict(
    type='mmseg.FCNHead', in_channels=24, in_index=1, channels=8, num_classes=2, out_channels=1,
    norm_cfg=dict(type='BN'), num_convs=1,
    loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True))


def test_losses_of_all_heads_come_prefixed_and_reach_every_parameter():
    model = build_interpreter()
    values = losses(model, batch())
    assert {name.split('.')[0] for name in values} == {'change', 'caption', 'flag'}
    total(values).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_one_training_step_lowers_the_loss():
    model = build_interpreter()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    values = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = total(losses(model, batch()))
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < values[0]


def test_prediction_fills_every_sample_at_its_own_size():
    data = batch(3)
    data['inputs'][1] = data['inputs'][1][..., :50, :40].contiguous()
    data['data_samples'][1].set_metainfo(dict(ori_shape=(100, 80)))
    del data['data_samples'][1].gt_sem_seg
    predicted = build_interpreter().eval().test_step(data)
    assert [tuple(sample.pred_sem_seg.data.shape) for sample in predicted] == [
        (1, 64, 64), (1, 100, 80), (1, 64, 64)]
    assert all(isinstance(sample.pred_caption, str) for sample in predicted)
    assert all(sample.pred_change_flag == (sample.pred_change_score >= 0.5)
               for sample in predicted)


@pytest.mark.parametrize('bias, threshold, expected', [(5.0, None, 1), (-5.0, None, 0),
                                                       (0.5, 0.9, 0), (0.5, 0.3, 1)])
def test_a_head_of_one_channel_tells_changed_from_unchanged(bias, threshold, expected):
    model = build_interpreter(change_head=SINGLE_CHANNEL | dict(threshold=threshold)).eval()
    torch.nn.init.zeros_(model.change_head.conv_seg.weight)
    torch.nn.init.constant_(model.change_head.conv_seg.bias, bias)
    for sample in model.test_step(batch()):
        mask = sample.pred_sem_seg.data
        assert mask.dtype == torch.int64 and mask.unique().tolist() == [expected]


def test_a_model_may_have_one_head_only():
    for absent in (('change_head', 'flag_head'), ('caption_head', 'flag_head'),
                   ('caption_head', 'change_head')):
        model = build_interpreter(**dict.fromkeys(absent))
        assert total(losses(model, batch())).isfinite()
        assert len(model.eval().test_step(batch())) == 2


def test_a_model_without_a_head_is_refused():
    with pytest.raises(ValueError, match='without a head predicts nothing'):
        build_interpreter(change_head=None, caption_head=None, flag_head=None)


def test_samples_without_masks_or_captions_train_the_other_heads():
    data = batch(2)
    del data['data_samples'][0].gt_sem_seg
    data['data_samples'][1].gt_captions = []
    assert total(losses(build_interpreter(), data)).isfinite()
    # No mask at all: the loss is zero and the parameters still take part.
    for sample in data['data_samples']:
        sample.pop('gt_sem_seg', None)
    model = build_interpreter()
    values = losses(model, data)
    assert values['change.loss_ce'] == 0
    total(values).backward()
    assert all(parameter.grad is not None for parameter in model.change_head.parameters())


def test_loading_the_runner_way_keeps_the_weights():
    model, other = build_interpreter(), build_interpreter()
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    other.load_state_dict(model.state_dict())
    one, two = model.eval().test_step(batch()), other.eval().test_step(batch())
    assert [sample.pred_caption for sample in one] == [sample.pred_caption for sample in two]


def test_tensor_mode_returns_raw_outputs():
    raw = build_interpreter().eval()(torch.zeros(2, 2, 3, 64, 64))
    assert raw['tokens'].shape == (2, 12, 16)
    assert raw['change_logits'].shape[:2] == (2, 3)
    assert raw['flag_logits'].shape == (2,)


def test_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="found 'train'"):
        build_interpreter()(torch.zeros(1, 2, 3, 32, 32), mode='train')


def test_a_mask_head_without_maps_says_what_to_set():
    encoder = dict(type='BlipViT', config=dict(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        image_size=32, patch_size=16))
    with pytest.raises(ValueError, match='set out_layers'):
        losses(build_interpreter(encoder=encoder), batch())


def test_an_unknown_part_names_the_nearest():
    with pytest.raises(KeyError, match="Did you mean 'DifferenceFusion'"):
        build_interpreter(fusion=dict(type='DiferenceFusion', channels=16))


DETECTOR = dict(
    type='ChangeInterpreter', fusion=dict(type='MapFusion', kind='signed'),
    encoder=dict(type='TimmEncoder', model='vit_tiny_patch16_224',
                 options=dict(depth=4, embed_dim=24, num_heads=2)),
    change_head=dict(type='mmseg.FPNHead', in_channels='auto', in_index=[0, 1, 2, 3],
                     feature_strides='auto', channels=8, num_classes=3,
                     loss_decode=dict(type='CrossEntropyLoss')))


def test_with_several_processes_what_no_head_reads_gets_a_gradient_of_zero(monkeypatch):
    model = MODELS.build(copy.deepcopy(DETECTOR))
    total(losses(model, batch())).backward()
    unread = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert unread  # a detector reads no tokens, and what makes them has no gradient

    monkeypatch.setattr('rscc.models.interpreter.is_distributed', lambda: True)
    apart = MODELS.build(copy.deepcopy(DETECTOR))
    apart.load_state_dict(model.state_dict())
    torch.manual_seed(1)
    values = losses(apart, batch())
    total(values).backward()
    for name, parameter in apart.named_parameters():
        assert parameter.grad is not None, name
        if name in unread:
            assert parameter.grad.abs().max() == 0
    assert values['change.loss_ce'].item() > 0


def test_padding_for_encoder_and_config_together_is_told(monkeypatch):
    told = []
    monkeypatch.setattr('rscc.models.data_preprocessor.print_log',
                        lambda text, *_: told.append(text))
    cfg = copy.deepcopy(DETECTOR) | dict(data_preprocessor=dict(
        type='ChangeDataPreprocessor', size_divisor=24))
    assert MODELS.build(cfg).data_preprocessor.size_divisor == 48
    assert 'multiples of 48 px, of both 16 (TimmEncoder) and 24' in told[0]


def test_windows_that_the_encoder_cannot_take_are_refused_when_built():
    cfg = copy.deepcopy(DETECTOR) | dict(test_cfg=dict(
        mode='slide', crop_size=(40, 40), stride=(20, 20)))
    with pytest.raises(ValueError, match=r'crop_size=\(40, 40\).*multiples of 16'):
        MODELS.build(cfg)
