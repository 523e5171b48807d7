"""Training and testing from a config: reading and checking it, building the runner, results."""
import argparse
import copy
import inspect
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope

from rscc.config.check import check_config, merge_overrides
from rscc.config.files import existing_config, find_checkpoint
from rscc.config.schema import Schema
from rscc.engine.checkpoint import load_fitting, read_checkpoint
from rscc.engine.distributed import check_launcher
from rscc.engine.precision import keep_freed_memory
from rscc.engine.runner import Runner
from rscc.models.pretrained import initialise
from rscc.registry import DATASETS, MODELS, RUNNERS
from rscc.utils import counted, did_you_mean, read_json, write_json
from rscc.utils.paths import resolve_data_file

#: Seconds without a batch after which a stuck or killed data worker ends the run.
LOADER_TIMEOUT = 600
#: Optimizer wrappers that ``--amp`` replaces.
_REDUCIBLE = ('OptimWrapper', 'AmpOptimWrapper', 'AutocastOptimWrapper')
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def load_config(args: argparse.Namespace, stages: Sequence[str],
                checkpoint: str | None = None) -> Config:
    """Read, check and complete a config for one of the tools.

    Args:
        args: With ``config``, those of ``rscc.apis.command_line.add_shared_arguments``, and
            ``amp`` where the tool has it.
        stages: Whose data must exist: of ``train``, ``val``, ``test``.
        checkpoint: Where a word tokenizer takes its words from, so that no vocabulary file is
            needed beside it.

    Returns:
        The config with overrides merged and launcher, work folder and worker time limits set.

    Raises:
        SystemExit: With every problem of the config, its overrides and its paths at once.
    """
    try:
        check_launcher(args.launcher)
        set_data_root(args.data_root)
        cfg = read_config(args.config)
        if checkpoint is not None:
            expect_checkpoint(cfg, checkpoint)
        elif 'train' in stages:
            take_words(cfg, (args.cfg_options or {}).get('load_from', cfg.get('load_from')))
        check_config(_for_check(cfg, args), overrides=args.cfg_options, stages=stages)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f'error: {error}' if os.environ.get('RANK', '0') == '0' else 1) from error
    merge_overrides(cfg, args.cfg_options)
    if getattr(args, 'amp', False):
        use_amp(cfg)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or default_work_dir(args.config)
    complete_loaders(cfg)
    return cfg


def _for_check(cfg: Config, args: argparse.Namespace) -> Config:
    """Return the config that overrides are held against: with ``--amp``, its wrapper's settings."""
    kind = (cfg.get('optim_wrapper') or {}).get('type', 'OptimWrapper')
    if not getattr(args, 'amp', False) or kind not in _REDUCIBLE:
        return cfg
    checked = copy.deepcopy(cfg)
    use_amp(checked)
    return checked


def check_all(cfg: Config, stages: Sequence[str], start: bool) -> None:
    """Check data and model of a config, and say that all is well: what ``--check`` asks for.

    Args:
        cfg: The run's config.
        stages: Those whose data are read.
        start: Whether starting weights are loaded too, see :func:`check_model`.
    """
    check_data(cfg, stages)
    check_model(cfg, start=start)
    print('ok')


def check_data(cfg: Config, stages: Sequence[str]) -> None:
    """Build the datasets of some stages, prepare the first sample of each, print their sizes.

    Frame caches are neither read nor written.

    Args:
        cfg: What :func:`load_config` returned.
        stages: Of ``train``, ``val``, ``test``.

    Raises:
        FileNotFoundError, ValueError: As the datasets and their transforms say it.
    """
    for stage in stages:
        described = (cfg.get(f'{stage}_dataloader') or {}).get('dataset')
        if described is None:
            continue
        with DefaultScope.overwrite_default_scope('rscc'):
            dataset = DATASETS.build(_without_caches(described.to_dict()))
        if not len(dataset):
            raise ValueError(f'the dataset of {stage}_dataloader ({described.type}) is empty')
        inputs = dataset[0]['inputs']
        print(f'{stage:6s} {counted(len(dataset), "sample")} of {described.type}, '
              f'the first {inputs.dtype} {tuple(inputs.shape)}')


