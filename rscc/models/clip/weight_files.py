"""Weight files of CLIP and SigLIP in every published layout, and the towers they describe.

Papers: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML
2021, https://arxiv.org/abs/2103.00020 (CLIP, under OpenAI's key names); Zhai et al., Sigmoid Loss
for Language Image Pre-Training, ICCV 2023, https://arxiv.org/abs/2303.15343 (SigLIP, under those of
transformers).
"""
import hashlib
import pickle
import re
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rscc import compat
from rscc.models.clip.published import (
    CLIP_MEAN,
    CLIP_STD,
    Published,
    nearest_published,
    published,
    published_as,
    usual_normalisation,
)
from rscc.models.clip.towers import describe_visual
from rscc.models.contracts import Normalisation
from rscc.utils import did_you_mean
from rscc.utils.logging import warn_once

#: Numbers that OpenAI's archives carry among the weights.
_NUMBERS = ('input_resolution', 'context_length', 'vocab_size')
_KINDS = ("a file (OpenAI's archive, a state dict, safetensors), an open_clip name such as "
          "'RN50:openai', or one for remote sensing such as 'remoteclip-rn50'")
#: Files of a folder that can hold the weights, the likeliest first.
_IN_FOLDERS = ('model.safetensors', 'open_clip_model.safetensors', 'pytorch_model.bin',
               'open_clip_pytorch_model.bin')
#: Small tensors that tell one training from another.
_TELLING = ('logit_scale', 'logit_bias', 'ln_final.weight', 'visual.ln_post.weight',
            'visual.attnpool.c_proj.bias', 'vision_model.head.probe', 'text_model.head.bias')


@dataclass(frozen=True)
class Origin:
    """Place of weights, and what their name tells of them.

    Attributes:
        source: What was asked for.
        path: The file.
        quick_gelu: Whether they go with QuickGELU; None where the name does not tell.
        confirmed: Whether that is certain.
        normalisation: Of the images in their training, where the name tells.
        entry: Facts about weights for remote sensing.
    """
    source: str
    path: Path
    quick_gelu: bool | None = None
    confirmed: bool = True
    normalisation: Normalisation | None = None
    entry: Published | None = None


@dataclass(frozen=True)
class WeightFacts:
    """Facts about weights that a tower keeps: normalisation and identity.

    Attributes:
        normalisation: Statistics by which images were standardised in their training.
        identity: 16 hex digits that both towers of one training share; None for a tower alone.
    """
    normalisation: Normalisation
    identity: str | None


@dataclass(frozen=True)
class CLIPWeights:
    """The weights of one CLIP or SigLIP model.

    Attributes:
        state_dict: float32 tensors by OpenAI's names, those of the image tower with ``visual.``; of
            a SigLIP by transformers' names. They may be shared with other readers: copy before
            changing them in place.
        quick_gelu: Whether they were trained with QuickGELU (``x * sigmoid(1.702 x)``); None where
            the file does not say.
        source: What was asked for.
        origin: Where they were found.
        siglip: Whether they are a SigLIP.
    """
    state_dict: dict[str, Tensor]
    quick_gelu: bool | None
    source: str
    origin: Origin
    siglip: bool = False

    @cached_property
    def facts(self) -> WeightFacts:
        """Facts for the towers; statistics are CLIP's or SigLIP's unless a name tells others."""
        known = self.origin.normalisation or usual_normalisation(self.siglip, self.source)
        if 'logit_scale' not in self.state_dict:
            return WeightFacts(known, None)
        digest = hashlib.sha256()
        for name in _TELLING:
            if name in self.state_dict:
                digest.update(self.state_dict[name].contiguous().numpy().tobytes())
        return WeightFacts(known, digest.hexdigest()[:16])


def read_clip(source: str) -> CLIPWeights:
    """Read CLIP weights.

    The file read last is kept as it is stored, since image tower and text encoder name the same.

    Args:
        source: A file (OpenAI's TorchScript archive; a state dict ``.pt``, ``.pth`` or ``.bin``,
            plain or under ``state_dict``; ``.safetensors``; a zip archive of one of these) or the
            folder of one; an open_clip name ``ARCH:TAG`` such as ``'RN50:openai'``, which open_clip
            downloads once; or a name of :mod:`rscc.models.clip.published`.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If open_clip cannot download; the message says what to fetch by hand.
        ValueError: If the name is unknown, or the file is damaged or holds no CLIP.
    """
    weights = read_weights(source)
    if weights.siglip:
        raise ValueError(
            f"'{source}' holds a SigLIP, and a CLIP is wanted: they have other towers. Its "
            "encoder is type='SiglipViT', its text encoder type='SiglipTextEncoder' with "
            "tokenizer=dict(type='SiglipTokenizer')")
    return weights


def read_siglip(source: str) -> CLIPWeights:
    """Read the weights of a SigLIP: a folder of transformers, a file of one, or a name.

    Raises:
        FileNotFoundError, OSError, ValueError: As :func:`read_clip`.
    """
    weights = read_weights(source)
    if not weights.siglip:
        raise ValueError(
            f"'{source}' holds a CLIP, and a SigLIP is wanted: they have other towers. Its "
            "encoder is type='CLIPViT' or 'CLIPResNet', its text encoder "
            "type='CLIPTextEncoder'")
    return weights


