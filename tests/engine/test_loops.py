"""Resumed runs: another batch size or number of processes, a kill during a validation."""
import contextlib
import copy
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from engine.toys import ToyMetric, toy_config
from mmengine.hooks import Hook

from rscc.engine.checkpoint import read_checkpoint
from rscc.engine.runner import Runner
from rscc.registry import HOOKS


@HOOKS.register_module(force=True)
class RateHook(Hook):
    """Learning rate of every step of a run, by iteration."""

    def __init__(self):
        self.rates = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.rates[runner.iter] = runner.optim_wrapper.param_groups[0]['lr']


def trained(build, work_dir, **changes):
    """Train and return the runner with the rates of its steps."""
    runner = build(work_dir, custom_hooks=[{'type': 'RateHook'}], **changes)
    runner.train()
    return runner, next(hook for hook in runner.hooks if isinstance(hook, RateHook)).rates


def by_epochs(epochs, batch, **changes):
    return dict(train_cfg={'max_epochs': epochs, 'val_interval': 9},
                train_dataloader={'batch_size': batch}, **changes)


SCHEDULES = [
    {'_delete_': True, 'type': 'WarmupCosineLR', 'by_epoch': False, 'warmup': 0.1, 'floor': 0.01},
    {'_delete_': True, 'type': 'PolyLR', 'by_epoch': True, 'convert_to_iter_based': True,
     'eta_min': 1e-6},
    {'_delete_': True, 'type': 'ExponentialLR', 'gamma': 0.5, 'by_epoch': True},
]


@pytest.mark.parametrize('schedule', SCHEDULES, ids=lambda schedule: schedule['type'])
@pytest.mark.parametrize(('before', 'after'), [(2, 8), (8, 2)])
def test_another_batch_size_continues_at_the_same_share_and_is_told(
        build, log_of, before, after, schedule):
    trained(build, 'parts', **by_epochs(2, before, param_scheduler=dict(schedule)))
    resumed, ours = trained(build, 'parts', resume=True,
                            **by_epochs(4, after, param_scheduler=dict(schedule)))
    _, theirs = trained(build, 'whole', **by_epochs(4, after, param_scheduler=dict(schedule)))
    steps = 16 // after
    assert sorted(ours) == list(range(2 * steps, 4 * steps))
    assert ours == pytest.approx({step: theirs[step] for step in ours})
    assert (f'steps per epoch have changed from {16 // before} to {steps} (another batch size, '
            'number of processes or dataset): going on after epoch 2 of 4, that is at step '
            f'{2 * steps} of {4 * steps}') in log_of(resumed)


def test_the_same_batch_size_is_not_told_and_nothing_is_replayed(build, log_of):
    build('parts', **by_epochs(2, 4)).train()
    resumed, ours = trained(build, 'parts', resume=True, **by_epochs(4, 4))
    _, theirs = trained(build, 'whole', **by_epochs(4, 4))
    assert ours == {step: theirs[step] for step in range(8, 16)}
    assert 'steps per epoch' not in log_of(resumed)


def test_a_checkpoint_within_an_epoch_begins_that_epoch_again(build, log_of):
    saving = {'checkpoint': {'by_epoch': False, 'interval': 6, 'save_last': False}}
    build('parts', **by_epochs(2, 4, default_hooks=saving)).train()
    changes = by_epochs(2, 4)
    changes['train_cfg']['val_interval'] = 1
    resumed, ours = trained(build, 'parts', resume=True, **changes)
    assert sorted(ours) == [4, 5, 6, 7]
    assert 'the checkpoint was saved within epoch 2, which begins again' in log_of(resumed)
    assert 'validating the checkpoint again' not in log_of(resumed)


def test_a_schedule_that_waits_for_scores_is_left_as_it_was(build, log_of):
    schedule = {'_delete_': True, 'type': 'ReduceOnPlateauLR', 'monitor': 'change/OA',
                'rule': 'greater'}
    build('parts', **by_epochs(1, 4, param_scheduler=dict(schedule))).train()
    resumed = build('parts', resume=True, **by_epochs(2, 8, param_scheduler=dict(schedule)))
    resumed.train()
    assert 'a schedule that reads scores goes on by its own count' in log_of(resumed)


