"""Versions, hardware and folders for a bug report: ``python -m rscc.utils.env``."""
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rscc.utils.paths import data_home
from rscc.version import __version__

_PACKAGES = ('torch', 'torchvision', 'numpy', 'mmengine', 'mmcv', 'mmcv-lite', 'mmsegmentation',
             'transformers', 'timm', 'peft', 'open_clip_torch', 'pycocoevalcap', 'opencv-python',
             'h5py', 'rasterio', 'jieba', 'tensorboard', 'wandb')


def environment() -> dict[str, str]:
    """Collect versions, hardware and folders; what cannot be found out is said to be unknown.

    Returns:
        Name -> value, in the order they are printed.
    """
    found = {'rscc': __version__}
    for name, ask in {'commit': _commit, 'python': lambda: sys.version.split()[0],
                      'system': platform.platform, 'processor': _processor, 'cores': _cores,
                      'memory': _memory}.items():
        found[name] = _answer(ask)
    torch_says = _answer(_accelerators)
    found |= torch_says if isinstance(torch_says, dict) else {'GPU': torch_says}
    for package in _PACKAGES:
        found[package] = _version(package)
    found['java'] = shutil.which('java') or 'not found: METEOR is left out'
    found['data'] = _answer(_data)
    found['free disk'] = _answer(lambda: f'{shutil.disk_usage(os.curdir).free / 2**30:.1f} GiB')
    return found


def _answer(ask: Callable[[], Any]) -> Any:
    """Return what a function returns; a machine in trouble is what reports are about."""
    try:
        return ask()
    except Exception as error:
        return f'unknown: {type(error).__name__}: {error}'


def environment_report() -> str:
    """Return :func:`environment` as aligned lines."""
    found = environment()
    width = max(map(len, found))
    return '\n'.join(f'{name:<{width}}  {value}' for name, value in found.items())


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return 'not installed'


def _commit() -> str:
    """Return the commit of the source tree this package was imported from."""
    here = Path(__file__).resolve().parents[2]
    if not (here / '.git').exists():
        return 'installed package'
    done = subprocess.run(['git', '-C', str(here), 'describe', '--always', '--dirty'],
                          capture_output=True, text=True, timeout=10)
    return done.stdout.strip() or 'unknown'


def _processor() -> str:
    path = Path('/proc/cpuinfo')
    if path.is_file():
        for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    return platform.processor() or platform.machine()


def _cores() -> str:
    """Return the cores this process may use, which in a container are fewer than the machine's."""
    if sys.platform == 'linux':
        return str(len(os.sched_getaffinity(0)))
    return str(os.cpu_count() or 1)


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"


def _data() -> str:
    home = data_home()
    return f"{home.resolve()}{'' if home.is_dir() else ' (no such folder)'}"


def _accelerators() -> dict[str, str]:
    """Ask torch for GPUs and for the CPU's instruction set."""
    import torch
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = sorted({torch.cuda.get_device_name(index) for index in range(count)})
    return {'GPU': f'{count} x {", ".join(names)}' if count else 'none',
            'CUDA': str(torch.version.cuda or 'none'),
            'CPU capability': torch.backends.cpu.get_cpu_capability(),
            'threads': str(torch.get_num_threads())}


if __name__ == '__main__':
    print(environment_report())
