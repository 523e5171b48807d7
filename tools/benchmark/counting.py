"""Counts instead of times: operations of a model, frames and texts that it encodes."""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tools.benchmark.benchmarked_model import BenchmarkedModel


def gflop(model: BenchmarkedModel, batch_size: int = 1) -> float:
    """Return the 1e9 floating point operations of one sample's forward pass with all heads.

    Convolutions and matrix products count, a multiplication with an addition as two. Attention
    counts as its matrix products, whatever kernel runs it; a caption decoder reads one sentence, as
    in training; texts are encoded, none comes from a cache.
    """
    network = model.network.eval()
    data = network.data_preprocessor(model.batch(batch_size), False)
    if model.prompt_encoder is not None:
        model.prompt_encoder.clear_cache()
    with _fixed(network):
        return gflop_of(lambda: network(**data, mode='loss')) / batch_size


@contextmanager
def _fixed(network: nn.Module) -> Iterator[None]:
    """Ask for no gradients inside: the counter looks for those of learned queries, and fails."""
    learned = [weight for weight in network.parameters() if weight.requires_grad]
    for weight in learned:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in learned:
            weight.requires_grad_(True)


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
class CallCount:
    """Calls of a module while it is watched.

    Attributes:
        shapes: That of the first input of every call: (N, T, C, H, W) of an image encoder, (texts,
            positions, width) of a text transformer; empty where only keywords were given.
    """
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    @contextmanager
    def watch(self, module: nn.Module) -> Iterator[None]:
        """Count the calls inside the block."""
        def note(_module: nn.Module, inputs: tuple) -> None:
            self.shapes.append(tuple(inputs[0].shape) if inputs else ())

        hook = module.register_forward_pre_hook(note)
        try:
            yield
        finally:
            hook.remove()

    @property
    def calls(self) -> int:
        """Number of calls."""
        return len(self.shapes)

    @property
    def frames(self) -> int:
        """Frames that an image encoder saw in all calls."""
        return sum(samples * frames for samples, frames, *_ in self.shapes)

    @property
    def texts(self) -> str:
        """Sequences that a text transformer saw, times the positions of the longest."""
        if not self.shapes:
            return '0'
        return f'{sum(shape[0] for shape in self.shapes)} x {max(s[1] for s in self.shapes)}'
