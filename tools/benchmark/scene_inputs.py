"""What the benchmark of scenes works on: rendered pairs as large GeoTIFFs, and small detectors."""
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from rscc.datasets.synth import SynthChangeDataset
from rscc.registry import MODELS
from rscc.synth.generator import plan_pair, render_pair
from rscc.utils import require
from tools.benchmark.tables import Text

Cell = tuple[np.ndarray, np.ndarray]
#: Side in pixels of a rendered pair, and of the blocks that the GeoTIFFs store together.
CELL, _STORED = 256, 512
#: Detectors by name: how the table calls them.
DETECTORS: dict[str, Text] = {
    'resnet18': ('ResNet-18, difference, FPN head', 'ResNet-18、差值融合、FPN 头'),
    'quickstart': ("the quickstart's (blip_synth) without its sentences",
                   '快速上手模型（blip_synth，去掉描述头）')}
#: Share of pixels that a detector of random weights is made to call changed, as in rendered pairs.
_CHANGED = 0.03
_ROOT = Path(__file__).resolve().parents[2]


def rendered_cells(count: int) -> list[Cell]:
    """Render pairs of 256 x 256 pixels, uint8 RGB each; half of them unchanged."""
    return [render_pair(plan_pair(0, 'train', index)) for index in range(count)]


def write_pair(folder: Path, side: int, cells: Sequence[Cell], empty: bool = False
               ) -> tuple[Path, Path]:
    """Write a pair of GeoTIFFs made of rendered pairs, each flipped or not by lot.

    Args:
        folder: For the files, which exists.
        side: Width and height in pixels.
        cells: From :func:`rendered_cells`.
        empty: Leave the left half without data.

    Returns:
        Earlier and later date: tiles of 512, deflate, 0.5 m a pixel.
    """
    rasterio = require('rasterio', 'the benchmark of scenes')
    name = f"{side}{'_half' if empty else ''}"
    paths = folder / f'{name}_from.tif', folder / f'{name}_to.tif'
    for date, path in enumerate(paths):
        profile = dict(driver='GTiff', width=side, height=side, count=3, dtype='uint8', tiled=True,
                       blockxsize=_STORED, blockysize=_STORED, compress='deflate',
                       crs='EPSG:32633', nodata=0 if empty else None,
                       transform=rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5400000))
        with rasterio.open(path, 'w', **profile) as file:
            for top, strip in _strips(side, [cell[date] for cell in cells]):
                if empty:
                    strip = np.maximum(strip, 1)
                    strip[:, :side // 2] = 0
                window = rasterio.windows.Window(0, top, side, len(strip))
                file.write(np.moveaxis(strip, -1, 0), window=window)
    return paths


def _strips(side: int, frames: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield first row and pixels (512, side, 3) of strips; the same places at every date."""
    rng, count = np.random.default_rng(0), -(-side // CELL)
    for top in range(0, side, _STORED):
        rows = [np.concatenate([_flipped(frames[number // 4], number % 4) for number
                                in rng.integers(4 * len(frames), size=count)], 1)[:, :side]
                for _ in range(_STORED // CELL)]
        yield top, np.concatenate(rows)[:side - top]


def _flipped(frame: np.ndarray, flips: int) -> np.ndarray:
    return frame[::-1 if flips & 1 else 1, ::-1 if flips & 2 else 1]


def save_detector(name: str, path: Path, cells: Sequence[Cell]) -> Path:
    """Save a detector of random weights as a training would.

    Its map calls about 3 % of the pixels of the rendered pairs changed: a map of noise would make
    tables and polygons as no scene has them.

    Args:
        name: One of :data:`DETECTORS`.
        path: The checkpoint.
        cells: Rendered pairs.
    """
    cfg, facts = _config(name), dict(SynthChangeDataset.METAINFO)
    if cfg.model.change_head.num_classes == 2:
        facts |= dict(classes=('unchanged', 'changed'), palette=facts['palette'][:2])
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('rscc'):
        model = MODELS.build(cfg.model).eval()
    frames = [torch.from_numpy(np.stack(cell)).permute(0, 3, 1, 2) for cell in cells[:8]]
    with torch.inference_mode():
        inputs = model.data_preprocessor(dict(inputs=frames))['inputs']
        logits = model(inputs, mode='tensor')['change_logits']
    lead = logits[:, 1:].amax(1) - logits[:, 0]
    model.change_head.conv_seg.bias.data[0] += float(lead.quantile(1 - _CHANGED))
    torch.save(dict(state_dict=model.state_dict(), meta=dict(
        cfg=cfg.pretty_text, experiment_name=name, dataset_meta=dict(facts, language='en'))), path)
    return path


def _config(name: str) -> Config:
    cfg = Config.fromfile(_ROOT / 'configs/blip_synth.py')
    cfg.model.pop('caption_head')
    if name == 'resnet18':
        cfg.model = _resnet18()
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            loader.dataset.pop('cache')  # windows are seen at their own size
    return cfg


def _resnet18() -> dict[str, Any]:
    widths = [64, 128, 256, 512]
    return dict(
        type='ChangeInterpreter',
        data_preprocessor=dict(type='ChangeDataPreprocessor', channels_last=True),
        encoder=dict(type='BackboneEncoder', channels_last=True,
                     backbone=dict(type='mmseg.ResNet', depth=18)),
        fusion=dict(type='DifferenceFusion', channels=widths[-1]),
        change_head=dict(
            type='mmseg.FPNHead', in_channels=[3 * width for width in widths], num_classes=2,
            in_index=[0, 1, 2, 3], feature_strides=[4, 8, 16, 32], channels=128,
            norm_cfg=dict(type='BN'),
            loss_decode=dict(type='rscc.CrossEntropyLoss')))
