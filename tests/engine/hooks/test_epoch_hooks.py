import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from rscc.engine.hooks.epoch_hooks import (
    AverageBuffersHook,
    DatasetEpochHook,
    SeedEpochHook,
    innermost,
    seed_everything,
    wrappers,
)


def draws():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def runner_at(epoch, seed=3, loop=None):
    loop = loop or object.__new__(EpochBasedTrainLoop)
    return SimpleNamespace(seed=seed, epoch=epoch, iter=10 * epoch, train_loop=loop)


def test_an_epoch_has_one_random_state_whatever_came_before():
    hook = SeedEpochHook()
    hook.before_train_epoch(runner_at(4))
    first = draws()
    hook.before_train_epoch(runner_at(4))
    assert draws() == first


def test_epochs_and_seeds_differ():
    hook, seen = SeedEpochHook(), []
    for runner in (runner_at(0), runner_at(1), runner_at(0, seed=4)):
        hook.before_train_epoch(runner)
        seen.append(draws())
    assert len({value for triple in seen for value in triple}) == 9


def test_runs_without_epochs_are_seeded_at_every_step():
    hook, runner = SeedEpochHook(), runner_at(1, loop=object())
    hook.before_train_iter(runner, 0)
    first = draws()
    hook.before_train_iter(runner, 0)
    assert draws() == first
    epochs = runner_at(1)
    hook.before_train_iter(epochs, 0)
    assert draws() != first


def test_all_three_generators_follow_the_entropy():
    seed_everything(1, 2)
    first = draws()
    seed_everything(2, 1)
    assert all(a != b for a, b in zip(first, draws(), strict=True))


class Plain(BaseDataset):
    epoch = None

    def load_data_list(self):
        return [{}] * 4

    def set_epoch(self, epoch):
        self.epoch = epoch


def test_epoch_reaches_datasets_inside_wrappers():
    one, two = Plain(), Plain()
    wrapped = ConcatDataset([one, two], lazy_init=True)
    assert innermost(wrapped) == [one, two]
    repeated = RepeatDataset(one, times=2, lazy_init=True)
    assert innermost(repeated) == [one] and wrappers(repeated) == [repeated]
    assert wrappers(one) == []
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=wrapped))
    DatasetEpochHook().before_train_epoch(SimpleNamespace(epoch=7, train_loop=loop))
    assert (one.epoch, two.epoch) == (7, 7)


def test_training_tells_the_dataset(build):
    runner = build(train_cfg={'max_epochs': 2})
    runner.train()
    assert int(runner.train_dataloader.dataset.epoch) == 1


def iterations(sampler='DefaultSampler', **loader):
    return dict(train_cfg={'_delete_': True, 'type': 'IterBasedTrainLoop', 'max_iters': 2,
                           'val_interval': 2},
                train_dataloader={'sampler': {'type': sampler}, **loader})


def test_a_loop_without_epochs_is_told_that_augmentation_repeats(build, log_of):
    runner = build(**iterations())
    runner.train()
    assert 'IterBasedTrainLoop counts no epochs, so each sample is augmented' in log_of(runner)
    assert "Use train_dataloader.sampler=dict(type='InfiniteSampler')" in log_of(runner)


@pytest.mark.parametrize(('wrapper', 'told'), [
    (None, False), ({'type': 'RepeatDataset', 'times': 2}, False),
    ({'type': 'ClassBalancedDataset', 'oversample_thr': 1.0}, True)])
def test_indices_that_know_their_pass_need_no_warning(build, log_of, wrapper, told):
    data = {'type': 'ToyPairs'}
    if wrapper:
        data = {**wrapper, 'dataset': data, '_delete_': True}
    runner = build(**iterations('InfiniteSampler', dataset=data))
    runner.train()
    assert ('counts no epochs' in log_of(runner)) is told
    assert ('Use RepeatDataset instead of ClassBalancedDataset' in log_of(runner)) is told


TWO_PROCESSES = """
import os
import sys
import torch
from torch import nn
from torch.distributed import destroy_process_group, init_process_group
from rscc.engine.hooks.epoch_hooks import AverageBuffersHook

rank, folder = int(os.environ['RANK']), sys.argv[1]
init_process_group('gloo')
runner = type('Runner', (), {'model': nn.BatchNorm1d(2)})
runner.model.running_mean.fill_(float(rank))
runner.model.register_buffer('words', torch.tensor([200, 7], dtype=torch.uint8))
AverageBuffersHook().before_val_epoch(runner)
torch.save(dict(runner.model.named_buffers()), f'{folder}/{rank}.pt')
destroy_process_group()
"""


def test_two_processes_end_with_the_mean_and_their_words(tmp_path, python):
    (tmp_path / 'run.py').write_text(TWO_PROCESSES)
    done = python('tests/two_ranks.py', tmp_path / 'run.py', tmp_path)
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        buffers = torch.load(tmp_path / f'{rank}.pt', weights_only=True)
        assert buffers['running_mean'].tolist() == [0.5, 0.5]
        assert buffers['words'].tolist() == [200, 7]


def test_one_process_keeps_its_own():
    runner = type('Runner', (), {'model': nn.BatchNorm1d(2)})
    runner.model.running_mean.fill_(3)
    AverageBuffersHook().after_train_epoch(runner)
    assert runner.model.running_mean.tolist() == [3.0, 3.0]
