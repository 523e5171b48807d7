"""Datasets on disk for any config: the files that its dataset class says it will look for."""
import inspect
import json
from pathlib import Path

import cv2
import numpy as np

from rscc.datasets.base import NO_CHANGE_CAPTIONS
from rscc.registry import DATASETS

CHANGED = {
    'en': ['a house has been built', 'a house appears', 'a road is built', 'a house is built',
           'the house appears'],
    'zh': ['新建了一座房屋'] * 5,
}
PARTS = {'train': 'Train', 'val': 'Validation', 'test': 'Test'}


def defaults_of(kind):
    """Return the constructor's defaults of a dataset class, its bases' included."""
    found = {}
    for base in reversed(kind.__mro__):
        if '__init__' in vars(base):
            parameters = inspect.signature(base.__init__).parameters.values()
            found.update({p.name: p.default for p in parameters if p.default is not p.empty})
    return found


def write_fake_dataset(home: Path, cfg: dict, pairs: int = 4, size: int = 64) -> None:
    """Write ``pairs`` samples of every split, every second one changed.

    Args:
        home: Folder of all datasets (``RSCC_DATA``).
        cfg: A config's dataset, ``cfg.train_dataloader.dataset`` for instance.
        pairs: Samples per split.
        size: Width and height in pixels.
    """
    kind = DATASETS.get(cfg['type'])
    options = {**defaults_of(kind), **cfg}
    root, rng = home / options['data_root'], np.random.default_rng(0)
    values = sorted(kind.LABEL_MAP or [0, 255])
    entries = {split: [entry(split, number) for number in range(pairs)] for split in PARTS}
    for split, images in entries.items():
        for image in images:
            for key in ('img_from', 'img_to', 'img_path', 'label'):
                if not options.get(key):
                    continue
                pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
                if key == 'label':
                    pixels = np.full((size, size), values[0], np.uint8)
                    pixels[:size // 4] = values[-1 if image['changeflag'] else 0]
                path = root / options[key].format(filename=image['filename'], split=split,
                                                  filepath=split, stem=image['filename'][:-4])
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), pixels)
    files = {}
    for split, images in entries.items():
        files.setdefault(options['ann_file'].replace('{part}', PARTS[split]), []).extend(images)
    for name, images in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(json.dumps({'images': images}, ensure_ascii=False))


def entry(split: str, number: int) -> dict:
    """Return one image of a Karpathy-style file, in both languages."""
    changed = number % 2 == 0
    texts = CHANGED['en'] if changed else NO_CHANGE_CAPTIONS['en']
    chinese = CHANGED['zh'] if changed else NO_CHANGE_CAPTIONS['zh']
    return dict(
        filename=f'{split}_{number:06d}.png', filepath=split, imgid=number, split=split,
        changeflag=int(changed),
        sentences=[dict(raw=f' {text} .', tokens=text.split(), raw_chinese=f'{other}。')
                   for text, other in zip(texts, chinese, strict=True)])
