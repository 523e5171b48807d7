"""File names and atomic writing of pictures."""
import hashlib
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from rscc.utils import atomic_write
from rscc.visualization.overlays import check_mask, class_palette

_LONGEST = 120


def safe_name(sample_id: str) -> str:
    """Turn a sample's id into a file name without folders, blanks or special characters.

    Ids that are already safe stay as they are; others get a short hash, so that two different ids
    never share a file.
    """
    text = str(sample_id)
    name = re.sub(r'[^\w.-]+', '_', text).strip('._')[:_LONGEST]
    if name and name == text:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f'{name}-{digest}' if name else f'sample-{digest}'


def save_image(path: str | os.PathLike, image: np.ndarray) -> Path:
    """Write an RGB image (H, W, 3) uint8 as PNG, atomically; return the path."""
    return _save_png(path, Image.fromarray(np.ascontiguousarray(image)))


def save_small(path: str | os.PathLike, drawing: np.ndarray) -> Path:
    """Write lines and text (H, W, 3) uint8 as palette PNG, half the size, atomically.

    Args:
        path: The file.
        drawing: Its colours become the nearest of 256.
    """
    image = Image.fromarray(np.ascontiguousarray(drawing))
    # Cut by coverage, not by number of pixels: a single mark keeps its colour.
    palette = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    return _save_png(path, palette)


def save_mask(path: str | os.PathLike, mask: np.ndarray, palette: Sequence | None = None) -> Path:
    """Write class numbers (H, W) as a palette PNG, atomically; return the path.

    Pixel values are the class numbers themselves, shown in the classes' colours by any viewer.

    Raises:
        ValueError: If a class number is outside 0 to 255.
    """
    mask = check_mask(mask)
    if mask.size and (mask.min() < 0 or mask.max() > 255):
        raise ValueError(f"mask for '{path}' holds {int(mask.min())} to {int(mask.max())}; a "
                         'palette PNG holds class numbers from 0 to 255')
    image = Image.fromarray(mask.astype(np.uint8), mode='P')
    image.putpalette(np.uint8(class_palette(256, palette)).tobytes())
    return _save_png(path, image)


def save_probabilities(path: str | os.PathLike, probabilities: np.ndarray) -> Path:
    """Write P(changed) (H, W), 0 to 1, as a grey PNG of 16 bits (65535 = 1), atomically.

    Raises:
        ValueError: If it is not (H, W) or holds values outside 0 to 1.
    """
    values = np.asarray(probabilities, np.float32)
    # Written so that a NaN, which compares as false, is refused too.
    if values.ndim != 2 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"probabilities for '{path}' have shape {values.shape} and reach from "
                         f'{values.min(initial=0)} to {values.max(initial=0)}; expected (H, W) '
                         'from 0 to 1')
    return _save_png(path, Image.fromarray(np.rint(values * 65535).astype(np.uint16)))


def _save_png(path: str | os.PathLike, image: Image.Image) -> Path:
    encoded = io.BytesIO()
    image.save(encoded, 'PNG', compress_level=3)
    with atomic_write(path, 'wb') as file:
        file.write(encoded.getvalue())
    return Path(path)
