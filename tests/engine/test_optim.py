import pytest
import torch
from torch import nn

from rscc.engine import precision
from rscc.engine.optim import AutocastOptimWrapper, GroupedConstructor, WarmupCosineLR, WarmupPolyLR


@pytest.fixture
def fast_bf16(monkeypatch):
    monkeypatch.setattr(precision, 'cpu_has_bf16', lambda: True)


def fit(steps=30, **kwargs):
    """Losses of a small regression, and the types seen inside and outside the context."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 1))
    inputs = torch.randn(64, 16)
    target = inputs.sum(1, keepdim=True)
    wrapper = AutocastOptimWrapper(optimizer=torch.optim.AdamW(model.parameters(), lr=1e-2),
                                   clip_grad={'max_norm': 1.0}, device_type='cpu', **kwargs)
    losses, kinds = [], set()
    for _ in range(steps):
        with wrapper.optim_context(model):
            output = model(inputs)
            kinds.add(output.dtype)
            loss = nn.functional.mse_loss(output.float(), target)
        wrapper.update_params(loss)
        losses.append(loss.item())
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    return torch.tensor(losses), kinds, wrapper


def test_bfloat16_training_follows_float32(fast_bf16, monkeypatch):
    reduced, kinds, _ = fit(full_precision=())
    assert kinds == {torch.bfloat16}
    monkeypatch.setattr(precision, 'cpu_has_bf16', lambda: False)
    full, kinds, _ = fit()
    assert kinds == {torch.float32}
    assert torch.allclose(reduced, full, rtol=0.03, atol=0.02)
    assert full[-1] < full[0] / 3


def test_cpu_without_bfloat16_says_once_that_nothing_changes(monkeypatch):
    said = []
    monkeypatch.setattr(precision, 'cpu_has_bf16', lambda: False)
    monkeypatch.setattr('mmengine.logging.print_log', lambda text, *_: said.append(text))
    precision.warn_once.cache_clear()
    fit(steps=1)
    fit(steps=1)
    assert len(said) == 1 and 'no bfloat16 instructions' in said[0]


def test_state_survives_a_round_trip_and_a_change_of_precision(fast_bf16):
    _, _, wrapper = fit(steps=2)
    state = wrapper.state_dict()
    _, _, other = fit(steps=1)
    other.load_state_dict({**state, 'loss_scaler': {'scale': 4.0}})
    step = other.state_dict()['state'][0]['step']
    assert step == 2 and 'loss_scaler' not in other.state_dict()


def test_accumulation_updates_every_second_step(fast_bf16):
    _, _, wrapper = fit(steps=4, accumulative_counts=2)
    assert wrapper.state_dict()['state'][0]['step'] == 2


def test_float16_is_refused_on_cpus():
    with pytest.raises(ValueError, match='float16 does not train on CPUs'):
        fit(dtype='float16')


def test_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="unknown reduced precision 'int8'"):
        fit(dtype='int8')


@pytest.mark.gpu
def test_float16_scales_gradients_on_gpus():
    model = nn.Linear(4, 1).cuda()
    wrapper = AutocastOptimWrapper(optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
                                   dtype='float16', device_type='cuda')
    with wrapper.optim_context(model):
        loss = model(torch.ones(2, 4, device='cuda')).float().mean()
    wrapper.update_params(loss)
    assert 'loss_scaler' in wrapper.state_dict()


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


def layerwise(layer_decay):
    return GroupedConstructor(dict(optimizer=dict(type='AdamW', lr=1.0)),
                              dict(layer_decay=layer_decay))


def test_layer_decay_needs_an_encoder_that_tells_its_layers():
    with pytest.raises(ValueError, match=r'layer_decay needs an encoder that tells its layers, and '
                       r'the model has no encoder of rscc: leave it out'):
        layerwise(0.5).groups(nn.Linear(2, 2), 1.0, 0.0)
    with pytest.raises(ValueError, match=r'layer_decay is in \(0, 1\], found 1\.5'):
        layerwise(1.5)


def test_layer_decay_names_an_encoder_that_does_not_tell_its_layers():
    from testers import build_interpreter
    model = build_interpreter(encoder=dict(type='StoredFeatures', channels=16), change_head=None,
                              flag_head=None)
    with pytest.raises(ValueError, match=r'and StoredFeatures does not \(parameter_depths\)'):
        layerwise(0.5).groups(model, 1.0, 0.0)


def test_option_of_another_constructor_is_an_error():
    with pytest.raises(ValueError, match=r"paramwise_cfg has no 'norm_decay_mult', expected cu"):
        build(norm_decay_mult=0)
    with pytest.raises(ValueError, match=r"custom_keys\['head'\] has no 'lr_mul'.*'lr_mult'\?"):
        build(custom_keys={'head': dict(lr_mul=1)})


def rates(steps=100, kind=WarmupCosineLR, **kwargs):
    groups = [{'params': [torch.nn.Parameter(torch.zeros(1))], 'lr': lr} for lr in (1.0, 0.1)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    schedule = kind(optimizer, end=steps, **kwargs)
    seen = []
    for _ in range(steps):
        seen.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return torch.tensor(seen, dtype=torch.float64)


def test_rate_rises_for_its_share_then_falls_to_the_floor():
    seen = rates(warmup=0.1, floor=0.01)[:, 0]
    assert seen[:10].diff().gt(0).all() and seen[0] == pytest.approx(1 / 11)
    assert seen.argmax() == 10 and seen[10] == 1.0
    assert seen[10:].diff().lt(0).all()
    assert seen[55] == pytest.approx(0.01 + 0.99 / 2, abs=1e-6)
    assert seen[-1] == pytest.approx(0.01, abs=1e-3)


def test_groups_keep_their_ratio():
    seen = rates(warmup=0.2)
    assert torch.allclose(seen[:, 1] * 10, seen[:, 0])


def test_no_warm_up_starts_at_the_peak():
    assert rates(warmup=0)[0, 0] == 1.0


def test_whole_warm_up_counts_steps_and_a_power_of_one_falls_in_a_line():
    seen = rates(steps=50, kind=WarmupPolyLR, warmup=10)[:, 0]
    assert seen.argmax() == 10 and seen[10] == 1.0
    assert torch.allclose(seen[10:].diff(), torch.tensor(-1 / 40, dtype=torch.float64))
    curved = rates(steps=50, kind=WarmupPolyLR, warmup=10, power=2.0)[:, 0]
    assert torch.allclose(curved[10:], seen[10:]**2)


@pytest.mark.parametrize('kwargs,message', [
    ({'warmup': 1.0}, r'warmup is a share of the run in \[0, 1\) or a whole number .*got 1.0'),
    ({'kind': WarmupPolyLR, 'power': 0}, 'power must be positive, got 0'),
    ({'floor': 2}, r'floor is a share of the peak rate in \[0, 1\], got 2'),
    ({'by_epoch': True}, 'counts iterations: set by_epoch=False')])
def test_wrong_shares_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        rates(**kwargs)


def test_runner_fills_in_the_length_of_the_run(build):
    runner = build(train_cfg={'max_epochs': 2})
    runner.train()
    schedule, = runner.param_schedulers
    assert schedule.end == 8 and schedule.last_step == 7
