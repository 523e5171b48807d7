"""The learning rate over a run: warm-up, then a decay."""
import math
from abc import abstractmethod
from typing import Any

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

from rscc.registry import PARAM_SCHEDULERS


class WarmupLR(LRSchedulerMixin, _ParamScheduler):
    """Linear warm-up followed by a decay over all that remains of the run.

    A change of the run's length or of the batch size stretches the whole curve; nothing else has to
    follow. Each parameter group keeps its own peak, so layer-wise rates survive. Subclasses give
    the shape of the decay.

    Args:
        optimizer: The optimizer or its wrapper.
        warmup: Share of all steps used for warming up, in [0, 1), or their number (a whole one).
        floor: Final rate as a share of the peak, in [0, 1].
        **kwargs: ``end`` (the number of steps, filled in by the runner), ``last_step``, ...

    Raises:
        ValueError: If ``warmup`` or ``floor`` is out of range, or the steps are epochs.
    """

    def __init__(self, optimizer: Any, warmup: float = 0.05, floor: float = 0.0,
                 by_epoch: bool = False, **kwargs: Any) -> None:
        if warmup < 0 or (warmup >= 1 and not isinstance(warmup, int)):
            raise ValueError('warmup is a share of the run in [0, 1) or a whole number of steps, '
                             f'got {warmup}')
        if not 0 <= floor <= 1:
            raise ValueError(f'floor is a share of the peak rate in [0, 1], got {floor}')
        if by_epoch:
            raise ValueError(f'{type(self).__name__} counts iterations: set by_epoch=False')
        self.warmup, self.floor = warmup, floor
        super().__init__(optimizer, by_epoch=False, **kwargs)

    @abstractmethod
    def decay(self, done: float) -> float:
        """Return the rate from 1 to 0 where a share ``done`` of the decay lies behind."""

    def factor(self, step: int) -> float:
        """Return the rate at ``step`` as a share of the peak."""
        total = max(self.end - self.begin, 1)
        rise = self.warmup if self.warmup >= 1 else round(self.warmup * total)
        if step < rise:
            return (step + 1) / (rise + 1)
        done = min((step - rise) / max(total - rise, 1), 1.0)
        return self.floor + (1 - self.floor) * self.decay(done)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where the run was, on the curve of this config: it may have grown longer."""
        kept = {name: getattr(self, name) for name in
                ('begin', 'end', 'warmup', 'floor', 'power') if hasattr(self, name)}
        super().load_state_dict({**state_dict, **kept})
        self.last_step = min(self._global_step, self.end - 1) - self.begin
        for group, value in zip(self.optimizer.param_groups, self._get_value(), strict=True):
            group[self.param_name] = value

    def _get_value(self) -> list[float]:
        return [base * self.factor(self.last_step) for base in self.base_values]


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(WarmupLR):
    """Warm-up, then half a cosine; the arguments are those of ``WarmupLR``."""

    def decay(self, done: float) -> float:
        """Return half a cosine."""
        return 0.5 * (1 + math.cos(math.pi * done))


@PARAM_SCHEDULERS.register_module()
class WarmupPolyLR(WarmupLR):
    """Warm-up, then a power of what remains, as segmentation networks use it.

    Args:
        optimizer: The optimizer or its wrapper.
        power: Exponent; 1 is a straight line.
        **kwargs: As ``WarmupLR``.
    """

    def __init__(self, optimizer: Any, power: float = 1.0, **kwargs: Any) -> None:
        if power <= 0:
            raise ValueError(f'power must be positive, got {power}')
        self.power = power
        super().__init__(optimizer, **kwargs)

    def decay(self, done: float) -> float:
        """Return ``(1 - done)**power``."""
        return (1 - done)**self.power
