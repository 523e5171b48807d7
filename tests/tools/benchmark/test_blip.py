"""Benchmarks of a BLIP captioner, on one with narrow parts."""
import pytest
import torch

from tools.benchmark import steps
from tools.benchmark.benchmarked_model import load_model
from tools.benchmark.blip import (
    benchmark_captions,
    benchmark_decode,
    benchmark_precision,
    count_encodes,
)
from tools.benchmark.steps import Steps


@pytest.fixture
def options(narrow):
    return dict(size=32, batch_size=2, rounds=1, random_weights=True, cfg_options=narrow)


def test_captions_are_compared_by_steps_on_one_and_on_five(cells, blip, options, monkeypatch):
    seen, train = [], Steps.train
    monkeypatch.setattr(Steps, 'train', lambda steps, batch: seen.append(
        [len(sample.target_captions) for sample in batch['data_samples']]) or train(steps, batch))
    section = benchmark_captions(blip, precisions=['fp32'], **options)
    assert seen == [[1, 1], [5, 5]] * 3  # two rounds warm up
    assert 'target ≤ 1.7' in cells(section, 'ratio')[0]


def test_bfloat16_is_measured_only_where_the_processor_has_it(cells, blip, options, monkeypatch):
    monkeypatch.setattr(steps, 'cpu_has_bf16', lambda: True)
    section = benchmark_precision(blip, **options)
    assert 'target ≥ 1.8' in cells(section, 'speed-up')[0]
    assert float(cells(section, 'bf16, ms a pair')[0].split()[0]) > 0
    monkeypatch.setattr(steps, 'cpu_has_bf16', lambda: False)
    section = benchmark_precision(blip, **options)
    assert cells(section, 'bf16, ms a pair') == ['not in hardware']
    assert float(cells(section, 'fp32, ms a pair')[0].split()[0]) > 0


def test_frames_are_encoded_once_a_pair_whatever_the_search(cells, blip, options):
    section = benchmark_decode(blip, tokens=4, **options)
    assert cells(section, 'search, with cache') == ['greedy', 'beam 3']
    assert cells(section, 'frames encoded / frames a pair') == ['2 / 2', '2 / 2']
    assert cells(section, 'encoder calls a batch') == ['1', '1']


def test_the_count_would_show_a_second_encode(blip, narrow):
    found = load_model(blip, size=32, random_weights=True, cfg_options=narrow)
    generate = found.network.caption_head.generate

    def wasteful(features, **decoding):
        found.network.encoder(torch.zeros(1, 2, 3, 32, 32))
        return generate(features, **decoding)

    found.network.caption_head.generate = wasteful
    usual = found.network.caption_head.decoding
    count = count_encodes(found, dict(num_beams=1, max_tokens=3))
    assert (count.calls, count.frames) == (2, 4)
    assert found.network.caption_head.decoding == usual


def test_an_unknown_device_is_refused_before_anything_is_built(blip):
    for benchmark in (benchmark_captions, benchmark_precision, benchmark_decode):
        with pytest.raises(ValueError, match="found 'tpu'"):
            benchmark(blip, device='tpu')
