"""Weights of a caption head laid out once for few rows: captions on CPUs in float32.

A search multiplies a few rows, one a beam, by every weight of the decoder at every token; heads of
whole sentences a few dozen, one a word. The BLAS behind ``torch.nn.functional.linear`` lays the
weight out anew in each call, which pays for hundreds of rows; for three it costs more than the
product. oneDNN takes weights laid out beforehand, as torch's own compiler does with ``freezing``.
Answers are the same up to rounding.
"""
import platform
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

#: Rows that gain, measured: one row is a vector, many pay for their layout.
FEW_ROWS = range(2, 49)
#: Elements of a weight that does not fit into a core's cache; smaller ones gain nothing.
LEAST_ELEMENTS = 1 << 19
#: Bytes of all weights of a head: the second layout takes as much memory again.
MOST_BYTES = 1 << 30
_KINDS = ('Linear', 'Conv1D')  # Conv1D is GPT-2's linear layer, its weight is (in, out)


def prepack_linear(model: nn.Module) -> int:
    """Have large linear layers of the caption head keep a second layout of their weight, in place.

    The layout is made at the first call with few rows and made again where the weight has changed
    (``.data.copy_``, which leaves no trace, is not noticed); names and values of the weights stay.
    Training, other devices, autocast and exports compute as
    before, and so does a head whose weights exceed ``MOST_BYTES``, and all of them where
    ``torch.backends.mkldnn.enabled`` is False.

    Args:
        model: With ``caption_head``; another model is left alone.

    Returns:
        Number of layers that will keep one; 0 where this CPU or this torch has no such product.
    """
    head = getattr(model, 'caption_head', None)
    if head is None or not _available():
        return 0
    layers = list(_large_layers(head))
    if sum(layer.weight.nbytes for layer in layers) > MOST_BYTES:
        return 0
    for layer in layers:
        layer.__class__ = _prepacked(type(layer))
    return len(layers)


def _available() -> bool:
    """Whether this torch has oneDNN's product for x86, an operator of its compiler."""
    return (platform.machine().lower() in ('x86_64', 'amd64')
            and torch.backends.mkldnn.is_available()
            and all(hasattr(torch.ops.mkldnn, name)
                    for name in ('_reorder_linear_weight', '_linear_pointwise')))


def _large_layers(head: nn.Module) -> Iterator[nn.Module]:
    for layer in head.modules():
        if type(layer).__name__ in _KINDS and not isinstance(layer, _FewRows):
            weight = layer.weight
            if weight.dtype is torch.float32 and weight.numel() >= LEAST_ELEMENTS:
                yield layer


class _FewRows:
    """What prepacked kinds of linear layers share; stands before the kind itself."""

    weight: Tensor
    bias: Tensor | None
    _layout: tuple[tuple[int, int], Tensor] | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """Multiply rows (..., in) by the weight, returns (..., out)."""
        if not self._fits(inputs):
            return super().forward(inputs)
        return torch.ops.mkldnn._linear_pointwise(inputs, self._laid_out(), self.bias, 'none', [],
                                                  '')

    def _fits(self, inputs: Tensor) -> bool:
        if torch.jit.is_tracing() or torch.compiler.is_compiling():
            return False  # an export holds the plain product
        return (inputs.numel() // inputs.shape[-1] in FEW_ROWS and not torch.is_grad_enabled()
                and inputs.dtype is self.weight.dtype is torch.float32
                and inputs.device.type == self.weight.device.type == 'cpu'
                and not torch.is_autocast_enabled('cpu') and torch.backends.mkldnn.enabled)

    def _laid_out(self) -> Tensor:
        weight = self.weight
        # Changed in place, or another tensor: what was laid out before is out of date.
        state = (weight.data_ptr(), 0 if weight.is_inference() else weight._version)
        if self._layout is None or self._layout[0] != state:
            matrix = weight.detach().t() if type(self).__name__ == 'Conv1D' else weight.detach()
            self._layout = state, torch.ops.mkldnn._reorder_linear_weight(matrix.contiguous())
        return self._layout[1]

    def __getstate__(self) -> dict[str, Any]:
        """Copies lay out their own weight."""
        return {name: value for name, value in self.__dict__.items() if name != '_layout'}


@cache
def _prepacked(kind: type[nn.Module]) -> type[nn.Module]:
    return type(kind.__name__, (_FewRows, kind), {'__module__': kind.__module__})
