"""Extraction of the features of all images of a dataset into one file beside it."""
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from rscc.datasets.base import ChangeDataset
from rscc.datasets.features import POOLED, TOKENS, feature_file, index_path, key_of, read_index
from rscc.features.store import REMEDY, Store, compare_origin
from rscc.inference.preparation import BatchOptions
from rscc.registry import DATASETS
from rscc.utils import did_you_mean
from rscc.utils.files import atomic_path, file_hash
from rscc.utils.forms import check_form

#: Short names that the published tool knows, and ours.
SHORT_NAMES = {'sydney': 'SydneyCaptionsDataset', 'ucm': 'UCMCaptionsDataset',
               'rsicd': 'RSICDDataset', 'synth': 'SynthSceneDataset',
               'synth_change': 'SynthChangeDataset', 'levircc': 'LEVIRCCDataset',
               'levirmci': 'LEVIRMCIDataset'}
#: Those of which there is a corrected re-release.
RELEASED = ('sydney', 'ucm', 'rsicd')
#: Every name and what it stands for: class and arguments.
NAMES: dict[str, tuple[str, dict[str, str]]] = {
    **{name: (kind, {}) for name, kind in SHORT_NAMES.items()},
    **{f'{name}_cn': (kind, {'language': 'zh'}) for name, kind in SHORT_NAMES.items()},
    **{f'{name}_modified': (SHORT_NAMES[name], {'release': 'modified'}) for name in RELEASED}}
DTYPES = {'float16': torch.float16, 'float32': torch.float32}


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
    digest = file_hash(file) or None
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
    paths = images_of(dataset)
    shown = dict(bands=options.bands and list(options.bands),
                 scale=options.scale and list(options.scale))
    grid = list(embedder.token_grid) if tokens and embedder.token_grid else None
    origin = {**embedder.facts, 'dtype': dtype, 'token_grid': grid, **shown}
    index = {**embedder.facts, **provenance(dataset), 'token_grid': grid, **shown}
    store = Store(target, paths, origin, FeatureFormat(index), overwrite)

    def compute(images: list[str], pixels: Tensor) -> Iterable[tuple[Tensor, ...]]:
        # Pooled (M, D) and, where they are stored, tokens (M, L, D).
        features = embedder(pixels)[:2 if tokens else 1]
        return zip(*(_storable(kind, DTYPES[dtype], images) for kind in features), strict=True)

    return store.fill(paths, read, compute, embedder.device, options, dataset.TITLE)


def _storable(features: Tensor, dtype: torch.dtype, images: list[str]) -> Tensor:
    """Return features (M, ...) as they will be stored, if they can be."""
    stored = features.to('cpu', dtype)
    finite = stored.flatten(1).isfinite().all(1)
    if not finite.all():
        image = images[int(finite.logical_not().nonzero()[0])]
        largest = float(features.abs().max())
        raise ValueError(f"features of '{image}' exceed the range of {dtype}: the largest "
                         f'is {largest:.4g}, float16 ends at 65504. Use --dtype float32')
    return stored


class FeatureFormat:
    """Feature files: safetensors with one row an image, and an index beside them.

    A row is pooled (D) and perhaps tokens (L, D).

    Args:
        index: What the index says beside the shapes, see ``rscc.datasets.features``.
    """
    ending = '.safetensors'

    def __init__(self, index: Mapping[str, Any]) -> None:
        self.index = index

    def write_part(self, file: Path, rows: Mapping[str, tuple[Tensor, ...]]) -> None:
        """Write rows as stacked tensors, their names as metadata."""
        columns = zip(*rows.values(), strict=True)
        tensors = {key: torch.stack(column)
                   for key, column in zip((POOLED, TOKENS), columns, strict=False)}
        with atomic_path(file) as temporary:
            save_file(tensors, temporary, {'names': json.dumps(list(rows))})

    def names_in(self, file: Path) -> list[str]:
        """Return the images of a part."""
        try:
            with safe_open(file, framework='pt') as part:
                names = json.loads(part.metadata()['names'])
        except (SafetensorError, TypeError, KeyError, ValueError, RecursionError) as error:
            raise ValueError(f"'{file}' is damaged: {error}. {REMEDY}") from error
        check_form(names, [str], f"the names in '{file}'", REMEDY)
        return names

    def read_part(self, file: Path) -> dict[str, tuple[Tensor, ...]]:
        """Return the rows of a part by image."""
        names, tensors = self.names_in(file), load_file(file)
        columns = [tensors[key] for key in (POOLED, TOKENS) if key in tensors]
        if POOLED not in tensors or {len(column) for column in columns} != {len(names)}:
            raise ValueError(f"'{file}' is damaged: it has not one row for each of {len(names)} "
                             f'images. {REMEDY}')
        return dict(zip(names, zip(*columns, strict=True), strict=True))

    def read_finished(self, target: Path, wanted: list[str], origin: Mapping[str, Any]
                      ) -> dict[str, tuple[Tensor, ...]] | None:
        """Return None where the file is just what would be written; others are refused."""
        if not index_path(target).is_file():
            return {}  # a kill came between the two files
        index = read_index(target)
        compare_origin(index, origin, target)
        odd = sorted(set(index['images']) ^ set(wanted))
        if odd:
            raise ValueError(
                f"'{target}' holds {len(index['images'])} images and {len(wanted)} are asked for; "
                f'{len(odd)} are in one of the two only, {odd[0]} the first. {REMEDY}')
        return None

    def write_finished(self, target: Path, wanted: list[str],
                       parts: Iterator[dict[str, tuple[Tensor, ...]]], origin: Mapping[str, Any]
                       ) -> None:
        """Fill the rows of the file, which is mapped into memory."""
        place = {name: row for row, name in enumerate(wanted)}
        first = next(parts)
        kinds = dict(zip((POOLED, TOKENS), next(iter(first.values())), strict=False))
        shapes = {key: (len(wanted), *row.shape) for key, row in kinds.items()}
        dtype = kinds[POOLED].numpy().dtype
        with feature_file(target, shapes, dtype, wanted, self.index) as rows:
            for part in itertools.chain([first], parts):
                for name in part.keys() & place.keys():
                    for key, row in zip(kinds, part[name], strict=True):
                        rows[key][place[name]] = row.numpy()


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
