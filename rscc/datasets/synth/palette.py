"""Class masks as palette PNGs: label values as pixels, colours for people's eyes."""
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def write_palette_png(mask: np.ndarray, palette: Sequence[Sequence[int]], path: Path) -> None:
    """Save a mask (H, W) uint8 of values below ``len(palette)`` as a mode-P PNG."""
    image = Image.fromarray(mask, mode='P')
    image.putpalette([channel for colour in palette for channel in colour])
    image.save(path, compress_level=1)
