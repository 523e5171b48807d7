"""What testing adds to a run: predictions as JSON, pictures, a report, test-time augmentation."""
import os
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process

from rscc.apis.launch import add_hook
from rscc.utils import read_json, write_json


def use_tta(cfg: Config) -> None:
    """Test every sample in the augmented versions that the config lists.

    Raises:
        SystemExit: If the config has no ``tta_model`` or ``tta_pipeline``.
    """
    absent = [name for name in ('tta_model', 'tta_pipeline') if not cfg.get(name)]
    if absent:
        raise SystemExit(f'error: --tta needs {" and ".join(absent)} in the config '
                         f"'{cfg.filename}'; test without it, or add them")
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = {**cfg.tta_model, 'module': cfg.model}


def dump_predictions(cfg: Config, out_file: str | os.PathLike, checkpoint: str) -> None:
    """Append the metric that collects every prediction into ``out_file``."""
    evaluator = cfg.get('test_evaluator') or []
    evaluator = list(evaluator) if isinstance(evaluator, list | tuple) else [evaluator]
    cfg.test_evaluator = [*evaluator, {
        'type': 'PredictionDump', 'out_file': str(out_file), 'checkpoint': checkpoint,
        'config': cfg.filename}]


def draw_predictions(cfg: Config, folder: str | os.PathLike) -> None:
    """Have masks and panels of the test written into ``folder``."""
    hooks = cfg.get('default_hooks') or {}
    if hooks.get('panels'):
        hooks.panels.out_dir = str(folder)
    else:
        add_hook(cfg, {'type': 'PanelHook', 'num_val': 0, 'out_dir': str(folder)})


def finish(metrics: dict[str, Any], work_dir: str | os.PathLike,
           predictions: str | os.PathLike | None, show_dir: str | os.PathLike | None) -> list[Path]:
    """Write what a test leaves behind, in the main process.

    Args:
        metrics: Flat scores of the run.
        work_dir: Gets ``metrics.json``.
        predictions: The file of ``PredictionDump``, which gets the scores too; None without.
        show_dir: Folder of the pictures, which gets ``report.html``; None without.

    Returns:
        The files written.
    """
    if not is_main_process():
        return []
    written = [Path(work_dir) / 'metrics.json']
    write_json(written[0], {key: float(value) for key, value in metrics.items()})
    if predictions is not None:
        from rscc.evaluation.predictions import add_metrics
        add_metrics(predictions, metrics)
        written.append(Path(predictions))
    if show_dir is not None:
        from rscc.visualization.report import write_report
        written.append(write_report(read_json(predictions), Path(show_dir) / 'report.html',
                                    mask_dir=Path(show_dir) / 'masks'))
    return written