def by_iterations(most, batch, **changes):
    return dict(
        train_cfg={'_delete_': True, 'type': 'IterBasedTrainLoop', 'max_iters': most,
                   'val_interval': 3},
        train_dataloader={'sampler': {'type': 'InfiniteSampler'}, 'batch_size': batch},
        default_hooks={'checkpoint': {'by_epoch': False, 'interval': 3}},
        log_processor={'by_epoch': False}, **changes)


def test_iterations_with_another_batch_size_go_on_with_the_samples_that_come_next(
        build, tmp_path, log_of, monkeypatch):
    build('parts', **by_iterations(3, 4)).train()
    build('parts', resume=True, **by_iterations(6, 2)).train()
    meta = read_checkpoint(tmp_path / 'parts' / 'iter_6.pth')['meta']
    assert (meta['samples_seen'], meta['samples_per_step']) == (12 + 6, 2)
    resumed = build('parts', resume=True, **by_iterations(9, 4))
    loop = resumed.build_train_loop(resumed._train_loop)
    places = []
    monkeypatch.setattr(type(loop.dataloader.sampler), 'start_at',
                        lambda self, samples: places.append(samples))
    resumed.train()
    assert places == [18]
    assert ('a step takes 4 samples now and took 2 before (another batch size or number of '
            'processes): going on after iteration 6 of 9') in log_of(resumed)


KINDS = {
    'epochs': dict(train_cfg={'max_epochs': 3, 'val_interval': 1}),
    'iterations': by_iterations(12, 4),
}


@pytest.mark.parametrize(('kind', 'best'), [
    ('epochs', 'best_change_OA_epoch_2.pth'), ('iterations', 'best_change_OA_iter_8.pth')])
def test_a_validation_that_was_killed_is_made_up_for(build, tmp_path, monkeypatch, kind, best):
    seen, kill = [], []

    def scored(self, results):
        seen.append(len(seen))
        if len(seen) == 2 and kill:
            os.kill(os.getpid(), signal.SIGKILL)
        return {'OA': scores[len(seen) - 1]}

    def start(folder, **more):
        changes = copy.deepcopy(KINDS[kind])
        hook = {'save_best': 'change/OA', 'max_keep_ckpts': 1, 'interval': 1}
        if kind == 'iterations':
            changes['train_cfg']['val_interval'] = 4
            hook |= {'by_epoch': False, 'interval': 4}
        changes['default_hooks'] = {'checkpoint': hook}
        seen.clear()
        build(folder, **changes, **more).train()

    monkeypatch.setattr(ToyMetric, 'compute_metrics', scored)
    scores = [0.2, 0.9, 0.4]
    start('whole')
    kill.append(True)
    child = multiprocessing.get_context('fork').Process(target=start, args=('parts',))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL and not (tmp_path / 'parts' / best).exists()
    kill.clear()
    scores = [0.9, 0.4]
    start('parts', resume=True)
    for folder in ('whole', 'parts'):
        assert [path.name for path in (tmp_path / folder).glob('best_*')] == [best]
    whole, parts = (read_checkpoint(tmp_path / folder / best)['state_dict']
                    for folder in ('whole', 'parts'))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_two_runs_in_one_folder_are_refused_and_leave_each_others_files(build, tmp_path):
    held = subprocess.Popen(
        [sys.executable, '-c', 'import sys, time\nfrom rscc.engine.distributed import only_run\n'
         f'with only_run({str(tmp_path / "run")!r}):\n    print("held", flush=True)\n'
         '    time.sleep(600)'], stdout=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, sys.path))})
    runner = build()
    half = tmp_path / 'run' / '.epoch_1.pth.abc.tmp'
    half.write_bytes(b'half')
    try:
        assert held.stdout.readline() == 'held\n'
        before = {path.name for path in (tmp_path / 'run').iterdir()}
        with pytest.raises(BlockingIOError, match=rf"another training is at work in '.*run' "
                           rf'\(process {held.pid} on .*\): wait for it or stop it, or choose '
                           'another folder with --work-dir'):
            runner.train()
        assert half.exists() and {path.name for path in (tmp_path / 'run').iterdir()} == before
    finally:
        held.kill()
        held.wait()
    build().train()
    assert not half.exists() and (tmp_path / 'run' / 'epoch_1.pth').is_file()


