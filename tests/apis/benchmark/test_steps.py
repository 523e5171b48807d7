"""Precisions, devices, variants and operation counts."""
import pytest
import torch

from rscc.apis.benchmark import steps
from rscc.apis.benchmark.steps import check_device, choose_precisions, gflop, steps_in, variant
from rscc.apis.benchmark.subject import load_subject


@pytest.fixture
def tiny(light):
    return load_subject(light, random_weights=True, size=32)


def test_by_default_bfloat16_is_measured_where_the_processor_has_it(monkeypatch):
    monkeypatch.setattr(steps, 'cpu_has_bf16', lambda: True)
    assert choose_precisions(None, 'cpu') == ['fp32', 'bf16']
    monkeypatch.setattr(steps, 'cpu_has_bf16', lambda: False)
    assert choose_precisions(None, 'cpu') == ['fp32']
    assert choose_precisions(['bf16', 'fp32', 'bf16'], 'cpu') == ['bf16', 'fp32']


def test_impossible_precisions_and_devices_are_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"unknown precision 'bf61'.* Did you mean 'bf16'"):
        choose_precisions(['bf61'], 'cpu')
    with pytest.raises(ValueError, match="fp16 does not train on CPUs: use 'bf16'"):
        choose_precisions(['fp16'], 'cpu')
    with pytest.raises(ValueError, match=r"found 'cuda1'.* Did you mean 'cuda'"):
        check_device('cuda1')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match='sees no CUDA device here: use --device cpu'):
        check_device('cuda:0')
    assert check_device('cpu') == 'cpu'


def test_precisions_share_one_optimizer_and_only_one_runs_under_autocast(tiny):
    ways = steps_in(tiny, ['fp32', 'bf16'])
    assert ways['fp32'].optim.optimizer is ways['bf16'].optim.optimizer
    kinds = {}
    for name, way in ways.items():
        hook = tiny.model.encoder.register_forward_hook(
            lambda _module, _inputs, _output, name=name:
            kinds.update({name: torch.is_autocast_enabled('cpu')}))
        assert torch.isfinite(way.train(tiny.batch(2))['loss'])
        hook.remove()
    assert kinds == {'fp32': False, 'bf16': True}
    assert ways['bf16'].optim.clip_grad_kwargs == ways['fp32'].optim.clip_grad_kwargs


def test_a_step_trains_and_a_prediction_does_not(tiny):
    way, weight = steps_in(tiny, ['fp32'])['fp32'], next(tiny.model.caption_head.parameters())
    before = weight.detach().clone()
    assert len(way.predict(tiny.batch(2))) == 2 and torch.equal(weight, before)
    way.train(tiny.batch(2))
    assert not torch.equal(weight, before)


def test_operations_of_attention_and_linear_layers_are_counted(tiny):
    once = gflop(tiny)
    assert once > 0
    assert gflop(tiny, batch_size=2) == pytest.approx(once, rel=0.2)  # per sample
    four_times_the_pixels = load_subject(tiny.cfg.filename, random_weights=True, size=64)
    assert 1.5 < gflop(four_times_the_pixels) / once < 4.5


def test_attention_counts_like_its_matrix_products(blip, narrow):
    found = load_subject(blip, random_weights=True, size=32, cfg_options=narrow)
    blocks = found.model.encoder.vision_model.encoder.layers
    full, tokens, width = gflop(found), 5, 48
    for block in list(blocks)[1:]:
        blocks.remove(block) if hasattr(blocks, 'remove') else blocks.__delitem__(1)
    found.model.encoder.vision_model.config.num_hidden_layers = 1
    layer = 4 * tokens * width**2 + 2 * tokens**2 * width + 2 * tokens * width * 64
    assert (full - gflop(found)) * 1e9 == pytest.approx(2 * 2 * layer)  # multiply-add, two dates


def test_variants_are_copies_that_answer_alike(tiny):
    plain = tiny.model.eval().test_step(tiny.batch())[0].pred_change_score
    other = variant(tiny, channels_last=True)
    assert other.model is not tiny.model and other.model.data_preprocessor.channels_last
    assert other.model.eval().test_step(other.batch())[0].pred_change_score == pytest.approx(
        plain, abs=1e-4)
