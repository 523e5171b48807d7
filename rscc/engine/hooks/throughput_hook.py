"""How many samples a second training takes in."""
import time
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from rscc.registry import HOOKS


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Measure training speed, data loading included, validation and saving excluded.

    Logs ``train/pairs_per_s`` (all processes together) and leaves the figure for the whole run as
    ``pairs_per_s`` in the message hub. A single image counts as one as well.

    Args:
        warm_up: First iterations of the run that are not counted (caches, worker start).
    """

    def __init__(self, warm_up: int = 5) -> None:
        self.warm_up = warm_up
        self.seen, self.samples, self.seconds = 0, 0, 0.0
        self._mark = time.perf_counter()

    @property
    def rate(self) -> float | None:
        """Samples a second so far, None before anything was measured."""
        return self.samples / self.seconds if self.seconds else None

    def before_train_epoch(self, runner: Runner) -> None:
        """Start the clock (again): what happened between epochs is not training."""
        self._mark = time.perf_counter()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Add one step."""
        now = time.perf_counter()
        self.seen += 1
        if self.seen > self.warm_up:
            self.samples += len(data_batch['inputs']) * get_world_size()
            self.seconds += now - self._mark
            runner.message_hub.update_scalar('train/pairs_per_s', self.rate)
        self._mark = now

    def after_train(self, runner: Runner) -> None:
        """Log the figure of the run."""
        if self.rate is not None:
            runner.message_hub.update_info('pairs_per_s', round(self.rate, 3))
            runner.logger.info(f'training took in {self.rate:.1f} samples/s')
