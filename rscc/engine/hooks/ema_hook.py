"""Averaged weights for validating, testing and saving."""
from mmengine.hooks import EMAHook as _EMAHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from rscc.registry import HOOKS, MODELS


@HOOKS.register_module()
class EMAHook(_EMAHook):
    """MMEngine's ``EMAHook`` that saves the very model it has validated.

    MMEngine copies buffers to the average after every iteration, and validates with the model's
    own. Where something changes them in between (``AverageBuffersHook`` over the processes), the
    checkpoint would hold others than those of the score it is kept for.

    Arguments as MMEngine's: ``ema_type`` names the averaged model, other keywords are its options.
    """

    def before_run(self, runner: Runner) -> None:
        """Copy the model; a mistyped name or option suggests the nearest."""
        self.src_model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.ema_model = MODELS.build(self.ema_cfg, default_args=dict(model=self.src_model))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save the averaged weights as ``state_dict``, the trained as ``ema_state_dict``."""
        if not self.ema_model.update_buffers:
            for averaged, source in zip(self.ema_model.module.buffers(), self.src_model.buffers(),
                                        strict=True):
                averaged.copy_(source)
        super().before_save_checkpoint(runner, checkpoint)
