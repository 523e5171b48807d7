import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from engine.toys import toy_config
from mmengine.config import Config

from rscc.apis.launch import TTA_VIEWS, load_config, use_swap, use_tta
from rscc.engine.checkpoint import read_checkpoint
from rscc.evaluation.predictions import read_predictions
from rscc.evaluation.protocols import score_captions
from rscc.evaluation.records import CaptionOptions
from rscc.synth.generator import Parameters, generate

ROOT = Path(__file__).resolve().parents[2]


def run(*command, expect=0, **environment):
    """Run a command from the repository root and return its output."""
    env = {**os.environ, 'PYTHONPATH': f'{ROOT}:{ROOT / "tests"}',
           'OMP_NUM_THREADS': str(torch.get_num_threads()), 'PYTHON': sys.executable,
           **environment}
    env = {name: value for name, value in env.items() if value is not None}
    done = subprocess.run([str(part) for part in command], cwd=ROOT, env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240)
    assert done.returncode == expect, f'exit {done.returncode}:\n{done.stdout[-4000:]}'
    return done.stdout


@pytest.fixture
def tool(load_tool, monkeypatch):
    """Call a tool's main() in this process, which is much faster than starting Python."""
    for name in ('LOCAL_RANK', 'RANK', 'RSCC_DATA', 'TORCHELASTIC_RUN_ID'):
        monkeypatch.delenv(name, raising=False)

    def call(name, *arguments):
        monkeypatch.setattr(sys, 'argv', [f'tools/{name}.py', *map(str, arguments)])
        load_tool(f'{name}.py').main()

    yield call
    os.environ.pop('LOCAL_RANK', None)


def log_of(folder):
    return ''.join(path.read_text() for path in sorted(Path(folder).glob('*/*.log')))


@pytest.fixture
def config(tmp_path):
    """Write a toy config with changes and return its path; the work folder is beside it."""
    count = 0

    def write(name='toy', **changes):
        nonlocal count
        count += 1
        path = tmp_path / f'{name}.py'
        # MMEngine shares the log history of runs with one name.
        changes.setdefault('experiment_name', f'{tmp_path.name}_{count}')
        toy_config(tmp_path / name, **changes).dump(path)
        return path

    return write


def weights(folder, name='epoch_3.pth'):
    return read_checkpoint(Path(folder) / name)['state_dict']


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_bits(config, tool, python, tmp_path):
    tool('train', config('whole'))
    killed = config('killed', custom_hooks=[{'type': 'KillHook', 'at_iter': 6}])
    assert python('tools/train.py', killed).returncode == -9
    assert not (tmp_path / 'killed' / 'epoch_2.pth').exists()
    tool('train', config('killed'), '--resume')
    assert 'resumed epoch: 1, iter: 4' in log_of(tmp_path / 'killed')
    one, other = weights(tmp_path / 'whole'), weights(tmp_path / 'killed')
    assert one.keys() == other.keys()
    for key in one:
        assert torch.equal(one[key], other[key]), key


@pytest.mark.slow
def test_killed_captioner_resumes_to_the_same_bits(tool, python, tmp_path):
    generate(tmp_path / 'synth', Parameters(train=12, val=4, test=4, seed=0), jobs=1)
    for name, hooks in (('whole', []), ('killed', [dict(type='KillHook', at_iter=4)]),
                        ('resumed', [])):
        work_dir = tmp_path / name.replace('resumed', 'killed')
        cfg = Config(dict(
            _base_=[str(ROOT / 'configs' / 'blip_synth.py')], work_dir=str(work_dir),
            custom_imports=dict(imports=['engine.toys']), custom_hooks=hooks, val_dataloader=None,
            val_cfg=None, val_evaluator=None, train_cfg=dict(max_epochs=2),
            train_dataloader=dict(batch_size=4, num_workers=1)))
        path = tmp_path / f'{name}.py'
        path.write_text(cfg.pretty_text)
        if name == 'killed':
            assert python('tools/train.py', path, '--data-root', tmp_path).returncode == -9
        else:
            tool('train', path, '--data-root', tmp_path, *['--resume'] * (name == 'resumed'))
    one, other = (weights(tmp_path / name, 'epoch_2.pth') for name in ('whole', 'killed'))
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_resume_passes_over_a_cut_checkpoint_and_starts_fresh_without_any(config, tool, tmp_path):
    folder, changes = tmp_path / 'toy', dict(train_cfg=dict(max_epochs=2))
    tool('train', config(**changes), '--resume')
    assert f"nothing to resume in '{folder}': training starts fresh" in log_of(folder)
    intact = weights(folder, 'epoch_2.pth')
    broken = folder / 'epoch_2.pth'
    broken.write_bytes(broken.read_bytes()[:2000])
    tool('train', config(**changes), '--resume')
    assert f"skipping broken checkpoint '{broken}'" in log_of(folder)
    assert 'resumed epoch: 1' in log_of(folder)
    again = weights(folder, 'epoch_2.pth')
    assert all(torch.equal(intact[key], again[key]) for key in intact)


