from collections import OrderedDict

import pytest
import torch
from testers import batch, build_interpreter, losses, total
from torch import nn

from rscc.models.adaptation import add_lora

LORA = dict(target_modules=r'.*\.(query|value)', r=2, train=['^fusion'])


def test_frozen_parts_stay_put_in_evaluation_mode():
    model = build_interpreter(freeze=['^encoder.backbone']).train()
    total(losses(model, batch())).backward()
    assert all(parameter.grad is None for parameter in model.encoder.backbone.parameters())
    assert model.encoder.project[0].weight.grad is not None
    assert not model.encoder.backbone.bn1.training
    assert model.caption_head.training


def test_heads_that_nothing_can_learn_from_are_not_asked_for_a_loss():
    everything, data = losses(build_interpreter(), batch()), batch()
    assert {name.split('.')[0] for name in everything} == {'change', 'caption', 'flag'}
    alone = losses(build_interpreter(freeze=[r'^(?!caption_head\.)']), data)
    assert {name.split('.')[0] for name in alone} == {'caption'}
    # A fixed head still teaches what stands before it; and nothing at all keeps all losses.
    for freeze in (['^change_head'], ['.']):
        assert losses(build_interpreter(freeze=freeze), data).keys() == everything.keys()


def test_a_pattern_that_matches_nothing_names_the_nearest():
    with pytest.raises(ValueError, match=r"'encoder.bakbone' matches no parameter.*"
                       r"Did you mean 'encoder.backbone'"):
        build_interpreter(freeze=['encoder.bakbone'])


def test_lora_trains_adapters_and_the_named_parts_only():
    pytest.importorskip('peft')
    model = build_interpreter(lora=LORA)
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert trained
    assert all('lora_' in name or name.startswith('fusion') for name in trained)
    total(losses(model, batch())).backward()
    assert any(value.grad.abs().sum() > 0 for name, value in model.named_parameters()
               if 'lora_B' in name)


def test_lora_starts_as_the_model_it_adapts():
    pytest.importorskip('peft')
    plain, adapted = build_interpreter().eval(), build_interpreter(lora=LORA).eval()
    inputs = torch.randn(1, 2, 3, 64, 64)
    samples = batch(1)['data_samples']
    torch.testing.assert_close(plain(inputs, samples, mode='loss')['caption.loss_caption'],
                               adapted(inputs, samples, mode='loss')['caption.loss_caption'])


def test_lora_without_a_layer_names_those_that_there_are():
    pytest.importorskip('peft')
    model = nn.Sequential(OrderedDict(q_proj=nn.Linear(4, 4), act=nn.ReLU()))
    with pytest.raises(ValueError, match=r"no layer for target_modules=\['q_projj'\]; linear "
                       r"layers are called q_proj\. Did you mean 'q_proj'"):
        add_lora(model, target_modules=['q_projj'])
