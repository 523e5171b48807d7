"""Embedding files of ClipCap and clipcap_rsic, read without running their pickles.

Mokady et al., ClipCap: CLIP Prefix for Image Captioning, 2021, https://arxiv.org/abs/2111.09734.
Such a file is a pickled dict: ``clip_embedding`` (captions, D), a row a caption, and ``captions``,
dicts with ``image_id``, ``clip_embedding`` (the row) and, in clipcap_rsic's, ``filename``.
"""
import io
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rscc.datasets.base import ChangeDataset
from rscc.datasets.features import key_of, write_features
from rscc.features.extraction import provenance
from rscc.utils.forms import check_form, shorten

#: Repetitions of one image's row may differ by the rounding of a graphics card.
_TOLERANCE = 1e-2
_KNOWN_MODELS = ('ViT-B_32', 'ViT-B_16', 'ViT-L_14', 'RN50x4', 'RN101', 'RN50')


# The unpickler in Python: that in C takes gigabytes of memory when a damaged file asks for them.
class _TensorsOnly(pickle._Unpickler):
    """Unpickler of containers, numbers, strings and tensors; other objects are refused unbuilt."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a tensor's record needs, or refuse."""
        allowed = {('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
                   ('torch.storage', '_load_from_bytes'): _storage,
                   ('collections', 'OrderedDict'): dict}
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f'it holds Python objects of {module}.{name}, which '
                                         'could run code')
        return allowed[module, name]


def _storage(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), map_location='cpu', weights_only=True)


def read_pickle(file: str | Path) -> tuple[Tensor, list[dict]]:
    """Read an embedding pickle.

    Returns:
        Rows (captions, D) and the record of every caption.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such pickle, or holds anything but plain data and tensors.
    """
    if not Path(file).is_file():
        raise FileNotFoundError(f"no embedding pickle at '{file}'")
    try:
        data = _TensorsOnly(io.BytesIO(Path(file).read_bytes())).load()
    except Exception as error:  # a damaged pickle fails in any way
        raise ValueError(f"'{file}' cannot be read as an embedding pickle: "
                         f'{error or type(error).__name__}') from error
    if not isinstance(data, dict) or not {'clip_embedding', 'captions'} <= set(data):
        raise ValueError(f"'{file}' is no embedding pickle: a dict with 'clip_embedding' and "
                         f"'captions' was expected, found "
                         f'{sorted(map(str, data)) if isinstance(data, dict) else type(data)}')
    rows, captions = data['clip_embedding'], data['captions']
    if not isinstance(rows, Tensor) or rows.ndim != 2 or not captions:
        shape = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
        raise ValueError(f"'{file}' holds 'clip_embedding' {shape} and 'captions' "
                         f'{shorten(captions)}; a tensor (captions, D) and a list of dicts, one a '
                         'caption, were expected')
    check_form(captions, [{'clip_embedding': range(len(rows)), 'filename?': str,
                           'image_id?': (int, str)}], f"'{file}': captions")
    return rows, captions


def convert_pickle(file: str | Path, dataset: ChangeDataset, target: str | Path,
                   model: str | None = None) -> int:
    """Turn an embedding pickle into a feature file, one row an image.

    Args:
        file: The pickle.
        dataset: Whose images they are, with ``split=None``.
        target: The feature file.
        model: CLIP model; None takes it from the published file name (``clip_emb_ViT-B_32_...``).

    Returns:
        Number of images; the published files hold the training images only.

    Raises:
        FileNotFoundError, ValueError: As :func:`read_pickle`; or if the model is not known, an
            image is not the dataset's, or rows of one image differ.
    """
    embeddings, captions = read_pickle(file)
    model = model or model_of(file)
    names = _names(dataset)
    rows: dict[str, Tensor] = {}
    for caption in captions:
        name, row = _image_of(caption, names, file), embeddings[caption['clip_embedding']]
        other = rows.setdefault(name, row)
        if not torch.allclose(row.float(), other.float(), atol=_TOLERANCE, rtol=_TOLERANCE):
            raise ValueError(f"'{file}' has different embeddings of one image, '{name}': it was "
                             'made from augmented or from wrongly numbered images')
    facts = dict(model=model, weights=None, normalised=False, converted_from=Path(file).name,
                 **provenance(dataset))
    write_features(target, torch.stack(list(rows.values())), None, list(rows), facts)
    return len(rows)


def model_of(file: str | Path) -> str:
    """Return the CLIP model in a published file name.

    Raises:
        ValueError: If there is none.
    """
    found = next((name for name in _KNOWN_MODELS if re.search(rf'(^|_){name}(_|$)',
                                                              Path(file).stem)), None)
    if found is None:
        raise ValueError(f"the name '{Path(file).name}' does not tell which CLIP model made it "
                         '(clip_emb_ViT-B_32_sydney.pkl does): give --model-name')
    return found.replace('_', '/')


def _names(dataset: ChangeDataset) -> dict[str | int, str]:
    """Return the name in the index by file name and by number of the image.

    Numbers are those of the annotations, else the images' places in them, which are the same in
    the published files.
    """
    names: dict[str | int, str] = {}
    for row in range(len(dataset)):
        item = dataset.get_data_info(row)
        for path in dataset.images_of(item):
            name = key_of(path, dataset.data_root)
            names |= {Path(name).name: name, item.get('imgid', row): name}
    return names


def _image_of(caption: dict, names: dict[str | int, str], file: str | Path) -> str:
    """Find a caption's image: by file name, else by its number in the annotations."""
    key = caption.get('filename', caption.get('image_id'))
    if key is None:
        raise ValueError(f"'{file}': a caption names no image: 'filename' or 'image_id' was "
                         f'expected, found {sorted(map(str, caption))}')
    key = int(key) if str(key).isdecimal() else Path(str(key)).name
    if key not in names:
        raise ValueError(f"'{file}' is about the image {key!r}, which the dataset does not have: "
                         f'its first are {list(names)[:2]}. Is it of another dataset?')
    return names[key]
