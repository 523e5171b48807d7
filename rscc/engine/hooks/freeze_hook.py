"""Freezing parts of a model, for good or for the first epochs."""
from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from rscc.engine.distributed import unwrapped
from rscc.registry import HOOKS
from rscc.utils.names import matching_names


@HOOKS.register_module()
class FreezeHook(Hook):
    r"""Keep some parameters as they are.

    Frozen parameters get no gradient, no update and no weight decay; normalisation layers all of
    whose parameters are frozen also keep their statistics. Several hooks may freeze different parts
    until different epochs.

    Args:
        patterns: Regular expressions searched in parameter names, e.g. ``r'^encoder\.'``.
        until_epoch: Epoch (from 0) at whose start the parts thaw; None freezes for the whole run.

    Raises:
        ValueError: At the start of training, if a pattern matches no parameter.
    """

    priority = 'HIGH'

    def __init__(self, patterns: Sequence[str] | str, until_epoch: int | None = None) -> None:
        self.patterns = [patterns] if isinstance(patterns, str) else list(patterns)
        self.until_epoch = until_epoch
        self._names: list[str] = []
        self._norms: list[nn.Module] = []
        self._frozen = False

    def before_train(self, runner: Runner) -> None:
        """Find the parameters, and freeze them unless the run is already past ``until_epoch``."""
        model = unwrapped(runner.model)
        self._names = matching_names((name for name, _ in model.named_parameters()), self.patterns)
        if self.until_epoch is None or runner.epoch < self.until_epoch:
            self._switch(runner, frozen=True)

    def before_train_epoch(self, runner: Runner) -> None:
        """Thaw when the time has come."""
        if self._frozen and self.until_epoch is not None and runner.epoch >= self.until_epoch:
            self._switch(runner, frozen=False)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Put frozen norms back into eval mode: the loop sets the whole model to train mode."""
        for layer in self._norms:
            layer.eval()

    def _switch(self, runner: Runner, frozen: bool) -> None:
        model = unwrapped(runner.model)
        parameters = dict(model.named_parameters())
        for name in self._names:
            parameters[name].requires_grad_(not frozen)
        self._frozen = frozen
        chosen = set(self._names)
        self._norms = [layer for prefix, layer in model.named_modules() if frozen
                       and isinstance(layer, _NormBase) and _all_in(prefix, layer, chosen)]
        count = sum(parameters[name].numel() for name in self._names)
        runner.logger.info(f"{'froze' if frozen else 'thawed'} {len(self._names)} tensors "
                           f'({count / 1e6:.2f} M parameters) matching {self.patterns}')
        if is_model_wrapper(runner.model):
            # DDP waits for the gradients it saw at construction, so it is built anew.
            runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model)


def _all_in(prefix: str, layer: nn.Module, names: set[str]) -> bool:
    """Tell whether the layer has parameters and all are among ``names``."""
    own = [f'{prefix}.{name}' if prefix else name for name, _ in layer.named_parameters()]
    return bool(own) and names.issuperset(own)
