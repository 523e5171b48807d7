"""Conversion of checkpoints: from other code bases to ours, and ours to one merged file.

Reading comes first, of whole pickled modules too, without running their code; then the renaming of
tensors by rules; then writing a checkpoint and the config that goes with it.
"""
import os
import pickle
import re
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from rscc.config.stored import building
from rscc.engine.checkpoint import (
    ForeignObjectsError,
    KeyReport,
    load_weights,
    misfit,
    read_checkpoint,
)
from rscc.models.adaptation import merge_lora
from rscc.models.caption_heads.base import restore_vocabulary
from rscc.models.data_preprocessor import normalisation_record, restore_normalisation
from rscc.models.pretrained import without_pretrained
from rscc.registry import DATASETS, MODELS, Part
from rscc.utils import atomic_write

# Unpickling a module runs what the file says, and needs the source that it was made with. Its
# tensors are no more than entries of its attributes, so everything but tensors and containers
# becomes an empty shell that keeps its attributes; the state dicts are then read off the shells.
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


# The unpickler in Python: that in C takes gigabytes of memory when a damaged file asks for them.
class _Unpickler(pickle._Unpickler):

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
            if isinstance(loaded, Mapping):
                kept = {key: state_dict_of(value) if _is_module(value) else value
                        for key, value in loaded.items()}
                return {key: value for key, value in kept.items() if not isinstance(value, _Shell)}
            found = state_dict_of(loaded) if _is_module(loaded) else None
        except Exception as error:  # a malformed pickle fails in any way
            raise ValueError(f"'{path}' cannot be read: {error}") from error
        if found is None:
            raise ValueError(f"'{path}' holds a {type(loaded).__name__}, no module: {refused}"
                             ) from refused
        return found


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


#: (pattern of the start of a name there, its replacement as in ``re.sub``).
Rules = Sequence[tuple[str, str | Callable[[re.Match], str]]]


def rename_start(rules: Rules, name: str) -> str | None:
    """Return a name by the first rule whose pattern it starts with, None where there is none."""
    for pattern, replacement in rules:
        if re.match(pattern, name):
            return re.sub(f'^{pattern}', replacement, name, count=1)
    return None


@dataclass
class Converted:
    """What a conversion wrote.

    Attributes:
        checkpoint: The weights, with the config inside.
        config: The config that goes with them.
        report: How the tensors matched.
    """
    checkpoint: Path
    config: Path
    report: KeyReport

    def __str__(self) -> str:
        """Say what matched, what was written, and how to go on."""
        return (f'{self.report}\nwritten: {self.checkpoint}, {self.config}\n'
                f'test it: python tools/test.py {self.config} {self.checkpoint}')


def convert(weights: Mapping[str, Tensor], cfg: Config, out: str | os.PathLike, source: str,
            absent: Sequence[str] = ()) -> Converted:
    """Write renamed weights as a checkpoint and the config that reproduces the original beside it.

    Args:
        weights: Tensors under our names; what parts carry along (``Part.CARRIED``) is that of
            the config where it is not among them.
        cfg: The config, its original's habits set; edited: weights that the checkpoint replaces are
            not read.
        out: The checkpoint, ``.pth``; the config gets the ending ``.py``.
        source: Where the weights came from, for the record.
        absent: Parts of the model that the source does not hold, ``'encoder'`` for instance; they
            keep the published weights that the config names.

    Returns:
        The files and the report.

    Raises:
        ValueError: If the tensors are not exactly those of the model, or an absent part has no
            published weights; nothing is written.
    """
    for name, part in cfg.model.items():
        if name not in absent:
            without_pretrained({name: part})
    model = _build(cfg)
    report = load_weights(model, _carried(model) | dict(weights))
    elsewhere = [name for name in report.missing if name.split('.')[0] in absent]
    for part in {name.split('.')[0] for name in elsewhere}:
        if not _load_published(model.get_submodule(part), cfg.model[part]):
            raise ValueError(f"'{source}' holds no {part}, and 'model.{part}' of '{cfg.filename}' "
                             'names no pretrained weights: it would keep random values. Nothing '
                             'was written; set its pretrained')
    report.missing = [name for name in report.missing if name not in elsewhere]
    if not report.exact:
        raise ValueError(f"'{source}' does not fit the model of '{cfg.filename}': {report}\n"
                         'Nothing was written. Another config, or --cfg-options, may fit.')
    facts = dict(dataset_meta=_dataset_meta(cfg), converted_from=str(source))
    return _write(model, cfg, out, facts, f'Converted from {Path(source).name}.', report)


