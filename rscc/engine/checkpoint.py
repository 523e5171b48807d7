"""Safe reading of checkpoints: no code runs, damage is noticed, keys are compared.

A published model is one ``.safetensors`` file: weights, and in its metadata, which are strings,

* ``rscc_format``: version of this form;
* ``config``: text of the config, as MMEngine keeps it in ``meta['cfg']``;
* ``meta``: JSON of the rest of ``meta``: ``dataset_meta`` (classes, palette, languages, ground
  resolution, ...), ``normalisation``, ``published`` (name, licence, architecture, ...).
"""
import json
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from rscc.compat import allow_mmengine_checkpoints
from rscc.config.files import find_checkpoint, published_names, refuse_config
from rscc.engine.distributed import unwrapped
from rscc.utils import atomic_write, did_you_mean
from rscc.utils.forms import check_form

#: What training cannot continue without.
RESUME_KEYS = ('meta', 'state_dict', 'message_hub', 'optimizer')
#: Of the files that are named where one is not there.
ENDINGS = ('.pth', '.pt', '.safetensors')
#: Version of the form of published models; files of a later one are refused.
FORMAT = 1
#: What a published model says of itself.
PUBLISHED = {'name': str, 'licence': str, 'architecture': str, 'parameters': int,
             'started_from?': str, 'made_from?': str, 'datasets?': [str]}
_SHOWN = 10
_CHUNK = 2**20
_FOLDER = 0x10  # of the attributes of DOS files


class ForeignObjectsError(ValueError):
    """A file holds Python objects beside tensors and plain values."""


class LaterFormatError(ValueError):
    """A published model is of a form that a later version of rscc writes."""


def read_checkpoint(path: str | os.PathLike, map_location: Any = 'cpu') -> dict[str, Any]:
    """Read a checkpoint without ever running code that it may hold.

    Args:
        path: A local file (``.safetensors`` by its ending), an ``http(s)://`` / ``file://``
            address (kept in torch's cache), or the name of a published model.
        map_location: As in ``torch.load``.

    Returns:
        The file's dict: MMEngine's layout, also of a published model; or a bare state dict.

    Raises:
        FileNotFoundError: If there is no such file; the message names the nearest one beside it.
        ForeignObjectsError: If it holds Python objects, a whole pickled module for instance.
        ValueError: If the file is damaged, is not a dict, or is a config.
    """
    refuse_config(path)
    allow_mmengine_checkpoints()
    name = str(find_checkpoint(path))
    try:
        if re.match(r'(https?|file)://', name):
            loaded = torch.hub.load_state_dict_from_url(name, map_location=map_location,
                                                        weights_only=True)
        elif name.endswith('.safetensors'):
            loaded = _read_safetensors(_existing(Path(name).expanduser()))
        else:
            loaded = torch.load(_existing(Path(name).expanduser()), map_location=map_location,
                                weights_only=True)
    except (FileNotFoundError, MemoryError, LaterFormatError):
        raise
    except pickle.UnpicklingError as error:
        raise _unreadable(name, error) from error
    except Exception as error:  # a damaged archive or pickle fails in any way
        raise ValueError(f"checkpoint '{name}' is damaged or cut short: "
                         f'{_first_line(error)}. Use another file of that run, or resume with '
                         '--resume, which skips broken ones') from error
    if not isinstance(loaded, Mapping):
        raise ValueError(f"checkpoint '{name}' holds a {type(loaded).__name__}, expected a dict "
                         "with a 'state_dict' or a bare state dict")
    return loaded


