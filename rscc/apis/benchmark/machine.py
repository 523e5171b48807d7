"""What a measurement ran on."""
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from rscc.engine.precision import cpu_has_bf16


@dataclass(frozen=True)
class Machine:
    """The facts that explain a timing.

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
        facts = [*gpu, self.processor, cores, threads, *memory, f'torch {self.torch}',
                 bf16[english, self.bf16]]
        return (', ' if english else '，').join(facts)


def _count(number: int, thing: str) -> str:
    return f'{number} {thing}' if number == 1 else f'{number} {thing}s'


def describe_machine(device: str = 'cpu') -> Machine:
    """Look at the machine.

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


def _cores() -> int:
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> float | None:
    try:
        return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
    except (AttributeError, ValueError, OSError):
        return None
