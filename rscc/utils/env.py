"""Versions, hardware and folders for a bug report: ``python -m rscc.utils.env``."""
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from rscc.utils.paths import data_home
from rscc.version import __version__

_PACKAGES = ('torch', 'torchvision', 'numpy', 'mmengine', 'mmcv', 'mmcv-lite', 'mmsegmentation',
             'transformers', 'timm', 'peft', 'open_clip_torch', 'pycocoevalcap', 'opencv-python',
             'h5py', 'rasterio', 'jieba', 'tensorboard', 'wandb')


def environment() -> dict[str, str]:
    """Collect versions, hardware and folders; nothing here can fail.

    Returns:
        Name -> value, in the order they are printed.
    """
    found = {'rscc': __version__, 'commit': _commit(), 'python': sys.version.split()[0],
             'system': platform.platform(), 'processor': _processor(),
             'cores': str(_cores()), 'memory': _memory()}
    found |= _accelerators()
    for package in _PACKAGES:
        found[package] = _version(package)
    found['java'] = shutil.which('java') or 'not found: METEOR is left out'
    home = data_home()
    found['data'] = f"{home.resolve()}{'' if home.is_dir() else ' (no such folder)'}"
    found['free disk'] = f'{shutil.disk_usage(os.curdir).free / 2**30:.1f} GiB'
    return found


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
    try:
        done = subprocess.run(['git', '-C', str(here), 'describe', '--always', '--dirty'],
                              capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return 'unknown'
    return done.stdout.strip() or 'unknown'


def _processor() -> str:
    path = Path('/proc/cpuinfo')
    if path.is_file():
        for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    """Return the cores this process may use, which in a container are fewer than the machine's."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> str:
    try:
        total = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    except (AttributeError, ValueError, OSError):
        return 'unknown'
    return f'{total / 2**30:.1f} GiB'


def _accelerators() -> dict[str, str]:
    """Ask torch for GPUs and for the CPU's instruction set."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return {'GPU': f'unknown, torch does not import: {error}'}
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = sorted({torch.cuda.get_device_name(index) for index in range(count)})
    return {'GPU': f'{count} x {", ".join(names)}' if count else 'none',
            'CUDA': str(torch.version.cuda or 'none'),
            'CPU capability': torch.backends.cpu.get_cpu_capability(),
            'threads': str(torch.get_num_threads())}


if __name__ == '__main__':
    print(environment_report())
