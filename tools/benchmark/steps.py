"""Training steps and predictions of one model, compared in precisions and variants."""
import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper

from rscc.engine.compiling import compile_parts
from rscc.engine.optim import AutocastOptimWrapper
from rscc.engine.precision import cpu_has_bf16
from rscc.inference.loading import fuse_batch_norms
from rscc.utils import did_you_mean
from tools.benchmark.benchmarked_model import BenchmarkedModel
from tools.benchmark.machine import describe_machine, peak_growth
from tools.benchmark.tables import Section, Text, count_rounds, how_measured
from tools.benchmark.timing import WARMUP, Timing, Way, measure

#: Rounds of a comparison, where nobody says how many, and the seconds that they may take.
ROUNDS, WITHIN = 20, 300.0
PRECISIONS = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}


@dataclass
class Comparison:
    """Several ways of using one model, timed in turn, and the table that shows them.

    Attributes:
        model: The model.
        batch_size: Samples a call.
        rounds: Timed calls of each way; None for ``ROUNDS``, or as many as fit.
        warmup: Calls before them that do not count.
        within: Seconds for the timed rounds where their number is not given; see ``measure``.
        counted: Rounds of each comparison that was timed.
    """
    model: BenchmarkedModel
    batch_size: int
    rounds: int | None = None
    warmup: int = WARMUP
    within: float = WITHIN
    counted: list[int] = field(default_factory=list)

    @property
    def most_rounds(self) -> int:
        """Rounds that are not exceeded."""
        return ROUNDS if self.rounds is None else self.rounds

    def time(self, calls: Mapping[Way, Callable[[], Any]], title: str) -> dict[Way, Timing]:
        """Time calls that handle a batch each; ``title`` stands before the progress bar."""
        times = measure(calls, samples=self.batch_size, rounds=self.most_rounds,
                        warmup=self.warmup, within=self.within if self.rounds is None else math.inf,
                        device=self.model.device, title=title)
        self.counted.append(len(next(iter(times.values())).rounds))  # all have as many
        return times

    def section(self, name: str, title: Text, columns: Sequence[Text],
                rows: Sequence[Sequence[Text]], *notes: Text) -> Section:
        """Return the table; its first note says how it was measured."""
        how = how_measured(self.model.size[0], self.batch_size,
                           count_rounds(self.counted or [self.most_rounds]))
        return Section(name, title, columns, rows, describe_machine(self.model.device),
                       notes=[how, *notes])


def choose_precisions(wish: Sequence[str] | None, device: str) -> list[str]:
    """Return the precisions to measure.

    Args:
        wish: Names of ``PRECISIONS``; None is float32 and, where the device multiplies it in
            hardware, bfloat16.
        device: ``'cpu'`` or ``'cuda[:i]'``.

    Raises:
        ValueError: If a name is unknown or the device cannot do it.
    """
    if not wish:
        fast = cpu_has_bf16() if device == 'cpu' else torch.cuda.is_bf16_supported()
        return ['fp32', 'bf16'] if fast else ['fp32']
    for name in wish:
        if name not in PRECISIONS:
            raise ValueError(f"unknown precision '{name}': use {', '.join(PRECISIONS)}."
                             f'{did_you_mean(name, PRECISIONS)}')
        if name == 'fp16' and device == 'cpu':
            raise ValueError("fp16 does not train on CPUs: use 'bf16'")
    return list(dict.fromkeys(wish))


@dataclass
class Steps:
    """Training steps and predictions of a model in one precision.

    Attributes:
        model: The model and its config.
        precision: Name in ``PRECISIONS``.
        optim: Steps of one model in several precisions share the optimizer inside; None for
            predictions alone.
    """
    model: BenchmarkedModel
    precision: str
    optim: OptimWrapper | None = None

    def autocast(self) -> AbstractContextManager:
        """Return the context of predictions."""
        dtype = PRECISIONS[self.precision]
        return torch.autocast(self.model.device.split(':')[0], dtype=dtype or torch.bfloat16,
                              enabled=dtype is not None)

    def train(self, batch: dict) -> dict:
        """Run one optimizer step: preprocessing, forward, backward, clipping, update.

        The first call of a reduced precision also runs the steps that choose it layer by layer.
        """
        self._switch(training=True)
        values = self.model.network.train_step(batch, self.optim)
        while getattr(self.optim, 'measuring', False):
            values = self.model.network.train_step(batch, self.optim)
        return values

    def predict(self, batch: dict) -> list:
        """Answer a batch: preprocessing, encoder, heads, decoding of the sentences."""
        self._switch(training=False)
        with torch.no_grad(), self.autocast():
            return self.model.network.test_step(batch)

    def peak(self, call: Callable[[], Any]) -> str:
        """Return the memory of weights and of what a call needs beside them, '-' if unknown."""
        grown = peak_growth(call, self.model.device)
        return '-' if grown is None else f'{(self.model.held_bytes + grown) / 2**20:.0f} MiB'

    def _switch(self, training: bool) -> None:
        """Change the mode if it is another: telling a model again would empty its text cache."""
        if self.model.network.training != training:
            self.model.network.train(training)


def steps_in(model: BenchmarkedModel, precisions: Sequence[str]) -> dict[str, Steps]:
    """Return steps of one model in several precisions, around one optimizer."""
    plain = build_optim_wrapper(model.network, model.cfg.optim_wrapper)
    return {name: Steps(model, name, _in_precision(plain, model, PRECISIONS[name]))
            for name in precisions}


def _in_precision(plain: OptimWrapper, model: BenchmarkedModel, dtype: torch.dtype | None
                  ) -> OptimWrapper:
    """Wrap the optimizer of a float32 wrapper for autocast, with the config's settings."""
    if dtype is None:
        return plain
    settings = model.cfg.optim_wrapper
    return AutocastOptimWrapper(
        dtype=dtype, device_type=model.device.split(':')[0], optimizer=plain.optimizer,
        clip_grad=settings.get('clip_grad'),
        accumulative_counts=settings.get('accumulative_counts', 1))


def variant(model: BenchmarkedModel, *, channels_last: bool = False, compiled: bool = False,
            plain_text: bool = False, fused: bool = False) -> BenchmarkedModel:
    """Return a copy of a model in another memory layout, or with other ways of computing the same.

    Args:
        model: As its config makes it.
        channels_last: Weights of convolutions and frames in channels-last order.
        compiled: Its parts through ``torch.compile``, see :mod:`rscc.engine.compiling`.
        plain_text: Class names encoded as ChangeCLIP published it: those of every date of every
            pair, at full length, nothing remembered and nothing shared.
        fused: Batch norms inside their convolutions, as ``ChangeInferencer`` has them.

    Raises:
        ValueError: If ``plain_text`` is asked of a model that encodes no class names.
    """
    network = copy.deepcopy(model.network)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        network.data_preprocessor.channels_last = True
    other = replace(model, network=network)
    if fused:
        fuse_batch_norms(network)
    if compiled:
        compile_parts(network, True, model.device.split(':')[0])
    if plain_text:
        _encode_all_text(other)
    return other


def _encode_all_text(model: BenchmarkedModel) -> None:
    encoder = model.prompt_encoder
    if encoder is None:
        raise ValueError(f"the fusion of '{model.name}' encodes no class names, so there is no "
                         'text cache to switch off: take a config with LanguageGuidedFusion')
    for name, value in dict(cache_size=0, deduplicate=False, truncate=False).items():
        getattr(encoder, name)  # a misspelt switch would be set and change nothing
        setattr(encoder, name, value)
    encoder.clear_cache()
