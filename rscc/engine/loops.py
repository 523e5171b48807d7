"""Training loops whose resumed run equals the uninterrupted one, also with another batch size.

MMEngine counts steps. Here an epoch is an epoch whatever the number of steps in it, and samples are
counted beside iterations, so that a run goes on where it was when batch size or number of processes
have changed. A validation that was due when a run was stopped is made up for.
"""
import itertools
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.dist import get_world_size
from mmengine.runner import EpochBasedTrainLoop as _EpochBasedTrainLoop
from mmengine.runner import IterBasedTrainLoop as _IterBasedTrainLoop
from torch import nn

from rscc.datasets.samplers import InfiniteSampler
from rscc.engine.start_checks import (
    check_last_batch,
    check_monitored_names,
    flat_schedulers,
    reads_scores,
)
from rscc.registry import LOOPS


class ResumableLoop:
    """Base of both loops: a place to go on from, and the validation that is due there."""

    def progress(self) -> dict[str, Any]:
        """Return what a checkpoint's ``meta`` must know beside epoch and iteration."""
        raise NotImplementedError

    def resume_at(self, meta: Mapping[str, Any]) -> None:
        """Go on where a checkpoint was saved.

        Args:
            meta: The checkpoint's, with ``epoch``, ``iter`` and what ``progress`` returned (files
                of MMEngine lack the latter).
        """
        raise NotImplementedError

    _validation_due = True

    def make_up_for_validation(self) -> None:
        """Validate at the start of a resumed run if that was due at its checkpoint.

        A checkpoint is saved before the validation of its epoch; nothing tells whether that ended.
        Done again, it gives the same scores and changes nothing.
        """
        if self._iter and self._validation_due and self._is_time_to_validate():
            self.runner.logger.info('validating the checkpoint again: the run may have been '
                                    'stopped before this validation ended')
            self.runner.val_loop.run()

    def _validates_at(self, step: int, last: int) -> bool:
        return (self.runner.val_loop is not None and step >= self.val_begin
                and (step % self.val_interval == 0 or step == last))


@LOOPS.register_module()
class EpochBasedTrainLoop(ResumableLoop, _EpochBasedTrainLoop):
    """MMEngine's loop, resumed by epochs; see MMEngine for the arguments."""

    def run(self) -> nn.Module:
        """Train up to the last epoch."""
        check_monitored_names(self.runner)
        self.runner.call_hook('before_train')
        check_last_batch(self.runner)
        self._decide_current_val_interval()
        self.make_up_for_validation()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._decide_current_val_interval()
            if self._is_time_to_validate():
                self.runner.val_loop.run()
        self.runner.call_hook('after_train')
        return self.runner.model

    def _is_time_to_validate(self) -> bool:
        return self._validates_at(self._epoch, self._max_epochs)

    def progress(self) -> dict[str, Any]:
        """Return what a checkpoint's ``meta`` must know beside the epoch."""
        return {'steps_per_epoch': len(self.dataloader)}

    def resume_at(self, meta: Mapping[str, Any]) -> None:
        """Begin the epoch after the last whole one, at its place in the schedule."""
        self._epoch, length = meta['epoch'], len(self.dataloader)
        self._iter = self._epoch * length
        before = meta.get('steps_per_epoch', meta['iter'] / max(self._epoch, 1))
        what = []
        if meta['iter'] != self._epoch * before:
            self._validation_due = False  # its weights are not those of the end of an epoch
            what.append(f'the checkpoint was saved within epoch {self._epoch + 1}, which begins '
                        'again')
        if before != length:
            what.append(f'steps per epoch have changed from {before:.4g} to {length} (another '
                        'batch size, number of processes or dataset)')
        if not what:
            return
        self.runner.logger.warning(
            f'{"; ".join(what)}: going on after epoch {self._epoch} of {self._max_epochs}, that is '
            f'at step {self._iter} of {self._max_iters} instead of {meta["iter"]}. The schedule '
            'goes on at that share of the run; the peak of the learning rate stays that of the '
            'checkpoint')
        replay_schedules(self.runner, self._epoch, length)


