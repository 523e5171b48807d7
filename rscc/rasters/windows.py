"""Grid of overlapping windows over an image: arithmetic alone, without files."""
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_NAME = re.compile(r'(?P<stem>.+)_(?P<column>\d+)_(?P<row>\d+)')


@dataclass(frozen=True)
class Axis:
    """Windows along one axis of an image.

    With an overlap, the grid is that of ChangeCLIP's LEVIR-CD tiles: the image is mirrored outwards
    on both sides until ``((length - tile) // step + 1) * step + tile`` pixels are reached, where
    step = tile - overlap, so that the first and the last pixels lie inside a tile too, not only at
    its border. Without an overlap tiles begin at the first pixel, as in the usual 256 crops of
    LEVIR-CD and WHU-CD, and only an incomplete last one is filled up.

    Attributes:
        length: Pixels of the image, at least 1.
        tile: Pixels of a tile.
        overlap: Pixels that neighbours share, less than ``tile``.
    """

    length: int
    tile: int
    overlap: int

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f'an image of {self.length} pixels along one axis cannot be cut')
        if self.tile < 1 or not 0 <= self.overlap < self.tile:
            raise ValueError(f'tiles of {self.tile} pixels with an overlap of {self.overlap}; '
                             'expected a positive size and an overlap from 0 to size - 1')

    @property
    def step(self) -> int:
        """Pixels from one tile to the next."""
        return self.tile - self.overlap

    @property
    def count(self) -> int:
        """How many tiles there are."""
        if self.overlap == 0:
            return -(-self.length // self.tile)
        return max((self.length - self.tile) // self.step + 1, 0) + 1

    @property
    def before(self) -> int:
        """Mirrored pixels in front of the image."""
        return 0 if self.overlap == 0 else (self._covered - self.length) // 2

    @property
    def after(self) -> int:
        """Mirrored pixels behind the image."""
        return self._covered - self.length - self.before

    @property
    def _covered(self) -> int:
        return (self.count - 1) * self.step + self.tile

    def start(self, index: int) -> int:
        """Return where tile ``index`` (from 0) begins in the image; negative in front of it."""
        return index * self.step - self.before

    def inside(self, index: int) -> tuple[int, int]:
        """Return the part of the image, first and end pixel, that tile ``index`` covers."""
        start = self.start(index)
        return max(start, 0), min(start + self.tile, self.length)

    def source(self, index: int) -> list[int]:
        """Return, for every pixel of tile ``index``, the pixel of the image that fills it."""
        start = self.start(index)
        return [mirror(position, self.length) for position in range(start, start + self.tile)]


@dataclass(frozen=True)
class AxisPart:
    """The windows of an axis that cover some of its pixels, as an axis of these pixels alone.

    The windows are those of the whole axis: a part is answered as it would be within the whole.

    Attributes:
        axis: The whole axis.
        first, end: Its pixels that the part keeps.
    """

    axis: Axis
    first: int
    end: int

    @property
    def length(self) -> int:
        """Pixels of the part."""
        return self.end - self.first

    @property
    def tile(self) -> int:
        """Pixels of a window."""
        return self.axis.tile

    @property
    def overlap(self) -> int:
        """Pixels that neighbours share."""
        return self.axis.overlap

    @property
    def step(self) -> int:
        """Pixels from one window to the next."""
        return self.axis.step

    @property
    def lowest(self) -> int:
        """Number, on the whole axis, of the first window that reaches into the part."""
        return max((self.first + self.axis.before - self.tile) // self.step + 1, 0)

    @property
    def count(self) -> int:
        """How many windows reach into the part."""
        last = min((self.end - 1 + self.axis.before) // self.step, self.axis.count - 1)
        return last - self.lowest + 1

    def start(self, index: int) -> int:
        """Return where window ``index`` of the part (from 0) begins, in pixels of the part."""
        return self.axis.start(self.lowest + index) - self.first

    def inside(self, index: int) -> tuple[int, int]:
        """Return first and end pixel of the part that window ``index`` covers."""
        start = self.start(index)
        return max(start, 0), min(start + self.tile, self.length)

    def source(self, index: int) -> list[int]:
        """Return, for every pixel of window ``index``, the pixel of the whole that fills it."""
        return self.axis.source(self.lowest + index)

    def owned(self, index: int) -> bool:
        """Return whether the centre of window ``index`` lies in the part: it does in one only."""
        centre = self.axis.start(self.lowest + index) + self.tile // 2
        return self.first <= min(max(centre, 0), self.axis.length - 1) < self.end


def mirror(position: int, length: int) -> int:
    """Return the pixel that a position outside of 0 to length - 1 shows.

    The border pixel is not repeated (``reflect`` of numpy), and where the mirrored image ends too,
    it is mirrored again.
    """
    if length == 1:
        return 0
    position %= 2 * (length - 1)
    return min(position, 2 * (length - 1) - position)


@dataclass(frozen=True)
class Grid:
    """Overlapping windows of any shape over one image.

    Attributes:
        rows: The vertical axis.
        columns: The horizontal axis.
    """

    rows: Axis | AxisPart
    columns: Axis | AxisPart

    @property
    def height(self) -> int:
        """Rows of the image."""
        return self.rows.length

    @property
    def width(self) -> int:
        """Columns of the image."""
        return self.columns.length

    def __len__(self) -> int:
        return self.rows.count * self.columns.count

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield (column, row) of every window, counted from 0, row by row."""
        return ((column, row) for row in range(self.rows.count)
                for column in range(self.columns.count))

    def box(self, column: int, row: int) -> tuple[int, int, int, int]:
        """Return the part of the image under a window: left, top, right, bottom in pixels."""
        left, right = self.columns.inside(column)
        top, bottom = self.rows.inside(row)
        return left, top, right, bottom


def cut(pixels: np.ndarray, rows: Sequence[int], columns: Sequence[int]) -> np.ndarray:
    """Return pixels (h, w, ...) of some rows and columns; a view where they follow each other."""
    for axis, places in enumerate((rows, columns)):
        if places[-1] - places[0] == len(places) - 1:
            part = slice(places[0], places[-1] + 1)
            pixels = pixels[part] if axis == 0 else pixels[:, part]
        else:
            pixels = pixels.take(places, axis)
    return pixels


def window_grid(height: int, width: int, size: tuple[int, int] | None,
                overlap: tuple[int, int] = (0, 0)) -> Grid | None:
    """Return the windows over an image; None where it is taken whole.

    Args:
        height: Rows of the image.
        width: Columns of the image.
        size: (H, W) of a window in pixels; None takes every image whole.
        overlap: (rows, columns) that neighbours share.
    """
    if size is None or (height <= size[0] and width <= size[1]):
        return None
    # Along an axis that one window covers there is no neighbour to overlap with.
    return Grid(*(Axis(length, side, shared if length > side else 0) for length, side, shared
                  in zip((height, width), size, overlap, strict=True)))


class TileGrid(Grid):
    """The square tiles of one image.

    Args:
        height: Rows of the image.
        width: Columns of the image.
        size: Side of a tile in pixels.
        overlap: Pixels that neighbours share.
    """

    def __init__(self, height: int, width: int, size: int = 256, overlap: int = 64) -> None:
        super().__init__(Axis(height, size, overlap), Axis(width, size, overlap))

    def names(self, stem: str) -> Iterator[str]:
        """Yield the tiles' names without ending, row by row."""
        return (tile_name(stem, column, row) for column, row in self.places())


def tile_name(stem: str, column: int, row: int) -> str:
    """Return ``<stem>_<column>_<row>``, both counted from 1, of indices counted from 0."""
    return f'{stem}_{column + 1}_{row + 1}'


def stem_of_tile(name: str) -> str | None:
    """Return the image's part of a tile's name without ending, None where it is no such name."""
    match = _NAME.fullmatch(name)
    return match['stem'] if match else None
