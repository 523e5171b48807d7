"""The same running statistics in every process."""
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from rscc.registry import HOOKS


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
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for buffer in model.buffers():
            if buffer.is_floating_point():
                all_reduce(buffer, op='mean')
