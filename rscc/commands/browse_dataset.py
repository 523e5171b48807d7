"""The browsing command: samples of a dataset as a model is given them, or one under transforms.

``tools/analysis_tools/browse_dataset.py`` calls it.
"""
import argparse
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from PIL import Image, ImageDraw

from rscc.apis.command_line import add_config_options, explained, output_folder
from rscc.apis.launch import read_config, set_data_root
from rscc.config.check import check_overrides
from rscc.datasets.base import ChangeDataset
from rscc.datasets.samplers import Visit
from rscc.datasets.transforms.sensor import steps_of
from rscc.rasters.image_files import as_rgb
from rscc.rasters.labels import IGNORE
from rscc.registry import DATASETS, TRANSFORMS
from rscc.structures import ChangeDataSample
from rscc.utils import atomic_write, counted, did_you_mean, progress
from rscc.visualization.fonts import font_for, wrap
from rscc.visualization.overlays import class_palette
from rscc.visualization.panels import draw_panel, mask_of

SPLITS = ('train', 'val', 'test')
#: Of a sheet of transforms: most pixels of a date, space between cells, height of a name.
_SIDE, _GAP, _NAME = 160, 6, 20
#: Of a sheet of samples: pixels of a view, height of name and sentence, size of their letters.
_VIEW, _TEXT, _LETTERS = 176, 52, 14
#: Grey of labels that are no class: what only says which classes a pixel is not, and ignored ones.
_PARTLY, _UNKNOWN = 70, 160


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
    parser.add_argument('--transforms', nargs='*', metavar='NAME',
                        help='draw one sheet a sample in place of panels: its dates under each of '
                             'these transforms alone; without a name, under all that change how a '
                             'date looks')
    parser.add_argument('--sheet', action='store_true',
                        help='draw all samples on one sheet in place of panels: dates, mask and '
                             'first sentence of each')
    parser.add_argument('--columns', type=int, default=3,
                        help='cells in a row of a sheet (%(default)s)')
    parser.add_argument('--out', type=output_folder, default='browse',
                        help='folder of the pictures (%(default)s)')
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
        steps = None if args.transforms is None else named_steps(args.transforms)
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise SystemExit(f'error: {error.args[0] if error.args else error}') from error
    with explained():
        if args.sheet and steps is None:
            draw_sheet(dataset, chosen, args, Path(args.out))
        elif steps is None:
            draw_all(dataset, chosen, args.visits, Path(args.out))
        else:
            draw_sheets(dataset, chosen, steps, args, Path(args.out))


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
            name, panel = draw(dataset, Visit(idx, visit))
            write_picture(out / (f'{name}.png' if visits == 1 else f'{name}_{visit}.png'), panel)
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


def draw(dataset: ChangeDataset, idx: Visit) -> tuple[str, np.ndarray]:
    """Return the id and the panel (uint8 RGB) of one sample after the pipeline.

    The sentences that training would use on this visit stand where a prediction would.
    """
    packed = dataset[idx]
    sample = packed['data_samples']
    height, width = sample.img_shape
    flips = ', '.join(sample.get('flip') or [])
    parts = f' · mosaic of {len(sample.mosaic)}' if 'mosaic' in sample else ''
    kind = f' · {sample.kind}' if 'kind' in sample else ''
    mask = mask_of(sample, 'gt_sem_seg')
    classes = dataset.metainfo.get('classes')
    if mask is not None and classes:
        mask[mask >= len(classes)] = IGNORE  # labels that are no class are left clear
    panel = draw_panel(
        frames_of(packed),
        gt_mask=mask,
        references=sentences_of(sample),
        title=f'{sample.sample_id}{kind} · {height} x {width} · flipped: {flips or "no"}{parts}',
        palette=dataset.metainfo.get('palette'),
        classes=classes,
        language=dataset.metainfo.get('language'))
    return sample.sample_id, panel


def frames_of(packed: Mapping[str, Any]) -> list[np.ndarray]:
    """Return the dates of a packed sample, uint8 (H, W, B) each."""
    return [frame.permute(1, 2, 0).numpy() for frame in packed['inputs']]


def sentences_of(sample: ChangeDataSample) -> list[str] | None:
    """Return the sentences that training would use on this visit, else those of the sample."""
    return getattr(sample, 'target_captions', None) or getattr(sample, 'gt_captions', None)


def draw_sheet(dataset: ChangeDataset, chosen: Sequence[int], args: argparse.Namespace, out: Path
               ) -> None:
    """Write all chosen samples and visits on one sheet, a cell each."""
    cells = [sample_cell(dataset[Visit(idx, visit)], dataset.metainfo)
             for idx in progress(chosen, 'drawing', unit='sample') for visit in range(args.visits)]
    widest = max(cell.shape[1] for cell in cells)
    cells = [np.pad(cell, ((0, 0), (0, widest - cell.shape[1]), (0, 0)), constant_values=255)
             for cell in cells]
    write_picture(out / 'sheet.jpg', arrange(cells, max(1, args.columns)))
    print(f"{counted(len(cells), 'sample')} in '{out / 'sheet.jpg'}'")


