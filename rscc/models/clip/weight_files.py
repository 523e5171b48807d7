"""CLIP weight files of every published kind under OpenAI's key names, and the tower they describe.

Paper: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML
2021, https://arxiv.org/abs/2103.00020.
"""
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rscc import compat
from rscc.utils import did_you_mean

_SIZES = {(384, 12): 'S', (768, 12): 'B', (1024, 24): 'L', (1280, 32): 'H', (1408, 40): 'g',
          (1664, 48): 'bigG'}


@dataclass(frozen=True)
class VisualTower:
    """The shape of an image tower.

    Attributes:
        layers: Number of blocks; of each of the four stages for a ResNet.
        width: Channels of the tokens; of the first stage's bottleneck for a ResNet.
        patch: Side of a patch in pixels, None for a ResNet.
    """
    layers: int | tuple[int, ...]
    width: int
    patch: int | None = None

    def __str__(self) -> str:
        """Return the name people know and the numbers behind it."""
        if self.patch is None:
            stages = '-'.join(map(str, self.layers))
            return f'ResNet (layers {stages}, width {self.width})'
        letter = _SIZES.get((self.width, self.layers))
        name = f'ViT-{letter}/{self.patch}' if letter else f'ViT with patch {self.patch}'
        return f'{name} (width {self.width}, {self.layers} layers)'


def visual_tower(tensors: Mapping[str, Tensor]) -> VisualTower | None:
    """Recognise an image tower.

    Args:
        tensors: Its state dict, OpenAI's names without ``visual.``.

    Returns:
        The tower, or None where it is neither CLIP's ResNet nor its ViT.
    """
    # Names tell the kind, shapes and the highest block number of each stage its size.
    if 'layer1.0.conv1.weight' in tensors:
        stages = tuple(_count(tensors, rf'layer{stage}\.(\d+)\.') for stage in (1, 2, 3, 4))
        return VisualTower(stages, len(tensors['layer1.0.conv1.weight']))
    if 'class_embedding' in tensors and 'conv1.weight' in tensors:
        patches = tensors['conv1.weight']
        return VisualTower(_count(tensors, r'transformer\.resblocks\.(\d+)\.'), len(patches),
                           patches.shape[-1])
    return None


def describe_visual(tensors: Mapping[str, Tensor]) -> str:
    """Return ``'a ViT-B/16 (width 768, 12 layers), output 512'`` and the like."""
    tower = visual_tower(tensors)
    if tower is None:
        return f'no CLIP image tower that is known here (its keys begin {sorted(tensors)[:3]})'
    output = (tensors.get('attnpool.c_proj.weight') if tower.patch is None
              else _transposed(tensors.get('proj')))
    return f'a {tower}' + ('' if output is None else f', output {len(output)}')


def describe_text(tensors: Mapping[str, Tensor]) -> str:
    """Return ``'a text transformer (width 512, 12 layers), output 1024'`` and the like."""
    if 'positional_embedding' not in tensors:
        return f'no CLIP text tower that is known here (its keys begin {sorted(tensors)[:3]})'
    layers = _count(tensors, r'transformer\.resblocks\.(\d+)\.')
    length, width = tensors['positional_embedding'].shape
    output = _transposed(tensors.get('text_projection'))
    return (f'a text transformer (width {width}, {layers} layers, {length} positions)'
            + ('' if output is None else f', output {len(output)}'))


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    return len({found.group(1) for name in tensors if (found := re.match(pattern, name))})


def _transposed(matrix: Tensor | None) -> Tensor | None:
    return None if matrix is None else matrix.T


#: Numbers that OpenAI's archives carry among the weights.
_NUMBERS = ('input_resolution', 'context_length', 'vocab_size')
_KINDS = ("a file (OpenAI's archive, a state dict, safetensors) or an open_clip name such as "
          "'RN50:openai'")


