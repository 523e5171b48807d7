"""Benchmark of whole models: a row for each precision and variant."""
import os
from pathlib import Path

from tools.benchmark import models, steps
from tools.benchmark.benchmarked_model import load_model, read_plan
from tools.benchmark.models import PLAIN_TEXT, TEXT, benchmark_models, benchmark_recent
from tools.benchmark.tables import say, to_markdown


def test_a_model_has_a_row_for_each_variant(cells, light):
    section = benchmark_models([light], size=64, rounds=1, precisions=['fp32', 'bf16'],
                               channels_last=True, random_weights=True)
    assert cells(section, 'variant') == ['fp32', 'bf16', 'fp32 channels_last', 'bf16 channels_last']
    assert set(cells(section, 'config')) == {'blip_synth'}
    assert cells(section, 'ratio')[0] == '1.00'
    assert all(float(cell.split()[0]) > 0 for cell in cells(section, 'train step, ms a pair'))
    assert 'torch' in to_markdown(section, 'zh_cn')


def test_a_detector_is_measured_with_the_text_cache_and_without(cells, detector):
    section = benchmark_models([detector], rounds=1, precisions=['fp32', 'bf16'],
                               random_weights=True)
    assert cells(section, 'variant') == [
        'fp32', 'bf16', f'fp32 {PLAIN_TEXT}', f'bf16 {PLAIN_TEXT}']
    operations = [float(cell) for cell in cells(section, 'GFLOP')]
    assert operations[0] == operations[1] <= operations[2] == operations[3]
    assert TEXT in section.notes


def test_configs_of_one_model_share_its_rows(cells, detector, light, tmp_path):
    other = tmp_path / 'other_data.py'
    other.write_text("_base_ = './detector.py'\ntrain_dataloader = dict(batch_size=7)\n")
    section = benchmark_models([detector, light, str(other), detector], size=64, rounds=1,
                               precisions=['fp32'], random_weights=True)
    assert cells(section, 'config') == ['detector (+ 1)'] * 2 + ['blip_synth']
    notes = [say(note, 'en') for note in section.notes]
    assert any(note.startswith('detector (+ 1): other_data train') for note in notes)
    assert section.notes.count(TEXT) == 1


def test_training_needs_more_memory_than_inference_and_weights_count(cells, light, monkeypatch):
    grown = iter([10 * 2**20, 100 * 2**20])
    monkeypatch.setattr(steps, 'peak_growth', lambda run, device: (run(), next(grown))[1])
    section = benchmark_models([light], size=64, rounds=1, precisions=['fp32'], random_weights=True)
    held = load_model(light, size=64, random_weights=True).held_bytes / 2**20
    assert cells(section, 'peak memory, train') == [f'{held + 100:.0f} MiB']
    assert cells(section, 'peak memory, inference') == [f'{held + 10:.0f} MiB']


def test_recent_models_have_a_row_each_and_say_what_is_random(cells, detector, light, tmp_path):
    other = tmp_path / 'other_data.py'
    other.write_text("_base_ = './detector.py'\ntrain_dataloader = dict(batch_size=7)\n")
    section = benchmark_recent([detector, str(other), light], rounds=1,
                               cfg_options={'train_dataloader.dataset.cache.size': (64, 64)})
    assert section.name == 'recent' and 'ratio' not in [say(head, 'en') for head in section.columns]
    assert cells(section, 'config') == ['detector (+ 1)', 'blip_synth']
    assert cells(section, 'variant') == ['fp32', 'fp32']
    assert all(cell.endswith('MiB') for cell in cells(section, 'peak memory, train'))
    notes = [say(note, 'en') for note in section.notes]
    assert sum('in place of RN50:openai; tokenizers' in note for note in notes) == 1
    assert TEXT not in section.notes


def test_recent_configs_exist_and_none_is_split_over_processes():
    plans = [read_plan(str(models.CONFIGS / f'{name}.py')) for name in models.RECENT]
    assert [plan.name for plan in plans] == list(models.RECENT)
    assert not [plan.name for plan in plans if 'strategy' in plan.cfg]
    # One of each kind: no two of them are the same model.
    assert not [(one.name, other.name) for one in plans for other in plans
                if one is not other and one.costs_as(other)]


def test_a_head_that_cannot_train_on_one_sample_gets_two(cells, light):
    head = dict(type='mmseg.UPerHead', pool_scales=(1, 2), in_index=[0, 1, 2, 3], channels=8,
                in_channels=[48, 96, 192, 384], num_classes=6, norm_cfg=dict(type='BN'),
                loss_decode=dict(type='rscc.CrossEntropyLoss'), _delete_=True)
    path = Path(light).parent / 'blip_synth.py'
    folder = Path(os.environ['RSCC_DATA'])
    (folder / 'pooled.py').write_text(f"_base_ = '{path}'\nmodel = dict(change_head={head})\n")
    section = benchmark_recent([str(folder / 'pooled.py'), light], rounds=1,
                               cfg_options={'train_dataloader.dataset.cache.size': (64, 64)})
    assert cells(section, 'config') == ['pooled', 'blip_synth']
    notes = [say(note, 'en') for note in section.notes]
    assert [note for note in notes if 'batch size 2' in note] == [
        'pooled: batch size 2; its head normalises a pooled map over the batch.']
