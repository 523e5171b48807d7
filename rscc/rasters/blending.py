"""Blending maps of overlapping tiles, a band of rows at a time."""
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from rscc.rasters.image_files import opened
from rscc.rasters.windows import Grid
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
_SMALL = np.float32(1e-30)  # below every weight: 0 / 0 where no tile says anything
_WIDTHS = {'L': 255, 'I;16': 65535, 'I': 65535}


def merge_rows(read: Callable[[int, int], np.ndarray], grid: Grid, rule: str = 'mean',
               blend: str = 'none') -> Iterator[tuple[int, np.ndarray]]:
    """Merge the tiles of one image from top to bottom, see :class:`RowBlender`.

    Args:
        read: From (column, row), counted from 0, to the tile's values, (h, w) or (C, h, w).
        grid: The tiles.
        rule: One of :data:`RULES`.
        blend: One of :data:`BLENDS`; ``'linear'`` is for ``'mean'`` and ``'vote'``.

    Yields:
        The first row of a band and its values float32 (n, W) or (C, n, W); the bands follow each
        other without a gap and the mirrored border is cut off.

    Raises:
        ValueError: If the rule or the blending is unknown, or they do not go together.
    """
    blender = RowBlender(grid, rule, blend)
    for column, row in grid.places():
        band = blender.add(read(column, row))
        if band is not None:
            yield band[0], band[1].copy()


def check_rule(rule: str, blend: str) -> None:
    """Check the names of a rule and a blending.

    Raises:
        ValueError: If one is unknown, or they do not go together.
    """
    check_choice('rule', rule, RULES)
    check_choice('blend', blend, BLENDS)
    if blend != 'none' and rule in ('and', 'or'):
        raise ValueError(f"blend '{blend}' weighs tiles, which rule '{rule}' cannot do: use "
                         "rule 'mean' or 'vote', or blend 'none'")


