"""Several datasets as one, all samples of which keep names of their own."""
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.dataset import ConcatDataset as _ConcatDataset

from rscc.datasets.base import ChangeDataset
from rscc.registry import DATASETS
from rscc.utils.logging import warn_once

#: Metainfo in which datasets may differ and yet be trained and scored together.
MAY_DIFFER = ('split', 'dataset_type', 'name', 'release', 'palette', 'semantic_palette',
              'image_size', 'ground_resolution', 'no_change_captions', 'frequent_caption',
              'rendered')


@DATASETS.register_module()
class ConcatDataset(_ConcatDataset):
    """Datasets one after the other, as MMEngine's, with two differences.

    Datasets may differ in split, folder, name and stock sentences, and some may be rendered; what
    must agree is what a model answers: task, classes and language. And where a sample's id occurs
    in two of them, all ids are prefixed, by the folder's name or by the split
    (``town2/test_000000``), so that each sample is scored, drawn and written.

    Args:
        datasets: Datasets or their configs.
        lazy_init: Whether ``full_init`` is left to the caller.
        ignore_keys: More metainfo that may differ.

    Raises:
        ValueError: If there is no dataset, or their metainfo differs elsewhere; the message names
            the key and both values.
    """

    def __init__(self, datasets: Sequence[BaseDataset | Mapping], lazy_init: bool = False,
                 ignore_keys: str | Sequence[str] | None = None):
        self.datasets = [DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
                         for dataset in datasets]
        if not self.datasets:
            raise ValueError('ConcatDataset got no datasets')
        asked = [ignore_keys] if isinstance(ignore_keys, str) else list(ignore_keys or ())
        self.ignore_keys = [*MAY_DIFFER, *asked]
        self._metainfo = self._common()
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Load all datasets and tell their samples apart."""
        if not self._fully_initialized:
            super().full_init()
            name_apart([leaf for dataset in self.datasets for leaf in leaves(dataset)])

    def _common(self) -> dict[str, Any]:
        """Return the metainfo of all, the first dataset's where they may differ."""
        found = [dataset.metainfo for dataset in self.datasets]
        for number, other in enumerate(found[1:], 2):
            for key in sorted({*found[0], *other} - set(self.ignore_keys)):
                if _plain(found[0].get(key)) != _plain(other.get(key)):
                    raise ValueError(
                        f"datasets 1 and {number} of a ConcatDataset differ in '{key}': "
                        f'{found[0].get(key)!r} and {other.get(key)!r}. Make them agree '
                        '(label_map, classes, language, ...), or pass '
                        f"ignore_keys=['{key}'] to keep the first")
        stock = [text for metainfo in found for text in metainfo.get('no_change_captions') or ()]
        splits = dict.fromkeys(str(metainfo.get('split')) for metainfo in found)
        told = [metainfo.get('rendered') for metainfo in found]
        rendered = {} if told == [None] * len(told) else {'rendered': all(told)}
        return {**found[0], 'split': '+'.join(splits), **rendered,
                'no_change_captions': list(dict.fromkeys(stock))}


def name_apart(datasets: Sequence[ChangeDataset]) -> None:
    """Prefix the ids of datasets where one occurs in two of them."""
    owners: dict[str, int] = {}
    for number, dataset in enumerate(datasets):
        dataset.id_prefix = ''
        for index in range(len(dataset)):
            name = dataset.get_data_info(index)['sample_id']
            if owners.setdefault(name, number) != number:
                break
        else:
            continue
        break
    else:
        return
    roots = [Path(dataset.data_root) for dataset in datasets]
    splits = [dataset.split or 'all' for dataset in datasets]
    folders = [root.name for root in roots]
    choices = (folders, splits, list(map('/'.join, zip(folders, splits, strict=True))),
               ['/'.join(root.parts[-2:]) for root in roots],
               [str(number) for number in range(1, len(datasets) + 1)])
    prefixes = next(names for names in choices if len(set(names)) == len(names))
    for dataset, prefix in zip(datasets, prefixes, strict=True):
        dataset.id_prefix = f'{prefix}/'
    warn_once(f"the id '{name}' is in two of the joined datasets: their ids are now "
              + ', '.join(f"'{prefix}/...'" for prefix in prefixes), 20)


def leaves(dataset: Any) -> list[ChangeDataset]:
    """Return our datasets inside wrappers."""
    if isinstance(dataset, ChangeDataset):
        return [dataset]
    held = vars(dataset)
    inside = held.get('datasets') or ([held['dataset']] if 'dataset' in held else [])
    return [leaf for one in inside for leaf in leaves(one)]


def _plain(value: Any) -> Any:
    """Return a value whose lists and tuples compare as one."""
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
