"""Training steps and predictions of a model, in float32 and in reduced precision."""
import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import mmcv.cnn
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper

from rscc.engine.optim import AutocastOptimWrapper
from rscc.engine.precision import cpu_has_bf16
from rscc.utils import did_you_mean
from tools.benchmark.benchmarked_model import Subject
from tools.benchmark.machine import peak_growth
from tools.benchmark.timing import Case, Timing, measure

Way = TypeVar('Way', bound=Hashable)
PRECISIONS = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}


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


def check_device(device: str) -> str:
    """Return a device name that can be used.

    Raises:
        ValueError: If there is no such device.
    """
    kind = device.split(':')[0]
    if kind not in ('cpu', 'cuda'):
        raise ValueError(f"device is 'cpu', 'cuda' or 'cuda:N', found '{device}'."
                         f"{did_you_mean(kind, ('cpu', 'cuda'))}")
    if kind == 'cuda' and not torch.cuda.is_available():
        raise ValueError(f"device '{device}' asked for, and torch {torch.__version__} sees no CUDA "
                         'device here: use --device cpu')
    return device


def synchronizer(device: str) -> Callable[[], None] | None:
    """Return what waits for the device, None on CPUs."""
    return None if device == 'cpu' else lambda: torch.cuda.synchronize(device)


def time_in_turn(calls: Mapping[Way, Callable[[], Any]], *, amount: int, rounds: int, device: str,
                 title: str) -> dict[Way, Timing]:
    """Time calls against each other.

    Args:
        calls: Name of a way of doing something -> what is called.
        amount: Samples that one call handles.
        rounds: Timed calls of each.
        device: Where they run.
        title: For the progress bar.
    """
    cases = [Case(str(way), call, amount) for way, call in calls.items()]
    timings = measure(cases, rounds, synchronize=synchronizer(device), title=title)
    return dict(zip(calls, timings.values(), strict=True))


@dataclass
class Steps:
    """What is timed of one model in one precision.

    Attributes:
        subject: The model and its config.
        precision: Name in ``PRECISIONS``.
        optim: Steps of one model in several precisions share the optimizer inside; None for
            predictions alone.
    """
    subject: Subject
    precision: str
    optim: OptimWrapper | None = None

    def autocast(self) -> AbstractContextManager:
        """Return the context of predictions."""
        dtype = PRECISIONS[self.precision]
        return torch.autocast(self.subject.device.split(':')[0], dtype=dtype or torch.bfloat16,
                              enabled=dtype is not None)

    def train(self, batch: dict) -> dict:
        """Run one optimizer step: preprocessing, forward, backward, clipping, update."""
        self._switch(training=True)
        return self.subject.model.train_step(batch, self.optim)

    def predict(self, batch: dict) -> list:
        """Answer a batch: preprocessing, encoder, heads, decoding of the sentences."""
        self._switch(training=False)
        with torch.no_grad(), self.autocast():
            return self.subject.model.test_step(batch)

    def peak(self, call: Callable[[], Any]) -> str:
        """Return the memory of weights and of what a call needs beside them, '-' if unknown."""
        grown = peak_growth(call, self.subject.device)
        return '-' if grown is None else f'{(self.subject.held_bytes + grown) / 2**20:.0f} MiB'

    def _switch(self, training: bool) -> None:
        """Change the mode if it is another: telling a model again would empty its text cache."""
        if self.subject.model.training != training:
            self.subject.model.train(training)


def steps_in(subject: Subject, precisions: Sequence[str]) -> dict[str, Steps]:
    """Return steps of one model in several precisions, around one optimizer."""
    plain = build_optim_wrapper(subject.model, subject.cfg.optim_wrapper)
    return {name: Steps(subject, name, _in_precision(plain, subject, PRECISIONS[name]))
            for name in precisions}


def _in_precision(plain: OptimWrapper, subject: Subject, dtype: torch.dtype | None
                  ) -> OptimWrapper:
    """Wrap the optimizer of a float32 wrapper for autocast, with the config's settings."""
    if dtype is None:
        return plain
    settings = subject.cfg.optim_wrapper
    return AutocastOptimWrapper(
        dtype=dtype, device_type=subject.device.split(':')[0], optimizer=plain.optimizer,
        clip_grad=settings.get('clip_grad'),
        accumulative_counts=settings.get('accumulative_counts', 1))


def variant(subject: Subject, *, channels_last: bool = False, compiled: bool = False,
            plain_text: bool = False, fused: bool = False) -> Subject:
    """Return a copy of a model in another memory layout, or with other ways of computing the same.

    Args:
        subject: The model as its config makes it.
        channels_last: Weights of convolutions and frames in channels-last order.
        compiled: Encoder, fusion and change head through ``torch.compile``; strings (class names,
            the search for sentences) stay as they are.
        plain_text: Class names encoded as ChangeCLIP published it: those of every date of every
            pair, at full length, nothing remembered and nothing shared.
        fused: Batch norms inside their convolutions, as ``ChangeInferencer`` has them.

    Raises:
        ValueError: If ``plain_text`` is asked of a model that encodes no class names.
    """
    model = copy.deepcopy(subject.model)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        model.data_preprocessor.channels_last = True
    other = replace(subject, model=model)
    if fused:
        mmcv.cnn.fuse_conv_bn(model)
    if compiled:
        _compile(other)
    if plain_text:
        _encode_all_text(other)
    return other


def _compile(subject: Subject) -> None:
    model, encoder = subject.model, subject.prompt_encoder
    if encoder is not None:  # a compiler would take its tokenizer and its memory apart
        encoder.forward = torch.compiler.disable(encoder.forward)
    for part in (model.encoder, model.fusion, model.change_head):
        if part is not None:
            part.compile()


def _encode_all_text(subject: Subject) -> None:
    encoder = subject.prompt_encoder
    if encoder is None:
        raise ValueError(f"the fusion of '{subject.name}' encodes no class names, so there is no "
                         'text cache to switch off: take a config with LanguageGuidedFusion')
    for name, value in dict(cache_size=0, deduplicate=False, truncate=False).items():
        getattr(encoder, name)  # a misspelt switch would be set and change nothing
        setattr(encoder, name, value)
    encoder.clear_cache()
