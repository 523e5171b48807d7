"""``compile`` in a config: the parts of a model through ``torch.compile``, the same on every route.

Encoder, fusion, neck and change head are compiled, each when it is first called. What handles
strings stays as it is: the encoder of class names, whose memory a compiler would take apart, and
the search for sentences. Names and weights of the model do not change.
"""
import os
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from rscc.engine.distributed import unwrapped
from rscc.models.interpreter import ChangeInterpreter
from rscc.utils import did_you_mean
from rscc.utils.logging import warn_once
from rscc.utils.signatures import refuse_unknown

_PARTS = ('encoder', 'fusion', 'neck', 'change_head')


def compile_parts(model: nn.Module, wish: bool | Mapping[str, Any] | None,
                  device_type: str = 'cpu') -> bool:
    """Compile what pays of a model, in place.

    Answers are the same up to rounding, for the compiler adds in another order.

    Args:
        model: A ``ChangeInterpreter``, wrapped for several processes or not.
        wish: The config's ``compile``: True, or arguments of ``torch.compile``
            (``dict(mode='max-autotune')``); False, None for none of it.
        device_type: ``'cpu'``, ``'cuda'``, ...: where the model computes.

    Returns:
        Whether it was done; another model than ``ChangeInterpreter`` is left alone.

    Raises:
        TypeError: If ``wish`` is something else, or names no argument of ``torch.compile``.
        ValueError: If there is no such backend.
        FileNotFoundError: If the backend needs a C++ compiler and none is there.
    """
    options = _options(wish)
    network = unwrapped(model)
    if options is None or not isinstance(network, ChangeInterpreter):
        return False
    if options.get('backend', 'inductor') == 'inductor' and device_type == 'cpu':
        _require_cpp()
    names = getattr(network.fusion, 'prompt_encoder', None)
    if names is not None:
        names.forward = torch.compiler.disable(names.forward)
    for part in filter(None, (getattr(network, name) for name in _PARTS)):
        part.compile(**options)
    warn_once('compile: encoder, fusion and change head are compiled when they are first called, '
              'which takes from seconds to minutes for each size of batch or image')
    return True


def _options(wish: bool | Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the arguments of the compiler; None where nothing is to be compiled."""
    if wish is None or isinstance(wish, bool):
        return {} if wish else None
    if not isinstance(wish, Mapping):
        raise TypeError(f'compile is True, False, or arguments of torch.compile as a dict, found '
                        f'{wish!r}')
    options = dict(wish)
    refuse_unknown(options, torch.compile, 'compile')
    backend, known = options.get('backend', 'inductor'), torch.compiler.list_backends(())
    if isinstance(backend, str) and backend not in known:
        raise ValueError(f"compile has no backend '{backend}', expected one of "
                         f'{", ".join(known)}.{did_you_mean(backend, known)}')
    return options


def _require_cpp() -> None:
    """Refuse to begin where torch would find no C++ compiler at the first batch."""
    usual = {'darwin': 'clang++', 'win32': 'cl'}.get(sys.platform, 'g++')
    name = os.environ.get('CXX') or usual
    if shutil.which(name) is None:
        raise FileNotFoundError(f"compile needs a C++ compiler on CPUs, and there is no '{name}': "
                                'install one (Debian: apt install g++), name it in CXX, or leave '
                                'compile out')
