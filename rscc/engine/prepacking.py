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


def prepack_linear(model: nn.Module) -> int:
    """Have large linear layers of the caption head keep a second layout of their weight, in place.

    The layout is made at the first call with few rows, and again where the weight was replaced or
    changed in place (but not by ``.data.copy_``, which leaves no trace). Names and values of the
    weights stay; copies and files hold plain layers. Training, other devices, autocast and exports
    compute as before, and so does a head whose weights exceed ``MOST_BYTES``, and all of them where
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
        if type(layer) is nn.Linear or _is_conv1d(type(layer)):
            weight = layer.weight
            if weight.dtype is torch.float32 and weight.numel() >= LEAST_ELEMENTS:
                yield layer


def _is_conv1d(kind: type) -> bool:
    """Whether a class is GPT-2's linear layer, whose weight is (in, out).

    Adapters (peft) wrap layers in classes of the same names, which compute more than a product.
    """
    return (kind.__module__, kind.__name__) == ('transformers.pytorch_utils', 'Conv1D')


class _FewRows:
    """Linear layer that multiplies few rows by a second layout of its weight.

    The first base class of such layers; the second is the plain kind.
    """

    weight: Tensor
    bias: Tensor | None
    #: Whether the weight is (in, out).
    _transposed: bool
    #: The weight that was laid out (held, so that no other gets its address), its version, layout.
    _layout: tuple[Tensor, int, Tensor] | None = None

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """Multiply rows (..., in) by the weight, returns (..., out)."""
        if named or len(inputs) != 1 or not self._fits(*inputs):
            return super().forward(*inputs, **named)
        return torch.ops.mkldnn._linear_pointwise(*inputs, self._laid_out(), self.bias, 'none', [],
                                                  '')

    def _fits(self, inputs: Tensor) -> bool:
        if torch.jit.is_tracing() or torch.compiler.is_compiling():
            return False  # an export holds the plain product
        width = self.weight.shape[0 if self._transposed else 1]
        return (inputs.shape[-1:] == (width, ) and inputs.numel() // width in FEW_ROWS
                and not torch.is_grad_enabled() and not self.weight.is_inference()
                and inputs.dtype is self.weight.dtype is torch.float32
                and inputs.device.type == self.weight.device.type == 'cpu'
                and not torch.is_autocast_enabled('cpu') and torch.backends.mkldnn.enabled)

    def _laid_out(self) -> Tensor:
        weight, kept = self.weight, self._layout
        if kept is None or (kept[0].data_ptr(), kept[1]) != (weight.data_ptr(), weight._version):
            matrix = weight.detach().t() if self._transposed else weight.detach()
            layout = torch.ops.mkldnn._reorder_linear_weight(matrix.contiguous())
            self._layout = kept = weight.detach(), weight._version, layout
        return kept[2]

    def _apply(self, *args: Any, **kwargs: Any) -> nn.Module:
        self._layout = None  # moved or converted: its memory is free again
        return super()._apply(*args, **kwargs)

    def __reduce_ex__(self, protocol: int) -> tuple:
        """Copy, and save, the plain layer."""
        state = {name: value for name, value in self.__dict__.items() if name != '_layout'}
        return object.__new__, (type(self).__bases__[1], ), state


@cache
def _prepacked(kind: type[nn.Module]) -> type[nn.Module]:
    return type(kind.__name__, (_FewRows, kind), {
        '__module__': kind.__module__, '_transposed': _is_conv1d(kind)})
