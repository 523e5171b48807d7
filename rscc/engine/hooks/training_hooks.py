"""Hooks of training: freezing parts, stopping at a non-finite loss, throughput."""
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import EarlyStoppingHook as _EarlyStoppingHook
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from rscc.engine.distributed import unwrapped
from rscc.registry import HOOKS, Part
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


_SHOWN = 32


def batch_ids(data_batch: Any) -> list[str]:
    """Return the ``sample_id`` of every sample of a batch, or its place where it has none."""
    samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
    return [str(sample.get('sample_id', f'#{index}'))
            for index, sample in enumerate(samples or [])]


def batch_notes(model: nn.Module) -> list[str]:
    """Return what the parts of a model know of their last batch (noise levels, for instance).

    See :meth:`rscc.registry.Part.describe_last_batch`.
    """
    notes = (part.describe_last_batch() for part in model.modules()
             if isinstance(part, Part))
    return [note for note in notes if note]


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Check every logged loss after every step.

    MMEngine reads the losses at each step anyway, so this costs nothing more. The stop comes before
    the next checkpoint, so no saved file holds weights of a batch with non-finite loss.

    A loss that has been exactly zero from the start of the run teaches nothing, mostly for want of
    labels: that is a warning, once.

    Args:
        zeros: Steps with the loss after which that is said.
    """

    priority = 'VERY_HIGH'

    def __init__(self, zeros: int = 50) -> None:
        self.zeros = zeros
        self._told, self._silent = set(), Counter()

    def before_train(self, runner: Runner) -> None:
        """Begin to count."""
        self._told, self._silent = set(), Counter()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: dict | None = None) -> None:
        """Stop on a loss that is NaN or infinite.

        Raises:
            FloatingPointError: With all losses, the samples of the batch and the last checkpoint.
        """
        values = {name: float(torch.as_tensor(value).detach())
                  for name, value in (outputs or {}).items()}
        if all(math.isfinite(value) for value in values.values()):
            self._count_zeros(runner, values)
            return
        shown = ', '.join(f'{name}={value:.4g}' for name, value in values.items())
        ids = batch_ids(data_batch)
        more = f' and {len(ids) - _SHOWN} more' if len(ids) > _SHOWN else ''
        notes = ''.join(f' {note}.' for note in batch_notes(runner.model))
        last = runner.message_hub.runtime_info.get('last_ckpt', 'none yet')
        raise FloatingPointError(
            f'loss is not finite at epoch {runner.epoch + 1}, iteration {runner.iter + 1}: '
            f'{shown}. Samples of the batch: {", ".join(ids[:_SHOWN]) or "unknown"}{more}.{notes} '
            f'Last checkpoint: {last}. Look at these samples, lower the learning rate, clip '
            'gradients harder, or train without --amp')

    def _count_zeros(self, runner: Runner, values: Mapping[str, float]) -> None:
        """Warn of losses that have been zero whenever they were logged, after so many times."""
        losses = {name: value for name, value in values.items() if 'loss' in name}
        self._told.update(name for name, value in losses.items() if value)
        silent = sorted(losses.keys() - self._told)
        self._silent.update(silent)
        if long := [name for name in silent if self._silent[name] == self.zeros]:
            runner.logger.warning(
                f'{", ".join(long)} exactly 0 in {self.zeros} steps, from the first on: nothing '
                'teaches that part of the model. Does the training data have what it learns from '
                '(label maps for a change head, sentences for a caption head; rscc check DATA '
                'counts them)? Leave the part out, or give it a loss_weight, where it has none')


@HOOKS.register_module()
class EarlyStoppingHook(_EarlyStoppingHook):
    """MMEngine's hook, for scores from 0 to 1 as well, that goes on counting in a resumed run.

    MMEngine asks for a rise by 0.1, which no score from 0 to 1 makes twice. A name that no
    validation gives is refused at the start of the training.

    Args:
        monitor: Score to wait for, ``'change/F1_changed'``.
        rule: ``'greater'`` or ``'less'`` is better; may be left out for ``caption/...`` and
            ``change/...``, of which greater is better.
        min_delta: Change that counts as better, in the score's unit (``change/...`` from 0 to 1,
            ``caption/...`` mostly from 0 to 100).
        strict: Whether a validation without that score is an error.
        check_finite: Whether a score that is no number stops the training.
        patience: Validations without a better score after which training stops.
        stopping_threshold: Score at which training stops at once.
    """

    _default_greater_keys = (*_EarlyStoppingHook._default_greater_keys, 'caption/', 'change/')

    def __init__(self, monitor: str, rule: str | None = None, min_delta: float = 0.001,
                 strict: bool = False, check_finite: bool = True, patience: int = 5,
                 stopping_threshold: float | None = None) -> None:
        super().__init__(monitor, rule, min_delta, strict, check_finite, patience,
                         stopping_threshold)

    def before_train(self, runner: Runner) -> None:
        """Say what will be done, and take up what the run had counted."""
        known = runner.message_hub.runtime_info.get(f'early_stopping/{self.monitor}')
        if known is not None:
            self.best_score, self.wait_count = known
        runner.logger.info(
            f'training stops early when {self.monitor} has not become {self.rule} by more than '
            f'{abs(self.min_delta)} in {self.patience} validations (EarlyStoppingHook: min_delta, '
            'patience)')

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Count this validation, and perhaps stop."""
        super().after_val_epoch(runner, metrics or {})
        runner.message_hub.update_info(f'early_stopping/{self.monitor}',
                                       [float(self.best_score), self.wait_count])


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

    def after_val(self, runner: Runner) -> None:
        """Start the clock again where a validation comes between two steps."""
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
            runner.logger.info(f'training speed: {self.rate:.1f} samples/s')
