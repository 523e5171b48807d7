"""The browsing command: samples of a dataset as a model is given them, one PNG each.

``tools/analysis_tools/browse_dataset.py`` calls it.
"""
import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config

from rscc.apis.command_line import add_config_options, explained
from rscc.apis.launch import read_config, set_data_root
from rscc.config.check import check_overrides
from rscc.datasets.base import ChangeDataset
from rscc.registry import DATASETS
from rscc.utils import atomic_write, did_you_mean, progress
from rscc.visualization.panels import draw_panel, mask_of

SPLITS = ('train', 'val', 'test')


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Read the command line, draw the panels and say where they are.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.
    """
    parser = argparse.ArgumentParser(prog=prog, description="Draw samples of a config's dataset.")
    add_arguments(parser)
    run(parser.parse_args(arguments))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is drawn: config, split, samples, and where the panels go."""
    parser.add_argument('config', help='config file or name, e.g. configs/blip_synth.py')
    parser.add_argument('--split', choices=SPLITS, default='train',
                        help='whose dataloader to look at (%(default)s)')
    parser.add_argument('--number', type=int, default=10, help='how many samples (%(default)s)')
    parser.add_argument('--ids', nargs='+', metavar='ID', help='these samples, by id')
    parser.add_argument('--visits', type=int, default=1,
                        help='epochs to show of each sample: one panel per draw (%(default)s)')
    parser.add_argument('--out', default='browse', help='folder of the PNGs (%(default)s)')
    parser.add_argument('--data-root', help='folder of the datasets; sets RSCC_DATA')
    add_config_options(parser)


def run(args: argparse.Namespace) -> None:
    """Draw the panels and say where they are.

    Args:
        args: Those of :func:`add_arguments`.

    Raises:
        SystemExit: With what is wrong with the config or the data.
    """
    try:
        set_data_root(args.data_root)
        cfg = read_config(args.config)
        dataset = DATASETS.build(dataset_config(cfg, args.split, args.cfg_options or {}))
        chosen = choose(dataset, args.ids, args.number)
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise SystemExit(f'error: {error.args[0] if error.args else error}') from error
    with explained():
        draw_all(dataset, chosen, args.visits, Path(args.out))


def dataset_config(cfg: Config, split: str, overrides: Mapping[str, Any]) -> dict:
    """Return the config of a split's dataset, overrides merged.

    Raises:
        ValueError: If an override names nothing that exists, or the config has no such dataset.
    """
    problems, _ = check_overrides(cfg.to_dict(), overrides)
    if problems:
        raise ValueError('; '.join(f'{problem.where}: {problem.what}' for problem in problems))
    cfg.merge_from_dict(dict(overrides))
    loader = cfg.get(f'{split}_dataloader')
    if not loader:
        having = [name for name in SPLITS if cfg.get(f'{name}_dataloader')]
        raise ValueError(f"'{cfg.filename}' has no {split}_dataloader; choose --split of "
                         f"{', '.join(having) or 'another config'}")
    return loader.dataset


def draw_all(dataset: ChangeDataset, chosen: Sequence[int], visits: int, out: Path) -> None:
    """Write the panels of all chosen samples and visits."""
    for idx in progress(chosen, 'drawing', unit='sample'):
        for visit in range(visits):
            dataset.set_epoch(visit)
            name, panel = draw(dataset, idx)
            write_png(out / (f'{name}.png' if visits == 1 else f'{name}_{visit}.png'), panel)
    print(f"{len(chosen) * visits} panels in '{out}'")


def choose(dataset: ChangeDataset, ids: list[str] | None, number: int) -> list[int]:
    """Return the indices of the named samples, or of ``number`` spread over the dataset.

    Raises:
        ValueError: If an id is unknown.
    """
    if not ids:
        return sorted(set(np.linspace(0, len(dataset) - 1, min(number, len(dataset)), dtype=int)))
    indices = {dataset.get_data_info(idx)['sample_id']: idx for idx in range(len(dataset))}
    for name in ids:
        if name not in indices:
            raise ValueError(f"no sample '{name}' in this split ({len(dataset)} samples)."
                             f'{did_you_mean(name, indices)}')
    return [indices[name] for name in ids]


def draw(dataset: ChangeDataset, idx: int) -> tuple[str, np.ndarray]:
    """Return the id and the panel (uint8 RGB) of one sample after the pipeline.

    The sentences that training would use on this visit stand where a prediction would.
    """
    packed = dataset[idx]
    sample = packed['data_samples']
    height, width = sample.img_shape
    flips = ', '.join(sample.get('flip') or [])
    targets = getattr(sample, 'target_captions', None)
    panel = draw_panel(
        [frame.permute(1, 2, 0).numpy() for frame in packed['inputs']],
        gt_mask=mask_of(sample, 'gt_sem_seg'),
        references=targets or getattr(sample, 'gt_captions', None),
        title=f'{sample.sample_id} · {height} x {width} · flipped: {flips or "no"}',
        palette=dataset.metainfo.get('palette'),
        classes=dataset.metainfo.get('classes'),
        language=dataset.metainfo.get('language'))
    return sample.sample_id, panel


def write_png(path: Path, panel: np.ndarray) -> None:
    """Write an RGB image, whole or not at all."""
    with atomic_write(path, 'wb') as file:
        file.write(cv2.imencode('.png', cv2.cvtColor(panel, cv2.COLOR_RGB2BGR))[1].tobytes())
