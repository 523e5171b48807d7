import json

import pytest
import torch
from mmengine.config import Config

from tools.analysis_tools import benchmark
from tools.benchmark import ablation, trainings
from tools.benchmark.ablation import VARIANTS, benchmark_ablation
from tools.benchmark.real_scores import ALL_CAPTIONED

CONFIG = 'configs/rscc_small.py'


def changed(variant):
    cfg = Config.fromfile(CONFIG)
    VARIANTS[variant][1](cfg)
    return cfg


def kinds(cfg):
    return [part.type for part in cfg.train_dataloader.dataset.datasets]


def test_the_command_line_offers_every_variant():
    assert list(VARIANTS) == benchmark.VARIANTS


def test_every_variant_takes_away_what_it_says():
    whole = changed('whole')
    assert changed('random').model.encoder.pretrained is None
    assert whole.model.encoder.pretrained is not None
    assert 'PseudoPairDataset' in kinds(whole)
    assert 'PseudoPairDataset' not in kinds(changed('rendered'))
    tiles = [tile.data_root.split('/')[-1]
             for tile in changed('open').train_dataloader.dataset.datasets[0].tiles]
    assert tiles and not [name for name in tiles if name.startswith('spacenet')]
    roots = [part.get('data_root') for part in changed('plain').train_dataloader.dataset.datasets]
    assert 'synth_varied' not in roots and 'synth' in roots
    for part in changed('mild').train_dataloader.dataset.datasets:
        steps = [step['type'] for step in part.pipeline]
        assert 'SensorChange' not in steps and 'FramesColorJitter' in steps
    assert changed('undated').train_dataloader.dataset.datasets[0].dated == 0
    assert 'guidance' not in changed('unguided').model and 'guidance' in whole.model


@pytest.fixture
def tools(monkeypatch):
    """Stand in for trainings and evaluations; return the calls."""
    calls = []

    def run(script, *arguments):
        words = list(map(str, arguments))
        folder = ablation.Path(words[words.index('--work-dir') + 1])
        folder.mkdir(parents=True, exist_ok=True)
        calls.append((script, folder.name))
        if script == 'tools/train.py':
            steps = Config.fromfile(words[0]).train_cfg.max_iters
            (folder / 'trained.json').write_text('{"processor_seconds": 120}')
            (folder / 'last_checkpoint').write_text(str(folder / f'iter_{steps}.pth'))
        else:
            point = dict(meta=dict(operating_point=dict(F1_best=0.5)), state_dict={})
            torch.save(point, words[words.index('--out') + 1])

    def evaluate(checkpoint, root, unchanged, *, name, out, **_):
        calls.append(('evaluate', checkpoint.parent.name))
        run = dict.fromkeys(('name', 'sha256', 'machine', 'flags', 'pairs'))
        run['false_area'] = {'NAIP': dict(share=0.25)}
        run |= dict(maps={'LEVIR-CD': dict(F1=0.25)},
                    sentences=dict(en={ALL_CAPTIONED: dict(object=1.0, direction=0.75)}))
        out.mkdir(parents=True)
        (out / 'scores.json').write_text(json.dumps(run))

    for module in (ablation, trainings):
        monkeypatch.setattr(module, 'run_tool', run)
    monkeypatch.setattr(ablation, 'evaluate', evaluate)
    return calls


def test_variants_are_trained_seed_by_seed_set_and_evaluated_once(tools, cells, tmp_path):
    for _ in range(2):
        section = benchmark_ablation(['whole', 'random'], steps=7, seeds=2, samples='samples',
                                     work_dir=str(tmp_path))
    trained = [folder for script, folder in tools if script == 'tools/train.py']
    assert trained == ['whole_seed0', 'random_seed0', 'whole_seed1', 'random_seed1']
    assert len([call for call in tools if call[0] == 'evaluate']) == 4
    assert cells(section, 'LEVIR-CD') == ['0.250 ± 0.000'] * 2
    assert cells(section, 'held-back cities') == ['0.500 ± 0.000'] * 2
    assert Config.fromfile(tmp_path / 'random_seed1/random.py').randomness.seed == 1


def test_without_real_pairs_nothing_is_trained(tools, tmp_path, monkeypatch):
    monkeypatch.delenv('RSCC_SAMPLES', raising=False)
    with pytest.raises(FileNotFoundError, match='RSCC_SAMPLES'):
        benchmark_ablation(['whole'], seeds=1, work_dir=str(tmp_path))
    assert not tools


def test_runs_of_another_machine_are_not_done_again(tools, cells, tmp_path):
    file = str(tmp_path / 'runs.csv')
    benchmark_ablation(['whole'], steps=7, seeds=1, samples='samples', runs=file,
                       work_dir=str(tmp_path / 'there'))
    before = len(tools)
    section = benchmark_ablation(['whole', 'random'], steps=7, seeds=1, samples='samples',
                                 runs=file, work_dir=str(tmp_path / 'here'))
    assert {folder for _, folder in tools[before:]} >= {'random_seed0'}
    assert not (tmp_path / 'here/whole_seed0').exists()
    assert cells(section, 'LEVIR-CD') == ['0.250', '0.250']
    # With every run in the file, neither samples nor a training are needed.
    benchmark_ablation(['whole', 'random'], steps=7, seeds=1, runs=file,
                       work_dir=str(tmp_path / 'nowhere'))
    assert not (tmp_path / 'nowhere').exists()