def test_amp_trains_and_validates_in_reduced_precision(config, tool, tmp_path):
    tool('train', config(train_cfg=dict(max_epochs=1)), '--amp')
    log = log_of(tmp_path / 'toy')
    assert 'AutocastInferenceHook' in log and "type='AutocastOptimWrapper'" in log
    assert 'change/OA' in log


def test_amp_does_not_replace_an_unknown_wrapper(config, tool):
    with pytest.raises(SystemExit, match=r"--amp cannot replace .*type 'ApexOptimWrapper'"):
        tool('train', config(optim_wrapper=dict(type='ApexOptimWrapper')), '--amp')


def test_wrong_override_ends_before_anything_is_built(config, tool, tmp_path):
    with pytest.raises(SystemExit, match=r"error: 1 problem(.|\n)*Did you mean 'batch_size'"):
        tool('train', config(), '--cfg-options', 'train_dataloader.btach_size=8')
    assert not (tmp_path / 'toy').exists()


def test_misspelt_config_and_absent_data_root_are_plain_errors(config, tool):
    path = config()
    with pytest.raises(SystemExit, match=r"error: no config at .*toz.py'\. Did you mean"):
        tool('train', str(path)[:-4] + 'z.py')
    with pytest.raises(SystemExit, match="--data-root '/absent' is not a folder"):
        tool('train', path, '--data-root', '/absent')


def test_data_root_is_set_before_the_config_is_read(config, tool, tmp_path, monkeypatch):
    path = config(train_cfg=dict(max_epochs=1))
    path.write_text("seen = '{{$RSCC_DATA:nothing}}'\n" + path.read_text())
    (tmp_path / 'sets').mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('RSCC_DATA', 'other')
    tool('train', path, '--data-root', 'sets')
    assert f"seen = '{tmp_path / 'sets'}'" in log_of(tmp_path / 'toy')


def test_auto_scale_lr_needs_a_base(config, tool):
    with pytest.raises(SystemExit, match=r'--auto-scale-lr needs auto_scale_lr=dict\(base_batch'):
        tool('train', config(auto_scale_lr=dict(base_batch_size=None)), '--auto-scale-lr')


def test_auto_scale_lr_scales_with_the_batch(config, tool, tmp_path):
    tool('train', config(auto_scale_lr=dict(base_batch_size=2), train_cfg=dict(max_epochs=1)),
         '--auto-scale-lr')
    state = read_checkpoint(tmp_path / 'toy' / 'epoch_1.pth')['optimizer']['param_groups'][0]
    assert state['initial_lr'] == pytest.approx(2e-3)


def test_loaders_with_workers_get_a_time_limit(config):
    args = SimpleNamespace(config=str(config(val_dataloader=dict(num_workers=2))), launcher='none',
                           data_root=None, cfg_options=None, local_rank=0, work_dir=None)
    cfg = load_config(args, stages=())
    assert cfg.val_dataloader.timeout == 600 and 'timeout' not in cfg.train_dataloader


