"""Reduced precision by device and its inference hook, and memory kept between layers."""
import ctypes
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn

from rscc.registry import HOOKS
from rscc.utils.logging import warn_once

_CPU_FLAGS = {'avx512_bf16', 'amx_bf16', 'bf16'}


@cache
def cpu_has_bf16(cpuinfo: str = '/proc/cpuinfo') -> bool:
    """Tell whether this CPU multiplies bfloat16 in hardware (AVX512-BF16, AMX or ARM's BF16).

    Elsewhere torch emulates it, slower than float32. Without ``/proc`` (macOS) only Apple's
    processors are asked, whose answer torch does not give: False.
    """
    path = Path(cpuinfo)
    if not path.is_file() or platform.system() != 'Linux':
        return False
    for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
        name, _, flags = line.partition(':')
        if name.strip() in ('flags', 'Features'):
            return bool(_CPU_FLAGS & set(flags.split()))
    return False


def reduced_dtype(device_type: str, wish: str | torch.dtype = 'auto') -> torch.dtype | None:
    """Choose the autocast type for a device.

    Args:
        device_type: ``'cpu'``, ``'cuda'``, ...
        wish: ``'auto'``, ``'bfloat16'`` or ``'float16'``.

    Returns:
        The type, or None where reduced precision would not pay (a CPU without bfloat16); that is
        said once in the log.

    Raises:
        ValueError: If the wish is unknown or impossible on the device.
    """
    name = str(wish).removeprefix('torch.')
    if name not in ('auto', 'bfloat16', 'float16'):
        raise ValueError(f"unknown reduced precision '{wish}': use 'auto', 'bfloat16' or 'float16'")
    if device_type == 'cpu':
        if name == 'float16':
            raise ValueError("float16 does not train on CPUs: use dtype='auto' or 'bfloat16'")
        if name == 'auto' and not cpu_has_bf16():
            warn_once('--amp has no effect: this CPU has no bfloat16 instructions, and emulating '
                      'them is slower than float32')
            return None
        return torch.bfloat16
    if name == 'auto':
        ampere = device_type != 'cuda' or torch.cuda.get_device_capability()[0] >= 8
        return torch.bfloat16 if ampere else torch.float16
    return getattr(torch, name)


@contextmanager
def reduced_precision(device_type: str | None = None,
                      dtype: str | torch.dtype = 'auto') -> Iterator[None]:
    """Run a block under autocast where that pays, unchanged elsewhere.

    Args:
        device_type: The device; None takes the one MMEngine trains on.
        dtype: See :func:`reduced_dtype`.
    """
    device_type = device_type or get_device()
    chosen = reduced_dtype(device_type, dtype)
    with torch.autocast(device_type, dtype=chosen or torch.bfloat16, enabled=chosen is not None):
        yield


#: Layers whose weights autocast casts at every call. ``Conv1D`` is GPT-2's name for a linear layer.
_CAST_LAYERS = ('Linear', 'NonDynamicallyQuantizableLinear', 'MultiheadAttention',
                'BatchFirstAttention', 'Conv1D',
                'Conv2d', 'Conv3d', 'ConvTranspose1d', 'ConvTranspose2d', 'ConvTranspose3d')
#: Stays as it is: transformers casts class and position embeddings to the type of its weight.
_TYPE_GIVING = 'patch_embedding'


def cast_weights(model: nn.Module, dtype: torch.dtype) -> int:
    """Cast once, in place, what autocast would cast at every call; answers stay the same.

    Weights of norms and embeddings stay as they are, and so do weights that another kind of layer
    shares (a table of word vectors that also scores words). For models that only answer, under
    autocast to ``dtype``: training needs the full weights.

    Args:
        model: Of any kind; classes of its layers are compared by name, without their subclasses.
        dtype: ``torch.bfloat16`` or ``torch.float16``.

    Returns:
        Bytes of the weights that were cast, before.
    """
    cast, kept = {}, set()
    for name, module in model.named_modules():
        own = {id(weight): weight for weight in module.parameters(recurse=False)}
        if type(module).__name__ in _CAST_LAYERS and not name.endswith(_TYPE_GIVING):
            cast |= {key: weight for key, weight in own.items() if weight.dtype is torch.float32}
        else:
            kept |= own.keys()
    chosen = [weight for key, weight in cast.items() if key not in kept]
    size = sum(weight.nbytes for weight in chosen)
    for weight in chosen:
        weight.data = weight.data.to(dtype)
    return size


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt in <malloc.h>
_KEPT_BLOCK = 1 << 30  # bytes; feature maps of a batch are smaller
_KEPT_FREE = (1 << 31) - 1


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep freed blocks for the next layer, in this process and from now on.

    By default it maps every block over 32 MiB anew and returns what lies free at the end of the
    heap, so each large feature map costs its page faults again: 12 % of ChangeCLIP's time with
    eight windows a call. The price: a process does not shrink before it ends.

    Nothing is done elsewhere than on Linux with glibc, or where ``MALLOC_`` variables are set.

    Returns:
        Whether it was done.
    """
    chosen = [name for name in os.environ if name.startswith(('MALLOC_', 'GLIBC_TUNABLES'))]
    if sys.platform != 'linux' or chosen:
        return False
    try:
        mallopt = ctypes.CDLL('libc.so.6').mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _KEPT_BLOCK) and mallopt(_TRIM_THRESHOLD, _KEPT_FREE))


@HOOKS.register_module()
class AutocastInferenceHook(Hook):
    """Run ``val_step`` and ``test_step`` under autocast; what they return is float32 again.

    Metrics stay outside, in full precision.

    Args:
        dtype: ``'auto'``, ``'bfloat16'`` or ``'float16'``.
    """

    def __init__(self, dtype: str = 'auto') -> None:
        self.dtype = dtype

    def before_val(self, runner: Runner) -> None:
        """Wrap the model's validation step."""
        self._wrap(runner.model, 'val_step')

    def after_val(self, runner: Runner) -> None:
        """Unwrap it."""
        vars(runner.model).pop('val_step', None)

    def before_test(self, runner: Runner) -> None:
        """Wrap the model's test step."""
        self._wrap(runner.model, 'test_step')

    def after_test(self, runner: Runner) -> None:
        """Unwrap it."""
        vars(runner.model).pop('test_step', None)

    def _wrap(self, model: nn.Module, name: str) -> None:
        # Taken from the class: a previous loop that failed may have left its wrapper behind.
        step: Callable = getattr(type(model), name).__get__(model)

        @wraps(step)
        def reduced(*args: Any, **kwargs: Any) -> Any:
            with reduced_precision(dtype=self.dtype):
                return to_float32(step(*args, **kwargs))

        vars(model)[name] = reduced


def to_float32(outputs: Any) -> Any:
    """Return ``outputs`` with every half-precision tensor as float32, data samples in place."""
    if isinstance(outputs, torch.Tensor):
        return outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs
    if isinstance(outputs, BaseDataElement):
        for name, value in outputs.items():
            converted = to_float32(value)
            if converted is not value:
                outputs.set_field(converted, name)
        return outputs
    if isinstance(outputs, list):
        return [to_float32(value) for value in outputs]
    return outputs
