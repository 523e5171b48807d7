import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from engine.toys import toy_config

from rscc.engine.checkpoint import read_checkpoint

ROOT = Path(__file__).resolve().parents[2]


def run(*command, expect=0, **environment):
    """Run a command from the repository root and return its output."""
    env = {**os.environ, 'PYTHONPATH': f'{ROOT}:{ROOT / "tests"}', 'OMP_NUM_THREADS': '1',
           'PYTHON': sys.executable, **environment}
    env = {name: value for name, value in env.items() if value is not None}
    done = subprocess.run([str(part) for part in command], cwd=ROOT, env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240)
    assert done.returncode == expect, f'exit {done.returncode}:\n{done.stdout[-4000:]}'
    return done.stdout


def train(config, *arguments, **kwargs):
    return run(sys.executable, 'tools/train.py', config, *arguments, **kwargs)


@pytest.fixture
def config(tmp_path):
    """Write a toy config with changes and return its path; the work folder is beside it."""

    def write(name='toy', **changes):
        path = tmp_path / f'{name}.py'
        toy_config(tmp_path / name, **changes).dump(path)
        return path

    return write


def weights(folder, name='epoch_3.pth'):
    return read_checkpoint(Path(folder) / name)['state_dict']


def test_killed_run_resumes_to_the_same_bits(config, tmp_path):
    whole = config('whole')
    train(whole)
    killed = config('killed', custom_hooks=[{'type': 'KillHook', 'at_iter': 6}])
    train(killed, expect=-9)
    assert not (tmp_path / 'killed' / 'epoch_2.pth').exists()
    out = train(config('killed'), '--resume')
    assert 'resumed epoch: 1, iter: 4' in out
    one, other = weights(tmp_path / 'whole'), weights(tmp_path / 'killed')
    assert one.keys() == other.keys()
    for key in one:
        assert torch.equal(one[key], other[key]), key


def test_resume_passes_over_a_cut_checkpoint_and_starts_fresh_without_any(config, tmp_path):
    path = config(train_cfg=dict(max_epochs=2))
    assert f"nothing to resume in '{tmp_path / 'toy'}': training starts fresh" in train(
        path, '--resume')
    intact = weights(tmp_path / 'toy', 'epoch_2.pth')
    broken = tmp_path / 'toy' / 'epoch_2.pth'
    broken.write_bytes(broken.read_bytes()[:2000])
    out = train(path, '--resume')
    assert f"skipping broken checkpoint '{broken}'" in out
    assert 'resumed epoch: 1' in out
    again = weights(tmp_path / 'toy', 'epoch_2.pth')
    assert all(torch.equal(intact[key], again[key]) for key in intact)


def test_amp_trains_and_says_where_it_cannot(config):
    out = train(config(), '--amp', '--cfg-options', 'train_cfg.max_epochs=1')
    assert 'AutocastInferenceHook' in out and 'change/OA' in out


def test_wrong_override_ends_before_anything_is_built(config, tmp_path):
    out = train(config(), '--cfg-options', 'train_dataloader.btach_size=8', expect=1)
    assert "Did you mean 'batch_size'?" in out and 'Traceback' not in out
    assert not (tmp_path / 'toy').exists()


def test_misspelt_config_and_absent_data_root_are_plain_errors(config):
    path = config()
    assert 'Did you mean' in train(str(path)[:-4] + 'z.py', expect=1)
    assert "--data-root '/absent' is not a folder" in train(path, '--data-root', '/absent',
                                                            expect=1)


def test_auto_scale_lr_needs_a_base(config):
    out = train(config(auto_scale_lr=dict(base_batch_size=None)), '--auto-scale-lr', expect=1)
    assert '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=N)' in out


def test_launcher_without_torchrun_is_refused(config):
    out = train(config(), '--launcher', 'pytorch', expect=1, RANK=None)
    assert '--launcher pytorch needs' in out


def test_nan_stops_the_run_with_the_sample(config, tmp_path):
    loader = dict(dataset=dict(poison=5))
    out = train(config(train_dataloader=loader), expect=1)
    assert 'FloatingPointError' in out and 'toy_005' in out
    assert not list((tmp_path / 'toy').glob('*.pth'))


def test_killed_data_worker_ends_the_run_at_once(config):
    loader = dict(num_workers=1, dataset=dict(kill_worker_at=5))
    assert 'killed by signal' in train(config(train_dataloader=loader), expect=1)


def free_port():
    with socket.socket() as probe:
        probe.bind(('', 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_two_processes_train_and_test_on_cpus(config, tmp_path):
    path = config(train_cfg=dict(max_epochs=1))
    out = run('bash', 'tools/dist_train.sh', path, 2, CDPATH='/tmp')
    assert 'Distributed launcher: pytorch' in out
    assert 'Distributed training: True' in out and 'GPU number: 2' in out
    checkpoint = tmp_path / 'toy' / 'epoch_1.pth'
    out = run('bash', 'tools/dist_test.sh', path, checkpoint, 2)
    alone = run(sys.executable, 'tools/test.py', path, checkpoint)
    score = json.loads((tmp_path / 'toy' / 'metrics.json').read_text())['change/OA']
    assert 'OA' in out and 'OA' in alone and 0 <= score <= 1


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
