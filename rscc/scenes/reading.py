"""Both dates of a scene on one grid, read in rectangles and, for the model, in bands ahead of it.

Pixels that lack data at some date, or lie outside the area of interest, are black at every date: a
model should see no change there, and its answer there does not count.
"""
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from rscc.rasters.polygons import Drawing, Polygons, need_inside, outline, window_place
from rscc.scenes.contracts import Box, Gap, SceneGrid, SceneReader
from rscc.scenes.damage import read_around_gaps, read_reduced
from rscc.scenes.grids import on_grid
from rscc.scenes.sources import STATISTICS_SIDE, DateImage, reduced_shape

#: Threads that read ahead of the model.
READERS = 2
#: Rows that are read at once, at least: more are taken where the file stores more together.
_ROWS = 256


class PairReader(SceneReader):
    """The dates of a scene on the grid of the first.

    Args:
        dates: One or two dates, see :func:`rscc.scenes.sources.open_date`.
        assume_same_grid: Take images of which only one has a place as lying on its grid.
        offset: Where the later date shows things relative to the earlier one, (columns, rows) in
            pixels; it is read that much displaced.
        match_histogram: Bring the later date's values to the distribution of the earlier one's.
        area: Area of interest, see :class:`Area`.
        tables: What ``match_histogram`` found in an earlier reader of the same scene; it is not
            estimated again.

    Attributes:
        dates: The dates on one grid.
        offset: As given.
        channels: Number B of bands of a frame, see :class:`rscc.scenes.sources.DateImage`.
        tables: For every band (B, 256), the value that each value of the later date becomes; None
            where values stay.
        overlap: Rectangle of the grid that all dates cover.
        remarks: What was done to the dates, in sentences; nothing is done in silence.

    Raises:
        ValueError: If the dates do not overlap, only one has a place, or sizes of images without a
            place differ.
    """

    def __init__(self, dates: Sequence[DateImage], assume_same_grid: bool = False,
                 offset: tuple[float, float] = (0.0, 0.0), match_histogram: bool = False,
                 area: 'Area | None' = None, tables: np.ndarray | None = None) -> None:
        self.remarks: list[str] = []
        self.grid = dates[0].grid
        self.sources = tuple(date.name for date in dates)
        self.dates, self.offset, self.channels = [dates[0]], offset, dates[0].channels
        self.overlap = self.grid.box
        if len(dates) > 1:
            later, self.overlap = on_grid(dates[0], dates[1], assume_same_grid, offset,
                                          self.remarks)
            self.dates.append(later)
        self.area = area
        self.tables = tables
        self._reduced: dict[int, tuple[list[np.ndarray], list[np.ndarray]]] = {}
        if match_histogram and tables is None and len(dates) > 1:
            self.tables = self._matching()
            self._reduced = {}
            self.remarks.append(f"values of '{self.sources[1]}' were brought to the distribution "
                                f"of those of '{self.sources[0]}' (--match-histogram)")

    @property
    def block(self) -> tuple[int, int]:
        """(h, w) that the earlier date stores together."""
        return self.dates[0].block

    @property
    def scales(self) -> list:
        """Of every date, ``(low, high)`` that become 0 and 255; None where values stay."""
        return [date.scale for date in self.dates]

    def read(self, box: Box, shape: tuple[int, int] | None = None
             ) -> tuple[list[np.ndarray], np.ndarray]:
        """Read a rectangle, see :meth:`SceneReader.read`."""
        return _shared(*self.read_each(box, shape))

    def read_each(self, box: Box, shape: tuple[int, int] | None = None
                  ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Read a rectangle of every date by itself.

        Args:
            box, shape: See :meth:`read`.

        Returns:
            Frames uint8 (h, w, B), what lies where there is no data included, and of each date
            where it holds data inside the area of interest, bool (h, w).

        Raises:
            OSError: If a file is damaged there.
        """
        read = [date.read(box, shape) for date in self.dates]
        return self._finished([frame for frame, _ in read], [mask for _, mask in read], box)

    def _finished(self, frames: list[np.ndarray], masks: list[np.ndarray], box: Box
                  ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Apply the area of interest and the histogram."""
        if self.area is not None:
            inside = self.area.mask(self.grid, box, masks[0].shape)
            masks = [mask & inside for mask in masks]
        if self.tables is not None:
            frames[1] = np.stack([table[frames[1][..., band]]
                                  for band, table in enumerate(self.tables)], 2)
        return frames, masks

    def reduced(self, side: int = STATISTICS_SIDE) -> tuple[list[np.ndarray], np.ndarray]:
        """Read the whole scene with at most ``side`` pixels along its longer side.

        Damaged places are black and count as without data.
        """
        return _shared(*self.reduced_each(side))

    def reduced_each(self, side: int = STATISTICS_SIDE
                     ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Read every date by itself, reduced: see :meth:`reduced` and :meth:`read_each`."""
        if side not in self._reduced:  # asked for by the check, the blocks and more
            shape = reduced_shape(self.grid, side)
            frames = [np.zeros((*shape, self.channels), np.uint8) for _ in self.dates]
            masks = [np.zeros(shape, bool) for _ in self.dates]
            for date, frame, mask in zip(self.dates, frames, masks, strict=True):
                read_reduced(date.read, self.grid.box, [frame, mask])
            self._reduced[side] = self._finished(frames, masks, self.grid.box)
        return self._reduced[side]

    def release(self, forget: bool = False) -> None:
        """Close the files, which are opened again when they are read.

        Args:
            forget: Let go of decoded pictures and reduced images too: a list of scenes has more of
                them than memory holds.
        """
        for date in self.dates:
            date.release(forget)
        if forget:
            self._reduced = {}

    def _matching(self) -> np.ndarray:
        """Return, for every band (B, 256), the value that each value of the later date becomes."""
        frames, valid = self.reduced()
        tables = []
        for band in range(self.channels):
            earlier, later = (
                np.cumsum(np.bincount(frame[..., band][valid], minlength=256)) / max(valid.sum(), 1)
                for frame in frames)
            tables.append(np.interp(later, earlier, np.arange(256)))
        return np.rint(tables).astype(np.uint8)


def _shared(frames: list[np.ndarray], masks: list[np.ndarray]
            ) -> tuple[list[np.ndarray], np.ndarray]:
    """Return frames that are black where a date lacks data, and where none does."""
    valid = np.logical_and.reduce(masks)
    if not valid.all():
        frames = [np.where(valid[..., None], frame, 0).astype(np.uint8) for frame in frames]
    return frames, valid


class Area:
    """Polygons that limit the work; pixels whose centre lies outside count as without data.

    Args:
        path: A file that GDAL reads (GeoPackage, GeoJSON, Shapefile, ...).
        grid: Grid of the scene.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no polygons, they lie outside, or a place on the map is missing.
    """

    def __init__(self, path: str | Path, grid: SceneGrid) -> None:
        if grid.crs is None:
            raise ValueError(f"the area of interest '{path}' cannot be laid over images without a "
                             'place on the map')
        found = Polygons(path, grid.crs)
        need_inside([found], outline(grid.transform, grid.box), 'the scene')
        self._drawing = Drawing(found.table.geometry)

    def mask(self, grid: SceneGrid, box: Box, shape: tuple[int, int]) -> np.ndarray:
        """Return which pixels of a rectangle, read at ``shape``, lie inside, bool (h, w).

        Of a reduced image, those that a polygon touches: small ones must not vanish.
        """
        left, top, right, bottom = box
        reduced = shape[1] < right - left or shape[0] < bottom - top
        place = window_place(grid.transform, box, shape)
        return self._drawing.draw(place, shape, all_touched=reduced) > 0


class Bands:
    """Rows of a rectangle, from top to bottom, read by threads ahead of who asks for them.

    What is read at once ends where the file's stored blocks end, so that none is decoded twice.

    Args:
        reader: The scene.
        box: The rectangle.
        pool: Threads that read.
        ahead: Pieces that are read before they are asked for.

    Attributes:
        gaps: What could not be read so far; it counts as without data.
    """

    def __init__(self, reader: PairReader, box: Box, pool: ThreadPoolExecutor, ahead: int = 2
                 ) -> None:
        self._reader, self._box, self._pool, self._ahead = reader, box, pool, ahead
        self.gaps: list[Gap] = []
        # Memory of the whole rectangle is taken as its rows arrive, and never copied.
        left, top, right, bottom = box
        shape = (bottom - top, right - left, reader.channels)
        self._frames = [np.empty(shape, np.uint8) for _ in reader.dates]
        self._valid = np.empty((bottom - top, right - left), bool)
        self._pieces = deque(self._cuts())
        self._reading: deque[tuple[int, Future]] = deque()
        self._have = top
        self._fill()

    def _cuts(self) -> Iterator[Box]:
        left, top, right, bottom = self._box
        step = self._reader.block[0]
        step *= -(-_ROWS // step)
        if step > 8 * _ROWS:  # a file that is stored as a whole
            step = _ROWS
        edges = [top, *range((top // step + 1) * step, bottom, step), bottom]
        return ((left, first, right, end) for first, end in itertools.pairwise(edges))

    def _fill(self) -> None:
        while self._pieces and len(self._reading) < self._ahead:
            piece = self._pieces.popleft()
            self._reading.append((piece[3], self._pool.submit(self._read, piece)))

    def _read(self, piece: Box) -> list[Gap]:
        """Read a piece into its place."""
        frames, valid, gaps = read_around_gaps(self._reader, piece)
        place = slice(piece[1] - self._box[1], piece[3] - self._box[1])
        for whole, part in zip(self._frames, frames, strict=True):
            whole[place] = part
        self._valid[place] = valid
        return gaps

    def rows(self, first: int, end: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Return frames (n, W, B) and where there is data (n, W) of some rows of the scene.

        Args:
            first, end: Rows inside the rectangle.
        """
        while self._have < end:
            self._have, reading = self._reading.popleft()
            self.gaps += reading.result()
            self._fill()
        part = slice(first - self._box[1], end - self._box[1])
        return [frame[part] for frame in self._frames], self._valid[part]

    def close(self) -> None:
        """Let go of what was read ahead."""
        for _, future in self._reading:
            future.cancel()
