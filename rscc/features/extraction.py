"""Extraction of features of all images of a dataset into one file beside it.

A run that ends early is continued: rows are kept in parts of some hundred images until all are
there.
"""
import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from rscc.datasets.base import ChangeDataset
from rscc.datasets.features import index_path, key_of, read_index
from rscc.engine.precision import reduced_precision
from rscc.features.feature_parts import FeatureParts, compare
from rscc.inference.preparation import BatchOptions, image_batches
from rscc.registry import DATASETS
from rscc.utils import did_you_mean

#: Short names that the published tool knows, and ours.
SHORT_NAMES = {'sydney': 'SydneyCaptionsDataset', 'ucm': 'UCMCaptionsDataset',
               'rsicd': 'RSICDDataset', 'synth': 'SynthSceneDataset',
               'levircc': 'LEVIRCCDataset', 'levirmci': 'LEVIRMCIDataset'}
#: Those of which there is a corrected re-release.
RELEASED = ('sydney', 'ucm', 'rsicd')


#: Every name and what it stands for: class and arguments.
NAMES: dict[str, tuple[str, dict[str, str]]] = {
    **{name: (kind, {}) for name, kind in SHORT_NAMES.items()},
    **{f'{name}_cn': (kind, {'language': 'zh'}) for name, kind in SHORT_NAMES.items()},
    **{f'{name}_modified': (SHORT_NAMES[name], {'release': 'modified'}) for name in RELEASED}}


def build_dataset(name: str, data_root: str | None = None, ann_file: str | None = None,
                  split: str | None = None, **options: Any) -> ChangeDataset:
    """Build a captioned dataset by its short name (``'ucm'``, ``'ucm_cn'``) or its class.

    Args:
        name: One of ``SHORT_NAMES``, with ``_cn`` for Chinese captions, ``_modified`` for the
            corrected re-release, or a registered class.
        data_root: Its folder; None takes the usual one.
        ann_file: Its annotations; None takes the usual ones.
        split: A split, or None for all images.
        **options: Further arguments of the class.

    Raises:
        ValueError: If there is no such dataset; the message names the nearest.
    """
    kind, told = NAMES.get(name, (name, {}))
    if DATASETS.get(kind) is None:
        raise ValueError(f"no dataset '{name}': use one of {list(SHORT_NAMES)}, with _cn for "
                         f'Chinese, one of {list(RELEASED)} with _modified for the corrected '
                         're-release, or the name of a class.'
                         f'{did_you_mean(name, [*NAMES, *DATASETS.module_dict])}')
    given = {'data_root': data_root and str(Path(data_root).expanduser().resolve()),
             'ann_file': ann_file}
    options = told | options | {key: value for key, value in given.items() if value}
    return DATASETS.build(dict(type=kind, split=split, **options))


DTYPES = {'float16': torch.float16, 'float32': torch.float32}


class Embedder(Protocol):
    """What computes features: ``CLIPEmbedder``, or ``EncoderEmbedder`` for any config.

    Attributes:
        facts: What the features depend on, as JSON values; ``model`` is a name.
        token_grid: (h, w) of the tokens, None where they have no places.
        device: Where it computes.
    """
    facts: dict[str, Any]
    token_grid: tuple[int, int] | None
    device: torch.device

    def __call__(self, prepared: Tensor) -> tuple[Tensor, Tensor]:
        """Return pooled (M, D) and tokens (M, L, D) of prepared images (M, 3, H, W)."""


def default_target(dataset: ChangeDataset, model: str, name: str) -> Path:
    """Return ``clip_emb_ViT-B-32_sydney.safetensors`` in the dataset's folder."""
    plain = re.sub(r'[^\w.-]+', '-', model)
    return Path(dataset.data_root) / f'clip_emb_{plain}_{name.removesuffix("_cn")}.safetensors'


def images_of(dataset: ChangeDataset) -> dict[str, str]:
    """Return the path of every image of a dataset by its name in the index, each once."""
    paths = [path for row in range(len(dataset))
             for path in dataset.images_of(dataset.get_data_info(row))]
    return {key_of(path, dataset.data_root): path for path in paths}


