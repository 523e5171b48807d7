"""How much memory a call needs at its peak."""
import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path

import torch

_STATUS, _CLEAR = Path('/proc/self/status'), Path('/proc/self/clear_refs')


def peak_growth(run: Callable[[], object], device: str = 'cpu') -> int | None:
    """Return by how many bytes memory grew at the peak of a call.

    On CUDA devices these are the tensors that torch allocated; on CPUs the resident memory of the
    process, after memory that was freed earlier has been given back to the system.

    Args:
        run: What to call; what it keeps alive counts.
        device: ``'cpu'`` or ``'cuda[:i]'``.

    Returns:
        Bytes, or None where the system does not tell.
    """
    gc.collect()
    if device.startswith('cuda'):
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    _give_back()
    before = _restart_peak()
    run()
    peak = _peak()
    return None if before is None or peak is None else max(0, peak - before)


def _give_back() -> None:
    """Ask the C library to return free memory, or what was freed before would hide growth."""
    if sys.platform == 'linux':
        trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)  # glibc's own
        if trim is not None:
            trim(0)


def _restart_peak() -> int | None:
    """Set the process's high-water mark to its present size and return that size."""
    try:
        _CLEAR.write_text('5')
    except OSError:  # no /proc, or a sandbox: the mark stays, and growth below it is not seen
        return _peak()
    return _field('VmRSS')


def _peak() -> int | None:
    """Return the high-water mark of resident memory in bytes."""
    found = _field('VmHWM')
    if found is not None:
        return found
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _field(name: str) -> int | None:
    """Return one field of ``/proc/self/status`` in bytes."""
    if not _STATUS.is_file():
        return None
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f'{name}:'):
            return int(line.split()[1]) * 1024
    return None