def with_metadata(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint as ``state_dict`` and ``meta``, bare weights with empty metadata.

    Args:
        checkpoint: From :func:`read_checkpoint`; not changed.
    """
    if 'state_dict' not in checkpoint:
        return dict(state_dict=checkpoint, meta={})
    return {**checkpoint, 'meta': {**(checkpoint.get('meta') or {})}}


def _existing(path: Path) -> Path:
    if path.is_file():
        return path
    beside = (sorted(p.name for p in path.parent.iterdir() if p.suffix in ENDINGS)
              if path.parent.is_dir() else [])
    found = f"; its folder holds {', '.join(beside[:_SHOWN])}" if beside else ''
    known = beside if path.suffix in ENDINGS else [*beside, *published_names()]
    raise FileNotFoundError(f"no checkpoint at '{path}'{found}.{did_you_mean(path.name, known)}")


def _read_safetensors(path: Path) -> dict[str, Any]:
    """Return weights with what the metadata tell of them, or a bare state dict without any."""
    with safe_open(path, framework='pt') as file:
        told = file.metadata() or {}
    if 'rscc_format' not in told:
        return load_file(path)
    form = told['rscc_format']
    if form.isascii() and form.isdigit() and int(form) > FORMAT:
        raise LaterFormatError(f"'{path}' is a model of format {form}; this version of rscc reads "
                               f'{FORMAT}: install a newer one')
    check_form(told, {'rscc_format': {str(FORMAT)}, 'config': str, 'meta': str}, 'its metadata')
    meta = json.loads(told['meta'])
    check_form(meta, {'dataset_meta?': {}, 'published?': PUBLISHED}, 'its metadata')
    return dict(meta=meta | dict(cfg=told['config']), state_dict=load_file(path))


def write_published(path: str | os.PathLike, state_dict: Mapping[str, Tensor], config: str,
                    meta: Mapping[str, Any]) -> None:
    """Write weights with their config and metadata as one ``.safetensors`` file.

    Args:
        path: The file.
        state_dict: The weights; they are stored in their own precision.
        config: Text of the config, ``Config.pretty_text``.
        meta: What :func:`read_checkpoint` returns as ``meta`` beside the config; plain values.

    Raises:
        ValueError: If the metadata hold what JSON cannot (NaN).
    """
    # Weights that share memory (tied ones) are stored twice: both names are expected when loading.
    data = save({key: value.detach().cpu().contiguous().clone()
                 for key, value in state_dict.items()})
    told = dict(format='pt', rscc_format=str(FORMAT), config=config,
                meta=json.dumps(dict(meta), ensure_ascii=False, allow_nan=False))
    # The library writes metadata in any order, and the same weights would have two hashes.
    start = 8 + int.from_bytes(data[:8], 'little')  # the length of the header, then the header
    header = json.dumps(dict(__metadata__=told) | json.loads(data[8:start])).encode()
    header += b' ' * (-len(header) % 8)
    with atomic_write(path, 'wb') as file:
        file.write(len(header).to_bytes(8, 'little') + header + data[start:])


def _unreadable(name: str, error: Exception) -> ValueError:
    """Tell a file with foreign objects from one that is no checkpoint at all."""
    blocked = re.search(r'GLOBAL ([\w.]+)', str(error))
    # Old files of modules first say where their source was.
    what = blocked[1] if blocked else 'module' if 'persistent_load' in str(error) else None
    if what is None:
        # torch's first line advises to load without safety, which would not help either.
        cause = re.search(r'Unpickler error:\s*(.+)', str(error))
        said = cause.group(1).rstrip('.') if cause else _first_line(error)
        return ValueError(f"checkpoint '{name}' is not a torch file or is damaged: {said}. "
                          'Expected what tools/train.py saves')
    return ForeignObjectsError(
        f"checkpoint '{name}' holds Python objects of '{what}', which could run code when loaded, "
        'so it is refused. Convert it to plain tensors where it was made, or see '
        'tools/model_converters')


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip('.')


@dataclass
class KeyReport:
    """How a state dict differs from a model.

    Attributes:
        matched: Number of tensors loaded.
        missing: Names the model has and the file has not.
        unexpected: Names the file has and the model has not.
        mis_shaped: ``'name: file (3, 4), model (3, 5)'`` lines.
    """
    matched: int = 0
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mis_shaped: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether every tensor of both sides met its partner."""
        return not (self.missing or self.unexpected or self.mis_shaped)

    def __str__(self) -> str:
        """Counts, then the first ten names of each kind."""
        lines = [f'{self.matched} tensors match, {len(self.missing)} missing, '
                 f'{len(self.unexpected)} unexpected, {len(self.mis_shaped)} of another shape']
        for title, names in (('missing in the file', self.missing),
                             ('not in the model', self.unexpected),
                             ('of another shape, or other words', self.mis_shaped)):
            if names:
                more = f', ... {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
                lines.append(f'  {title} ({len(names)}): {", ".join(names[:_SHOWN])}{more}')
        return '\n'.join(lines)


def load_weights(model: nn.Module, checkpoint: Mapping[str, Any]) -> KeyReport:
    """Copy the tensors that fit into ``model`` and report the rest.

    Args:
        model: The model; wrappers (DDP) are looked through.
        checkpoint: What :func:`read_checkpoint` returned.

    Returns:
        The differences. ``num_batches_tracked`` counters of older files are not counted as missing,
        nor what the model's own ``load_state_dict`` hooks excuse.

    Raises:
        ValueError: If a part of the model refuses its weights.
    """
    model = unwrapped(model)
    state = {re.sub(r'^module\.', '', key): value
             for key, value in checkpoint.get('state_dict', checkpoint).items()
             if isinstance(value, Tensor)}
    own = model.state_dict()
    report = KeyReport()
    _drop_other_vocabularies(state, own, report)
    for key in [key for key in state if key in own and own[key].shape != state[key].shape]:
        found = state.pop(key)
        report.mis_shaped.append(
            f'{key}: file {tuple(found.shape)}, model {tuple(own[key].shape)}')
    try:
        outcome = model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # what a part of the model itself refuses
        reasons = '; '.join(line.strip() for line in str(error).splitlines()[1:])
        raise ValueError(f'the checkpoint does not fit the model: {reasons}') from error
    shaped = {line.split(':')[0] for line in report.mis_shaped}
    report.missing = [key for key in outcome.missing_keys
                      if key not in shaped and not key.endswith('num_batches_tracked')]
    report.unexpected = list(outcome.unexpected_keys)
    report.matched = len(state) - len(report.unexpected)
    return report


def load_fitting(model: nn.Module, checkpoint: Mapping[str, Any], name: str, strict: bool
                 ) -> KeyReport:
    """Copy the tensors that fit as :func:`load_weights` does, where enough of them do.

    Args:
        model: The model.
        checkpoint: What :func:`read_checkpoint` returned.
        name: Of the checkpoint, for messages.
        strict: Whether every tensor must fit, not one at least.

    Raises:
        ValueError: If too little fits; it lists what does not.
    """
    report = load_weights(model, checkpoint)
    if not report.exact and (strict or not report.matched):
        raise ValueError(misfit(f"checkpoint '{name}' does not fit the model of this config",
                                checkpoint, report)
                         + ', or load what fits with --cfg-options strict_load=False')
    return report


def _drop_other_vocabularies(state: dict[str, Tensor], own: Mapping[str, Tensor],
                             report: KeyReport) -> None:
    """Set a word list that differs from the model's aside, and what has a row for each word.

    Its ids would mean other words, also where both lists are as long.
    """
    from rscc.models.caption_heads.base import BUFFER, unpack_words
    for key in [key for key in state if key.endswith(f'.{BUFFER}') and key in own]:
        theirs, ours = unpack_words(state[key]), unpack_words(own[key])
        if theirs != ours:
            del state[key]
            report.mis_shaped.append(f'{key}: file {len(theirs)} words, model {len(ours)}, '
                                     'not the same ones')
            head, counts = key.removesuffix(BUFFER), (len(theirs), len(theirs) + 1)  # and a mask
            for name in [name for name, value in state.items() if name.startswith(head)
                         and value.ndim and value.shape[0] in counts]:
                del state[name]
                report.mis_shaped.append(f'{name}: rows of other words')


def training_name(checkpoint: Mapping[str, Any]) -> str:
    """Return what the run that wrote a checkpoint was called, the config's name; '' if unknown."""
    told = str((checkpoint.get('meta') or {}).get('experiment_name') or '')
    return Path(re.sub(r'_\d{8}_\d{6}$', '', told)).stem


def misfit(owner: str, checkpoint: Mapping[str, Any], report: KeyReport) -> str:
    """Say that weights do not fit, and which config they were trained with.

    Args:
        owner: What they were meant for: "checkpoint 'a.pth' does not fit the model of this config".
        checkpoint: What was read.
        report: Which of its weights fit.
    """
    name = training_name(checkpoint)
    return f'{owner}: {report}\nUse the config it was trained with{f", {name}" if name else ""}'


def checkpoint_candidates(work_dir: str | os.PathLike) -> list[Path]:
    """List a run's training checkpoints, newest first.

    ``last_checkpoint`` names the first one; the others are ordered by the number in their name.
    The recorded path may be stale where the folder was moved, so its name counts, not its folder.
    """
    work_dir = Path(work_dir)
    numbered = [(int(found.group(1)), path) for path in work_dir.glob('*.pth')
                if (found := re.fullmatch(r'(?:epoch|iter)_(\d+)', path.stem))]
    ordered = [path for _, path in sorted(numbered, reverse=True)]
    note = work_dir / 'last_checkpoint'
    recorded = note.read_bytes().decode(errors='replace').strip() if note.is_file() else ''
    if recorded and '\0' not in recorded:
        named = work_dir / Path(recorded).name
        last = named if named.is_file() else Path(recorded)
        ordered = [last] + [path for path in ordered if path != last]
    return ordered


def verify_archive(path: str | os.PathLike) -> None:
    """Read every entry of a checkpoint and compare name, size and check sum, which torch does not.

    The directory at the end of the file is not trusted: an entry whose name was damaged there would
    otherwise pass for another, and torch would load that one twice.

    Raises:
        ValueError: If anything differs; files of torch that are no archives are left alone.
    """
    try:
        with open(path, 'rb') as file:
            if file.read(2) != b'PK':
                return
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len({entry.filename for entry in entries}) < len(entries):
                raise ValueError('two entries have one name')
            for entry in entries:
                # By entry, not by name: this compares the name with the one before the data.
                with archive.open(entry) as stream:
                    size = sum(map(len, iter(lambda: stream.read(_CHUNK), b'')))  # and the sum
                if size != entry.file_size or entry.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"the size of '{entry.filename}' is wrong")
                if entry.external_attr & _FOLDER:  # for which torch would read nothing
                    raise ValueError(f"'{entry.filename}' is marked as a folder")
    except Exception as error:  # damage shows in any way
        raise ValueError(f'its archive is damaged: {_first_line(error)}') from error


def last_good_checkpoint(work_dir: str | os.PathLike) -> Path | None:
    """Find the newest checkpoint of a run that can really be resumed.

    Each candidate is read in full; one that does not load, whose check sums are wrong, or that
    lacks the optimizer, is named in a warning and the next older one is tried.

    Returns:
        The file, or None where the run has no usable one (also said in the log).
    """
    for path in checkpoint_candidates(work_dir):
        try:
            verify_archive(_existing(path))
            found = read_checkpoint(path)
        except (ValueError, FileNotFoundError) as error:
            print_log(f"skipping broken checkpoint '{path}': {error}", 'current', 30)
            continue
        lacking = [key for key in RESUME_KEYS if key not in found]
        lacking += [f'meta.{key}' for key in ('epoch', 'iter') if key not in found.get('meta', ())]
        if not lacking:
            return path
        print_log(f"skipping checkpoint '{path}': it lacks {', '.join(lacking)}, so training "
                  'cannot continue from it', 'current', 30)
    return None