def provenance(dataset: ChangeDataset) -> dict[str, Any]:
    """Return which annotations named the images: file and SHA-256."""
    file = Path(dataset.ann_file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
    return dict(dataset=dataset.metainfo.get('name', type(dataset).__name__),
                annotations=dict(file=key_of(file, dataset.data_root), sha256=digest))


def extract(dataset: ChangeDataset, embedder: Embedder, read: Callable[[str], Tensor],
            target: str | Path, options: BatchOptions, tokens: bool = False,
            dtype: str = 'float16', overwrite: bool = False) -> int:
    """Compute the features of all images of a dataset that are not there yet.

    Args:
        dataset: Whose images; ``split=None`` for those of all splits.
        embedder: What computes the features.
        read: File -> prepared pixels (3, H, W), see ``image_batches``.
        target: The feature file.
        options: How images are read and computed.
        tokens: Store the features of the places too.
        dtype: ``'float16'`` or ``'float32'``.
        overwrite: Compute everything anew, whatever is there.

    Returns:
        Number of images computed now; 0 leaves a finished file untouched.

    Raises:
        ValueError: If images cannot be read (all others are computed first and kept), or what is
            there was made otherwise.
    """
    paths, target = images_of(dataset), Path(target)
    grid = list(embedder.token_grid) if tokens and embedder.token_grid else None
    facts = {**embedder.facts, **provenance(dataset), 'token_grid': grid}
    origin = {**embedder.facts, 'dtype': dtype, 'token_grid': grid,
              'bands': options.bands and list(options.bands),
              'scale': options.scale and list(options.scale)}
    parts = FeatureParts(target, origin)
    if overwrite:
        shutil.rmtree(parts.folder, ignore_errors=True)
    elif _is_complete(target, origin, list(paths)):
        return 0
    parts.resume()
    there = set(parts.names)
    todo = {path: name for name, path in paths.items() if name not in there}
    damaged = []
    try:
        for name, row, message in _rows(todo, embedder, read, options, tokens, DTYPES[dtype]):
            if message is None:
                parts.add(name, *row)
            else:
                damaged.append(message)
    finally:
        parts.save()
    if damaged:
        raise ValueError(
            f'{len(damaged)} of {len(paths)} images of {dataset.TITLE} cannot be read, first: '
            f'{" ".join(damaged[:3])}\nThe features of the others are kept; run again when the '
            'files are whole (those that are not 8-bit RGB or grey want bands and scale: --bands '
            'and --scale, or those of LoadFrames in the config)')
    parts.finish(list(paths), {**facts, **{key: origin[key] for key in ('bands', 'scale')}})
    return len(todo)


def how_to_use(target: str | Path, dataset: ChangeDataset) -> str:
    """Return the lines of a config that train on a feature file."""
    index, file = read_index(target), Path(target)
    name = file.name if file.parent.resolve() == Path(dataset.data_root).resolve() else str(file)
    grid = index['token_grid']
    shape = '' if grid is None or grid[0] == grid[1] else f', token_grid={tuple(grid)}'
    known = ''.join(f", {key}='{index[key]}'" for key in ('encoder', 'weights') if index.get(key))
    tokens = f', tokens=True{shape}' if index['tokens'] else ''
    return (f"In a config, for every dataset: features = dict(file='{name}'{known}{tokens})\n"
            f"and for the model: encoder = dict(_delete_=True, type='StoredFeatures', "
            f"channels={index['width']}{shape})\nwith pipelines without LoadFrames and transforms "
            'of frames.')


def _is_complete(target: Path, origin: dict[str, Any], names: list[str]) -> bool:
    """Tell whether a finished file is just what would be written."""
    if not target.is_file() or not index_path(target).is_file():
        return False
    index = read_index(target)
    compare(index, origin, target)
    odd = sorted(set(index['images']) ^ set(names))
    if not odd:
        return True
    raise ValueError(f"'{target}' holds {len(index['images'])} images and {len(names)} are asked "
                     f'for; {len(odd)} are in one of the two only, {odd[0]} the first. Start anew '
                     'with --overwrite, or choose another --out')


def _rows(todo: dict[str, str], embedder: Embedder, read: Callable[[str], Tensor],
          options: BatchOptions, tokens: bool, dtype: torch.dtype
          ) -> Iterator[tuple[str, tuple, str | None]]:
    """Yield name and features of every image, or the message why it cannot be read."""
    device = embedder.device
    for paths, pixels, messages in image_batches(list(todo), read, options, device, 'features'):
        yield from (('', (), message) for message in messages)
        if not paths:
            continue
        with reduced_precision(device.type) if options.amp else nullcontext():
            pooled, dense = embedder(pixels)
        pooled = _stored(pooled, dtype, paths)
        dense = _stored(dense, dtype, paths) if tokens else [None] * len(paths)
        for path, *row in zip(paths, pooled, dense, strict=True):
            yield todo[path], tuple(row), None


def _stored(features: Tensor, dtype: torch.dtype, paths: list[str]) -> Tensor:
    """Return features (M, ...) as they will be stored, if they can be."""
    stored = features.to('cpu', dtype)
    finite = stored.flatten(1).isfinite().all(1)
    if not finite.all():
        path = paths[int(finite.logical_not().nonzero()[0])]
        largest = float(features.abs().max())
        raise ValueError(f"features of '{path}' are no numbers in {dtype}: the largest is "
                         f'{largest:.4g}. float16 ends at 65504: --dtype float32')
    return stored
