import pytest
import torch
from torch import nn

from rscc.engine.optim.constructor import GroupedConstructor


class Net(nn.Module):

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
        self.head = nn.Linear(4, 1)
        self.position = nn.Parameter(torch.zeros(1, 4))


def build(model=None, **paramwise):
    cfg = {'optimizer': {'type': 'AdamW', 'lr': 1.0, 'weight_decay': 0.1},
           'clip_grad': {'max_norm': 1.0}}
    return GroupedConstructor(cfg, paramwise)(model or Net())


def settings(wrapper, model):
    """(learning rate, decay) by parameter name."""
    of = {id(p): (group['lr'], group['weight_decay'])
          for group in wrapper.param_groups for p in group['params']}
    return {name: of.get(id(p)) for name, p in model.named_parameters()}


def test_encoder_learns_slower_and_its_norms_and_biases_do_not_decay():
    model = Net()
    found = settings(build(model, custom_keys={r'^encoder\.': dict(lr_mult=0.1)}), model)
    assert found['encoder.0.weight'] == (0.1, 0.1)
    assert found['encoder.0.bias'] == found['encoder.1.weight'] == (0.1, 0.0)
    assert found['head.weight'] == (1.0, 0.1) and found['head.bias'] == (1.0, 0.0)


def test_first_matching_factor_counts():
    model = Net()
    found = settings(build(model, custom_keys={r'encoder\.1': dict(lr_mult=0.5),
                                                'encoder': dict(lr_mult=0.1)}), model)
    assert found['encoder.1.weight'][0] == 0.5 and found['encoder.0.weight'][0] == 0.1


def test_named_parameters_are_spared_and_vectors_decay_on_request():
    model = Net()
    keys = {'position': dict(decay_mult=0)}
    found = settings(build(model, custom_keys=keys, decay_vectors=True), model)
    assert found['position'][1] == 0.0 and found['head.bias'][1] == 0.1


def test_frozen_parameters_are_left_out_and_groups_are_few():
    model = Net()
    model.encoder.requires_grad_(False)
    wrapper = build(model)
    assert settings(wrapper, model)['encoder.0.weight'] is None
    assert len(wrapper.optimizer.param_groups) == 2
    assert wrapper.clip_grad_kwargs == {'max_norm': 1.0}


def test_pattern_without_a_match_is_an_error():
    with pytest.raises(ValueError, match=r"'\^encodr' matches no parameter.*Did you mean 'encoder"):
        build(custom_keys={'^encodr': dict(lr_mult=0.1)})


def test_option_of_another_constructor_is_an_error():
    with pytest.raises(ValueError, match=r"paramwise_cfg has no 'norm_decay_mult', expected cu"):
        build(norm_decay_mult=0)
    with pytest.raises(ValueError, match=r"custom_keys\['head'\] has no 'lr_mul'.*'lr_mult'\?"):
        build(custom_keys={'head': dict(lr_mul=1)})
