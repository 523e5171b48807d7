"""Feature files: image features computed once, their index, reading and writing them.

Two files: ``NAME.safetensors`` with ``pooled`` (N, D), one vector of each of N images, and on
request ``tokens`` (N, L, D), those of its places; and ``NAME.json`` beside it, which says what they
are: encoder, weights, preparation, the grid of the tokens, and the images' paths within the
dataset's folder in the order of the rows. ``tools/extract_features.py`` (the encoder of any config)
and ``tools/extract_clip_embeddings.py`` (a CLIP by its name) write both. One row an image, however
many captions it has.
"""
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from rscc.utils import did_you_mean, read_json, resolve_data_file, write_json
from rscc.utils.files import atomic_path, reserve
from rscc.utils.forms import check_form

FORMAT = 'rscc image features'
POOLED, TOKENS = 'pooled', 'tokens'
#: Types of numbers by safetensors' names for them.
_DTYPES = {'F16': np.dtype('<f2'), 'F32': np.dtype('<f4')}
_INDEX = {'format': {FORMAT}, 'model': str, 'width': int, 'images': [str],
          'token_grid?': ([int], None), 'encoder?': (str, None), 'weights?': (str, None)}
_TOOLS = ('python tools/extract_features.py CONFIG CHECKPOINT, or for a CLIP by its name python '
          'tools/extract_clip_embeddings.py')


class FeatureRows:
    """Rows of a feature file by the path of their image; the file is mapped, not read.

    Args:
        file: The safetensors file.
        root: The dataset's folder, from which the paths in the index start.
        tokens: Whether the features of the places belong to a row too.

    Attributes:
        index: What the index says, see ``rscc.datasets.features``.

    Raises:
        FileNotFoundError: If one of the two files is missing.
        ValueError: If one is of another kind, index and file differ, or there are no tokens.
    """

    def __init__(self, file: str | Path, root: str | Path = '', tokens: bool = False) -> None:
        self.file, self.root, self.tokens = Path(file), Path(root), tokens
        self.index = read_index(self.file)
        self._rows = {name: row for row, name in enumerate(self.index['images'])}
        self._handle: Any = None
        self._check()

    def __reduce__(self) -> tuple:
        return FeatureRows, (self.file, self.root, self.tokens)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, path: str | Path) -> bool:
        return key_of(path, self.root) in self._rows

    def of(self, paths: Sequence[str | Path]) -> Tensor:
        """Return the features of a sample's T images, (T, 1, D) or (T, 1 + L, D), pooled first."""
        return torch.stack([self._row(self._rows[key_of(path, self.root)]) for path in paths])

    def _row(self, row: int) -> Tensor:
        parts = [self._open().get_slice(POOLED)[row:row + 1]]
        if self.tokens:
            parts.append(self._open().get_slice(TOKENS)[row:row + 1][0])
        return torch.cat(parts)

    def _open(self) -> Any:
        if self._handle is None:
            try:
                self._handle = safe_open(self.file, framework='pt')
            except SafetensorError as error:
                raise ValueError(f"'{self.file}' is no safetensors file, or cut short: {error}. "
                                 f'Write it again: {_TOOLS}') from error
        return self._handle

    def _check(self) -> None:
        handle = self._open()
        if (handle.metadata() or {}).get('images') != digest_of(self.index['images']):
            raise ValueError(f"'{self.file}' and '{index_path(self.file).name}' do not belong "
                             f'together. Write both again: {_TOOLS}')
        shapes = {name: tuple(handle.get_slice(name).get_shape())
                  for name in handle.keys()}  # noqa: SIM118, the handle is no dict
        if shapes.get(POOLED) != (len(self._rows), self.index['width']):
            raise ValueError(f"'{self.file}' holds {shapes}; '{POOLED}' of {len(self._rows)} rows "
                             f"and the width {self.index['width']} was expected. Write it again: "
                             f'{_TOOLS}')
        if self.tokens and TOKENS not in shapes:
            raise ValueError(f"'{self.file}' holds no tokens but one vector an image: write it "
                             'with tokens (tools/extract_clip_embeddings.py: --tokens), or set '
                             'features.tokens=False')


