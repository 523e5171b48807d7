"""Benchmarked model: built from any config, offline if need be, and fed with noise."""
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from rscc.config.check import check_config
from rscc.config.files import existing_config
from rscc.engine.precision import keep_freed_memory
from rscc.engine.prepacking import prepack_linear
from rscc.registry import DATASETS, MODELS
from rscc.structures import ChangeFeatures
from tools.benchmark.fakes import noise_batch, replace_pretrained, vocabulary
from tools.benchmark.machine import check_device

#: Transforms that give the frames of a training step their size.
SIZING = ('FramesResize', 'FramesRandomCrop')
#: Heads that pool a map to a single place and normalise it over the batch: two samples at least.
POOLING = ('mmseg.UPerHead', 'mmseg.PSPHead')


@dataclass
class Plan:
    """A config that was read and not built.

    Attributes:
        name: Of the config, without the ending.
        cfg: The config with its overrides.
        frames: Per sample: 2 of a pair, 1 of a single image.
        side: Height and width of the frames in pixels.
    """
    name: str
    cfg: Config
    frames: int
    side: int

    @property
    def least_batch(self) -> int:
        """Fewest samples of a training step."""
        head = self.cfg.model.get('change_head') or {}
        return 2 if head.get('type') in POOLING else 1

    def costs_as(self, other: 'Plan') -> bool:
        """Whether another config has the same model, frames and kind of optimizer."""
        return self._cost() == other._cost()

    def _cost(self) -> tuple:
        wrapper = self.cfg.get('optim_wrapper', Config()).to_dict()
        # Rates and decays are numbers: another value takes as long.
        kind = wrapper.pop('optimizer', {}).get('type')
        wrapper.pop('paramwise_cfg', None)
        return self.cfg.model.to_dict(), self.frames, self.side, kind, wrapper


