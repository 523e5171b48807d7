"""Weights of linear layers laid out once, not in every product: answers on CPUs.

A search multiplies a few rows, one a beam, by every weight of the decoder at every token; heads of
whole sentences a few dozen, one a word. The library behind ``torch.nn.functional.linear`` lays the
weight out anew in each call. In float32 that pays for hundreds of rows; for three it costs more
than the product. In bfloat16 the product itself is so short that it costs a third of the time for
hundreds of rows, too. oneDNN takes weights laid out beforehand, as torch's own compiler does with
``freezing``. Answers are the same up to rounding.
"""
import platform
from collections.abc import Container, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from rscc.engine.precision import cast_weights

#: Rows that gain in float32, measured: one row is a vector, many pay for their layout.
FEW_ROWS = range(2, 49)
#: Elements of a weight that does not fit into a core's cache; smaller ones gain nothing.
LEAST_ELEMENTS = 1 << 19
#: Bytes of all layouts together, in the precision that is meant: memory beside the weights.
MOST_BYTES = 1 << 30
#: Types that autocast to bfloat16 takes.
_REDUCIBLE = (torch.float32, torch.bfloat16)


def prepare_weights(model: nn.Module, reduced: torch.dtype | None) -> None:
    """Cast and lay out once, in place, what every answer would cast and lay out again.

    Args:
        model: That only answers: training needs the full weights.
        reduced: What autocast computes in; None without autocast.
    """
    if reduced is not None:
        cast_weights(model, reduced)
    prepack_linear(model, reduced is torch.bfloat16)


def prepack_linear(model: nn.Module, reduced: bool = False) -> int:
    """Have large linear layers keep a second layout of their weight, in place.

    Layers of the caption head are chosen or, with ``reduced``, of the whole model. They compute
    with it on few rows in float32, and under bfloat16 autocast, where the CPU multiplies bfloat16,
    on any number of rows. The layout is made at the first such call, and again where the weight was
    replaced or changed in place (but not by ``.data.copy_``, which leaves no trace). Names and
    values of the weights stay; copies and files hold plain layers. Training, other devices and
    exports compute as before, and so does a model whose layouts would exceed ``MOST_BYTES``, and
    all of them where ``torch.backends.mkldnn.enabled`` is False.

    Args:
        model: With ``caption_head`` or, where it answers in bfloat16, of any kind.
        reduced: The model answers in bfloat16.

    Returns:
        Number of layers that will keep one; 0 where this CPU or this torch has no such product.
    """
    part = model if reduced else getattr(model, 'caption_head', None)
    if part is None or not _available() or (reduced and not _multiplies_bfloat16()):
        return 0
    layers = list(_large_layers(part, _REDUCIBLE if reduced else (torch.float32, )))
    if sum(layer.weight.numel() for layer in layers) * (2 if reduced else 4) > MOST_BYTES:
        return 0
    for layer in layers:
        if not isinstance(layer, _LaidOut):
            layer.__class__ = _prepacked(type(layer))
    return len(layers)


def _available() -> bool:
    """Whether this torch has oneDNN's product for x86, an operator of its compiler."""
    return (platform.machine().lower() in ('x86_64', 'amd64')
            and torch.backends.mkldnn.is_available()
            and all(hasattr(torch.ops.mkldnn, name) for name in (
                '_reorder_linear_weight', '_linear_pointwise', '_is_mkldnn_bf16_supported')))


@cache
def _multiplies_bfloat16() -> bool:
    """Whether oneDNN lays weights out in bfloat16 here: with AVX-512, or AVX2 of newer kinds."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _large_layers(part: nn.Module, types: Container[torch.dtype]) -> Iterator[nn.Module]:
    for layer in part.modules():
        if type(layer) is nn.Linear or isinstance(layer, _LaidOut) or _is_conv1d(type(layer)):
            weight = layer.weight
            if weight.dtype in types and weight.numel() >= LEAST_ELEMENTS:
                yield layer


def _is_conv1d(kind: type) -> bool:
    """Whether a class is GPT-2's linear layer, whose weight is (in, out).

    Adapters (peft) wrap layers in classes of the same names, which compute more than a product.
    """
    return (kind.__module__, kind.__name__) == ('transformers.pytorch_utils', 'Conv1D')


class _LaidOut:
    """Linear layer that multiplies by a second layout of its weight.

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
        precision = None if named or len(inputs) != 1 else self._precision(*inputs)
        if precision is None:
            return super().forward(*inputs, **named)
        bias = None if self.bias is None else self.bias.to(precision)
        return torch.ops.mkldnn._linear_pointwise(
            inputs[0].to(precision), self._laid_out(precision), bias, 'none', [], '')

    def _precision(self, inputs: Tensor) -> torch.dtype | None:
        """Return the type of the product with the layout, None for the plain product."""
        if torch.jit.is_tracing() or torch.compiler.is_compiling():
            return None  # an export holds the plain product
        weight = self.weight
        width = weight.shape[0 if self._transposed else 1]
        usable = (not torch.is_grad_enabled() and inputs.dim() > 1 and inputs.shape[-1] == width
                  and inputs.is_cpu and weight.is_cpu and inputs.numel()
                  and not weight.is_inference() and torch.backends.mkldnn.enabled)
        if not usable:
            return None
        if torch.is_autocast_enabled('cpu'):
            reduced = (torch.get_autocast_dtype('cpu') is torch.bfloat16
                       and _multiplies_bfloat16())
            known = inputs.dtype in _REDUCIBLE and weight.dtype in _REDUCIBLE
            return torch.bfloat16 if reduced and known else None
        few = inputs.numel() // width in FEW_ROWS
        return torch.float32 if few and inputs.dtype is weight.dtype is torch.float32 else None

    def _laid_out(self, precision: torch.dtype) -> Tensor:
        weight, kept = self.weight, self._layout
        found = None if kept is None else (kept[0].data_ptr(), kept[1], kept[2].dtype)
        if found != (weight.data_ptr(), weight._version, precision):
            matrix = weight.detach().t() if self._transposed else weight.detach()
            layout = torch.ops.mkldnn._reorder_linear_weight(matrix.to(precision).contiguous())
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
    return type(kind.__name__, (_LaidOut, kind), {
        '__module__': kind.__module__, '_transposed': _is_conv1d(kind)})