def check_model(cfg: Config, start: bool) -> None:
    """Build the model, and print its size and normalisation.

    Args:
        cfg: What :func:`load_config` returned.
        start: Read the weights that a training starts from, too.

    Raises:
        FileNotFoundError, ImportError, OSError, TypeError, ValueError: As its parts say it.
    """
    from rscc.models.data_preprocessor import normalisation_record
    with DefaultScope.overwrite_default_scope('rscc'):
        model = MODELS.build(cfg.model)
    if isinstance(model, BaseModel):
        if start:
            initialise(model)
            _load_start(cfg, model)
        record = normalisation_record(model).get('normalisation')
        how = f', images normalised as {record["source"]} says' if record else ''
        print(f'model  {type(model).__name__}, '
              f'{sum(weight.numel() for weight in model.parameters()) / 1e6:.1f} M parameters{how}')


def _load_start(cfg: Config, model: BaseModel) -> None:
    """Load the weights that a training starts from, as the training will."""
    if not cfg.get('load_from'):
        return
    report = load_fitting(model, read_checkpoint(cfg.load_from), cfg.load_from,
                          cfg.get('strict_load', False))
    print(f"start  '{cfg.load_from}': {report}")


def _without_caches(described: Any) -> Any:
    if isinstance(described, dict):
        return {key: _without_caches(value) for key, value in described.items() if key != 'cache'}
    return [*map(_without_caches, described)] if isinstance(described, list) else described


def complete_loaders(cfg: Config) -> None:
    """Give worker processes a time limit, and drop what torch refuses where there are none.

    ``--cfg-options train_dataloader.num_workers=0`` is then enough to load in the main process.
    """
    for loader in (cfg[name] for name in _LOADERS if cfg.get(name)):
        if loader.get('num_workers', 0) > 0:
            loader.setdefault('timeout', LOADER_TIMEOUT)
        else:
            for key in ('persistent_workers', 'prefetch_factor', 'timeout'):
                loader.pop(key, None)


def expect_checkpoint(cfg: Config, checkpoint: str) -> None:
    """Take from a checkpoint what the config would look for elsewhere (edits ``cfg``).

    The words of a word tokenizer come from it, and published weights that it replaces are not read.
    """
    from rscc.models.caption_heads.base import restore_vocabulary
    from rscc.models.pretrained import without_pretrained
    stored = read_checkpoint(checkpoint)
    restore_vocabulary(cfg, stored)
    if cfg.get('strict_load', True):
        without_pretrained(cfg.model, stored)


def take_words(cfg: Config, start: str | None) -> None:
    """Take the words of a training from its starting weights where the config's files lack them.

    Fine-tuning then needs neither the data in which the words were counted nor their vocabulary
    (edits ``cfg``).

    Args:
        cfg: The config of a training.
        start: Its ``load_from``; None for a training from the beginning.
    """
    from rscc.models.caption_heads.base import VOCABULARIES, restore_vocabulary
    tokenizer = ((cfg.get('model') or {}).get('caption_head') or {}).get('tokenizer') or {}
    kind = Schema('TOKENIZERS').find(tokenizer.get('type')) if tokenizer else None
    if start is None or kind is None or tokenizer.get('words') or (
            'words' not in inspect.signature(kind).parameters):
        return
    given = [tokenizer[name] for name in VOCABULARIES if tokenizer.get(name)]
    files = [file for one in given for file in (one.values() if isinstance(one, dict) else [one])]
    if files and all(resolve_data_file(file).is_file() for file in files):
        return
    with suppress(FileNotFoundError):  # the check of the config says it with all else
        restore_vocabulary(cfg, read_checkpoint(start))


def set_data_root(folder: str | None) -> None:
    """Point ``RSCC_DATA`` at ``--data-root``.

    Raises:
        FileNotFoundError: If it is not a folder.
    """
    if folder is None:
        return
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise FileNotFoundError(f"--data-root '{folder}' is not a folder")
    os.environ['RSCC_DATA'] = str(path)


def read_config(path: str | os.PathLike) -> Config:
    """Read a config file with its bases.

    Args:
        path: The file, or the name of a config (see :func:`rscc.config.files.find_config`).

    Raises:
        FileNotFoundError: If it, or one of its bases, is not there.
        ValueError: If one of them is not valid Python; names file and line.
    """
    try:
        return Config.fromfile(existing_config(path))
    except SyntaxError as error:
        place = f'{error.filename}, ' if os.path.isfile(error.filename or '') else ''
        raise ValueError(f"config '{path}' or one of its _base_ files is not valid Python "
                         f'({place}line {error.lineno}: {(error.text or "").strip()!r}: '
                         f'{error.msg})') from error
    except FileNotFoundError as error:
        if error.filename is None:
            raise
        beside = [str(found) for found in Path(error.filename).parent.glob('*.py')]
        raise FileNotFoundError(
            f"config '{path}' is based on '{error.filename}', and there is no such file."
            f'{did_you_mean(str(error.filename), beside)}') from error


