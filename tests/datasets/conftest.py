"""A small LEVIR-MCI on disk, made afresh for each test that asks."""
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from rscc.datasets import annotations

STOCK = ['there is no difference', 'the two scenes seem identical',
         'the scene is the same as before', 'no change has occurred', 'almost nothing has changed']
CHANGED = ['a house appears on the left', 'a building is built at the left', 'one villa is built',
           'a house is built on the bareland', 'a new house appears']


def write_png(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    assert cv2.imwrite(str(path), np.ascontiguousarray(colour))


def entry(split: str, number: int, changed: bool) -> dict:
    captions = CHANGED if changed else STOCK
    return {
        'filename': f'{split}_{number:06d}.png', 'filepath': split, 'imgid': number, 'split': split,
        'changeflag': int(changed),
        'sentences': [{'raw': f' {text} .', 'tokens': text.split(),
                       'raw_chinese': '左边出现一栋房子。'} for text in captions]
    }


def make_levir(root: Path, pairs: int = 4, size: int = 32) -> Path:
    """Write ``pairs`` pairs for each split, every second one changed, with grey labels."""
    rng, images = np.random.default_rng(0), []
    for split in ('train', 'val', 'test'):
        for number in range(pairs):
            item = entry(split, number, number % 2 == 0)
            images.append(item)
            label = np.zeros((size, size), np.uint8)
            if item['changeflag']:
                label[4:12, 2:9], label[20:24] = 255, 128
            for folder in ('A', 'B'):
                write_png(root / f'images/{split}/{folder}/{item["filename"]}',
                          rng.integers(0, 256, (size, size, 3), dtype=np.uint8))
            write_png(root / f'images/{split}/label/{item["filename"]}', label)
    (root / 'LevirCCcaptions.json').write_text(
        json.dumps({'dataset': 'fake', 'images': images}), encoding='utf-8')
    return root


@pytest.fixture
def levir(tmp_path: Path) -> Path:
    """Root of a fake LEVIR-MCI of 3 x 4 pairs."""
    return make_levir(tmp_path / 'LEVIR')


@pytest.fixture
def edit_annotations() -> Callable:
    """Change the annotation file of a fake dataset in place."""

    def edit(root: Path, change: Callable[[list[dict]], None]) -> None:
        path = root / 'LevirCCcaptions.json'
        data = json.loads(path.read_text(encoding='utf-8'))
        change(data['images'])
        path.write_text(json.dumps(data), encoding='utf-8')

    return edit


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the readers of annotations say once."""
    messages: list[str] = []
    monkeypatch.setattr(annotations, 'warn_once', messages.append)
    return messages
