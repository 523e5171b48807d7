import pytest
import torch
from torch import nn

from rscc.engine import precision
from rscc.engine.optim.autocast import AutocastOptimWrapper


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
    reduced, kinds, _ = fit()
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
    precision.say_once.cache_clear()
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
