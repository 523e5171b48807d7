"""Cures for mismatched dependencies; each is skipped where it is not needed.

* A CUDA build of torchvision beside a CPU build of torch: its operators cannot load and importing
  it fails on ``torchvision::nms``. Declaring the two schemas first is enough for all that we use.
* ``mmcv-lite`` has no compiled extension, which ``mmseg.models`` asks for while it is imported.
* MMSegmentation 1.2.2's ``DiceLoss`` counts pixels that are to be ignored.
* The hub's library asks a server out of reach for a minute or more.
* MMEngine 0.10.7 cannot reload its own checkpoints where torch loads weights only.
* MMEngine formats the text of a config anew for every log and checkpoint.
* transformers 5.23 renames how layers are told to be computed again.
* transformers 5.24 renames the cache of keys and values, and gives one to models without any.
* Apple's GPUs have no float64, and Windows does not tell how much memory a process took.
"""
import importlib
import importlib.util
import inspect
import json
import os
import pickle
import socket
import sys
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import torch


@cache
def prepare_torchvision() -> None:
    """Make ``import torchvision`` work beside a torch its operators were not built for."""
    import torch
    spec = importlib.util.find_spec('torchvision')
    if spec is None or spec.origin is None or 'torchvision' in sys.modules:
        return
    libraries = sorted(Path(spec.origin).parent.glob('_C*.so')) + sorted(
        Path(spec.origin).parent.glob('_C*.pyd'))
    for library in libraries:
        try:
            torch.ops.load_library(str(library))
            return
        except OSError:
            continue
    schema = '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'
    declared = torch.library.Library('torchvision', 'DEF')
    declared.define('nms' + schema)
    declared.define('qnms' + schema)
    _keep_alive.append(declared)


_keep_alive: list[Any] = []


def import_transformers(submodule: str = '') -> ModuleType:
    """Import transformers, or one submodule, showing the root cause where it fails.

    Args:
        submodule: Dotted name below ``transformers``, for example ``'models.blip'``.

    Raises:
        ImportError: With the original cause spelled out (transformers itself hides it).
    """
    prepare_torchvision()
    return _explained_import('transformers', submodule)


def compute_again(model: Any) -> None:
    """Have the layers of a transformers' model computed again in the backward pass.

    Args:
        model: A ``PreTrainedModel``; the method is called ``activation_checkpointing_enable`` since
            5.23, ``gradient_checkpointing_enable`` before.
    """
    enable = (getattr(model, 'activation_checkpointing_enable', None)
              or model.gradient_checkpointing_enable)
    enable(dict(use_reentrant=False))  # the default of 5.x, not of 4.x


def cache_argument(forward: Callable) -> str:
    """Return how a language model of transformers is handed its cache.

    Args:
        forward: Its ``forward``, which calls it ``cache`` since 5.24, ``past_key_values`` before.
    """
    return 'cache' if 'cache' in inspect.signature(forward).parameters else 'past_key_values'


def keys_and_values(output: Mapping[str, Any]) -> Any | None:
    """Return the cache of keys and values in a language model's output.

    Args:
        output: What a model of transformers returned; its cache is called ``cache`` since 5.24,
            ``past_key_values`` before.

    Returns:
        None where the model keeps none, or something else: that of Mamba is of the same class
        since 5.24, and its layers hold neither keys nor values.
    """
    cache = output['cache'] if 'cache' in output else output.get('past_key_values')
    attends = all(hasattr(layer, 'keys') for layer in getattr(cache, 'layers', ()))
    return cache if attends else None


def import_open_clip(submodule: str = '') -> ModuleType:
    """Import open_clip, or one submodule, showing the root cause where it fails.

    Args:
        submodule: Dotted name below ``open_clip``, for example ``'transformer'``.

    Raises:
        ImportError: With the original cause spelled out.
    """
    prepare_torchvision()
    return _explained_import('open_clip', submodule)


@cache
def hub_in_reach(seconds: float = 3.0) -> bool:
    """Tell whether the hub of models answers; its library works from its cache if not.

    Asked once a process. The library itself tries each file five times, for a minute or more.
    """
    from huggingface_hub import constants
    if constants.is_offline_mode():
        return False
    hub = urllib.parse.urlsplit(constants.ENDPOINT)
    proxies = {} if urllib.request.proxy_bypass(hub.hostname or '') else urllib.request.getproxies()
    place = urllib.parse.urlsplit(proxies.get(hub.scheme) or proxies.get('all')
                                  or constants.ENDPOINT)
    try:
        port = place.port or (80 if place.scheme == 'http' else 443)
        socket.create_connection((place.hostname or '', port), seconds).close()
    except (OSError, ValueError):
        constants.HF_HUB_OFFLINE = True
        return False
    return True


def widest_float(device: 'torch.device') -> 'torch.dtype':
    """Return the widest floating type that a device computes with: float32 on Apple's GPUs."""
    import torch
    return torch.float32 if device.type == 'mps' else torch.float64


