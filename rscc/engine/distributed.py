"""Processes of a run: several that train one model, and the only run in its work folder."""
import gc
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import init_dist
from mmengine.model import is_model_wrapper
from torch import nn

from rscc.utils.logging import warn_once

_NEEDS = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}
_START = {
    'pytorch': 'bash tools/dist_train.sh CONFIG N',
    'slurm': 'bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG',
    'mpi': 'mpirun -np N python tools/train.py CONFIG --launcher mpi',
}


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside the wrapper that keeps several processes alike (DDP)."""
    while is_model_wrapper(model):
        model = model.module
    return model


@contextmanager
def only_run(folder: str | os.PathLike) -> Iterator[None]:
    """Hold a work folder for one training; the system frees it however the process ends.

    Where a file system has no locks, nothing is held, and that is said.

    Raises:
        BlockingIOError: If another process holds it.
    """
    with (Path(folder) / '.lock').open('a+', encoding='utf-8') as file:
        try:
            import fcntl
            # Unlike flock's, this lock does not live on in data workers of a run that was killed.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            raise BlockingIOError(
                f"another training is at work in '{folder}' ({file.read().strip()}): wait for it "
                'or stop it, or choose another folder with --work-dir') from None
        except (ImportError, OSError) as error:
            warn_once(f"'{folder}' cannot be locked ({error}): see to it that no other run uses it")
        else:
            file.truncate(0)
            file.write(f'process {os.getpid()} on {socket.gethostname()}, started '
                       f'{datetime.now():%Y-%m-%d %H:%M}\n')
            file.flush()
        yield


def check_launcher(launcher: str) -> None:
    """Compare ``--launcher`` with how the process was really started.

    Raises:
        ValueError: If the launcher's variables are absent, or torchrun's are there although the
            launcher is ``none`` (every process would then train a model of its own).
    """
    known = ('none', *_NEEDS)
    if launcher not in known:
        raise ValueError(f"unknown launcher '{launcher}': use one of {', '.join(known)}")
    if launcher == 'none':
        size = os.environ.get('WORLD_SIZE', '1')
        if 'TORCHELASTIC_RUN_ID' in os.environ and size != '1':
            raise ValueError(f'started by torchrun with {size} processes but --launcher is none: '
                             'each would train its own model into the same folder. Add --launcher '
                             f'pytorch, or start with: {_START["pytorch"]}')
        return
    absent = [name for name in _NEEDS[launcher] if name not in os.environ]
    if absent:
        raise ValueError(f'--launcher {launcher} needs {", ".join(absent)} in the environment, so '
                         f'this process was not started by it. Start with: {_START[launcher]}')


def start_process_group(launcher: str, backend: str | None = None, timeout: float | None = None,
                        **kwargs: Any) -> None:
    """Join the other processes.

    Args:
        launcher: ``pytorch``, ``slurm`` or ``mpi``.
        backend: None takes NCCL where there is a GPU and gloo elsewhere. NCCL without a GPU becomes
            gloo, so a config written for GPUs runs on CPUs.
        timeout: Seconds after which a silent process is an error.
        **kwargs: As in ``torch.distributed.init_process_group``.
    """
    gpus = torch.cuda.is_available()
    if backend is None or (backend == 'nccl' and not gpus):
        backend = 'nccl' if gpus else 'gloo'
    if gpus:
        init_dist(launcher, backend=backend, **kwargs, **({'timeout': timeout} if timeout else {}))
        return
    # MMEngine sets the CUDA device whatever the backend, which fails without one.
    _export_ranks(launcher)
    limit = {'timeout': timedelta(seconds=timeout)} if timeout else {}
    torch.distributed.init_process_group(backend=backend, **limit, **kwargs)


def leave_process_group() -> None:
    """Wait for the other processes, and part from them; alone, do nothing.

    Call it when no variable holds the runner or its model any more: the wrapped model holds the
    group, too, and gloo's threads end with the group. One that is still there when Python shuts
    down can end the process by a signal, after everything was computed and written.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
        gc.collect()  # runners hold themselves in cycles


def _export_ranks(launcher: str) -> None:
    """Translate a launcher's variables into torch's."""
    if launcher == 'pytorch':
        return
    env = os.environ
    if launcher == 'slurm':
        names = {'RANK': 'SLURM_PROCID', 'WORLD_SIZE': 'SLURM_NTASKS',
                 'LOCAL_RANK': 'SLURM_LOCALID'}
        env.setdefault('MASTER_ADDR', first_host(env['SLURM_NODELIST']))
    else:
        names = {'RANK': 'OMPI_COMM_WORLD_RANK', 'WORLD_SIZE': 'OMPI_COMM_WORLD_SIZE',
                 'LOCAL_RANK': 'OMPI_COMM_WORLD_LOCAL_RANK'}
        env.setdefault('MASTER_ADDR', '127.0.0.1')
    for ours, theirs in names.items():
        env[ours] = env.get(theirs, '0')
    env.setdefault('MASTER_PORT', '29500')


def first_host(node_list: str) -> str:
    """Return the first host of a Slurm list: ``'gpu[03-05,9],b'`` gives ``'gpu03'``."""
    prefix, number = re.match(r'([^\[,]+)(?:\[(\d+))?', node_list).groups()
    return prefix + (number or '')
