"""Blending maps of overlapping tiles, a band of rows at a time."""
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from rscc.rasters.image_files import unreadable
from rscc.rasters.windows import TileGrid
from rscc.utils import check_choice

#: How the tiles over one pixel become one value.
RULES = {
    'mean': 'average of the probabilities',
    'vote': 'share of the tiles that say changed',
    'and': 'changed where all tiles say so (what the original merger does, by accident)',
    'or': 'changed where any tile says so',
}
BLENDS = {'none': 'all pixels of a tile count alike',
          'linear': 'pixels count less towards the border of their tile, which knows less'}
_WIDTHS = {'L': 255, 'I;16': 65535, 'I': 65535}


def merge_rows(read: Callable[[int, int], np.ndarray], grid: TileGrid, rule: str = 'mean',
               blend: str = 'none') -> Iterator[tuple[int, np.ndarray]]:
    """Merge the tiles of one image from top to bottom.

    No more than two arrays of one tile's height and the image's width are held.

    Args:
        read: From (column, row), counted from 0, to the tile's P(changed), (size, size).
        grid: The tiles.
        rule: One of :data:`RULES`.
        blend: One of :data:`BLENDS`; ``'linear'`` is for ``'mean'`` and ``'vote'``.

    Yields:
        The first row of a band and its P(changed) float32 (n, W); the bands follow each other
        without a gap and the mirrored border is cut off.

    Raises:
        ValueError: If the rule or the blending is unknown, or they do not go together.
    """
    check_rule(rule, blend)
    band = _Band(grid, rule, blend)
    for row in range(grid.rows.count):
        for column in range(grid.columns.count):
            band.add(column, read(column, row))
        top, last = grid.rows.start(row), row + 1 == grid.rows.count
        first = max(top, 0)
        end = grid.height if last else grid.rows.start(row + 1)
        yield first, band.values()[first - top:end - top]
        band.move_down()


def check_rule(rule: str, blend: str) -> None:
    """Check the names of a rule and a blending.

    Raises:
        ValueError: If one is unknown, or they do not go together.
    """
    check_choice('rule', rule, RULES)
    check_choice('blend', blend, BLENDS)
    if blend != 'none' and rule in ('and', 'or'):
        raise ValueError(f"blend '{blend}' weighs tiles, and rule '{rule}' knows no weights: use "
                         "rule 'mean' or 'vote', or blend 'none'")


class _Band:
    """Sums and weights of the rows under one row of tiles."""

    def __init__(self, grid: TileGrid, rule: str, blend: str):
        self.columns, self.rule = grid.columns, rule
        self.step, self.overlap = grid.rows.step, grid.overlap
        self.weight = _weights(grid.size, blend)
        self.start = {'and': np.inf, 'or': -np.inf}.get(rule, 0)
        self.sums = np.full((grid.size, grid.width), self.start, np.float32)
        self.weights = np.zeros_like(self.sums)

    def add(self, column: int, tile: np.ndarray) -> None:
        """Take in one tile (size, size)."""
        first, end = self.columns.inside(column)
        start = self.columns.start(column)
        inside = slice(first - start, end - start)
        tile, place = tile[:, inside], (slice(None), slice(first, end))
        if self.rule == 'and':
            np.minimum(self.sums[place], tile, out=self.sums[place])
        elif self.rule == 'or':
            np.maximum(self.sums[place], tile, out=self.sums[place])
        else:
            weight = self.weight[:, inside]
            self.sums[place] += weight * ((tile > 0.5) if self.rule == 'vote' else tile)
            self.weights[place] += weight

    def values(self) -> np.ndarray:
        """Return the value of every pixel so far."""
        return self.sums.copy() if self.rule in ('and', 'or') else self.sums / self.weights

    def move_down(self) -> None:
        """Keep the rows that the next row of tiles shares with this one."""
        for rows, start in ((self.sums, self.start), (self.weights, 0)):
            rows[:self.overlap] = rows[self.step:].copy()
            rows[self.overlap:] = start


def _weights(size: int, blend: str) -> np.ndarray:
    if blend == 'none':
        return np.ones((size, size), np.float32)
    ramp = np.minimum(np.arange(1, size + 1), np.arange(size, 0, -1)).astype(np.float32)
    return np.outer(ramp, ramp) / ramp.max()**2


def read_tile(path: str | Path, size: int, classes: bool = False) -> np.ndarray:
    """Read P(changed) of one tile.

    Grey files of 8 or 16 bits are probabilities, the brightest value being 1 (so masks of 0 and 255
    need nothing special); palette and black-and-white files hold class numbers, 0 = unchanged.

    Args:
        path: The tile.
        size: Its side in pixels.
        classes: Grey files hold class numbers too.

    Returns:
        float32 (size, size), 0 to 1.

    Raises:
        ValueError: If it is no such picture or of another size.
    """
    path = Path(path)
    try:
        with Image.open(path) as image:
            mode, values = image.mode, np.asarray(image)
    except (UnidentifiedImageError, OSError) as error:
        raise unreadable(path, str(error)) from error
    if values.shape != (size, size):
        raise ValueError(f"tile '{path}' is {values.shape[::-1]} (W, H, ...), {size} x {size} of "
                         'one channel was expected. Give the folder that tools/test.py wrote as '
                         'probabilities/ or masks/')
    if classes or mode in ('P', '1'):
        return (values > 0).astype(np.float32)
    if mode not in _WIDTHS:
        raise ValueError(f"tile '{path}' is of kind '{mode}'; grey of 8 or 16 bits, or a palette "
                         'of class numbers, was expected')
    if mode == 'L' and values.max() == 1:
        raise ValueError(f"tile '{path}' is grey with no value above 1 of 255. If these are class "
                         'numbers, pass --classes; probabilities go from 0 to 255')
    return values.astype(np.float32) / _WIDTHS[mode]