def open_features(root: str | Path, title: str, images: Sequence[str], file: str,
                  model: str | None = None, weights: str | None = None,
                  encoder: str | None = None, tokens: bool = False,
                  token_grid: Sequence[int] | None = None) -> FeatureRows:
    """Open a feature file for a dataset and see that it is what the config asks for.

    Args:
        root: The dataset's folder.
        title: Its name, for messages.
        images: Paths of all its images; each must have a row.
        file: The safetensors file: absolute, in the dataset's folder, or below that of all datasets
            (``'Sydney_captions/clip_emb_ViT-B-32_sydney.safetensors'``).
        model: Model that the features must be of, ``'ViT-B/32'`` for instance.
        weights: Fingerprint that its weights must have (``weights`` in the index).
        encoder: Digest that the config of the encoder must have (``encoder`` in the index).
        tokens: Whether the features of the places are wanted too.
        token_grid: (h, w) of the tokens; must be said where the grid is no square, here and to
            ``StoredFeatures``, which sees their number alone.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of another encoder, of another grid, or lacks images.
    """
    inside = Path(root) / file
    rows = FeatureRows(inside if inside.is_file() else resolve_data_file(file), root, tokens)
    _check_model(rows, model, weights, encoder)
    if tokens:
        _check_grid(rows, token_grid)
    lacking = [key_of(path, root) for path in images if path not in rows]
    if lacking:
        first = rows.index['images'][0]
        raise ValueError(
            f"'{rows.file}' lacks {len(lacking)} of {len(images)} images of {title}, first "
            f"{lacking[:3]}; it has {len(rows)}, '{first}' the first. It is of another dataset, or "
            f'of fewer images; {_TOOLS} writes one of all')
    return rows


def _check_model(rows: FeatureRows, model: str | None, weights: str | None,
                 encoder: str | None) -> None:
    index = rows.index
    if model is not None and plain_name(model) != plain_name(index['model']):
        raise ValueError(
            f"'{rows.file}' holds features of '{index['model']}' (width {index['width']}), and the "
            f"config asks for '{model}'. Write those of that model: {_TOOLS} --model-name {model}, "
            'or set features.model to the one there is')
    if encoder is not None and encoder != index.get('encoder'):
        raise ValueError(
            f"'{rows.file}' holds features of another encoder than the config asks for "
            f"(features.encoder='{encoder}'): '{index['model']}', whose config and preparation "
            f"have the digest {index.get('encoder') or '(none)'}. Write them anew: {_TOOLS}")
    if weights is not None and weights != index.get('weights'):
        raise ValueError(
            f"'{rows.file}' was made with other weights of '{index['model']}': their fingerprint "
            f"is {index.get('weights') or 'not known'}, and the config asks for {weights} "
            '(features.weights)')


def _check_grid(rows: FeatureRows, asked: Sequence[int] | None) -> None:
    """Refuse a grid that ``StoredFeatures`` would not guess from the number of tokens."""
    stored = rows.index.get('token_grid')
    found = None if stored is None else tuple(stored)
    square = found is None or found[0] == found[1]
    if (asked is None and not square) or (asked is not None and tuple(asked) != found):
        raise ValueError(
            f"the tokens in '{rows.file}' lie on a grid (h, w) of {found}, and the config says "
            f'{None if asked is None else tuple(asked)}: set features.token_grid={found} and '
            f"encoder=dict(type='StoredFeatures', token_grid={found})")


def plain_name(model: str) -> str:
    """Return an architecture's name without spelling: ``ViT-B/32`` and ``vit_b_32`` are one."""
    name = model.split(':')[0].lower().replace('quickgelu', '')
    return ''.join(character for character in name if character.isalnum())


def key_of(path: str | Path, root: str | Path) -> str:
    """Return the name of an image in an index: its path in the dataset's folder, with slashes."""
    path = Path(path)
    inside = path.is_relative_to(root)
    return (path.relative_to(root) if inside else path).as_posix()


def index_path(file: str | Path) -> Path:
    """Return the index of a feature file."""
    return Path(file).with_suffix('.json')


