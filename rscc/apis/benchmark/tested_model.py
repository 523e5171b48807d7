"""A trained captioner with the pairs that it is tested on."""
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from torch import nn
from torch.utils.data import DataLoader, Subset

from rscc.apis.inferencer import ChangeInferencer
from rscc.apis.launch import expect_checkpoint, read_config
from rscc.registry import DATASETS
from rscc.utils.check_config import check_config


@dataclass(frozen=True)
class TestedModel:
    """A captioner with trained weights and its test data.

    Attributes:
        name: Of its config, without the ending.
        model: In evaluation mode, on its device.
        loader: Batches of the test split, in order.
        meta: What the dataset knows of itself: language, split, stock sentences.
        device: ``'cpu'`` or ``'cuda[:i]'``.
    """
    __test__ = False  # the name is not that of a test case

    name: str
    model: nn.Module
    loader: DataLoader
    meta: Mapping[str, Any]
    device: str

    @property
    def pairs(self) -> int:
        """Number of samples."""
        return len(self.loader.dataset)


def load_tested(config: str | os.PathLike, checkpoint: str | os.PathLike, *, device: str = 'cpu',
                batch_size: int = 32, limit: int | None = None,
                cfg_options: Mapping[str, Any] | None = None) -> TestedModel:
    """Build a trained captioner and its test split.

    Args:
        config: Path of the config.
        checkpoint: What ``tools/train.py`` wrote with it.
        device: Where the model goes.
        batch_size: Samples a batch.
        limit: Number of samples, evenly spread over the split; None takes all.
        cfg_options: Overrides.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If config, overrides, data and checkpoint do not fit each other, the model
            writes no captions, or a number is below 1.
    """
    if batch_size < 1 or (limit is not None and limit < 1):
        raise ValueError(f'--batch-size {batch_size} and --limit {limit} must be 1 or more')
    cfg = read_config(str(config))
    expect_checkpoint(cfg, str(checkpoint))
    check_config(cfg, overrides=cfg_options, stages=('test',))
    cfg.merge_from_dict(dict(cfg_options or {}))
    model = ChangeInferencer(cfg, checkpoint, device, fuse_conv_bn=False).model
    if getattr(model, 'caption_head', None) is None:
        raise ValueError(f"the model of '{config}' has no caption_head: there is no caption to "
                         'measure')
    with DefaultScope.overwrite_default_scope('rscc'):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
    loader = DataLoader(_spread(dataset, limit), batch_size, collate_fn=pseudo_collate)
    return TestedModel(Path(config).stem, model, loader, dataset.metainfo, device)


def _spread(dataset: Any, limit: int | None) -> Any:
    """Return ``limit`` samples at equal distances, all where there are no more."""
    if limit is None or limit >= len(dataset):
        return dataset
    return Subset(dataset, np.linspace(0, len(dataset) - 1, limit).round().astype(int).tolist())