class RowBlender:
    """Overlapping tiles of one image, taken in row by row and given back as finished bands of rows.

    No more is held than the rows under one row of tiles.

    Args:
        grid: The tiles.
        rule: One of :data:`RULES`.
        blend: One of :data:`BLENDS`.
    """

    def __init__(self, grid: Grid, rule: str = 'mean', blend: str = 'none') -> None:
        check_rule(rule, blend)
        self.grid, self.rule = grid, rule
        self.weight = _weights(grid.rows.tile, grid.columns.tile, blend)
        self.start = {'and': np.inf, 'or': -np.inf}.get(rule, 0)
        self.weights = np.zeros((grid.rows.tile, grid.width), np.float32)
        self.sums: np.ndarray | None = None
        self._scratch: np.ndarray | None = None
        self._out: np.ndarray | None = None
        self._places = grid.places()

    def add(self, tile: np.ndarray | None) -> tuple[int, np.ndarray] | None:
        """Take in the next tile, in the order of ``grid.places()``.

        Args:
            tile: Values (h, w), or (C, h, w) of C classes; None for a tile that says nothing, whose
                pixels are those of its neighbours, or 0 (rules ``'mean'`` and ``'vote'``).

        Returns:
            After the last tile of a row, the first image row that no further tile changes and the
            values of all such rows, float32 (n, W) or (C, n, W), which the next call overwrites;
            None before, and where no tile has said anything so far.
        """
        column, row = next(self._places)
        if tile is None:
            return self._finish(row) if column + 1 == self.grid.columns.count else None
        if self.sums is None:
            self.sums = np.full((*tile.shape[:-2], *self.weights.shape), self.start, np.float32)
        # The part of the tile that lies inside the image; mirrored pixels beyond it are dropped.
        first, end = self.grid.columns.inside(column)
        start = self.grid.columns.start(column)
        inside = slice(first - start, end - start)
        self._take(tile[..., inside], np.s_[..., first:end], self.weight[:, inside])
        return self._finish(row) if column + 1 == self.grid.columns.count else None

    def _take(self, tile: np.ndarray, place: tuple, weight: np.ndarray) -> None:
        if self.rule == 'and':
            np.minimum(self.sums[place], tile, out=self.sums[place])
        elif self.rule == 'or':
            np.maximum(self.sums[place], tile, out=self.sums[place])
        else:
            # Class by class, into memory that is there: it stays in the processor's cache, and new
            # arrays of this size cost more than the arithmetic.
            if self._scratch is None or self._scratch.shape != weight.shape:
                self._scratch = np.empty(weight.shape, np.float32)
            for number in np.ndindex(tile.shape[:-2]):
                values = tile[number] > 0.5 if self.rule == 'vote' else tile[number]
                np.multiply(values, weight, out=self._scratch)
                self.sums[number][place] += self._scratch
            self.weights[place] += weight

    def _values(self, sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return finished rows, in memory that the next ones take again."""
        if self._out is None or self._out.shape[-2] < sums.shape[-2]:
            self._out = np.empty(sums.shape, np.float32)
        out = self._out[..., :sums.shape[-2], :]
        if self.rule in ('and', 'or'):
            out[...] = sums
        else:
            np.divide(sums, np.maximum(weights, _SMALL), out=out)
        return out

    def _finish(self, row: int) -> tuple[int, np.ndarray] | None:
        """Return the rows above the next row of tiles, and keep those that it shares."""
        if self.sums is None:
            return None
        rows = self.grid.rows
        top = rows.start(row)
        first = max(top, 0)
        end = rows.length if row + 1 == rows.count else rows.start(row + 1)
        done = np.s_[..., first - top:end - top, :]
        values = self._values(self.sums[done], self.weights[done])
        for kept, start in ((self.sums, self.start), (self.weights, 0)):
            kept[..., :rows.overlap, :] = kept[..., rows.step:, :].copy()
            kept[..., rows.overlap:, :] = start
        return first, values


def decided(values: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Turn probabilities into class numbers.

    Args:
        values: P(changed) (h, w), or the probability of each class (C, h, w).
        threshold: P(changed) above which a pixel is changed.

    Returns:
        uint8 (h, w); of several classes the likeliest, the first of those that are equally likely.
    """
    if values.ndim == 2:
        return (values > threshold).astype(np.uint8)
    # argmax(0) passes through memory in the wrong order and takes ten times as long.
    best, classes = values[0].copy(), np.zeros(values.shape[1:], np.uint8)
    for number in range(1, len(values)):
        classes[values[number] > best] = number
        np.maximum(best, values[number], out=best)
    return classes


def decided_by_date(values: np.ndarray, changed: np.ndarray, same_class: bool = True
                    ) -> np.ndarray:
    """Turn class probabilities of two dates into class maps that agree with a change map.

    Where nothing changed both dates get the class whose probabilities have the largest product;
    elsewhere each date gets its own best.

    Args:
        values: Probability of each class at each date (2, K, h, w).
        changed: Where something changed, 0 for unchanged (h, w).
        same_class: Whether a changed pixel may keep its class. If not, it gets the likeliest two
            different ones.

    Returns:
        uint8 (2, h, w), classes 1 to K.
    """
    shared = decided(values[0] * values[1])
    maps = np.stack([decided(date) for date in values])
    if not same_class:
        # Where both dates have the same best, one gives way: the one whose second best costs less.
        best = np.stack([date.max(0) for date in values])
        others = np.where(np.arange(values.shape[1])[:, None, None] == maps[:, None], -1.0, values)
        second = others.max(1)
        gives_way = second[0] * best[1] >= best[0] * second[1]
        alike = maps[0] == maps[1]
        seconds = [decided(date) for date in others]
        maps[0] = np.where(alike & gives_way, seconds[0], maps[0])
        maps[1] = np.where(alike & ~gives_way, seconds[1], maps[1])
    return np.where(np.asarray(changed) != 0, maps, shared) + np.uint8(1)


def _weights(height: int, width: int, blend: str) -> np.ndarray:
    """Return the weight of every pixel of a tile (h, w), above 0 and at most 1."""
    if blend == 'none':
        return np.ones((height, width), np.float32)
    ramps = [np.minimum(np.arange(1, size + 1), np.arange(size, 0, -1)).astype(np.float32)
             for size in (height, width)]
    return np.outer(*(ramp / ramp.max() for ramp in ramps))


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
    with opened(path) as (image, _):
        mode, values = image.mode, np.asarray(image)
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