def peak_memory() -> int:
    """Return the most memory that this process has held so far, in bytes; 0 on Windows."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def refuse_absent_folder(name: str | os.PathLike, remedy: str) -> None:
    """Refuse a path that is no folder, which a hub would be asked for in vain.

    Raises:
        FileNotFoundError: With the variable of the environment that holds it, and the remedy.
    """
    name = str(name)
    folder = Path(name).expanduser()
    if not folder.is_dir() and (folder.is_absolute() or name.startswith(('.', '~'))
                                or name.count('/') > 1 or '\\' in name):
        raise FileNotFoundError(f"no folder '{name}'{_variable_of(name)}: {remedy}")


def out_of_reach(name: str) -> str:
    """Return what to say, and what to do, where a model of the hub cannot be had."""
    from huggingface_hub import constants
    return (f"there is no folder '{name}'{_variable_of(name)}, it is not among the models stored "
            f'on this machine, and the hub {constants.ENDPOINT} is out of reach. Set HF_ENDPOINT '
            f'to a mirror, or run where there is a network: hf download {name} --local-dir DIR, '
            'and name DIR instead')


def _variable_of(name: str) -> str:
    """Return `` (from RSCC_BLIP)`` where such a variable of ours holds a name."""
    return next((f' (from {variable})' for variable, value in os.environ.items()
                 if variable.startswith('RSCC_') and value == name), '')


def _explained_import(package: str, submodule: str) -> ModuleType:
    name = f'{package}.{submodule}' if submodule else package
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ImportError(f"'{name}' cannot be imported: {_root_cause(error)}. "
                          'Check it with: pip install -r requirements/runtime.txt') from error


def _root_cause(error: BaseException) -> str:
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__
    return f'{type(error).__name__}: {error}'


class _MissingExtension(ModuleType):
    """Stands in for ``mmcv._ext`` during one import: every operator exists and refuses to run."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)

        def operator(*_args, **_kwargs) -> NoReturn:
            raise RuntimeError(
                f"the compiled operator '{name}' belongs to the full mmcv, and mmcv-lite is "
                "installed. Install it with: pip uninstall mmcv-lite && pip install 'mmcv==2.1.0'")

        return operator


@cache
def import_mmseg_models() -> ModuleType:
    """Import ``mmseg.models`` with the full mmcv or with mmcv-lite, and cure its ``DiceLoss``.

    The stand-in is in ``sys.modules`` only during the import: left there, MMEngine would believe
    that the full mmcv is installed.
    """
    prepare_torchvision()
    if importlib.util.find_spec('mmcv._ext') is not None:
        models = importlib.import_module('mmseg.models')
    else:
        stand_in = sys.modules.setdefault('mmcv._ext', _MissingExtension('mmcv._ext'))
        try:
            models = importlib.import_module('mmseg.models')
        finally:
            if sys.modules.get('mmcv._ext') is stand_in:
                del sys.modules['mmcv._ext']
    # Its heads warn about a function that they call themselves.
    warnings.filterwarnings('ignore', '``build_loss``', module='mmseg')
    _leave_ignored_pixels_out(models.losses.DiceLoss)
    return models


def _leave_ignored_pixels_out(loss: Any) -> None:
    """Let MMSegmentation's ``DiceLoss`` see neither probability nor label of ignored pixels.

    It has a gradient there, and is 1 where every pixel is ignored (0 from now on). Without ignored
    pixels it is as it was.
    """
    original = loss.forward

    def forward(self: Any, pred: Any, target: Any, *args: Any, ignore_index: int = 255,
                **kwargs: Any) -> Any:
        valid = target != ignore_index  # (N, H, W)
        if pred.shape == target.shape or bool(valid.all()):
            return original(self, pred, target, *args, ignore_index=ignore_index, **kwargs)
        some = valid.flatten(1).any(1)  # (N,), samples of which anything counts
        if not some.any():
            return pred.sum() * 0
        pred, target, valid = pred[some], target[some], valid[some]
        if self.activate and (self.use_sigmoid or pred.shape[1] > 1):
            pred = pred.sigmoid() if self.use_sigmoid else pred.softmax(1)
        pred = pred * valid[:, None]
        # One more class than there are stands for no class at all in the original.
        target = target.where(valid, pred.shape[1])
        active, self.activate = self.activate, False
        try:
            return original(self, pred, target, *args, ignore_index=ignore_index, **kwargs)
        finally:
            self.activate = active

    loss.forward = forward


@cache
def allow_mmengine_checkpoints() -> None:
    """Let ``torch.load(..., weights_only=True)`` read what MMEngine writes beside the weights.

    These classes hold numbers and cannot run code: the log history and the numpy scalars in it.
    The history also pickles its own statistics by name, through ``getattr``; that name is answered
    by a stand-in that gives out nothing else.
    """
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer
    scalar = np._core.multiarray.scalar if hasattr(np, '_core') else np.core.multiarray.scalar
    rebuild = np.zeros(0).__reduce__()[0]
    allowed = [HistoryBuffer, scalar, rebuild, np.ndarray, np.dtype]
    kinds = ('f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', '?')
    allowed += sorted({type(np.dtype(kind)) for kind in kinds}, key=str)
    names = ('builtins.getattr', '__builtin__.getattr', 'getattr')
    allowed += [(_statistic_of_history, name) for name in names]
    torch.serialization.add_safe_globals(allowed)


def _statistic_of_history(owner: type, name: str) -> Any:
    """Stand in for ``getattr`` while a checkpoint is read: the history's statistics only."""
    from mmengine.logging import HistoryBuffer
    if owner is HistoryBuffer and name in HistoryBuffer()._statistics_methods:
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f"GLOBAL getattr of '{name}' is not allowed")


@cache
def format_configs_once() -> None:
    """Let MMEngine remember how it formatted the text of a config.

    It formats with yapf, up to half a second a time: at the start of a run five times, and again
    for every checkpoint.
    """
    from mmengine.config import config
    original = config.FormatCode

    @lru_cache(maxsize=8)
    def formatted(text: str, options: str) -> Any:
        return original(text, **json.loads(options))

    config.FormatCode = lambda text, **options: formatted(text, json.dumps(options))