def test_test_prints_a_table_and_leaves_files(config, tool, tmp_path, capsys):
    path = config(train_cfg=dict(max_epochs=1))
    tool('train', path)
    checkpoint, out = tmp_path / 'toy' / 'epoch_1.pth', tmp_path / 'pred.json'
    tool('test', config(), checkpoint, '--out', out, '--show-dir', tmp_path / 'shown', '--amp')
    printed = capsys.readouterr().out
    assert 'change map' in printed and f'{out}' in printed
    metrics = json.loads((tmp_path / 'toy' / 'metrics.json').read_text())
    predictions = json.loads(out.read_text())
    assert predictions['metrics'] == metrics and len(predictions['samples']) == 16
    assert predictions['checkpoint'] == str(checkpoint)
    assert (tmp_path / 'shown' / 'report.html').read_text().startswith('<!')
    assert len(list((tmp_path / 'shown' / 'panels').glob('toy_*.png'))) == 16


def test_test_refuses_a_checkpoint_of_another_config(config, tool, tmp_path):
    tool('train', config(train_cfg=dict(max_epochs=1)))
    with pytest.raises(SystemExit, match=r'^error: checkpoint .*does not fit(.|\n)*7 of another '
                       'shape'):
        tool('test', config(model=dict(width=5)), tmp_path / 'toy' / 'epoch_1.pth')


def test_test_without_a_checkpoint_file_is_a_plain_error(config, tool, tmp_path):
    with pytest.raises(SystemExit, match='error: no checkpoint at'):
        tool('test', config(), tmp_path / 'epoch_1.pth')


def test_tta_needs_a_change_head(config, tool, tmp_path):
    torch.save({'state_dict': {}}, tmp_path / 'x.pth')
    with pytest.raises(SystemExit, match=r'--tta averages change maps .* has no change_head'):
        tool('test', config(), tmp_path / 'x.pth', '--tta')


def test_tta_sets_the_views_and_keeps_those_of_the_config():
    cfg = Config(dict(model=dict(change_head=dict(type='A'), test_cfg=dict(window_batch=2))))
    use_tta(cfg)
    assert cfg.model.test_cfg == dict(window_batch=2, views=TTA_VIEWS)
    cfg.model.test_cfg.views = ('none', 'hflip')
    use_tta(cfg)
    assert cfg.model.test_cfg.views == ('none', 'hflip')


def test_changed_pairs_are_answered_both_ways_unless_told_otherwise(tool, tmp_path, capsys):
    generate(tmp_path / 'synth', Parameters(train=8, val=4, test=8, seed=0), jobs=1)
    options = ['--data-root', tmp_path, '--work-dir', tmp_path / 'run']
    config = str(ROOT / 'configs' / 'blip_synth_exchange.py')
    tool('train', config, *options, '--cfg-options', 'train_cfg.max_epochs=1',
         'train_dataloader.batch_size=4')
    checkpoint = tmp_path / 'run' / 'epoch_1.pth'
    found = {}
    for name, more in (('both', []), ('once', ['--no-swap'])):
        out = tmp_path / f'{name}.json'
        tool('test', config, checkpoint, *options, '--out', out, *more, '--cfg-options',
             'test_evaluator.0.meteor=False')
        found[name] = json.loads(out.read_text())
    assert 'answered again with the dates exchanged' in capsys.readouterr().out
    both, once = (found[name]['metrics'] for name in ('both', 'once'))
    assert both['reversal/pairs'] == 4 and 0 <= both['reversal/mask_IoU'] <= 1
    # All else is as it is without the second answers.
    assert {key: value for key, value in both.items() if not key.startswith('reversal/')} == once
    for sample in found['both']['samples']:
        assert ('swapped' in sample) == sample['gt_change_flag']
        assert 'swapped' not in sample or set(sample['swapped']) == {
            'prediction', 'mask_IoU', 'reversible', 'direction', 'object', 'count',
            'no_change_twice'}
    # The file alone gives the same scores again.
    rescored = score_captions(read_predictions(tmp_path / 'both.json'), CaptionOptions(
        meteor=False, baselines=False, no_change_captions=found['both']['dataset'][
            'no_change_captions']))[0]
    assert rescored == pytest.approx({key: both[key] for key in rescored})
    assert {'reversal/reversible', 'caption/missed_mask'} <= set(rescored)


def test_models_of_other_kinds_and_settings_of_the_config_are_left_alone():
    cfg = Config(dict(model=dict(type='ChangeInterpreter', test_cfg=dict(window_batch=2))))
    use_swap(cfg)
    assert cfg.model.test_cfg == dict(window_batch=2, swap=True)
    cfg.model.test_cfg.swap = False
    use_swap(cfg)
    assert cfg.model.test_cfg.swap is False
    for model in (dict(type='mmseg.EncoderDecoder'), dict(type='Nowhere'), {}):
        cfg = Config(dict(model=model))
        use_swap(cfg)
        assert cfg.model == model