def default_work_dir(config: str) -> str:
    """Return ``work_dirs/<stem>``."""
    return str(Path('work_dirs') / Path(config).stem)


def use_amp(cfg: Config) -> None:
    """Train, validate and test in reduced precision.

    Raises:
        SystemExit: If the config has an optimizer wrapper of its own.
    """
    wrapper = cfg.get('optim_wrapper')
    if wrapper is not None:
        kind = wrapper.get('type', 'OptimWrapper')
        if kind not in _REDUCIBLE:
            raise SystemExit(f"error: --amp cannot replace optim_wrapper.type '{kind}'; it works "
                             "with 'OptimWrapper'")
        wrapper.type = 'AutocastOptimWrapper'
        for foreign in ('use_fsdp', 'loss_scale') if kind == 'AmpOptimWrapper' else ():
            wrapper.pop(foreign, None)
    add_hook(cfg, {'type': 'AutocastInferenceHook'})


def add_hook(cfg: Config, hook: dict[str, Any]) -> None:
    """Append a custom hook."""
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]


def build_runner(cfg: Config) -> Runner:
    """Build the runner: ours, or the config's ``runner_type``.

    Raises:
        ValueError: If the config has a ``strategy`` and a runner that does not read it.
    """
    keep_freed_memory()
    kind = cfg.get('runner_type')
    if cfg.get('strategy') and not kind:
        raise ValueError("the config has a strategy, which runner_type='FlexibleRunner' alone "
                         'follows: set both, or leave strategy out')
    return (RUNNERS.get(kind) if kind else Runner).from_cfg(cfg)


def unsplit(cfg: Config) -> None:
    """Have the model of a config that splits it for training tested whole, by the usual runner."""
    if cfg.get('strategy'):
        cfg.strategy = cfg.runner_type = None


#: Mirrored and turned by quarters: the views of an image from above are all alike.
TTA_VIEWS = ('none', 'hflip', 'vflip', 'rot90', 'rot180', 'rot270')


def use_tta(cfg: Config) -> None:
    """Average the change maps of flipped and rotated views.

    Views that the config lists itself, in ``model.test_cfg.views``, are kept.

    Raises:
        SystemExit: If the model has no change head.
    """
    if not cfg.model.get('change_head'):
        raise SystemExit('error: --tta averages change maps over flips and rotations, and the '
                         f"model of '{cfg.filename}' has no change_head; test without it")
    options = cfg.model.get('test_cfg') or {}
    if tuple(options.get('views') or ('none',)) == ('none',):
        cfg.model.test_cfg = {**options, 'views': TTA_VIEWS}


def use_swap(cfg: Config) -> None:
    """Answer changed pairs a second time with their dates exchanged, for the reversal scores.

    A model that is no ``ChangeInterpreter`` is left as it is, and so is a config that sets
    ``model.test_cfg.swap`` itself.
    """
    from rscc.models.interpreter import ChangeInterpreter
    kind = Schema('MODELS').find((cfg.get('model') or {}).get('type'))
    if isinstance(kind, type) and issubclass(kind, ChangeInterpreter):
        cfg.model.test_cfg = {'swap': True, **(cfg.model.get('test_cfg') or {})}


def dump_predictions(cfg: Config, out_file: str | os.PathLike, checkpoint: str) -> None:
    """Put the metric that collects every prediction into ``out_file`` before all others.

    It comes first so that the file is there when another metric fails.
    """
    evaluator = cfg.get('test_evaluator') or []
    evaluator = list(evaluator) if isinstance(evaluator, list | tuple) else [evaluator]
    cfg.test_evaluator = [{
        'type': 'PredictionDump', 'out_file': str(out_file), 'checkpoint': checkpoint,
        'config': cfg.filename}, *evaluator]


