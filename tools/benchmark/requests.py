"""Several decoding requests to one trained captioner, on images that are encoded once."""
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from torch import nn
from torch.utils.data import DataLoader, Subset

from rscc.apis.inferencer import ChangeInferencer
from rscc.apis.launch import expect_checkpoint, read_config
from rscc.config.check import check_config
from rscc.evaluation.metrics import CaptionMetric
from rscc.registry import DATASETS
from rscc.structures import ChangeDataSample, SampledCaption, ScoredCaption
from rscc.utils import progress
from tools.benchmark.counting import CallCount
from tools.benchmark.machine import check_device
from tools.benchmark.timing import Timing, timed

#: Attributes of caption heads with the network that they run again and again.
_NETWORKS = ('denoiser', 'decoder', 'language_model')


@dataclass(frozen=True)
class TestedModel:
    """A captioner with trained weights and its test data.

    Attributes:
        name: Of its config, without the ending.
        model: In evaluation mode, on its device.
        loader: Batches of the test split, in order.
        meta: Metadata of the dataset: language, split, stock sentences.
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
    check_device(device)
    if batch_size < 1 or (limit is not None and limit < 1):
        raise ValueError(f'--batch-size {batch_size} and --limit {limit} must be 1 or more')
    cfg = read_config(str(config))
    expect_checkpoint(cfg, str(checkpoint))
    check_config(cfg, overrides=cfg_options, stages=('test',))
    cfg.merge_from_dict(dict(cfg_options or {}))
    model = ChangeInferencer(cfg, checkpoint, device, fuse_conv_bn=False).model
    if model.caption_head is None:
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


@dataclass
class Predictions:
    """Captions that one request brought, and their cost.

    Attributes:
        captions: The best sentence of every sample.
        agreements: How much the sentences drawn for a sample agree, of heads that say so.
        calls: Calls of the head's network a batch; 0 where it is not known.
        seconds: Per sample, one entry a batch.
        records: Samples as the metric reads them.
    """
    captions: list[str] = field(default_factory=list)
    agreements: list[float] = field(default_factory=list)
    calls: float = 0
    seconds: list[float] = field(default_factory=list)
    records: list[dict] = field(default_factory=list)

    @property
    def timing(self) -> Timing:
        """Time per sample, without the image branch."""
        return Timing(tuple(self.seconds))

    @property
    def agreement(self) -> float | None:
        """Mean agreement of the sentences drawn for a sample, None where nothing says it."""
        return sum(self.agreements) / len(self.agreements) if self.agreements else None

    def add(self, sample: ChangeDataSample, best: ScoredCaption) -> None:
        """Keep the best sentence of a sample."""
        self.captions.append(best.text)
        if isinstance(best, SampledCaption):
            self.agreements.append(best.agreement)
        self.records.append(dict(
            sample_id=sample.sample_id, pred_caption=best.text,
            gt_captions=sample.get('gt_captions'), gt_change_flag=sample.get('gt_change_flag')))

    def scores(self, meta: Mapping[str, Any], baselines: bool = False) -> dict[str, float]:
        """Return the caption scores without METEOR; flags are those that sentences tell.

        Args:
            meta: Of the dataset.
            baselines: Also the scores of predictions that look at no image.
        """
        metric = CaptionMetric(meteor=False, baselines=baselines)
        metric.dataset_meta = dict(meta)
        metric.process(None, self.records)
        return metric.evaluate(len(self.records))


class Requests:
    """Several requests to one model, batch by batch.

    Args:
        tested: The model and its data.
        options: Name of a request -> decoding options over the config's.

    Attributes:
        predictions: By the names of the requests.
        encoding: Seconds per sample of the image branch, one entry a batch.
    """

    def __init__(self, tested: TestedModel, options: Mapping[Any, Mapping[str, Any]]) -> None:
        self.tested, self.options = tested, dict(options)
        self.predictions: dict[Any, Predictions] = {name: Predictions() for name in options}
        self.encoding: list[float] = []

    @torch.no_grad()
    def run(self, batch: dict, warm_up: bool = False) -> None:
        """Encode a batch once and run every request on it; a warm-up runs one and keeps nothing."""
        model, device = self.tested.model, self.tested.device
        data = model.data_preprocessor(batch, False)
        samples = data['data_samples']
        seconds, features = timed(lambda: model.extract(data['inputs']), device)
        for name, options in self.options.items():
            count = CallCount()
            with _watched(model.caption_head, count):
                took, written = timed(
                    partial(model.caption_head.generate, features, **options), device)
            if warm_up:
                return
            predictions = self.predictions[name]
            predictions.seconds.append(took / len(samples))
            predictions.calls += count.calls / len(self.tested.loader)
            for sample, (best, *_) in zip(samples, written, strict=True):
                predictions.add(sample, best)
        self.encoding.append(seconds / len(samples))


def run_in_turn(requests: Sequence[Requests]) -> None:
    """Run the requests on all batches; models on the same data take turns, batch by batch.

    Args:
        requests: To models with loaders of equally many samples.
    """
    loaders = [each.tested.loader for each in requests]
    for number, batches in enumerate(progress(zip(*loaders, strict=True), 'predicting',
                                              total=len(loaders[0]), unit='batch')):
        for each, batch in zip(requests, batches, strict=True):
            if number == 0:
                each.run(batch, warm_up=True)
            each.run(batch)


def _watched(head: nn.Module, count: CallCount) -> AbstractContextManager:
    """Return the context in which the calls of a head's network are counted."""
    networks = (getattr(head, name, None) for name in _NETWORKS)
    network = next((network for network in networks if isinstance(network, nn.Module)), None)
    return nullcontext() if network is None else count.watch(network)
