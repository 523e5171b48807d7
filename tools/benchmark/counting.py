"""What a model does, counted instead of timed: operations, calls of its encoder, texts."""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tools.benchmark.benchmarked_model import Subject


def gflop(subject: Subject, batch_size: int = 1) -> float:
    """Return the 1e9 floating point operations of one sample's forward pass with all heads.

    Convolutions and matrix products count, a multiplication with an addition as two. Attention
    counts as its matrix products, whatever kernel runs it; a caption decoder reads one sentence, as
    in training; texts are encoded, none comes from a cache.
    """
    model = subject.model.eval()
    data = model.data_preprocessor(subject.batch(batch_size), False)
    if subject.prompt_encoder is not None:
        subject.prompt_encoder.clear_cache()
    return gflop_of(lambda: model(**data, mode='loss')) / batch_size


@torch.no_grad()
def gflop_of(call: Callable[[], Any]) -> float:
    """Return the 1e9 floating point operations of a call, counted as ``gflop`` counts them."""
    with _separate_products(), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e9


@contextmanager
def _separate_products() -> Iterator[None]:
    """Run attention as single matrix products: the counter knows none of its fused kernels."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


@dataclass
class EncodeCount:
    """How often an encoder ran.

    Attributes:
        calls: Calls of the encoder.
        frames: Frames (one date of one sample) it saw in them.
    """
    calls: int = 0
    frames: int = 0

    @contextmanager
    def watch(self, encoder: nn.Module) -> Iterator[None]:
        """Count the calls inside the block."""
        def note(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self.calls += 1
            self.frames += inputs[0].shape[0] * inputs[0].shape[1]

        hook = encoder.register_forward_pre_hook(note)
        try:
            yield
        finally:
            hook.remove()


@dataclass
class TextCount:
    """What went through the text encoder.

    Attributes:
        texts: Sequences.
        positions: Of the longest, learned contexts included.
    """
    texts: int = 0
    positions: int = 0

    @contextmanager
    def watch(self, prompt_encoder: nn.Module) -> Iterator[None]:
        """Count the texts inside the block."""
        def note(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self.texts += inputs[0].shape[0]
            self.positions = max(self.positions, inputs[0].shape[1])

        hook = prompt_encoder.text_encoder.transformer.register_forward_pre_hook(note)
        try:
            yield
        finally:
            hook.remove()

    def __str__(self) -> str:
        return f'{self.texts} x {self.positions}' if self.texts else '0'
