"""Hooks that make a resumed run equal to an uninterrupted one, in every process."""
import random
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.dist import all_reduce, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from rscc.datasets.samplers import InfiniteSampler
from rscc.engine.distributed import unwrapped
from rscc.registry import HOOKS


def seed_everything(*entropy: int) -> None:
    """Seed Python, NumPy and torch (all devices) from several non-negative integers."""
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@HOOKS.register_module()
class SeedEpochHook(Hook):
    """Re-seed all generators at the start of every epoch from (seed, epoch, rank).

    The random state is then a function of where the run is, not of how it got there: dropout,
    worker seeds and sampled captions repeat exactly after a resume. Runs counted in iterations have
    no such boundary and are re-seeded at every step.
    """

    priority = 'VERY_HIGH'

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed for the epoch."""
        seed_everything(runner.seed or 0, runner.epoch, get_rank())

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed for the step where there are no epochs."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            seed_everything(runner.seed or 0, runner.iter, get_rank(), 1)


@runtime_checkable
class EpochAware(Protocol):
    """A dataset whose augmentation depends on the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Take the number of the epoch, from 0; worker processes that persist must learn it too."""


@HOOKS.register_module()
class DatasetEpochHook(Hook):
    """Tell the training dataset which epoch it is, so that augmentation differs between epochs.

    Wrappers (``RepeatDataset``, ``ConcatDataset``, ``ClassBalancedDataset``) are looked through.
    Our datasets keep the epoch in shared memory, where persistent workers see it. In runs counted
    in iterations nothing is told: the indices of our ``InfiniteSampler`` know their pass.
    """

    def before_train(self, runner: Runner) -> None:
        """Warn where nobody will tell the dataset: augmentation would repeat itself."""
        loop = runner.train_loop
        if isinstance(loop, EpochBasedTrainLoop) or not any(
                isinstance(dataset, EpochAware) for dataset in innermost(loop.dataloader.dataset)):
            return
        remedy = _remedy(loop.dataloader)
        if remedy:
            runner.logger.warning(
                f'{type(loop).__name__} counts no epochs, so each sample is augmented, and its '
                f'caption drawn, in the same way at every visit. {remedy}')

    def before_train_epoch(self, runner: Runner) -> None:
        """Call ``set_epoch`` on every dataset that is ``EpochAware``."""
        for dataset in innermost(runner.train_loop.dataloader.dataset):
            if isinstance(dataset, EpochAware):
                dataset.set_epoch(runner.epoch)


def innermost(dataset: Any) -> list[Any]:
    """Return the datasets inside wrappers, at any depth."""
    inside = _inside(dataset)
    return [found for one in inside for found in innermost(one)] if inside else [dataset]


def wrappers(dataset: Any) -> list[Any]:
    """Return the wrappers around datasets, at any depth."""
    inside = _inside(dataset)
    return [dataset, *(found for one in inside for found in wrappers(one))] if inside else []


def _inside(dataset: Any) -> list[Any]:
    """Return what a wrapper holds, nothing for a dataset proper.

    MMEngine's and torch's wrappers keep it as ``datasets`` (a list), ``dataset`` or ``_dataset``.
    """
    held = vars(dataset)
    if held.get('datasets'):
        return [*held['datasets']]
    return [held[name] for name in ('dataset', '_dataset') if held.get(name) is not None][:1]


def _remedy(loader: DataLoader) -> str:
    """Say how samples of an iteration-based run get to know their epoch; empty where they do."""
    if not isinstance(loader.sampler, InfiniteSampler):
        return "Use train_dataloader.sampler=dict(type='InfiniteSampler')"
    # An index that is looked up in a table comes back without its epoch.
    lost = [type(wrapper).__name__ for wrapper in wrappers(loader.dataset)
            if not isinstance(wrapper, ConcatDataset | RepeatDataset)]
    return f'Use RepeatDataset instead of {lost[0]}' if lost else ''


@HOOKS.register_module()
class AverageBuffersHook(Hook):
    """Average the floating-point buffers over the processes before validating and saving.

    Batch norms see only their own process's share of a batch, so their running statistics drift
    apart: each process would validate, and the first one save, another model. MMEngine's own hook
    averages integer buffers too, which wraps around in bytes (a word vocabulary, say).
    """

    priority = 'NORMAL'

    def after_train_epoch(self, runner: Runner) -> None:
        """Average after an epoch, ahead of the checkpoint."""
        self._average(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Average before a validation in the middle of an epoch."""
        self._average(runner)

    def _average(self, runner: Runner) -> None:
        if get_world_size() == 1:
            return
        for buffer in unwrapped(runner.model).buffers():
            if buffer.is_floating_point():
                all_reduce(buffer, op='mean')