def sample_cell(packed: Mapping[str, Any], metainfo: Mapping[str, Any]) -> np.ndarray:
    """Return the middle of all dates and of the mask of a sample above its first sentence.

    Args:
        packed: What the dataset returns.
        metainfo: ``classes`` and ``palette`` of the dataset.

    Returns:
        uint8 RGB.
    """
    sample, views = packed['data_samples'], [as_rgb(frame) for frame in frames_of(packed)]
    mask = mask_of(sample, 'gt_sem_seg')
    if mask is not None:
        classes = len(metainfo.get('classes') or ()) or int(mask[mask < IGNORE].max(initial=0)) + 1
        colours = np.full((IGNORE + 1, 3), _PARTLY, np.uint8)
        colours[:classes] = class_palette(classes, metainfo.get('palette'))
        colours[IGNORE] = _UNKNOWN
        views.append(colours[mask])
    shown = [cv2.resize(middle(view), (_VIEW, _VIEW), interpolation=cv2.INTER_AREA)
             for view in views]
    gap = np.full((_VIEW, 2, 3), 255, np.uint8)
    row = np.hstack([piece for view in shown for piece in (gap, view)][1:])
    kind = f' · {sample.kind}' if 'kind' in sample else ''
    return np.vstack([row, text_below(f'{sample.sample_id}{kind}', sentences_of(sample),
                                      row.shape[1])])


def text_below(name: str, sentences: Sequence[str] | None, width: int) -> np.ndarray:
    """Return a name and the first of some sentences, in at most two lines, on white."""
    page = Image.new('RGB', (width, _TEXT), 'white')
    pen = ImageDraw.Draw(page)
    pen.text((1, 1), name, (104, 112, 122), font_for(name, _LETTERS - 2))
    if sentences:
        font = font_for(sentences[0], _LETTERS)
        for line, words in enumerate(wrap(sentences[0], font, width - 2)[:2]):
            pen.text((1, 16 + 16 * line), words, (28, 32, 38), font)
    return np.asarray(page)


def named_steps(names: Sequence[str]) -> dict[str, Any]:
    """Return transforms by name, with their defaults, none of them left to chance.

    Args:
        names: Registered names; none means those of ``SensorChange``, and it itself.

    Raises:
        KeyError: If a name is unknown; the message names the nearest.
        ValueError: If a transform cannot be built by its name alone.
    """
    names = names or [*(type(step).__name__ for step in steps_of(1.0)), 'SensorChange']
    steps = {}
    for name in names:
        kind = TRANSFORMS.get(name)
        always = {'prob': 1.0} if kind and 'prob' in inspect.signature(kind).parameters else {}
        try:
            steps[name] = TRANSFORMS.build(dict(type=name, **always))
        except TypeError as error:
            raise ValueError(f'--transforms {name}: it cannot be built by its name alone '
                             f'({error}); add it to a pipeline and look at its panels.') from error
    return steps


def draw_sheets(dataset: ChangeDataset, chosen: Sequence[int], steps: Mapping[str, Any],
                args: argparse.Namespace, out: Path) -> None:
    """Write one sheet for each chosen sample: its dates as they are, then under each transform."""
    for idx in progress(chosen, 'drawing', unit='sample'):
        packed = dataset[Visit(idx, 0)]
        frames = frames_of(packed)
        name = packed['data_samples'].sample_id
        cells = [cell('as it is', frames)]
        for number, (title, step) in enumerate(steps.items()):
            for visit in range(args.visits):
                results = {'sample_id': name, 'frames': list(frames),
                           'rng': np.random.default_rng((number, visit, idx))}
                cells.append(cell(title, step(results)['frames']))
        write_picture(out / f'{name}_transforms.jpg', arrange(cells, max(1, args.columns)))
    print(f"{len(chosen)} sheets in '{out}'")


def cell(title: str, frames: Sequence[np.ndarray]) -> np.ndarray:
    """Return the middle of all dates side by side, uint8 RGB, below a name; pixels stay pixels."""
    shown = [middle(as_rgb(frame), _SIDE) for frame in frames]
    gap = np.full((len(shown[0]), 2, 3), 255, np.uint8)
    row = np.hstack([piece for frame in shown for piece in (gap, frame)][1:])
    head = np.full((_NAME, row.shape[1], 3), 255, np.uint8)
    cv2.putText(head, title, (1, _NAME - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1,
                cv2.LINE_AA)
    return np.vstack([head, row])


def middle(picture: np.ndarray, most: int | None = None) -> np.ndarray:
    """Return the square middle of a picture, so that turned frames fit beside the others."""
    height, width = picture.shape[:2]
    side = min(height, width, most or height)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top:top + side, left:left + side]


def arrange(cells: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Return cells of one size in rows on white."""
    padded = [np.pad(one, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255) for one in cells]
    padded += [np.full_like(padded[0], 255)] * (-len(cells) % columns)
    rows = [np.hstack(padded[start:start + columns]) for start in range(0, len(cells), columns)]
    return np.vstack(rows)


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write an RGB image as its ending says, whole or not at all."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 90] if path.suffix == '.jpg' else []
    code = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality)[1]
    with atomic_write(path, 'wb') as file:
        file.write(code.tobytes())