def read_weights(source: str) -> CLIPWeights:
    """Read the weights of a CLIP or a SigLIP, whichever it is, and say in the log what was found.

    Raises:
        FileNotFoundError, OSError, ValueError: As :func:`read_clip`.
    """
    origin = locate(source)
    # A rewritten file is another file to the cache: its time and size are part of the key.
    written = origin.path.stat()
    stored, layout = _read_file(origin.path, written.st_mtime_ns, written.st_size)
    state = {key: value.float() if value.is_floating_point() else value
             for key, value in stored.items()}
    siglip = any(key.startswith('vision_model.') for key in state)
    quick_gelu = True if layout == _ARCHIVE else None if siglip else origin.quick_gelu
    prefix = 'vision_model.' if siglip else 'visual.'
    tower = describe_visual({key.removeprefix(prefix): value for key, value in state.items()
                             if key.startswith(prefix)})
    known = f', {origin.entry.name}' if origin.entry else ''
    warn_once(f"CLIP weights '{source}'{known}: {layout}, {tower}", 20)
    return CLIPWeights(state, quick_gelu, source, origin, siglip)


def locate(source: str) -> Origin:
    """Find the file behind a path or a name, downloading it where open_clip can.

    Raises:
        FileNotFoundError, OSError, ValueError: As :func:`read_clip`.
    """
    entry = published(source)
    path = entry.locate() if entry else Path(source).expanduser()
    if path.exists():
        entry = entry or published_as(path)
        path = _file_in(path) if path.is_dir() else path
        if entry is None:
            return Origin(source, path)
        return Origin(source, path, entry.quick_gelu, entry.confirmed, entry.normalisation, entry)
    # No such file: a name ARCH:TAG, or a path with a mistake in it.
    name = split_name(source)
    if name is None:
        beside = sorted(found.name for found in path.parent.glob('*') if found.is_file()) if (
            path.parent.is_dir()) else []
        raise FileNotFoundError(
            f"no CLIP weights at '{source}': expected {_KINDS}."
            f'{did_you_mean(path.name, beside) or nearest_published(source)}')
    record = _published(*name)
    mean, std = record.get('mean') or CLIP_MEAN, record.get('std') or CLIP_STD
    return Origin(source, _download(source, record),
                  bool(record.get('quick_gelu') or 'quickgelu' in name[0]),
                  normalisation=Normalisation(tuple(mean), tuple(std), source))


def is_weights(source: str) -> bool:
    """Tell whether a source is a file, or a folder with weights, and no tag of open_clip's."""
    path = Path(source).expanduser()
    return path.is_file() or (path.is_dir() and bool(_files_in(path)))


def _files_in(folder: Path) -> list[Path]:
    found = [folder / name for name in _IN_FOLDERS if (folder / name).is_file()]
    return found[:1] or [*folder.glob('*.pt')]


def _file_in(folder: Path) -> Path:
    """Return the file of a folder that holds the weights."""
    alone = _files_in(folder)
    if len(alone) != 1:
        there = sorted(path.name for path in folder.iterdir())
        raise FileNotFoundError(
            f"folder '{folder}' has no weights that are known here: expected one of "
            f'{list(_IN_FOLDERS)} or a single .pt, found {there[:8] or "nothing"}')
    return alone[0]


def split_name(source: str) -> tuple[str, str] | None:
    """Split ``ARCH:TAG`` as open_clip spells it; None where that cannot be meant."""
    # Two letters at least before the colon: C:weights is a path on Windows.
    found = re.fullmatch(r'([\w/-]{2,}):([\w-]+)', source)
    return (found.group(1).replace('/', '-'), found.group(2)) if found else None


def _published(arch: str, tag: str) -> dict[str, Any]:
    """Return open_clip's record of where weights come from."""
    pretrained = compat.import_open_clip('pretrained')
    tags = pretrained.list_pretrained_tags_by_model(arch)
    if not tags:
        known = {name for name, _ in pretrained.list_pretrained()}
        raise ValueError(f"open_clip has no weights for an architecture '{arch}'."
                         f'{did_you_mean(arch, known) or nearest_published(tag)}')
    entry = pretrained.get_pretrained_cfg(arch, tag)
    if not entry:
        raise ValueError(f"open_clip has no weights '{tag}' for '{arch}'; it has {sorted(tags)}."
                         f'{did_you_mean(tag, tags) or nearest_published(tag)}')
    return entry


def _download(source: str, entry: dict[str, Any]) -> Path:
    library = compat.import_open_clip('pretrained')
    compat.hub_in_reach()  # its cache is read at once where it is not
    try:
        return Path(library.download_pretrained(entry))
    except Exception as error:  # each transport has errors of its own
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        hub = entry.get('hf_hub', '').rstrip('/')
        places = [place for place in (entry.get('url'), f'https://huggingface.co/{hub}' if hub
                                      else None) if place]
        raise OSError(f"open_clip cannot download '{source}' ({cause}). Fetch the weights from "
                      f'{" or ".join(places)} where there is a network, and name the file in place '
                      f"of '{source}'") from error


