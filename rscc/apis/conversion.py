"""Checkpoints of other code bases as ours: compared with the model first, nothing left out."""
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor

from rscc.engine.checkpoint import KeyReport, load_weights
from rscc.models.pretrained import without_pretrained
from rscc.registry import DATASETS, MODELS
from rscc.utils import atomic_write


@dataclass
class Converted:
    """What a conversion wrote.

    Attributes:
        checkpoint: The weights, with the config inside.
        config: The config that goes with them.
        report: How the tensors matched.
    """
    checkpoint: Path
    config: Path
    report: KeyReport


def convert(weights: Mapping[str, Tensor], cfg: Config, out: str | os.PathLike, source: str
            ) -> Converted:
    """Write renamed weights as a checkpoint and the config that reproduces the original beside it.

    Args:
        weights: Tensors under our names.
        cfg: The config, its original's habits set; edited: weights that the checkpoint replaces are
            not read.
        out: The checkpoint, ``.pth``; the config gets the ending ``.py``.
        source: Where the weights came from, for the record.

    Returns:
        The files and the report.

    Raises:
        ValueError: If the tensors are not exactly those of the model; nothing is written.
    """
    without_pretrained(cfg.model)
    with DefaultScope.overwrite_default_scope('rscc'):
        model = MODELS.build(cfg.model)
    report = load_weights(model, weights)
    if not report.exact:
        raise ValueError(f"'{source}' does not fit the model of '{cfg.filename}': {report}\n"
                         'Nothing was written. Another config, or --cfg-options, may fit.')
    target = Path(out).with_suffix('.pth')
    config = target.with_suffix('.py')
    text = f'"""Converted from {Path(source).name}."""\n{cfg.pretty_text}'
    meta = dict(cfg=cfg.pretty_text, dataset_meta=_dataset_meta(cfg), converted_from=str(source))
    with atomic_write(target, 'wb') as file:
        torch.save(dict(meta=meta, state_dict=model.state_dict()), file)
    with atomic_write(config) as file:
        file.write(text)
    return Converted(target, config, report)


def _dataset_meta(cfg: Config) -> dict:
    """Return what inference wants to know of the data: classes, colours, task."""
    dataset = cfg.test_dataloader.dataset
    facts = dict(getattr(DATASETS.get(dataset.type), 'METAINFO', {}))
    return facts | dict(dataset.get('metainfo') or {})