def draw_predictions(cfg: Config, folder: str | os.PathLike, probabilities: bool = False) -> None:
    """Have masks, overlays and panels of the test written into ``folder``.

    Args:
        cfg: The run's config.
        folder: Gets ``masks/``, ``overlays/``, ``panels/``, where there are references
            ``reference_masks/``, and what sentences bring: ``evidence/`` for the report, and where
            the decoding options ask for it ``attention/`` or ``denoising/``.
        probabilities: Write ``probabilities/`` too.
    """
    options = {'out_dir': str(folder), 'probabilities': probabilities}
    if _ask_for_attention(cfg):
        options['drawings'] = False
    hooks = cfg.get('default_hooks') or {}
    if hooks.get('panels'):
        hooks.panels.update(options)
    else:
        add_hook(cfg, {'type': 'PanelHook', 'num_val': 0, **options})


def _ask_for_attention(cfg: Config) -> bool:
    """Have a head that can return attention maps where there are some.

    Returns:
        Whether it was asked; False where it cannot, or the config says what it wants.
    """
    from rscc.models.caption_heads.base import CaptionHead
    head = (cfg.get('model') or {}).get('caption_head') or {}
    kind = Schema('MODELS').find(head.get('type'))
    if not (isinstance(kind, type) and issubclass(kind, CaptionHead) and kind.HAS_ATTENTION):
        return False
    options = dict(head.get('decoding') or {})
    if 'return_attention' in options:
        return False
    head['decoding'] = {**options, 'return_attention': None}
    return True


def caption_metadata(runner: Runner, metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of caption scores: protocol, split, language and tokenizer.

    Args:
        runner: The runner after its test.
        metrics: Its scores.

    Returns:
        That of its caption metric; nothing where no caption was scored.
    """
    if not any(key.endswith('/all/Bleu_1') for key in metrics):
        return {}
    from rscc.evaluation.metrics import SampleMetric
    found = (metric.metadata for metric in runner.test_evaluator.metrics
             if isinstance(metric, SampleMetric))
    return next(filter(None, found), {})


def finish(metrics: dict[str, Any], work_dir: str | os.PathLike,
           predictions: str | os.PathLike | None, metadata: Mapping[str, str],
           normalisation: Mapping[str, Any] | None = None) -> None:
    """Write and print the scores of a test, in the main process.

    Args:
        metrics: Flat scores of the run.
        work_dir: Gets ``metrics.json``.
        predictions: The file of ``PredictionDump``, which gets the scores too; None without.
        metadata: What :func:`caption_metadata` returned; put beside the scores.
        normalisation: What ``rscc.models.data_preprocessor.normalisation_record`` returned;
            put into both files.
    """
    if not is_main_process():
        return
    from rscc.evaluation.predictions import add_metrics
    from rscc.evaluation.table import format_metadata, format_table
    written = [Path(work_dir) / 'metrics.json']
    facts = dict(normalisation or {})
    write_json(written[0], {**facts, **metadata, **{k: float(v) for k, v in metrics.items()}})
    if predictions is not None:
        add_metrics(predictions, metrics, facts)
        written.append(Path(predictions))
    stated = f'{format_metadata(metadata)}\n\n' if metadata else ''
    print(f'\n{stated}{format_table(metrics)}\n')
    print('written: ' + ', '.join(map(str, written)))


def finish_pictures(runner: Runner, predictions: str | os.PathLike, folder: str | os.PathLike,
                    checkpoint: str | os.PathLike | None = None, language: str | None = None
                    ) -> None:
    """Write ``report.html`` and tell of pictures that could not be drawn, after all scores.

    Args:
        runner: The runner after its test.
        predictions: The file of ``PredictionDump``.
        folder: Where :func:`draw_predictions` had the pictures written.
        checkpoint: The file tested; curves are drawn of the training logs beside it.
        language: Of the report's interface; None takes the dataset's.

    Raises:
        RuntimeError: If pictures are missing; predictions and scores are written then.
    """
    from rscc.engine.hooks.panel_hook import PanelHook
    if is_main_process():
        from rscc.visualization.report import write_report
        file = None if checkpoint is None else Path(find_checkpoint(checkpoint))
        logs = file.parent if file and file.is_file() else None
        report = write_report(read_json(predictions), Path(folder) / 'report.html',
                              mask_dir=Path(folder) / 'masks', log_dir=logs, language=language)
        print(f'written: {report}')
    for hook in runner.hooks:
        if isinstance(hook, PanelHook) and hook.failures:
            raise RuntimeError(f"{len(hook.failures)} samples have no pictures in '{folder}'; "
                               f'the first: {hook.failures[0]}. Predictions and scores are '
                               'complete')