def digest_of(names: Sequence[str]) -> str:
    """Return 16 hex digits that stand for a list of names and its order."""
    return hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()[:16]


def read_index(file: str | Path) -> dict[str, Any]:
    """Read what lies beside a feature file.

    Raises:
        FileNotFoundError: If there is no feature file, or no index.
        ValueError: If it is no index.
    """
    file = Path(file)
    if not file.is_file():
        beside = [path.name for path in file.parent.glob('*.safetensors')]
        raise FileNotFoundError(f"no stored features at '{file}'.{did_you_mean(file.name, beside)} "
                                f'Write them: {_TOOLS}')
    index = read_json(index_path(file))
    check_form(index, _INDEX, f"index of features '{index_path(file)}'",
               f'Write it again: {_TOOLS}')
    if not index['images']:
        raise ValueError(f"'{index_path(file)}' names no image. Write it again: {_TOOLS}")
    return index


def write_features(file: str | Path, pooled: Tensor, tokens: Tensor | None, images: Sequence[str],
                   metadata: Mapping[str, Any]) -> None:
    """Write a feature file and its index; each appears whole or not at all.

    Args:
        file: The safetensors file.
        pooled: (N, D), float16 or float32.
        tokens: (N, L, D), or None.
        images: N names, see :func:`rscc.datasets.features.key_of`.
        metadata: For the index: ``model`` (its name) and whatever tells the features' origin.

    Raises:
        ValueError: If the numbers of rows and names differ, a name comes twice, or the numbers are
            of another type.
    """
    tensors = {POOLED: pooled} | ({} if tokens is None else {TOKENS: tokens})
    layout = {name: tensor.numpy() for name, tensor in tensors.items()}
    with feature_file(file, {name: array.shape for name, array in layout.items()},
                      layout[POOLED].dtype, images, metadata) as rows:
        for name, array in layout.items():
            rows[name][:] = array


@contextmanager
def feature_file(file: str | Path, shapes: Mapping[str, Sequence[int]], dtype: np.dtype | str,
                 images: Sequence[str], metadata: Mapping[str, Any]
                 ) -> Iterator[dict[str, np.ndarray]]:
    """Open a new feature file as arrays to fill; the index is written when the block ends.

    Args:
        file: The safetensors file; it takes its name when the block ends without error.
        shapes: ``pooled`` (N, D) and perhaps ``tokens`` (N, L, D).
        dtype: float16 or float32.
        images: See :func:`write_features`.
        metadata: See :func:`write_features`.

    Yields:
        The arrays by name, mapped into memory.

    Raises:
        ValueError: As :func:`write_features`.
    """
    count, width = shapes[POOLED]
    if not len(images) == len(set(images)) == count:
        raise ValueError(f'{count} rows of features for {len(images)} images, {len(set(images))} '
                         'of them different')
    with atomic_path(file) as temporary:
        arrays = _map(temporary, shapes, np.dtype(dtype), {'images': digest_of(images)})
        yield arrays
        for array in arrays.values():
            array.flush()
    tokens = shapes[TOKENS][1] if TOKENS in shapes else 0
    write_json(index_path(file), {
        'format': FORMAT, **metadata, 'dtype': np.dtype(dtype).name, 'width': width,
        'tokens': tokens, 'images': list(images)})


def _map(path: Path, shapes: Mapping[str, Sequence[int]], dtype: np.dtype,
         metadata: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Lay out a safetensors file: length of the header, header (JSON), numbers of every tensor."""
    kind = next((name for name, known in _DTYPES.items() if known == dtype), None)
    if kind is None:
        raise ValueError(f'features are stored as float16 or float32, found {dtype}')
    header: dict[str, Any] = {'__metadata__': dict(metadata)}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + int(np.prod(shape)) * dtype.itemsize
        header[name] = dict(dtype=kind, shape=list(shape), data_offsets=[start, end])
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with path.open('wb') as stream:
        stream.write(len(text).to_bytes(8, 'little') + text)
    reserve(path, 8 + len(text) + end)
    return {name: np.memmap(path, dtype, 'r+', 8 + len(text) + header[name]['data_offsets'][0],
                            tuple(shape)) for name, shape in shapes.items()}
