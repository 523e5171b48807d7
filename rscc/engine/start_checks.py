"""Checks of a training before its first step: what would otherwise fail hours later, or never."""
import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from rscc.engine.distributed import unwrapped
from rscc.evaluation.metrics import SampleMetric
from rscc.registry import METRICS
from rscc.utils import did_you_mean


def check_monitored_names(runner: Any) -> None:
    """Refuse the name of a score that no validation of this run will give.

    Looked at are the hooks that keep the best checkpoint or stop early, and schedules that wait for
    a plateau. Metrics of other packages do not say what they give; beside one, any name passes.

    Raises:
        ValueError: With the setting, the name, and the nearest that there will be.
    """
    loop = runner.val_loop
    check_scores(_monitored(runner), None if loop is None else loop.evaluator.metrics)


def check_monitored_settings(cfg: Config) -> None:
    """Refuse the same names in a config, before anything but its metrics is built.

    Args:
        cfg: The config of a training.

    Raises:
        ValueError: As :func:`check_monitored_names`.
    """
    described = cfg.get('val_evaluator') if cfg.get('val_dataloader') else None
    if isinstance(described, Mapping) and 'metrics' in described:
        described = described['metrics']
    metrics = None
    if described:
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'rscc')):
            metrics = [METRICS.build(copy.deepcopy(dict(one))) for one in _listed(described)]
    check_scores(_monitored_settings(cfg), metrics)


def _listed(value: Any) -> list[Any]:
    """Return a list of settings, of which one alone may stand without it, as a list."""
    return list(value) if isinstance(value, list | tuple) else [value] if value else []


def _monitored_settings(cfg: Config) -> Iterator[tuple[str, str]]:
    """Yield the setting and the name of every score that the config says something waits for."""
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    yield from (('default_hooks.checkpoint.save_best', name)
                for name in _listed(hook.get('save_best')) if name != 'auto')
    schedulers = cfg.get('param_scheduler') or ()
    several = isinstance(schedulers, Mapping) and 'type' not in schedulers  # of several optimizers
    flat = [one for some in schedulers.values() for one in _listed(some)] if several else (
        _listed(schedulers))
    for prefix, entries in (('', cfg.get('custom_hooks')), ('param_scheduler ', flat)):
        for entry in _listed(entries):
            if isinstance(entry, Mapping) and isinstance(entry.get('monitor'), str):
                yield f'{prefix}{entry.get("type")}.monitor', entry['monitor']


def check_scores(monitored: Iterable[tuple[str, str]], metrics: Sequence[Any] | None) -> None:
    """Refuse scores that none of the metrics of a validation gives.

    Args:
        monitored: The setting that waits, and the name of the score.
        metrics: Of the validation; None where there is no validation.

    Raises:
        ValueError: With the setting, the name, and the nearest that there will be.
    """
    for setting, name in monitored:
        if metrics is None:
            # Who switches validation off keeps the config's best checkpoint, which then never is.
            remedy = 'set val_dataloader, val_cfg and val_evaluator'
            said = f"{setting} waits for the score '{name}' of a validation, and this run has none"
            if 'save_best' not in setting:
                raise ValueError(f'{said}: {remedy}')
            print_log(f'{said}: no best checkpoint will be kept ({remedy})', 'current', 30)
            continue
        if not all(isinstance(metric, SampleMetric) for metric in metrics):
            continue
        known = [key for metric in metrics for key in metric.known_keys()]
        if not any(fnmatchcase(name, key) for key in known):
            loss = ' Losses are computed in training only.' if 'loss' in name else ''
            raise ValueError(
                f"{setting} waits for the score '{name}', which no validation of this run gives: "
                f'val_evaluator has {", ".join(type(metric).__name__ for metric in metrics)} with '
                f'{", ".join(known[:4])}, ...{did_you_mean(name, known)}{loss}')


def _monitored(runner: Any) -> Iterator[tuple[str, str]]:
    """Yield the setting and the name of every score that something waits for."""
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            yield from (('default_hooks.checkpoint.save_best', name)
                        for name in hook.save_best or () if name != 'auto')
        if isinstance(hook, EarlyStoppingHook):
            yield f'{type(hook).__name__}.monitor', hook.monitor
    for scheduler in flat_schedulers(runner.param_schedulers):
        if reads_scores(scheduler):
            yield f'param_scheduler {type(scheduler).__name__}.monitor', scheduler.monitor


def flat_schedulers(schedulers: Any) -> list[Any]:
    """Return the schedulers of all optimizers, which MMEngine keeps as None, a list or a dict."""
    if isinstance(schedulers, dict):
        return [scheduler for some in schedulers.values() for scheduler in some]
    return list(schedulers or ())


def reads_scores(scheduler: Any) -> bool:
    """Tell whether a scheduler waits for validations, which MMEngine marks by this attribute."""
    return getattr(scheduler, 'need_val_args', False)


def check_last_batch(runner: Any) -> None:
    """Tell, or refuse, a last batch of one sample where the model has batch norms.

    A batch norm cannot learn from a single value per channel, which is what one sample leaves
    behind a pooling to 1 x 1. Whether that happens is tried with the first sample; elsewhere the
    statistics of one sample are merely poor, which is a warning.

    Raises:
        ValueError: If such a batch would end the training; with batch size and remedy.
    """
    loader, model = runner.train_dataloader, unwrapped(runner.model)
    size = loader.batch_size
    if size is None or loader.drop_last or len(loader.sampler) % size != (1 if size > 1 else 0):
        return
    norms = {name: norm for name, norm in model.named_modules()
             if isinstance(norm, _BatchNorm) and _learns(norm)}
    if not norms or any(isinstance(norm, nn.SyncBatchNorm) for norm in norms.values()):
        return
    what = (f'{len(loader.sampler)} samples in batches of {size} leave a last batch of one, from '
            'which batch norms cannot learn')
    remedy = 'set train_dataloader.drop_last=True or another train_dataloader.batch_size'
    name = _norm_that_fails(runner, model, norms)
    if name is not None:
        raise ValueError(f"{what}: '{name}' would get one value per channel and end the training; "
                         f'{remedy}')
    runner.logger.warning(f'{what} well ({len(norms)} such layers, {next(iter(norms))} the first); '
                          f'{remedy}')


def _learns(norm: _BatchNorm) -> bool:
    parameters = list(norm.parameters())
    return not parameters or any(parameter.requires_grad for parameter in parameters)


def _norm_that_fails(runner: Any, model: nn.Module, norms: dict[str, nn.Module]) -> str | None:
    """Return the name of the batch norm at which a batch of one sample fails, None without."""
    loader, entered = runner.train_dataloader, []
    handles = [norm.register_forward_pre_hook(lambda *_, name=name: entered.append(name))
               for name, norm in norms.items()]
    try:
        with _untouched(model):
            data = model.data_preprocessor(loader.collate_fn([loader.dataset[0]]), True)
            model(**data, mode='loss')
    except Exception as error:  # any other fault shows, with its place, in the training itself
        return entered[-1] if entered and 'more than 1 value per channel' in str(error) else None
    finally:
        for handle in handles:
            handle.remove()
    return None


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Run a block in training mode without gradients; buffers and random state stay as they are."""
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    modes = {module: module.training for module in model.modules()}
    try:
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices), torch.no_grad():
            model.train()
            for module in model.modules():  # frozen ones are not trained, see FreezeHook
                if isinstance(module, _BatchNorm) and not _learns(module):
                    module.eval()
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for name, buffer in model.named_buffers():
            buffer.copy_(kept[name])
