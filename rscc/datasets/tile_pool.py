"""Views of labelled tiles at any ground resolution: what dates of pseudo-pairs are cut from.

A tile covers as much ground as it does. Enlarging a small one until it fills a coarse view would
show a house as large as a factory; mirroring it leaves patterns like those of a kaleidoscope.
So a view that no drawn tile fills is divided, and each part is cut from a tile of its own.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from rscc.datasets.tiles import Tile, TileDataset
from rscc.registry import DATASETS

#: Sides of parts are not halved below this many pixels.
_LEAST_SIDE = 24
#: Tiles drawn for a part before it is halved.
_DRAWS = 3


@dataclass
class View:
    """A cut-out of one place.

    Attributes:
        image: RGB, uint8 (H, W, 3).
        mask: 1 on objects, 0 elsewhere, 255 where nobody knows, uint8 (H, W).
        again: The same ground at another date, at which the same objects stand, uint8 (H, W, 3);
            None where there is one picture alone.
    """
    image: np.ndarray
    mask: np.ndarray
    again: np.ndarray | None = None

    def copy(self) -> 'View':
        """Return the view at its first date alone; its arrays are its own."""
        return View(self.image.copy(), self.mask.copy())

    def second(self) -> 'View':
        """Return the view at its other date, or once more; its arrays are its own."""
        return View((self.image if self.again is None else self.again).copy(), self.mask.copy())


def fills(tile: Tile, size: tuple[int, int], resolution: float) -> bool:
    """Return whether a tile fills a window of (H, W) pixels at a ground resolution as it lies.

    A shortage of a twentieth is none: resolutions are not told more exactly.
    """
    return all(there * tile.resolution * 1.05 >= side * resolution
               for there, side in zip(tile.mask.shape, size, strict=True))


def covers(tile: Tile, size: tuple[int, int], resolution: float) -> bool:
    """Return whether a tile fills a window of (H, W) pixels as it lies or turned by a quarter."""
    return fills(tile, size, resolution) or fills(tile, size[::-1], resolution)


def cut(tile: Tile, size: tuple[int, int], resolution: float, rng: np.random.Generator) -> View:
    """Cut a window of a tile at another ground resolution, turned and mirrored at random.

    Args:
        tile: The tile.
        size: (H, W) of the view.
        resolution: Metres that a pixel of the view covers. A tile that is too small for that is
            shown larger than life.
        rng: Source of the choice.
    """
    height, width = tile.mask.shape
    ways = [way for way in (False, True)
            if fills(tile, size[::-1] if way else size, resolution)] or [False, True]
    turned = ways[rng.integers(len(ways))]
    sides = np.array(size[::-1] if turned else size)
    # Sides of the window in pixels of the tile; as much as there is, at most.
    window = sides * (resolution / tile.resolution)
    window *= min(1.0, height / window[0], width / window[1])
    rows, columns = np.maximum(np.round(window).astype(int), 1)
    top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
    part = (slice(top, top + rows), slice(left, left + columns))
    shape = (int(sides[1]), int(sides[0]))
    smooth = cv2.INTER_AREA if rows > sides[0] else cv2.INTER_CUBIC
    # Quarter turns keep what is north from being learnt; the sides were exchanged above for them.
    turns, mirrored = 2 * int(rng.integers(2)) + turned, rng.random() < 0.5

    def laid(pixels: np.ndarray, interpolation: int) -> np.ndarray:
        resized = np.rot90(cv2.resize(pixels[part], shape, interpolation=interpolation), turns)
        return np.ascontiguousarray(resized[:, ::-1] if mirrored else resized)

    dates = [tile.image, *tile.other_dates]
    first, *rest = rng.permutation(len(dates))[:2] if len(dates) > 1 else [0]
    again = laid(dates[rest[0]], smooth) if rest else None
    return View(laid(dates[first], smooth), laid(tile.mask, cv2.INTER_NEAREST), again)


def join(first: View, second: View, axis: int) -> View:
    """Lay two views side by side along an axis: 0 one below the other, 1 left and right.

    Where one of them has another date and the other has none, its picture stands for both dates.
    """
    again = None
    if first.again is not None or second.again is not None:
        again = np.concatenate([part.image if part.again is None else part.again
                                for part in (first, second)], axis)
    return View(np.concatenate([first.image, second.image], axis),
                np.concatenate([first.mask, second.mask], axis), again)


class TilePool:
    """Tiles in memory, drawn so that every city has a fair share.

    Args:
        tiles: The tiles.
        empty: Share of tiles without objects among those drawn, where there are any.
    """

    def __init__(self, tiles: Sequence[Tile], empty: float = 0.25) -> None:
        self.full = [tile for tile in tiles if (tile.mask == 1).any()]
        self.bare = [tile for tile in tiles if not (tile.mask == 1).any()]
        dated: dict[str, list[Tile]] = {}
        for tile in tiles:
            if tile.other_dates:
                dated.setdefault(tile.group, []).append(tile)
        self.dated = [dated[group] for group in sorted(dated)]
        self.empty = empty if self.bare else 0.0
        if not self.full:
            raise ValueError(f'none of {len(tiles)} tiles shows an object: pseudo-pairs are made '
                             'of tiles with masks (see TileDataset)')
        self.weight = _fair_shares(self.full)

    @classmethod
    def of(cls, sources: Sequence[Mapping | TileDataset]) -> 'TilePool':
        """Read the tiles of datasets, or of their configs."""
        return cls([tile for source in sources for tile in (
            DATASETS.build(source) if isinstance(source, Mapping) else source).tiles()])

    def draw(self, rng: np.random.Generator, objects: bool | None = None) -> Tile:
        """Return a tile: one that shows objects, one that shows none if there is any, or either."""
        bare = rng.random() < self.empty if objects is None else not objects
        if bare and self.bare:
            return self.bare[rng.integers(len(self.bare))]
        return self.full[rng.choice(len(self.full), p=self.weight)]

    def draw_dated(self, rng: np.random.Generator) -> Tile:
        """Return a tile that was photographed at several dates, each source alike often."""
        group = self.dated[rng.integers(len(self.dated))]
        return group[rng.integers(len(group))]

    def dated_view(self, size: tuple[int, int], resolution: float, rng: np.random.Generator
                   ) -> View:
        """Return a view of one place at two of its dates; see :func:`cut`."""
        return cut(self.draw_dated(rng), size, resolution, rng)

    def view(self, size: tuple[int, int], resolution: float, rng: np.random.Generator, *,
             objects: bool | None = None, cuts: int = 0) -> View:
        """Return a view of one place, or of as many as it takes to fill it.

        Args:
            size: (H, W) in pixels.
            resolution: Metres a pixel.
            rng: Source of all choices.
            objects: As for :meth:`draw`.
            cuts: How often the view is halved at least: 1 for two places, 2 for four.
        """
        if cuts == 0:
            for _ in range(_DRAWS):
                tile = self.draw(rng, objects)
                if covers(tile, size, resolution):
                    return cut(tile, size, resolution, rng)
        axis = int(size[1] >= size[0])
        if size[axis] < 2 * _LEAST_SIDE:
            return cut(self.draw(rng, objects), size, resolution, rng)
        side = round(size[axis] * rng.uniform(0.35, 0.65))
        parts = [(side, size[1]), (size[0] - side, size[1])] if axis == 0 else [
            (size[0], side), (size[0], size[1] - side)]
        return join(*(self.view(part, resolution, rng, objects=objects, cuts=max(cuts - 1, 0))
                      for part in parts), axis)


def _fair_shares(tiles: Sequence[Tile]) -> np.ndarray:
    """Return the probability of each tile: by its area, by the root of it between groups.

    So neither the largest city alone is seen nor tiny ones as often as it.
    """
    area: dict[str, float] = {}
    for tile in tiles:
        area[tile.group] = area.get(tile.group, 0) + _ground(tile)
    weight = np.array([_ground(tile) / area[tile.group] ** 0.5 for tile in tiles])
    return weight / weight.sum()


def _ground(tile: Tile) -> float:
    return tile.mask.size * tile.resolution ** 2
