"""Exponential moving average of the weights, fast at the start and slow at the end."""
from mmengine.hooks import EMAHook as _EMAHook
from mmengine.model import BaseAveragedModel
from mmengine.runner import Runner
from torch import Tensor, nn

from rscc.engine.checkpoint import load_weights
from rscc.engine.distributed import unwrapped
from rscc.registry import HOOKS, MODELS


def inverse_power_decay(step: int, power: float, maximum: float) -> float:
    """Return the decay min(maximum, 1 - (1 + n)^-power) of update n = 0, 1, ...

    The first update copies the model. With power 1 the average would be the mean of all models so
    far; below 1 it forgets the early ones (2/3 and 3/4 suit long and short trainings).
    """
    return min(maximum, 1 - (1 + step)**-power)


@MODELS.register_module()
class InversePowerEMA(BaseAveragedModel):
    """Exponential moving average of all parameters, with a decay that grows with the updates.

    KD-RSCC's schedule (power 0.75, maximum 0.9999), from k-diffusion. For MMEngine's hook::

        custom_hooks=[dict(type='EMAHook', ema_type='InversePowerEMA', power=0.75, maximum=0.9999)]

    Buffers, the running statistics of batch norms among them, are copied, not averaged.

    Args:
        model: What is averaged; the average is a copy of it.
        power: Exponent, above 0.
        maximum: Largest decay, 0 to 1.
        interval: Updates between two averagings.

    Raises:
        ValueError: If power or maximum is out of range.
    """

    def __init__(self, model: nn.Module, power: float = 0.75, maximum: float = 0.9999,
                 interval: int = 1) -> None:
        super().__init__(model, interval=interval)
        if not power > 0:
            raise ValueError(f'power={power}: the decay of an average needs an exponent above 0')
        if not 0 <= maximum <= 1:
            raise ValueError(f'maximum={maximum}: expected a decay from 0 to 1')
        self.power, self.maximum = power, maximum

    def avg_func(self, averaged_param: Tensor, source_param: Tensor, steps: int | Tensor) -> None:
        """Move one averaged tensor towards the model's, in place.

        Args:
            averaged_param: Averaged tensor.
            source_param: The model's, of the same shape.
            steps: Updates so far.
        """
        decay = inverse_power_decay(int(steps), self.power, self.maximum)
        averaged_param.lerp_(source_param, 1 - decay)


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
        self.src_model = unwrapped(runner.model)
        self.ema_model = MODELS.build(self.ema_cfg, default_args=dict(model=self.src_model))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Start the average from what fits, as the model does; the runner tells what does not."""
        if runner._resume:
            super().after_load_checkpoint(runner, checkpoint)
        else:
            load_weights(self.ema_model.module, checkpoint)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save the averaged weights as ``state_dict``, the trained as ``ema_state_dict``."""
        if not self.ema_model.update_buffers:
            for averaged, source in zip(self.ema_model.module.buffers(), self.src_model.buffers(),
                                        strict=True):
                averaged.copy_(source)
        super().before_save_checkpoint(runner, checkpoint)
