"""The benchmark of a GPU, tried out on the CPU with narrow models: every part, row and note."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from rscc.synth.generator import Parameters, generate
from tools.benchmark import fakes, gpu, gpu_scenes, gpu_training
from tools.benchmark.budget import LEFT_OUT, Outcome
from tools.benchmark.gpu import benchmark_gpu
from tools.benchmark.gpu_training import Feed, peak_tflops
from tools.benchmark.tables import Section, say, to_markdown
from tools.benchmark.timing import Timing

SIDE = 64


@pytest.fixture
def configs(repo, tmp_path, monkeypatch, narrow, narrow_kdrscc, detector):
    """Narrow configs as files of their own, whose frames have 64 pixels."""
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    monkeypatch.setattr(fakes, 'BERT_PIECES', 300)

    def written(name, overrides):
        cfg = Config.fromfile(repo / f'configs/{name}.py')
        cfg.merge_from_dict(overrides)
        cfg.train_dataloader.dataset.pipeline.insert(1, dict(type='FramesResize', size=SIDE))
        cfg.dump(tmp_path / f'{name}.py')
        return str(tmp_path / f'{name}.py')

    return dict(captioner=written('blip_levircc', narrow), detectors=[detector],
                diffusion=written('kdrscc_levircc', narrow_kdrscc))


@pytest.fixture
def measured(configs):
    """Return a function: parts and options -> the tables, by name."""
    def run(*parts, **options):
        options = dict(device='cpu', rounds=1, batch_sizes=(2, 3), compiled=False, pairs=4,
                       workers=0, tokens=3) | configs | options
        return {section.name: section for section in benchmark_gpu(parts, **options)}

    return run


def test_training_is_set_against_the_peak_and_the_wait_for_data(measured, cells, monkeypatch):
    monkeypatch.setattr(gpu_training, 'gflop', lambda model: 1e6)
    section = measured('training', peak=1e6)['training']
    assert cells(section, 'way') == ['bf16', 'bf16', 'fp32', 'bf16, fed by the loader']
    assert cells(section, 'pairs a step') == ['2', '3', '2', '2']
    assert cells(section, 'rounds') == ['1'] * 4
    mfu, waiting = cells(section, 'MFU'), cells(section, 'waiting for data')
    assert ['(target ≥ 40 %' in cell for cell in mfu] == [True, True, False, True]
    assert ['(target ≤ 2 %' in cell for cell in waiting] == [False, False, False, True]
    for rate, ms, used, share in zip(cells(section, 'pairs/s'), cells(section, 'ms a pair'),
                                     cells(section, 'TFLOP/s'), mfu, strict=True):
        ms = float(ms.split()[0])
        assert float(rate) == pytest.approx(1e3 / ms, rel=0.1)
        # A step is three passes of 1e6 GFLOP; a GFLOP a millisecond is a TFLOP a second.
        assert float(used) == pytest.approx(3e6 / ms, rel=0.1)
        assert not share or float(share.split()[0]) == pytest.approx(float(used) / 1e4, abs=0.1)
    assert 'Peak: 1e+06 TFLOP/s' in say(section.notes[-1], 'en')


def test_the_wait_is_counted_over_the_timed_steps_alone():
    model = SimpleNamespace(name='m', parameters=(5, 5), held_bytes=0)
    row = gpu_training._row(model, 4, 'bf16', Outcome(Timing((0.5, 0.5))), 0.0, None,
                            waits=[9.0, 0.04, 0.04])
    assert say(row[7], 'en') == '2.0 % (target ≤ 2 %: met)' and row[6] == ''


def test_a_model_with_frozen_weights_has_no_share_of_the_peak():
    model = SimpleNamespace(name='m', parameters=(5, 4), held_bytes=0)
    row = gpu_training._row(model, 4, 'bf16', Outcome(Timing((0.5,))), 1e6, 100.0)
    assert row[6] == ''
    notes = gpu_training.training_notes('', None, Feed())
    assert '--peak-tflops' in say(notes[-1], 'en')


def test_the_loader_reads_a_folder_of_ones_own_with_the_pipeline_of_the_config(repo, tmp_path):
    generate(tmp_path / 'own', Parameters(train=3, val=0, test=0, seed=1))
    model = SimpleNamespace(cfg=Config.fromfile(repo / 'configs/blip_levircc.py'))
    feed = Feed(str(tmp_path / 'own'), workers=0)
    batches = iter(feed.loader(model, 2, tmp_path))
    for _ in range(3):  # more than an epoch
        batch = next(batches)
        assert len(batch['inputs']) == 2 and batch['inputs'][0].shape == (2, 3, 256, 256)
        assert all(len(sample.target_captions) == 1 for sample in batch['data_samples'])
    assert 'pairs of own' in say(gpu_training.training_notes('', 1.0, feed)[1], 'en')
    assert not (tmp_path / 'synth').exists()


def test_sentences_come_alone_and_in_batches_with_graphs_and_without(measured, cells):
    section = measured('captioners', steps=(3, 2))['captioners']
    assert cells(section, 'request') == ['3 steps'] * 4 + ['2 steps'] * 4 + ['beam 3'] * 2
    assert cells(section, 'way') == ['eager', 'CUDA graphs'] * 4 + ['eager'] * 2
    assert cells(section, 'precision') == ['fp32', 'fp32', 'bf16', 'bf16'] * 2 + ['fp32', 'bf16']
    assert cells(section, 'same sentences as eager') == ['', '2 / 2'] * 4 + ['', '']
    assert all('target ≥ 4' in cell for cell in cells(
        section, 'times as many as one alone, eager'))
    assert 'there are no graphs' in say(section.notes[-1], 'en')


def test_detectors_are_measured_in_every_way(measured, cells, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, 'compile', lambda module: compiled.append(module))
    section = measured('detectors', compiled=True)['detectors']
    assert cells(section, 'way') == ['fp32', 'bf16', 'bf16 channels-last', 'fp32 channels-last',
                                     'bf16 compile']
    assert len(compiled) == 3, 'encoder, fusion and head of one copy'
    for column in ('inference, ms a pair', 'training, ms a pair', 'peak memory'):
        assert all(cells(section, column))
    assert cells(section, 'times as fast')[0] == '1.00'


def test_scenes_are_told_in_megapixels_a_second(measured, cells, monkeypatch):
    pytest.importorskip('rasterio')
    monkeypatch.setattr(gpu_scenes, 'DETECTORS', {'quickstart': 'light'})
    monkeypatch.setattr(gpu_scenes, '_CELLS', 2)
    section = measured('scenes', scene_side=300)['scene_rate']
    assert cells(section, 'precision') == ['fp32', 'bf16']
    for part in ('whole scene', 'answering', 'combining'):
        assert all(float(cell) > 0 for cell in cells(section, f'{part}, Mpixel/s'))
    whole, answering = (cells(section, f'{part}, Mpixel/s') for part in (
        'whole scene', 'answering'))
    assert all(float(one) < float(other) for one, other in zip(whole, answering, strict=True))


def test_what_no_longer_fits_is_named_in_every_row(measured, cells):
    tables = measured('training', 'detectors', 'captioners', minutes=1e-6, compiled=True)
    assert list(tables) == ['training', 'captioners', 'detectors']
    for section, column in (('training', 'ms a pair'), ('detectors', 'inference, ms a pair'),
                            ('detectors', 'training, ms a pair'),
                            ('captioners', 'one alone, ms')):
        assert set(cells(tables[section], column)) == {LEFT_OUT[0]}
    assert LEFT_OUT[1] in to_markdown(tables['training'], 'zh_cn')


def test_a_part_that_fails_as_a_whole_costs_no_other(configs, monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError('CUDA error: out of paper')

    def run(setting, budget):
        return Section('scene_rate', 'scenes', ['a'], [['b']], setting.machine)

    monkeypatch.setattr(gpu, 'PARTS', dict(training=(fail, 3), scenes=(run, 1)))
    tables = benchmark_gpu(device='cpu', **configs)
    section = next(tables)
    assert section.name == 'scene_rate'
    assert '8 minutes' in say(section.notes[0], 'en')
    with pytest.raises(RuntimeError, match='out of paper'):
        next(tables)
    assert 'training failed: RuntimeError' in capsys.readouterr().out


def test_the_command_line_knows_the_parts(load_tool):
    tool = load_tool('analysis_tools/benchmark.py')
    assert list(gpu.PARTS) == tool.GPU_PARTS
    assert [str(tool.ROOT / name) for name in (tool.BLIP, tool.KDRSCC, tool.CHANGECLIP)] == [
        gpu.CAPTIONER, gpu.DIFFUSION, gpu.DETECTORS[0]]


@pytest.mark.parametrize('name, peak', [
    ('NVIDIA H200', 989.4), ('NVIDIA H100 80GB HBM3', 989.4), ('NVIDIA H100 PCIe', 756),
    ('NVIDIA A100-SXM4-80GB', 312), ('NVIDIA L40S', 362), ('NVIDIA L4', 121),
    ('NVIDIA GeForce RTX 4090', 165.2), ('NVIDIA GeForce RTX 4090 Laptop GPU', None),
    ('NVIDIA A100-SXM4-40GB MIG 1g.5gb', None), ('NVIDIA GeForce RTX 3090 Ti', None),
    ('NVIDIA A10G', None), ('Radeon', None)])
def test_peaks_are_those_of_the_very_gpu(name, peak):
    assert peak_tflops(name) == peak


@pytest.mark.parametrize('wrong, message', [
    (dict(parts=['trainning']), "part='trainning' is unknown.*Did you mean 'training'"),
    (dict(minutes=0), 'minutes must be above 0, found 0'),
    (dict(batch_sizes=(4, 0)), 'batch_sizes must be above 0, found 0'),
    (dict(steps=()), 'steps must be above 0'), (dict(peak=-1.0), 'peak must be above 0'),
    (dict(device='gpu'), "device is 'cpu', 'cuda' or 'cuda:N', found 'gpu'")])
def test_impossible_wishes_are_refused_before_anything_runs(wrong, message):
    with pytest.raises(ValueError, match=message):
        benchmark_gpu(**dict(device='cpu') | wrong)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_without_a_gpu_the_message_says_how_to_try_it():
    with pytest.raises(ValueError, match=r"device 'cuda' asked for.*use --device cpu"):
        benchmark_gpu()


def test_a_config_that_is_not_there_is_told_before_the_clock_runs():
    with pytest.raises(FileNotFoundError, match=r"no config at 'nowhere\.py'"):
        benchmark_gpu(device='cpu', diffusion='nowhere.py')