@dataclass
class BenchmarkedModel:
    """A model under measurement.

    Attributes:
        name: Of its config, without the ending.
        network: The ``ChangeInterpreter``, on its device.
        cfg: The config it was built from.
        frames: Per sample: 2 of a pair, 1 of a single image.
        size: Height and width of the frames in pixels.
        device: ``'cpu'`` or ``'cuda[:i]'``.
    """
    name: str
    network: nn.Module
    cfg: Config
    frames: int
    size: tuple[int, int]
    device: str

    @property
    def parameters(self) -> tuple[int, int]:
        """Number of weights, and of those that are trained."""
        every = list(self.network.parameters())
        return (sum(weight.numel() for weight in every),
                sum(weight.numel() for weight in every if weight.requires_grad))

    @property
    def held_bytes(self) -> int:
        """Bytes of weights and buffers."""
        tensors = [*self.network.parameters(), *self.network.buffers()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def batch(self, batch_size: int = 1, captions: int = 1, seed: int = 0) -> dict[str, Any]:
        """Return a batch as the dataloader would give it: noise, with every target.

        Args:
            batch_size: Samples; every second one changed.
            captions: Target sentences per sample, 1 to 5.
            seed: Of the noise and of the class names.
        """
        return noise_batch(self.network, self.frames, self.size, batch_size, captions, seed)

    @torch.no_grad()
    def features(self, batch: Mapping[str, Any]) -> ChangeFeatures:
        """Return what encoder and fusion make of a batch, for parts that are measured alone."""
        inputs = self.network.data_preprocessor(batch, False)['inputs']
        return self.network.extract(inputs)

    @property
    def prompt_encoder(self) -> nn.Module | None:
        """Encoder of the class names of a language-guided fusion, None in other models."""
        return getattr(self.network.fusion, 'prompt_encoder', None)

    def require_head(self, kind: str, lack: str) -> 'BenchmarkedModel':
        """Return the model itself.

        Args:
            kind: Registered name of the caption head that it must have.
            lack: What it lacks otherwise, for the message.

        Raises:
            ValueError: If its caption head is another one.
        """
        head = self.network.caption_head
        if not isinstance(head, MODELS.get(kind)):
            raise ValueError(f"'{self.name}' {lack} (its caption head is {type(head).__name__}): "
                             f'take a config with {kind}')
        return self

    def fix_sentence_length(self, tokens: int) -> None:
        """Make every generated sentence ``tokens`` long: random weights would never end one.

        Heads that write all words at once do not care, and are left as they are.
        """
        head = self.network.caption_head
        if head is not None and 'min_tokens' in head.decoding.as_dict():
            head.decoding = head.decoding.updated(dict(min_tokens=tokens, max_tokens=tokens))


def read_plan(config: str, *, size: int | None = None,
              cfg_options: Mapping[str, Any] | None = None) -> Plan:
    """Read a config.

    Args:
        config: Its path.
        size: Side of the frames in pixels; that of the training data, else 256, by default.
        cfg_options: Overrides.

    Raises:
        FileNotFoundError: If the config does not exist.
        ValueError: If ``size`` is not positive.
    """
    if size is not None and size < 1:
        raise ValueError(f'size is a positive number of pixels, found {size}')
    cfg = Config.fromfile(existing_config(config))
    cfg.merge_from_dict(dict(cfg_options or {}))
    init_default_scope(cfg.get('default_scope', 'rscc'))
    return Plan(Path(config).stem, cfg, _frames(cfg), size or _side(cfg))


def load_model(config: str | Plan, *, size: int | None = None, device: str = 'cpu',
                 random_weights: bool = False, vocab: str | None = None,
                 cfg_options: Mapping[str, Any] | None = None) -> BenchmarkedModel:
    """Build the model of a config.

    Args:
        config: Path of the config, or what ``read_plan`` made of it.
        size: Of ``read_plan``; also ``cfg_options``.
        device: ``'cpu'`` or ``'cuda[:i]'``, where the model goes.
        random_weights: Replace pretrained weights by random ones of the same shape, and
            vocabularies that are not there by made-up ones, so that nothing is downloaded.
        vocab: BERT's ``vocab.txt`` for ``random_weights``; made up by default.
        cfg_options: Overrides.

    Raises:
        FileNotFoundError: If the config or a vocabulary does not exist.
        ValueError: If the config has mistakes, ``size`` is not positive, there is no such device,
            or no fake for something pretrained.
    """
    check_device(device)
    if vocab is not None and not Path(vocab).is_file():
        raise FileNotFoundError(f"no vocabulary at '{vocab}': expected BERT's vocab.txt, one piece "
                                'a line')
    if device == 'cpu':
        keep_freed_memory()  # as the tools do
    plan = config if isinstance(config, Plan) else read_plan(config, size=size,
                                                             cfg_options=cfg_options)
    cfg = plan.cfg
    with vocabulary(vocab) as pieces:
        if random_weights:
            cfg.model = replace_pretrained(cfg.model.to_dict(), pieces)
        check_config(cfg, stages=())
        torch.manual_seed(0)
        network = MODELS.build(cfg.model).to(device)
    prepack_linear(network)  # as testing and inference do
    return BenchmarkedModel(plan.name, network, cfg, plan.frames, (plan.side, plan.side), device)


def innermost_dataset(cfg: Config, stage: str = 'train') -> Mapping[str, Any]:
    """Return the config of a stage's data, inside whatever wraps or joins datasets."""
    dataset = cfg.get(f'{stage}_dataloader', {}).get('dataset', {})
    while inner := dataset.get('dataset') or next(iter(dataset.get('datasets', ())), None):
        dataset = inner
    return dataset


def _frames(cfg: Config) -> int:
    """Return how many frames a sample of the config's training data has."""
    dataset = innermost_dataset(cfg)
    kind = DATASETS.get(dataset['type']) if dataset.get('type') else None
    task = getattr(kind, 'METAINFO', {}).get('task')
    if task is None:
        task = 'single' if cfg.model.get('fusion', {}).get('type') == 'SingleFrame' else 'pair'
    return 1 if task == 'single' else 2


def _side(cfg: Config) -> int:
    """Return the height of the frames that a training step sees."""
    dataset = innermost_dataset(cfg)
    sizes = [(dataset.get('cache') or {}).get('size')]
    sizes += [step['size'] for step in dataset.get('pipeline', ()) if step.get('type') in SIZING]
    size = next((size for size in reversed(sizes) if size), 256)
    return size if isinstance(size, int) else size[0]
