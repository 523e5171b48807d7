"""The learning rate over a run: warm-up, then a cosine."""
import math
from typing import Any

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

from rscc.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(LRSchedulerMixin, _ParamScheduler):
    """Linear warm-up followed by half a cosine, both measured in shares of the run.

    A change of ``max_epochs`` or batch size stretches the whole curve; nothing else has to follow.
    Each parameter group keeps its own peak, so layer-wise rates survive.

    Args:
        optimizer: The optimizer or its wrapper.
        warmup: Share of all steps used for warming up, in [0, 1).
        floor: Final rate as a share of the peak, in [0, 1].
        **kwargs: ``end`` (the number of steps, filled in by the runner), ``last_step``, ...

    Raises:
        ValueError: If ``warmup`` or ``floor`` is out of range, or the steps are epochs.
    """

    def __init__(self, optimizer: Any, warmup: float = 0.05, floor: float = 0.0,
                 by_epoch: bool = False, **kwargs: Any) -> None:
        if not 0 <= warmup < 1:
            raise ValueError(f'warmup is a share of the run in [0, 1), got {warmup}')
        if not 0 <= floor <= 1:
            raise ValueError(f'floor is a share of the peak rate in [0, 1], got {floor}')
        if by_epoch:
            raise ValueError('WarmupCosineLR counts iterations: set by_epoch=False')
        self.warmup, self.floor = warmup, floor
        super().__init__(optimizer, by_epoch=False, **kwargs)

    def factor(self, step: int) -> float:
        """Return the rate at ``step`` as a share of the peak."""
        total = max(self.end - self.begin, 1)
        rise = round(self.warmup * total)
        if step < rise:
            return (step + 1) / (rise + 1)
        done = min((step - rise) / max(total - rise, 1), 1.0)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where the run was, on the curve of this config: it may have grown longer."""
        kept = {name: getattr(self, name) for name in ('begin', 'end', 'warmup', 'floor')}
        super().load_state_dict({**state_dict, **kept})
        self.last_step = min(self._global_step, self.end - 1) - self.begin
        for group, value in zip(self.optimizer.param_groups, self._get_value(), strict=True):
            group[self.param_name] = value

    def _get_value(self) -> list[float]:
        return [base * self.factor(self.last_step) for base in self.base_values]
