"""Every study makes its table from things it really ran."""
import pytest
import torch

from tools.benchmark import blip as blip_studies
from tools.benchmark import steps
from tools.benchmark.benchmarked_model import load_subject
from tools.benchmark.blip import count_encodes, study_captions, study_decode, study_precision
from tools.benchmark.models import study_models
from tools.benchmark.tables import say, to_markdown


@pytest.fixture
def options(narrow):
    return dict(size=32, batch_size=2, rounds=2, random_weights=True, cfg_options=narrow)


def cells(section, column):
    heads = [say(head, 'en') for head in section.columns]
    return [say(row[heads.index(column)], 'en') for row in section.rows]


def test_a_model_has_a_row_for_each_variant(light):
    section = study_models([light], size=64, rounds=2, precisions=['fp32', 'bf16'],
                           channels_last=True, random_weights=True)
    assert cells(section, 'variant') == ['fp32', 'bf16', 'fp32 channels_last', 'bf16 channels_last']
    assert set(cells(section, 'config')) == {'blip_synth'}
    assert cells(section, 'ratio')[0] == '1.00'
    assert all(float(cell.split()[0]) > 0 for cell in cells(section, 'train step, ms a pair'))
    assert 'torch' in to_markdown(section, 'zh_cn')


def test_a_detector_is_measured_with_the_text_cache_and_without(detector):
    section = study_models([detector], rounds=1, precisions=['fp32', 'bf16'], random_weights=True)
    assert cells(section, 'variant') == ['fp32', 'bf16', 'fp32 text cache off',
                                         'bf16 text cache off']
    operations = [float(cell) for cell in cells(section, 'GFLOP')]
    assert operations[0] == operations[1] <= operations[2] == operations[3]
    assert any('both dates of every pair at full length' in say(note, 'en')
               for note in section.notes)


def test_configs_of_one_model_share_its_rows(detector, light, tmp_path):
    other = tmp_path / 'other_data.py'
    other.write_text("_base_ = './detector.py'\ntrain_dataloader = dict(batch_size=7)\n")
    section = study_models([detector, light, str(other), detector], size=64, rounds=1,
                           precisions=['fp32'], random_weights=True)
    assert cells(section, 'config') == ['detector (+ 1)'] * 2 + ['blip_synth']
    notes = [say(note, 'en') for note in section.notes]
    assert any(note.startswith('detector (+ 1): other_data train') for note in notes)
    assert sum('full length' in note for note in notes) == 1


def test_training_needs_more_memory_than_inference_and_weights_count(light, monkeypatch):
    grown = iter([10 * 2**20, 100 * 2**20])
    monkeypatch.setattr(steps, 'peak_growth', lambda run, device: (run(), next(grown))[1])
    section = study_models([light], size=64, rounds=1, precisions=['fp32'], random_weights=True)
    held = load_subject(light, size=64, random_weights=True).held_bytes / 2**20
    assert cells(section, 'peak memory, train') == [f'{held + 100:.0f} MiB']
    assert cells(section, 'peak memory, inference') == [f'{held + 10:.0f} MiB']


def test_captions_are_compared_by_steps_on_one_and_on_five(blip, options, monkeypatch):
    seen = []
    times = blip_studies._train_times
    monkeypatch.setattr(blip_studies, '_train_times', lambda ways, *rest: seen.append(
        {count: [len(sample.target_captions) for sample in batch['data_samples']]
         for count, (_, batch) in ways.items()}) or times(ways, *rest))
    section = study_captions(blip, precisions=['fp32'], **options)
    assert seen == [{1: [1, 1], 5: [5, 5]}]
    assert 'target ≤ 1.7' in cells(section, 'ratio')[0]


@pytest.mark.parametrize('has_bf16', [True, False])
def test_bfloat16_is_judged_only_where_the_processor_has_it(blip, options, monkeypatch, has_bf16):
    monkeypatch.setattr(blip_studies, 'cpu_has_bf16', lambda: has_bf16)
    section = study_precision(blip, **options)
    assert ('target ≥ 1.8' in cells(section, 'speed-up')[0]) == has_bf16


def test_frames_are_encoded_once_a_pair_whatever_the_search(blip, options):
    section = study_decode(blip, tokens=4, **options)
    assert cells(section, 'search, with cache') == ['greedy', 'beam 3']
    assert cells(section, 'frames encoded / frames a pair') == ['2 / 2', '2 / 2']
    assert cells(section, 'encoder calls a batch') == ['1', '1']


def test_the_count_would_show_a_second_encode(blip, narrow):
    found = load_subject(blip, size=32, random_weights=True, cfg_options=narrow)
    generate = found.model.caption_head.generate

    def wasteful(features, **decoding):
        found.model.encoder(torch.zeros(1, 2, 3, 32, 32))
        return generate(features, **decoding)

    found.model.caption_head.generate = wasteful
    usual = found.model.caption_head.decoding
    count = count_encodes(found, dict(num_beams=1, max_tokens=3))
    assert (count.calls, count.frames) == (2, 4)
    assert found.model.caption_head.decoding == usual


def test_an_unknown_device_is_refused_before_anything_is_built(blip):
    for study in (study_captions, study_precision, study_decode):
        with pytest.raises(ValueError, match="found 'tpu'"):
            study(blip, device='tpu')
