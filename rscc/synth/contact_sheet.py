"""Overview picture of a generated folder: dates, mask and one caption a pair."""
import textwrap
from pathlib import Path

import cv2
import numpy as np

from rscc.synth.generator import ANNOTATIONS, scenes_in
from rscc.synth.spectra import read_picture

_GAP, _TEXT = 8, 40


def write_contact_sheet(root: Path, path: Path, count: int = 12, columns: int = 3,
                        split: str | None = None) -> None:
    """Draw the first pairs of a split (the largest by default), one cell a pair.

    ``path`` ends in .jpg, .jpeg or .png.

    Raises:
        ValueError: If the folder has no pair, or OpenCV cannot write the file's type.
    """
    images = scenes_in(Path(root) / ANNOTATIONS)
    splits = [image['split'] for image in images]
    split = split or max(('train', 'val', 'test'), key=splits.count)
    pairs = [image for image in images if image['split'] == split]
    # Two changed pairs to an unchanged one: a reader wants to see the kinds of change.
    changed = [image for image in pairs if image['changeflag']]
    unchanged = [image for image in pairs if not image['changeflag']]
    chosen = changed[:count - count // 3] + unchanged[:count // 3]
    chosen.sort(key=lambda image: image['imgid'])
    if not chosen:
        raise ValueError(f"no '{split}' pair in '{root}' to draw")
    cells = [_cell(Path(root), image) for image in chosen]
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (-len(cells) % columns)
    rows = [np.hstack(cells[i:i + columns]) for i in range(0, len(cells), columns)]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() not in ('.jpg', '.jpeg', '.png'):
        raise ValueError(f"a contact sheet is a .jpg or .png file, found '{path}'")
    quality = [] if path.suffix.lower() == '.png' else [cv2.IMWRITE_JPEG_QUALITY, 82]
    cv2.imwrite(str(path), np.vstack(rows), quality)


def _view(path: Path) -> np.ndarray:
    """Return a file of the dataset as BGR; of more bands, those of the colours."""
    return read_picture(path)[..., ::-1] if path.suffix == '.tif' else cv2.imread(str(path))


def _cell(root: Path, image: dict, size: int = 176) -> np.ndarray:
    """Return one pair, BGR: from, to and mask side by side over its first caption."""
    folder = root / 'images' / image['filepath']
    name = Path(image['filename'])
    views = [_view(folder / kind / name) for kind in ('A', 'B')]
    views.append(_view(folder / 'label' / name.with_suffix('.png')))
    views = [cv2.resize(view, (size, size), interpolation=cv2.INTER_AREA) for view in views]
    gap = np.full((size, _GAP // 2, 3), 255, np.uint8)
    strip = np.hstack([views[0], gap, views[1], gap, views[2]])
    text = np.full((_TEXT, strip.shape[1], 3), 255, np.uint8)
    caption = ' '.join(image['sentences'][0]['tokens'])
    for line, words in enumerate(textwrap.wrap(caption, 66)[:2]):
        cv2.putText(text, words, (2, 16 + 18 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.46, (40, 40, 40),
                    1, cv2.LINE_AA)
    cell = np.vstack([strip, text])
    return cv2.copyMakeBorder(cell, _GAP, 0, _GAP, _GAP, cv2.BORDER_CONSTANT,
                              value=(255, 255, 255))