@pytest.mark.parametrize(('kinds', 'rendered'), [
    ([True], True), ([True, True], True), ([True, False], False), ([False], None)])
def test_a_checkpoint_says_whether_it_has_seen_rendered_images_only(
        build, tmp_path, kinds, rendered):
    parts = [{'type': 'ToyPairs', 'metainfo': {'rendered': True} if kind else {}}
             for kind in kinds]
    build(train_dataloader={'dataset': {
        '_delete_': True, 'type': 'ConcatDataset', 'datasets': parts,
        'ignore_keys': 'rendered'}}).train()
    meta = read_checkpoint(tmp_path / 'run' / 'epoch_1.pth')['meta']['dataset_meta']
    assert meta.get('rendered') is rendered


def test_the_config_of_the_folder_is_that_of_its_training(tmp_path):
    cfg = toy_config(tmp_path / 'run', train_cfg={'max_epochs': 1})
    cfg.experiment_name = 'the_config'
    Runner.from_cfg(cfg)
    assert not list((tmp_path / 'run').glob('*.py'))
    Runner.from_cfg(cfg).train()
    assert len(list(Path(tmp_path / 'run').glob('*.py'))) == 1


PROCESS = """
import sys
from engine.toys import toy_config
from rscc.engine.runner import Runner
changes = dict(train_cfg={'max_epochs': 2, 'val_interval': 9}, launcher='pytorch')
Runner.from_cfg(toy_config(sys.argv[1], **changes)).train()
"""


@pytest.mark.slow
def test_one_process_instead_of_two_continues_at_the_same_share(build, tmp_path, log_of, python):
    script = tmp_path / 'process.py'
    script.write_text(PROCESS)
    done = python('tests/two_ranks.py', script, tmp_path / 'parts')
    assert done.returncode == 0, done.stderr
    assert read_checkpoint(tmp_path / 'parts' / 'epoch_2.pth')['meta']['iter'] == 4
    resumed, ours = trained(build, 'parts', resume=True, **by_epochs(4, 4))
    _, theirs = trained(build, 'whole', **by_epochs(4, 4))
    assert ours == pytest.approx({step: theirs[step] for step in range(8, 16)})
    assert 'steps per epoch have changed from 2 to 4' in log_of(resumed)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / 'small'
    folder.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f'mounting is not possible here: {error}')
    if done.returncode:
        pytest.skip(f'mounting is not permitted here: {done.stderr.strip()}')
    yield folder
    # The log of the run is still open there.
    subprocess.run(['umount', '--lazy', str(folder)], check=True)


def test_a_full_disk_ends_a_run_with_its_last_checkpoint_whole(build, small_disk):
    runner = build('small/run', train_cfg={'max_epochs': 1})
    runner.train()
    before = read_checkpoint(small_disk / 'run' / 'epoch_1.pth')['state_dict']
    filling = small_disk / 'filling'
    with contextlib.suppress(OSError), filling.open('wb', buffering=0) as file:
        while True:
            file.write(b'x' * 4096)
    with pytest.raises(OSError, match=r'No space left on device'):
        build('small/run', train_cfg={'max_epochs': 2}, resume=True).train()
    filling.unlink()
    resumed = build('small/run', train_cfg={'max_epochs': 2}, resume=True)
    resumed.train()
    assert resumed.epoch == 2
    kept = read_checkpoint(small_disk / 'run' / 'epoch_1.pth')['state_dict']
    assert all(torch.equal(before[key], kept[key]) for key in before)