def test_launcher_without_torchrun_is_refused(config, tool):
    with pytest.raises(SystemExit, match='error: --launcher pytorch needs RANK'):
        tool('train', config(), '--launcher', 'pytorch')


def test_killed_data_worker_ends_the_run_at_once(config, tool):
    loader = dict(num_workers=1, dataset=dict(kill_worker_at=5))
    with pytest.raises(SystemExit, match='killed by signal'):
        tool('train', config(train_dataloader=loader))


def free_port():
    with socket.socket() as probe:
        probe.bind(('', 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_two_processes_train_and_test_on_cpus(config, tool, tmp_path, capsys):
    path = config(train_cfg=dict(max_epochs=1))
    out = run('bash', 'tools/dist_train.sh', path, 2, CDPATH='/tmp')
    assert 'Distributed launcher: pytorch' in out
    assert 'Distributed training: True' in out and 'GPU number: 2' in out
    checkpoint = tmp_path / 'toy' / 'epoch_1.pth'
    out = run('bash', 'tools/dist_test.sh', path, checkpoint, 2)
    scores = [json.loads((tmp_path / 'toy' / 'metrics.json').read_text())['change/OA']]
    tool('test', path, checkpoint)
    scores.append(json.loads((tmp_path / 'toy' / 'metrics.json').read_text())['change/OA'])
    assert 'OA' in out and 'OA' in capsys.readouterr().out
    assert 0 <= scores[0] == scores[1] <= 1


#: Train and test as the one process of a group, and tell whose threads are left after each.
ENDS = """
import sys
from pathlib import Path
from rscc.commands import test, train
config, checkpoint = sys.argv[1:]
for command, words in ((train, []), (test, [checkpoint])):
    command.main([config, *words, '--launcher', 'pytorch'])
    names = {path.read_text().strip() for path in Path('/proc/self/task').glob('*/comm')}
    print('left:', [name for name in names if 'gloo' in name])
"""


@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='threads have no names here')
def test_no_thread_of_a_process_group_outlives_its_command(config, python, tmp_path):
    (tmp_path / 'ends.py').write_text(ENDS)
    ranks = dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0', MASTER_ADDR='127.0.0.1',
                 MASTER_PORT=str(free_port()), PYTHONPATH=f'{ROOT}:{ROOT / "tests"}')
    done = python(tmp_path / 'ends.py', config(train_cfg=dict(max_epochs=1)),
                  tmp_path / 'toy' / 'epoch_1.pth', env=os.environ | ranks)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('left: []') == 2, done.stdout


def test_port_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(('', 0))
        taken.listen()
        port = taken.getsockname()[1]
        out = run('bash', 'tools/dist_train.sh', 'x.py', 2, PORT=str(port), expect=2)
    assert f'PORT={port} is in use' in out


def test_scripts_say_how_they_are_used():
    for script in ('dist_train', 'dist_test', 'slurm_train', 'slurm_test'):
        assert f'usage: bash tools/{script}.sh' in run('bash', f'tools/{script}.sh', expect=2)
    assert "number of processes is 'many'" in run('bash', 'tools/dist_train.sh', 'x.py', 'many',
                                                  expect=2)


def test_slurm_scripts_hand_everything_to_srun(tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\necho "$CDPATH|$OMP_NUM_THREADS|$@"\n')
    srun.chmod(0o755)
    out = run('bash', 'tools/slurm_train.sh', 'part', 'job', 'c.py', '--amp', CDPATH='/data',
              PATH=f'{tmp_path}:{os.environ["PATH"]}', GPUS='4', OMP_NUM_THREADS=None)
    assert out.startswith('/data|5|-p part --job-name=job --ntasks=4')
    assert '--gres=gpu:4' in out and out.rstrip().endswith('train.py c.py --amp --launcher slurm')


def test_probabilities_need_a_folder(config, tool, tmp_path):
    with pytest.raises(SystemExit, match='--probabilities writes below --show-dir'):
        tool('test', config(), tmp_path / 'x.pth', '--probabilities')
