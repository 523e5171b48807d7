"""Captioned datasets by the short names that people use, for tools that take one."""
from pathlib import Path
from typing import Any

from rscc.datasets.base import ChangeDataset
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

