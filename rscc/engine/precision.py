"""Settings that make a process faster: reduced precision where it pays, memory kept for reuse."""
import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from mmengine.device import get_device

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