def export_merged(cfg: Config, checkpoint: str | os.PathLike, out: str | os.PathLike) -> Converted:
    """Write a trained model as one file of plain weights, with the config that reads it.

    Low-rank adapters become part of what they adapt; a caption head may ``merge`` its language
    model into the file.

    Args:
        cfg: The config the checkpoint was trained with; edited.
        checkpoint: What was trained.
        out: The new checkpoint, ``.pth``; the config gets the ending ``.py``.

    Raises:
        FileNotFoundError: If the checkpoint is not there.
        ValueError: If it does not fit the config, or the model has nothing to merge; nothing is
            written.
    """
    merged = load_merged(cfg, checkpoint)
    if not merged.changed:
        raise ValueError(f"the model of '{cfg.filename}' has nothing to merge: no low-rank "
                         'adapters, and no language model beside its checkpoint')
    meta = merged.stored.get('meta') or {}
    facts = dict(dataset_meta=meta.get('dataset_meta') or _dataset_meta(cfg),
                 merged_from=str(checkpoint))
    return _write(merged.model, cfg, out, facts, f'Merged from {Path(checkpoint).name}.',
                  merged.report)


@dataclass
class Merged:
    """A trained model as one of plain weights.

    Attributes:
        model: With low-rank adapters and language model inside.
        stored: The checkpoint that it was trained to.
        report: How the tensors of that checkpoint matched.
        changed: Whether anything was merged.
    """
    model: nn.Module
    stored: Mapping[str, Any]
    report: KeyReport
    changed: bool


def load_merged(cfg: Config, checkpoint: str | os.PathLike) -> Merged:
    """Load a trained model and put into it what its checkpoint leaves to other files.

    Args:
        cfg: The config it was trained with; edited to describe the merged model.
        checkpoint: What was trained.

    Raises:
        FileNotFoundError: If the checkpoint is not there.
        ValueError: If it does not fit the config.
    """
    stored = read_checkpoint(checkpoint)
    restore_vocabulary(cfg, stored)
    without_pretrained(cfg.model, stored)
    model = _build(cfg)
    report = load_weights(model, stored)
    if not report.exact:
        raise ValueError(misfit(f"checkpoint '{checkpoint}' does not fit the model of "
                                f"'{cfg.filename}'", stored, report))
    restore_normalisation(model, stored)
    adapters, head = merge_lora(model), cfg.model.get('caption_head')
    merged = model.caption_head.merge(head.to_dict()) if head else None
    cfg.model.pop('lora', None)
    if merged is not None:
        cfg.model.caption_head = merged
    return Merged(model, stored, report, bool(adapters) or merged is not None)


def _build(cfg: Config) -> nn.Module:
    with DefaultScope.overwrite_default_scope('rscc'), building(cfg):
        return MODELS.build(cfg.model)


def _carried(model: nn.Module) -> dict[str, Tensor]:
    """Return the buffers that the config told the heads of a model."""
    return {f'{name}.{key}': value for name, module in model.named_modules()
            if isinstance(module, Part) for key, value in module.named_buffers(recurse=False)
            if key in module.CARRIED}


def _load_published(part: nn.Module, cfg: Mapping) -> bool:
    """Give a part the published weights that its config names; tell whether there are any."""
    if cfg.get('pretrained'):  # read when it was built
        return True
    inside = [cfg, *(value for value in cfg.values() if isinstance(value, Mapping))]
    if not any((node.get('init_cfg') or {}).get('type') == 'Pretrained' for node in inside):
        return False
    part.init_weights()
    return True


def _write(model: nn.Module, cfg: Config, out: str | os.PathLike, facts: dict, title: str,
           report: KeyReport) -> Converted:
    """Write checkpoint and config."""
    target = Path(out).with_suffix('.pth')
    config = target.with_suffix('.py')
    meta = dict(cfg=cfg.pretty_text, **normalisation_record(model), **facts)
    with atomic_write(target, 'wb') as file:
        torch.save(dict(meta=meta, state_dict=model.state_dict()), file)
    with atomic_write(config) as file:
        file.write(f'"""{title}"""\n{cfg.pretty_text}')
    return Converted(target, config, report)


def _dataset_meta(cfg: Config) -> dict:
    """Return what inference wants to know of the data: classes, colours, task."""
    dataset = cfg.test_dataloader.dataset
    kind = DATASETS.get(dataset.type)
    facts = kind.METAINFO if issubclass(kind, BaseDataset) else {}  # wrappers have none
    return facts | dict(dataset.get('metainfo') or {})
