"""State dicts out of files that hold whole pickled modules, none of whose code is run or imported.

Unpickling a module runs what the file says, and needs the source that it was made with. A module's
tensors are no more than entries of its attributes, so everything but tensors and containers becomes
an empty shell here that keeps its attributes; the state dicts are then read off the shells.
"""
import os
import pickle
import types
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rscc.engine.checkpoint import ForeignObjectsError, read_checkpoint

#: What tensors are rebuilt by.
_ALLOWED = {
    ('torch._utils', '_rebuild_tensor'): torch._utils._rebuild_tensor,
    ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
    ('torch._utils', '_rebuild_parameter'): lambda data, *_: data,
    ('collections', 'OrderedDict'): dict,
}


class _Shell:
    """Takes the place of any object: swallows what is done to it, keeps its attributes."""
    attributes: Any = None

    def __new__(cls, *_: Any, **__: Any) -> '_Shell':
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.attributes = state

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Swallow what a list would keep."""

    extend = add = append


class _Unpickler(pickle.Unpickler):

    def find_class(self, module: str, name: str) -> Any:
        """Return what rebuilds tensors, or a shell; nothing is imported."""
        return _ALLOWED.get((module, name)) or type(name, (_Shell,), {'__module__': module})


def _load(file: Any, **options: Any) -> Any:
    return _Unpickler(file, **options).load()


# The form in which torch.load takes another unpickler; it finds the storages of tensors itself.
_PICKLE = types.ModuleType('shells')
_PICKLE.Unpickler, _PICKLE.load = _Unpickler, _load


def read_state_dicts(path: str | os.PathLike) -> Mapping[str, Any]:
    """Read a checkpoint whose modules, if it holds any, are to be had as state dicts.

    Args:
        path: A file of ``torch.save``, of any age.

    Returns:
        What the file holds. In a dict each module has its state dict in its place, and objects that
        are neither plain values nor modules (optimizers) are left out; a module by itself is its
        state dict.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or holds an object of another kind.
    """
    try:
        return read_checkpoint(path)
    except ForeignObjectsError as refused:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # the shells' source is not that of the modules
                loaded = torch.load(path, map_location='cpu', pickle_module=_PICKLE,
                                    weights_only=False)
        except Exception as error:  # a malformed pickle fails in any way
            raise ValueError(f"'{path}' cannot be read: {error}") from error
        if isinstance(loaded, Mapping):
            kept = {key: state_dict_of(value) if _is_module(value) else value
                    for key, value in loaded.items()}
            return {key: value for key, value in kept.items() if not isinstance(value, _Shell)}
        if not _is_module(loaded):
            raise ValueError(f"'{path}' holds a {type(loaded).__name__}, no module: {refused}"
                             ) from refused
        return state_dict_of(loaded)


def state_dict_of(shell: _Shell) -> dict[str, Tensor]:
    """Return the tensors of a module and of those inside it under their dotted names."""
    tensors = {name: value for kind in ('_parameters', '_buffers')
               for name, value in shell.attributes.get(kind, {}).items()
               if isinstance(value, Tensor)}
    for name, child in shell.attributes['_modules'].items():
        if _is_module(child):
            tensors |= {f'{name}.{inner}': value for inner, value in state_dict_of(child).items()}
    return tensors


def _is_module(value: Any) -> bool:
    return (isinstance(value, _Shell) and isinstance(value.attributes, Mapping)
            and '_modules' in value.attributes)
