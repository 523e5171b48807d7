"""Training that is counted in iterations."""
from collections.abc import Iterator

from mmengine.runner import IterBasedTrainLoop as _IterBasedTrainLoop
from torch import nn

from rscc.datasets.samplers import InfiniteSampler
from rscc.registry import LOOPS


@LOOPS.register_module()
class IterBasedTrainLoop(_IterBasedTrainLoop):
    """MMEngine's loop, resumed at once and exactly.

    MMEngine's loads and throws away every batch that was trained on before, hours on a large
    dataset, in the order of the new run's seed rather than the saved one. Here the sampler is told
    where to start, after the checkpoint has told its seed.

    The sampler must be ours, ``InfiniteSampler``; with others it does as MMEngine's and says so.
    See MMEngine for the arguments.
    """

    def run(self) -> nn.Module:
        """Train up to the last iteration."""
        self.runner.call_hook('before_train')
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

    def _batches(self) -> Iterator[dict]:
        """Return the batches that follow the last one trained on."""
        sampler = self.dataloader.sampler
        if self._iter and isinstance(sampler, InfiniteSampler) and self.dataloader.batch_size:
            sampler.start_at(self._iter * self.dataloader.batch_size)
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

    def _is_time_to_validate(self) -> bool:
        return (self.runner.val_loop is not None and self._iter >= self.val_begin
                and (self._iter % self.val_interval == 0 or self._iter == self._max_iters))
