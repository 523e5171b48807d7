"""What testing adds to a run: predictions as JSON, pictures, a report, test-time augmentation."""
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from rscc.apis.launch import add_hook
from rscc.utils import read_json, write_json

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


def dump_predictions(cfg: Config, out_file: str | os.PathLike, checkpoint: str) -> None:
    """Append the metric that collects every prediction into ``out_file``."""
    evaluator = cfg.get('test_evaluator') or []
    evaluator = list(evaluator) if isinstance(evaluator, list | tuple) else [evaluator]
    cfg.test_evaluator = [*evaluator, {
        'type': 'PredictionDump', 'out_file': str(out_file), 'checkpoint': checkpoint,
        'config': cfg.filename}]


def draw_predictions(cfg: Config, folder: str | os.PathLike, probabilities: bool = False) -> None:
    """Have masks, overlays and panels of the test written into ``folder``.

    Args:
        cfg: The run's config.
        folder: Gets ``masks/``, ``overlays/``, ``panels/``, where there are references
            ``reference_masks/``, and what sentences bring, ``attention/`` or ``denoising/``.
        probabilities: Write ``probabilities/`` too.
    """
    options = {'out_dir': str(folder), 'probabilities': probabilities}
    hooks = cfg.get('default_hooks') or {}
    if hooks.get('panels'):
        hooks.panels.update(options)
    else:
        add_hook(cfg, {'type': 'PanelHook', 'num_val': 0, **options})


def caption_facts(runner: Runner, metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return what must stand beside caption scores: protocol, split, language and tokenizer.

    Args:
        runner: The runner after its test.
        metrics: Its scores.

    Returns:
        The facts of its caption metric; nothing where no caption was scored.
    """
    if not any(key.endswith('/all/Bleu_1') for key in metrics):
        return {}
    found = (getattr(metric, 'facts', None) for metric in runner.test_evaluator.metrics)
    return next(filter(None, found), {})


def finish(metrics: dict[str, Any], work_dir: str | os.PathLike,
           predictions: str | os.PathLike | None, show_dir: str | os.PathLike | None,
           facts: Mapping[str, str] | None = None) -> list[Path]:
    """Write what a test leaves behind, in the main process.

    Args:
        metrics: Flat scores of the run.
        work_dir: Gets ``metrics.json``.
        predictions: The file of ``PredictionDump``, which gets the scores too; None without.
        show_dir: Folder of the pictures, which gets ``report.html``; None without.
        facts: What :func:`caption_facts` returned; put beside the scores.

    Returns:
        The files written.
    """
    if not is_main_process():
        return []
    written = [Path(work_dir) / 'metrics.json']
    write_json(written[0], {**(facts or {}), **{k: float(v) for k, v in metrics.items()}})
    if predictions is not None:
        from rscc.evaluation.predictions import add_metrics
        add_metrics(predictions, metrics)
        written.append(Path(predictions))
    if show_dir is not None:
        from rscc.visualization.report import write_report
        written.append(write_report(read_json(predictions), Path(show_dir) / 'report.html',
                                    mask_dir=Path(show_dir) / 'masks'))
    return written