@dataclass(frozen=True)
class CLIPWeights:
    """The weights of one CLIP model.

    Attributes:
        state_dict: float32 tensors by OpenAI's names, those of the image tower with ``visual.``.
            They may be shared with other readers: copy before changing them in place.
        quick_gelu: Whether they were trained with QuickGELU (``x * sigmoid(1.702 x)``); None where
            the file does not say.
        source: What was asked for.
    """
    state_dict: dict[str, Tensor]
    quick_gelu: bool | None
    source: str


def read_clip(source: str) -> CLIPWeights:
    """Read CLIP weights.

    The file read last is kept as it is stored, since image tower and text encoder name the same.

    Args:
        source: A file (OpenAI's TorchScript archive; a state dict ``.pt``, ``.pth`` or ``.bin``,
            plain or under ``state_dict``; ``.safetensors``), or an open_clip name ``ARCH:TAG``
            such as ``'RN50:openai'``, which open_clip downloads once.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If open_clip cannot download; the message says what to fetch by hand.
        ValueError: If the name is unknown, or the file is damaged or holds no CLIP.
    """
    # A rewritten file is another file to the cache: its time and size are part of the key.
    path, quick_gelu = locate_clip(source)
    written = path.stat()
    stored, archive = _read_file(path, written.st_mtime_ns, written.st_size)
    state = {key: value.float() if value.is_floating_point() else value
             for key, value in stored.items()}
    return CLIPWeights(state, True if archive else quick_gelu, source)


def locate_clip(source: str) -> tuple[Path, bool | None]:
    """Find the file behind a path or an open_clip name, downloading it where needed.

    Returns:
        The file, and whether its weights go with QuickGELU where the name tells, else None.

    Raises:
        FileNotFoundError, OSError, ValueError: As :func:`read_clip`.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return path, None
    # No such file: a name ARCH:TAG, or a path with a mistake in it.
    name = split_name(source)
    if name is None:
        beside = sorted(found.name for found in path.parent.glob('*') if found.is_file()) if (
            path.parent.is_dir()) else []
        raise FileNotFoundError(f"no CLIP weights at '{source}': expected {_KINDS}."
                                f'{did_you_mean(path.name, beside)}')
    entry = _published(*name)
    return _download(source, entry), bool(entry.get('quick_gelu') or 'quickgelu' in name[0])


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
                         f'{did_you_mean(arch, known)}')
    entry = pretrained.get_pretrained_cfg(arch, tag)
    if not entry:
        raise ValueError(f"open_clip has no weights '{tag}' for '{arch}'; it has {sorted(tags)}."
                         f'{did_you_mean(tag, tags)}')
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
def _read_file(path: Path, _modified: int, _size: int) -> tuple[dict[str, Tensor], bool]:
    """Return the tensors as they are stored, and whether the file is an OpenAI archive."""
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
    return _openai_names(loaded, path), archive


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


def _openai_names(loaded: Any, path: Path) -> dict[str, Tensor]:
    """Unwrap training checkpoints and undo open_clip's prefix of the text tower."""
    # Training checkpoints hold the weights one level down; DDP and open_clip add prefixes.
    if isinstance(loaded, Mapping) and isinstance(loaded.get('state_dict'), Mapping):
        loaded = loaded['state_dict']
    if not isinstance(loaded, Mapping):
        raise ValueError(f"'{path}' holds no CLIP weights but a {type(loaded).__name__}; "
                         f'expected {_KINDS}')
    state = {re.sub(r'^(module\.)?(text\.)?', '', str(key)): value
             for key, value in loaded.items() if isinstance(value, Tensor)}
    if not any(key.startswith('visual.') for key in state):
        raise ValueError(f"'{path}' holds no CLIP weights: no key begins with 'visual.'. "
                         f'{_likely_kind(list(state))}')
    return {key: value for key, value in state.items() if key not in _NUMBERS}


def _likely_kind(keys: list[str]) -> str:
    if any(key.startswith('backbone.') for key in keys):
        return ('It looks like a trained ChangeCLIP; import that with '
                'tools/model_converters/changeclip_to_rscc.py')
    if any(key.startswith('vision_model.') for key in keys):
        return f"It looks like transformers' CLIP, whose names differ; expected {_KINDS}"
    return f'Found {keys[:3] or "no tensor at all"}; expected {_KINDS}'
