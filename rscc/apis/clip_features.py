"""CLIP features of all images of a dataset, in one file beside it: one row an image.

A run that ends early is continued: rows are kept in parts of some hundred images until all are
there.
"""
import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from rscc.apis.feature_parts import FeatureParts, compare
from rscc.apis.image_batches import BatchOptions, image_batches
from rscc.datasets.base import ChangeDataset
from rscc.datasets.features import index_path, key_of, read_index
from rscc.engine.precision import reduced_precision
from rscc.models.clip.embedder import CLIPEmbedder

DTYPES = {'float16': torch.float16, 'float32': torch.float32}


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


def extract(dataset: ChangeDataset, embedder: CLIPEmbedder, target: str | Path,
            options: BatchOptions, tokens: bool = False, dtype: str = 'float16',
            overwrite: bool = False) -> int:
    """Compute the features of all images of a dataset that are not there yet.

    Args:
        dataset: Whose images; ``split=None`` for those of all splits.
        embedder: The CLIP.
        target: The feature file.
        options: How images are read and computed.
        tokens: Store the features of the patches too.
        dtype: ``'float16'`` or ``'float32'``.
        overwrite: Compute everything anew, whatever is there.

    Returns:
        Number of images computed now; 0 leaves a finished file untouched.

    Raises:
        ValueError: If images cannot be read (all others are computed first and kept), or what is
            there was made otherwise.
    """
    paths, target = images_of(dataset), Path(target)
    facts = {**embedder.facts, **provenance(dataset),
             'token_grid': list(embedder.token_grid) if tokens else None}
    origin = {**embedder.facts, 'dtype': dtype, 'token_grid': facts['token_grid'],
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
        for name, row, message in _rows(todo, embedder, options, tokens, DTYPES[dtype]):
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
            'files are whole (those that are not 8-bit RGB or grey: with --bands and --scale)')
    parts.finish(list(paths), {**facts, **{key: origin[key] for key in ('bands', 'scale')}})
    return len(todo)


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


def _rows(todo: dict[str, str], embedder: CLIPEmbedder, options: BatchOptions, tokens: bool,
          dtype: torch.dtype) -> Iterator[tuple[str, tuple, str | None]]:
    """Yield name and features of every image, or the message why it cannot be read."""
    device = next(embedder.parameters()).device
    for paths, pixels, messages in image_batches(list(todo), embedder.transform, options, device,
                                                 'CLIP features'):
        yield from (('', (), message) for message in messages)
        if not paths:
            continue
        with reduced_precision(device.type) if options.amp else nullcontext():
            pooled, dense = embedder(pixels)
        pooled, dense = pooled.to('cpu', dtype), dense.to('cpu', dtype) if tokens else None
        for row, path in enumerate(paths):
            yield todo[path], (pooled[row], None if dense is None else dense[row]), None