@lru_cache(maxsize=1)
def _read_file(path: Path, _modified: int, _size: int) -> tuple[dict[str, Tensor], str]:
    """Return the tensors as they are stored, and what the layout of the file is called."""
    archive = False
    try:
        archive = _is_archive(path)
        loaded = _load_archive(path) if archive else _load_tensors(path)
    except pickle.UnpicklingError as error:
        blocked = re.search(r'GLOBAL ([\w.]+)', str(error))
        cause = (f"it holds Python objects of '{blocked.group(1)}', which could run code"
                 if blocked else 'it is no torch file')
        raise ValueError(f"CLIP weights '{path}' cannot be read: {cause}. Expected {_KINDS}"
                         ) from error
    except Exception as error:  # a damaged archive or pickle fails in any way
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"CLIP weights '{path}' are damaged or cut short: {cause}. Fetch the file "
                         'again') from error
    state, layout = _plain_names(loaded, path)
    return state, _ARCHIVE if archive else layout


def _is_archive(path: Path) -> bool:
    """Whether the file is TorchScript, told by what is in it: the ending says nothing."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith('/constants.pkl') for name in archive.namelist())


def _load_archive(path: Path) -> Mapping[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch announces that TorchScript is going away
        return torch.jit.load(str(path), map_location='cpu').state_dict()


def _load_tensors(path: Path) -> Any:
    if packed := _packed_in(path):
        # Unpacked for the moment: torch jumps about in its files, for which zip is too slow.
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
            return _load_tensors(Path(archive.extract(packed, folder)))
    # The contents tell the format; safetensors begin with a length and a JSON header.
    with path.open('rb') as file:
        head = file.read(9)
    if head[8:] == b'{':  # eight bytes of length, then JSON
        from safetensors import SafetensorError
        from safetensors.torch import load_file
        try:
            return load_file(path)
        except SafetensorError as error:
            raise RuntimeError(error) from error
    return torch.load(path, map_location='cpu', weights_only=True)


def _packed_in(path: Path) -> str | None:
    """Return the weights inside an archive such as SkyCLIP's; None for torch's own zip files."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith('data.pkl') for name in names):
        return None
    packed = [name for name in names if Path(name).suffix in ('.pt', '.pth', '.safetensors')
              and not Path(name).name.startswith('._')]
    if len(packed) != 1:
        raise RuntimeError(f'an archive with {len(packed)} weight files; unpack it and name the '
                           f'right one of {sorted(packed)[:4]}')
    return packed[0]


#: What layouts are called in the log.
_ARCHIVE, _STATE, _TRAINING, _TRANSFORMERS = (
    "OpenAI's archive", "state dict with open_clip's names", 'training checkpoint of open_clip',
    "state dict with transformers' names")


def _plain_names(loaded: Any, path: Path) -> tuple[dict[str, Tensor], str]:
    """Unwrap training checkpoints and undo prefixes; return the tensors and the layout's name."""
    # Training checkpoints hold the weights one level down; DDP and open_clip add prefixes.
    layout = _STATE
    if isinstance(loaded, Mapping) and isinstance(loaded.get('state_dict'), Mapping):
        loaded, layout = loaded['state_dict'], _TRAINING
    if not isinstance(loaded, Mapping):
        raise ValueError(f"'{path}' holds no CLIP weights but a {type(loaded).__name__}; "
                         f'expected {_KINDS}')
    state = {re.sub(r'^(module\.)?(text\.)?', '', str(key)): value
             for key, value in loaded.items() if isinstance(value, Tensor)}
    if 'vision_model.head.probe' in state:  # SigLIP pools by it, CLIP has nothing of that kind
        return {key: value for key, value in state.items()
                if not key.endswith('position_ids')}, _TRANSFORMERS
    if not any(key.startswith('visual.') for key in state):
        raise ValueError(f"'{path}' holds no CLIP weights: no key begins with 'visual.'. "
                         f'{_likely_kind(list(state))}')
    if any(key.startswith('visual.trunk.') for key in state):
        raise ValueError(f"'{path}' holds an image tower of timm (its keys begin with "
                         "'visual.trunk.'), as open_clip's SigLIP files do: take the same model "
                         'in the layout of transformers, a folder with config.json')
    return {key: value for key, value in state.items() if key not in _NUMBERS}, layout


def _likely_kind(keys: list[str]) -> str:
    if any(key.startswith('backbone.') for key in keys):
        return ('It looks like a trained ChangeCLIP; import that with '
                'tools/model_converters/changeclip_to_rscc.py')
    if any(key.startswith('vision_model.') for key in keys):
        return f"It looks like transformers' CLIP, whose names differ; expected {_KINDS}"
    return f'Found {keys[:3] or "no tensor at all"}; expected {_KINDS}'
