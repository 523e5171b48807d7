"""Precisions, devices and variants."""
import pytest
import torch

from tools.benchmark import steps, timing
from tools.benchmark.benchmarked_model import load_model
from tools.benchmark.machine import check_device
from tools.benchmark.steps import Comparison, Steps, choose_precisions, steps_in, variant
from tools.benchmark.tables import say


@pytest.fixture
def tiny(light):
    return load_model(light, random_weights=True, size=32)


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
        hook = tiny.network.encoder.register_forward_hook(
            lambda _module, _inputs, _output, name=name:
            kinds.update({name: torch.is_autocast_enabled('cpu')}))
        assert torch.isfinite(way.train(tiny.batch(2))['loss'])
        hook.remove()
    assert kinds == {'fp32': False, 'bf16': True}
    assert ways['bf16'].optim.clip_grad_kwargs == ways['fp32'].optim.clip_grad_kwargs


@pytest.mark.parametrize(('rounds', 'told'), [(None, '3–20 rounds'), (7, '7 rounds')])
def test_rounds_that_are_not_given_fit_into_minutes_and_the_table_tells_them(
        tiny, rounds, told, monkeypatch):
    took = dict(quick=1.0, slow=400.0)
    now = 0.0
    monkeypatch.setattr(timing.time, 'perf_counter', lambda: now)

    def call(name):
        nonlocal now
        now += took[name]

    test = Comparison(tiny, 2, rounds)
    for name in took:
        test.time({name: lambda name=name: call(name)}, name)
    assert told in say(test.section('x', 'x', (), ()).notes[0], 'en')


def test_a_step_trains_and_a_prediction_does_not(tiny):
    way, weight = steps_in(tiny, ['fp32'])['fp32'], next(tiny.network.caption_head.parameters())
    before = weight.detach().clone()
    assert len(way.predict(tiny.batch(2))) == 2 and torch.equal(weight, before)
    way.train(tiny.batch(2))
    assert not torch.equal(weight, before)


def test_variants_are_copies_that_answer_alike(tiny):
    plain = tiny.network.eval().test_step(tiny.batch())[0].pred_change_score
    other = variant(tiny, channels_last=True)
    assert other.network is not tiny.network and other.network.data_preprocessor.channels_last
    assert other.network.eval().test_step(other.batch())[0].pred_change_score == pytest.approx(
        plain, abs=1e-4)


def test_plain_text_is_a_copy_that_answers_alike_and_shares_nothing(detector):
    found = load_model(detector, random_weights=True)
    plain = variant(found, plain_text=True)
    encoder = plain.prompt_encoder
    assert (encoder.cache_size, encoder.deduplicate, encoder.truncate) == (0, False, False)
    assert found.prompt_encoder.cache_size and found.prompt_encoder.deduplicate
    one, other = (Steps(model, 'fp32').predict(found.batch())[0].seg_logits.data
                  for model in (found, plain))
    assert torch.allclose(one, other, atol=1e-5)


def test_a_compiler_sees_tensors_and_no_class_names(detector, monkeypatch):
    compiled, run = [], []
    monkeypatch.setattr(torch.nn.Module, 'compile', lambda module: compiled.append(module))
    monkeypatch.setattr(torch.compiler, 'disable', lambda forward: (
        lambda prompts: run.append(prompts) or forward(prompts)))
    found = variant(load_model(detector, random_weights=True), compiled=True)
    assert compiled == [found.network.encoder, found.network.fusion, found.network.change_head]
    batch = found.batch()
    Steps(found, 'fp32').predict(batch)
    assert run == [[batch['data_samples'][0].prompts]]


def test_a_model_without_texts_has_no_cache_to_switch_off(tiny):
    with pytest.raises(ValueError, match=r"fusion of 'blip_synth' encodes no class names, so there "
                                         r'is no text cache.*LanguageGuidedFusion'):
        variant(tiny, plain_text=True)


def test_predictions_in_a_row_keep_what_the_model_remembers(detector):
    found = load_model(detector, random_weights=True)
    steps, batch = steps_in(found, ['fp32'])['fp32'], found.batch()
    steps.predict(batch)
    before = found.prompt_encoder.encoded
    steps.predict(batch)
    assert found.prompt_encoder.encoded == before
    steps.train(batch)  # changes the weights
    trained = found.prompt_encoder.encoded
    steps.predict(batch)
    assert found.prompt_encoder.encoded > trained


def test_a_peak_counts_the_weights_and_is_a_dash_where_the_system_tells_nothing(tiny, monkeypatch):
    monkeypatch.setattr(steps, 'peak_growth', lambda call, device: 3 * 2**20)
    assert Steps(tiny, 'fp32').peak(print) == f'{tiny.held_bytes / 2**20 + 3:.0f} MiB'
    monkeypatch.setattr(steps, 'peak_growth', lambda call, device: None)
    assert Steps(tiny, 'fp32').peak(print) == '-'
