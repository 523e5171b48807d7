"""Description of the measuring machine, and the peak memory of a call on it."""
import ctypes
import gc
import os
import platform
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from rscc.compat import peak_memory
from rscc.engine.precision import cpu_has_bf16
from rscc.utils import did_you_mean


@dataclass(frozen=True)
class Machine:
    """Metadata that explain a timing.

    Attributes:
        processor: Model name of the CPU.
        cores: Cores this process may use.
        threads: Threads that torch uses.
        memory: RAM in GiB, None where the system does not tell.
        torch: Version.
        bf16: Whether the device multiplies bfloat16 in hardware.
        gpu: Name of the CUDA device, None when measuring on the CPU.
    """
    processor: str
    cores: int
    threads: int
    memory: float | None
    torch: str
    bf16: bool
    gpu: str | None = None

    def __str__(self) -> str:
        return self.line('en')

    def line(self, language: str) -> str:
        """Return one line in ``'en'`` or ``'zh_cn'``."""
        english = language == 'en'
        memory = [] if self.memory is None else [f'{self.memory:.0f} GiB']
        gpu = [] if self.gpu is None else [self.gpu]
        cores = _count(self.cores, 'core') if english else f'{self.cores} 核'
        threads = _count(self.threads, 'thread') if english else f'{self.threads} 线程'
        bf16 = {(True, True): 'bfloat16 in hardware', (True, False): 'no bfloat16',
                (False, True): '硬件支持 bfloat16', (False, False): '无 bfloat16'}
        words = [*gpu, self.processor, cores, threads, *memory, f'torch {self.torch}',
                 bf16[english, self.bf16]]
        return (', ' if english else '，').join(words)


def _count(number: int, thing: str) -> str:
    return f'{number} {thing}' if number == 1 else f'{number} {thing}s'


def describe_machine(device: str = 'cpu') -> Machine:
    """Describe the machine that this process runs on.

    Args:
        device: Where the measurement ran, ``'cpu'`` or ``'cuda[:i]'``.
    """
    cuda = device.startswith('cuda')
    return Machine(
        processor=_processor(), cores=_cores(), threads=torch.get_num_threads(), memory=_memory(),
        torch=torch.__version__, bf16=torch.cuda.is_bf16_supported() if cuda else cpu_has_bf16(),
        gpu=torch.cuda.get_device_name(device) if cuda else None)


def _processor(cpuinfo: str = '/proc/cpuinfo') -> str:
    path = Path(cpuinfo)
    if path.is_file():
        for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
            name, _, value = line.partition(':')
            if name.strip() == 'model name' and value.strip():
                return value.strip()
    return platform.processor() or platform.machine() or 'unknown CPU'


def cpu_has_vnni(cpuinfo: str = '/proc/cpuinfo') -> bool | None:
    """Return whether the CPU has VNNI, instructions for int8; None where that is not known."""
    path = Path(cpuinfo)
    flags = re.search(r'^flags\s*:(.*)', path.read_text(encoding='utf-8', errors='replace')
                      if path.is_file() else '', re.MULTILINE)
    return None if flags is None else bool({'avx512_vnni', 'avx_vnni'} & {*flags[1].split()})


def _cores() -> int:
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> float | None:
    try:
        return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
    except (AttributeError, ValueError, OSError):
        return None


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
    return (peak_memory() or None) if found is None else found


def _field(name: str) -> int | None:
    """Return one field of ``/proc/self/status`` in bytes."""
    if not _STATUS.is_file():
        return None
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f'{name}:'):
            return int(line.split()[1]) * 1024
    return None
