"""One model with several decoding requests: images are encoded once, every request is timed."""
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from rscc.evaluation.metrics.caption_metric import CaptionMetric
from rscc.registry import DATASETS
from rscc.structures import ChangeDataSample, ChangeFeatures
from rscc.utils import progress
from tools.benchmark.steps import synchronizer
from tools.benchmark.timing import Timing, timed

#: What a caption head calls the network that it runs again and again.
_NETWORKS = ('denoiser', 'decoder', 'language_model')


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


@dataclass
class Answers:
    """What one way of asking brought.

    Attributes:
        captions: The best sentence of every sample.
        agreements: How much the sentences drawn for a sample agree, of heads that say so.
        calls: Calls of the head's network a batch; 0 where it is not known.
        seconds: Per sample, one entry a batch.
        records: What the metric reads.
    """
    captions: list[str] = field(default_factory=list)
    agreements: list[float] = field(default_factory=list)
    calls: float = 0
    seconds: list[float] = field(default_factory=list)
    records: list[dict] = field(default_factory=list)

    @property
    def timing(self) -> Timing:
        """Time per sample, without the image branch."""
        return Timing('captions', tuple(self.seconds))

    @property
    def agreement(self) -> float | None:
        """Mean agreement of the sentences drawn for a sample, None where nothing says it."""
        return sum(self.agreements) / len(self.agreements) if self.agreements else None

    def scores(self, meta: Mapping[str, Any], baselines: bool = False) -> dict[str, float]:
        """Return the caption scores without METEOR; flags are those that sentences tell.

        Args:
            meta: Of the dataset.
            baselines: Also what blind answers score.
        """
        metric = CaptionMetric(meteor=False, baselines=baselines)
        metric.dataset_meta = dict(meta)
        metric.process(None, self.records)
        return metric.evaluate(len(self.records))


class Asked:
    """A model that is asked in several ways, batch by batch.

    Args:
        tested: The model and its data.
        ways: Name of a way -> decoding options over the config's.

    Attributes:
        answers: By the names of the ways.
        encoding: Seconds per sample of the image branch, one entry a batch.
    """

    def __init__(self, tested: TestedModel, ways: Mapping[Any, Mapping[str, Any]]) -> None:
        self.tested, self.ways = tested, dict(ways)
        self.answers: dict[Any, Answers] = {way: Answers() for way in ways}
        self.encoding: list[float] = []
        self._wait = synchronizer(tested.device)

    @torch.no_grad()
    def ask(self, batch: dict, warm_up: bool = False) -> None:
        """Encode a batch once and answer it in every way; keep nothing of a warm-up."""
        model = self.tested.model
        data = model.data_preprocessor(batch, False)
        seconds, features = timed(lambda: model.extract(data['inputs']), self._wait)
        samples = data['data_samples']
        for way, decoding in list(self.ways.items())[:1 if warm_up else None]:
            calls = _Calls()
            with calls.watch(model.caption_head):
                took, said = timed(lambda options=decoding: self._write(features, options),
                                   self._wait)
            if not warm_up:
                self._keep(self.answers[way], samples, said, took, calls.count)
        if not warm_up:
            self.encoding.append(seconds / len(samples))

    def _write(self, features: ChangeFeatures, options: Mapping[str, Any]) -> list:
        return self.tested.model.caption_head.generate(features, **options)

    def _keep(self, answers: Answers, samples: Sequence[ChangeDataSample], said: Sequence[list],
              seconds: float, calls: int) -> None:
        answers.seconds.append(seconds / len(samples))
        answers.calls += calls / len(self.tested.loader)
        for sample, (best, *_) in zip(samples, said, strict=True):
            answers.captions.append(best.text)
            if hasattr(best, 'agreement'):
                answers.agreements.append(best.agreement)
            answers.records.append(dict(
                sample_id=sample.sample_id, pred_caption=best.text,
                gt_captions=sample.get('gt_captions'),
                gt_change_flag=sample.get('gt_change_flag')))


def ask_in_turn(asked: Sequence[Asked]) -> None:
    """Answer all batches; models on the same data take turns, batch by batch.

    Args:
        asked: Models with loaders of equally many samples.
    """
    loaders = [each.tested.loader for each in asked]
    for number, batches in enumerate(progress(zip(*loaders, strict=True), 'asking',
                                              total=len(loaders[0]), unit='batch')):
        for each, batch in zip(asked, batches, strict=True):
            if number == 0:
                each.ask(batch, warm_up=True)
            each.ask(batch)


@dataclass
class _Calls:
    """Counts the calls of a head's network."""
    count: int = 0

    @contextmanager
    def watch(self, head: nn.Module) -> Iterator[None]:
        """Count inside the block."""
        def note(*_: Any) -> None:
            self.count += 1

        networks = (getattr(head, name, None) for name in _NETWORKS)
        network = next((network for network in networks if isinstance(network, nn.Module)), None)
        hook = None if network is None else network.register_forward_hook(note)
        try:
            yield
        finally:
            if hook is not None:
                hook.remove()