@LOOPS.register_module()
class IterBasedTrainLoop(ResumableLoop, _IterBasedTrainLoop):
    """MMEngine's loop, resumed at once and exactly.

    MMEngine's loads and throws away every batch that was trained on before, hours on a large
    dataset, in the order of the new run's seed rather than the saved one. Here the sampler is told
    where to start, after the checkpoint has told its seed.

    The sampler must be ours, ``InfiniteSampler``; with others it does as MMEngine's and says so.
    See MMEngine for the arguments.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._resumed_iter = self._samples_before = 0

    def run(self) -> nn.Module:
        """Train up to the last iteration."""
        check_monitored_names(self.runner)
        self.runner.call_hook('before_train')
        self._decide_current_val_interval()
        self.make_up_for_validation()
        # The whole run is one epoch to the hooks.
        self.runner.call_hook('before_train_epoch')
        batches = self._batches()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(batches))
            self._decide_current_val_interval()
            if self._is_time_to_validate():
                self.runner.val_loop.run()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _is_time_to_validate(self) -> bool:
        return self._validates_at(self._iter, self._max_iters)

    @property
    def samples_per_step(self) -> int | None:
        """Samples of one step, all processes together; None where a batch sampler decides."""
        size = self.dataloader.batch_size
        return None if size is None else size * get_world_size()

    def progress(self) -> dict[str, Any]:
        """Return what a checkpoint's ``meta`` must know beside the iteration, once it is done."""
        size = self.samples_per_step
        if size is None:
            return {}
        steps = self._iter + 1 - self._resumed_iter
        return {'samples_per_step': size, 'samples_seen': self._samples_before + steps * size}

    def resume_at(self, meta: Mapping[str, Any]) -> None:
        """Go on after the last iteration, with the samples that come next."""
        self._iter = self._resumed_iter = meta['iter']
        now, before = self.samples_per_step, meta.get('samples_per_step')
        self._samples_before = meta.get('samples_seen', self._iter * (now or 0))
        if None not in (now, before) and now != before:
            self.runner.logger.warning(
                f'a step takes {now} samples now and took {before} before (another batch size or '
                f'number of processes): going on after iteration {self._iter} of '
                f'{self._max_iters}, the share by which the schedule goes, with the samples that '
                'come next; set train_cfg.max_iters for another number of samples in all')

    def _batches(self) -> Iterator[dict]:
        """Return the batches that follow the last one trained on."""
        sampler = self.dataloader.sampler
        if self._iter and isinstance(sampler, InfiniteSampler) and self.samples_per_step:
            sampler.start_at(self._samples_before // get_world_size())
            # Drops the batches that workers loaded before the checkpoint was read.
            self.dataloader_iterator = iter(self.dataloader)
        elif self._iter:
            self.runner.logger.warning(
                f'{type(sampler).__name__} cannot start in the middle, so the {self._iter} batches '
                'trained on before are loaded again. Set train_dataloader.sampler='
                "dict(type='InfiniteSampler') to go on at once")
            for _ in range(self._iter):
                next(self.dataloader_iterator)
        return self.dataloader_iterator


def replay_schedules(runner: Any, epochs: int, steps_per_epoch: int) -> None:
    """Build the schedules anew and step them through the epochs that lie behind.

    What a checkpoint says of them counts steps of another length. Peaks stay those of the
    checkpoint. A schedule that reads scores (``ReduceOnPlateauLR``) cannot be replayed: all are
    then left as the checkpoint has them, which is said.

    Args:
        runner: The runner, resumed; its ``param_schedulers`` are replaced.
        epochs: Epochs that lie behind.
        steps_per_epoch: Steps of an epoch now.
    """
    old = flat_schedulers(runner.param_schedulers)
    if any(map(reads_scores, old)):
        runner.logger.warning('a schedule that reads scores goes on by its own count of steps')
        return
    for scheduler in old:
        for group in scheduler.optimizer.param_groups:
            group[scheduler.param_name] = group[f'initial_{scheduler.param_name}']
    if old:
        runner.param_schedulers = runner.build_param_scheduler(runner.cfg.param_scheduler)
    fresh = flat_schedulers(runner.param_schedulers)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # steps of schedules without steps of the optimizer
        for _ in range(epochs):
            for scheduler in itertools.chain(
                    *[[one for one in fresh if not one.by_epoch]] * steps_per_epoch,
                    [one for one in fresh if one.by_epoch]):
                scheduler.step()
