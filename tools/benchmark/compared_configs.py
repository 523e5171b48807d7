"""Configs of a comparison of models: checked before the first training, shortened for all."""
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from rscc.config.check import check_config
from rscc.config.files import existing_config
from rscc.utils import counted
from tools.benchmark.benchmarked_model import innermost_dataset, read_plan


class ConfigsRefused(ValueError):
    """Configs that cannot be compared, each with what is wrong with it."""


def refuse_unfit(configs: Sequence[str]) -> None:
    """Read and check all configs of a comparison, so that none is found wrong after hours.

    Args:
        configs: Files or names. All must learn from, and answer, the splits of the first that can
            be read.

    Raises:
        ConfigsRefused: With each config that is missing, fails its check, cannot be shortened, or
            has other data.
    """
    wrong, expected = [], None
    for config in configs:
        try:
            cfg, found = shortened(config, 1, 0), data_of(config)
            expected = expected or found
            if found != expected:
                raise ValueError(
                    'learns from or answers other data than the first row (data_root and split of '
                    f'training and test, frames, side in pixels): {found}, not {expected}. Compare '
                    'it in a --work-dir of its own')
            check_config(cfg, stages=('train', 'test'))
        except Exception as error:  # whatever it is: it would end this row after the others
            told = str(error.args[0] if type(error) is KeyError else error) or repr(error)
            wrong.append(f'{name_of(config)}: {told}'.replace('\n', '\n  '))
    if wrong:
        raise ConfigsRefused(f'{len(wrong)} of {counted(len(configs), "config")} cannot be '
                             'compared, and nothing was trained:\n  ' + '\n  '.join(wrong))


def name_of(config: str) -> str:
    """Return the name of a row: that of its config without folder and ending."""
    return Path(config).stem


def data_of(config: str) -> tuple:
    """Return what tells whether two configs learn from one split and answer one."""
    plan = read_plan(config)
    splits = [innermost_dataset(plan.cfg, stage) for stage in ('train', 'test')]
    return (*((data.get('data_root'), data.get('split')) for data in splits), plan.frames,
            plan.side)


def shortened(config: str, steps: int, seed: int, batch_size: int | None = None) -> Config:
    """Return a config that trains for so many steps and keeps its last weights.

    Validation is left out: no row selects its weights, and its time is not training. Captions are
    scored without Java's METEOR and without baselines.

    Args:
        config: File or name.
        steps: Optimiser steps; schedules that end with the training end there.
        seed: Of the random numbers.
        batch_size: Pairs a step; None for the config's.

    Raises:
        ValueError: If its schedule counts epochs.
    """
    cfg = Config.fromfile(existing_config(config))
    schedules = cfg.get('param_scheduler') or []
    if any(one.get('by_epoch', True) for one in (
            [schedules] if isinstance(schedules, dict) else schedules)):
        raise ValueError(f'the schedule of {name_of(config)} counts epochs and cannot be shortened '
                         'to steps: give it by_epoch=False')
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=steps, val_interval=steps)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    cfg.train_dataloader.batch_size = batch_size or cfg.train_dataloader.batch_size
    hooks = cfg.default_hooks
    # Quarters, so that little is lost where the training is interrupted.
    hooks.checkpoint.update(by_epoch=False, interval=-(-steps // 4), save_best=None,
                            max_keep_ckpts=1)
    hooks.logger.interval = max(1, min(20, steps // 4))
    hooks.pop('panels', None)
    cfg.log_processor.by_epoch = False
    cfg.randomness.seed = seed
    metrics = cfg.test_evaluator
    for metric in metrics if isinstance(metrics, list) else [metrics]:
        if metric.type == 'CaptionMetric':
            metric.update(meteor=False, baselines=False)
    return cfg
