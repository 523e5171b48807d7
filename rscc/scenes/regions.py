"""Connected regions of a class map that is read block by block: counts, scores and outlines.

A block is labelled on its own. Regions inside it are finished at once; of those that reach its
border only the outline is kept, as unit edges between pixels. Where the edges of two blocks lie on
each other their regions are one, and the edges vanish. So memory grows with the outlines, not with
the pixels, and the result is the same however a scene is divided.
"""
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from rscc.scenes.contracts import NODATA, Box, SceneGrid
from rscc.utils import require

# An edge runs from corner to corner of a pixel with its region on the right hand side, seen with
# rows downwards. Its code is 4 * corner + direction, corner = row * (width + 1) + column.
EAST, SOUTH, WEST, NORTH = range(4)
_MOST_OPEN = 2_000_000  # edges that wait before those of neighbouring blocks are joined


@dataclass
class PixelRegions:
    """Regions in pixel coordinates, ordered by their first pixel (top row, then left column).

    Attributes:
        values: Class of each, uint8 (n,).
        pixels: Size of each, int64 (n,).
        probability_sums: Sum of the probabilities of their pixels, 0 to 255 each, int64 (n,).
        bounds: Left, top, right, bottom, int64 (n, 4); right and bottom are not inside.
        outlines: Polygons with holes (n,), x = column and y = row, corners only.
    """
    values: np.ndarray
    pixels: np.ndarray
    probability_sums: np.ndarray
    bounds: np.ndarray
    outlines: np.ndarray

    def take(self, chosen: np.ndarray) -> 'PixelRegions':
        """Return the regions of an index or a mask."""
        return PixelRegions(*(column[chosen] for column in vars(self).values()))

    @classmethod
    def concatenate(cls, tables: list['PixelRegions']) -> 'PixelRegions':
        """Return the rows of all tables."""
        columns = zip(*(vars(table).values() for table in [cls.empty(), *tables]), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    @classmethod
    def empty(cls) -> 'PixelRegions':
        """Return a table without rows."""
        return cls(np.zeros(0, np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64),
                   np.zeros((0, 4), np.int64), np.zeros(0, object))


class RegionCollector:
    """Gathers the regions of a scene from its blocks, in any order.

    Pixels of one class that share a side belong together; those of class 0 and without data belong
    to no region.

    Args:
        grid: Of the scene.
        fewest: Given bounds of regions (n, 4), how many pixels each needs at least to be wanted
            (n,). It may be too few: what is left in is for the caller to sort out.
    """

    def __init__(self, grid: SceneGrid,
                 fewest: Callable[[np.ndarray], np.ndarray] = lambda bounds: np.zeros(len(bounds))):
        self.grid, self.fewest = grid, fewest
        self.left_out = 0  # regions that were not wanted
        self._whole: list[PixelRegions] = []
        # Regions at borders of blocks: a table row per part, then edges and whose they are.
        self._parts: list[PixelRegions] = []
        self._count = 0
        self._edges: list[tuple[np.ndarray, np.ndarray]] = []
        self._waiting = self._joined = 0
        self._same: list[np.ndarray] = []

    def add(self, box: Box, classes: np.ndarray, probability: np.ndarray | None = None) -> None:
        """Take the map of a block.

        Args:
            box: Its pixels in the scene.
            classes: uint8 (h, w).
            probability: P(changed) uint8 (h, w), 255 = 1; None counts as 0.
        """
        labels, table = _label(classes, probability)
        if not len(table.values):
            return
        table.bounds += np.int64([box[0], box[1], box[0], box[1]])
        codes, owners = _unit_edges(labels, box, self.grid.width + 1)
        open_ = np.zeros(len(table.values) + 1, bool)
        for inner, side in zip((box[0] > 0, box[1] > 0, box[2] < self.grid.width,
                                box[3] < self.grid.height),
                               (labels[:, 0], labels[0], labels[:, -1], labels[-1]), strict=True):
            open_[side] |= inner
        open_ = open_[1:]
        wanted = ~open_ & (table.pixels >= self.fewest(table.bounds))
        self.left_out += int((~open_ & ~wanted).sum())
        whole = table.take(wanted)
        whole.outlines = self._trace(codes, owners, wanted)
        self._whole.append(whole)
        self._keep_open(codes, owners, open_, table)

    def _keep_open(self, codes: np.ndarray, owners: np.ndarray, open_: np.ndarray,
                   table: PixelRegions) -> None:
        """Keep edges of the regions of a block that may go on in another one."""
        if not open_.any():
            return
        numbers = (np.cumsum(open_) - 1 + self._count).astype(np.int32)  # half the memory
        chosen = open_[owners]
        self._parts.append(table.take(open_))
        self._count += int(open_.sum())
        self._edges.append((codes[chosen], numbers[owners[chosen]]))
        self._waiting += int(chosen.sum())
        if self._waiting > 2 * self._joined + _MOST_OPEN:
            self._join()

    def _trace(self, codes: np.ndarray, owners: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Return outlines of the wanted regions, in the order of their numbers."""
        chosen = wanted[owners]
        return trace_outlines(codes[chosen], owners[chosen], self.grid.width + 1)

    def _join(self) -> None:
        """Remove edges that two parts of a region share, and note that the parts are one."""
        codes, owners = map(np.concatenate, zip(*self._edges, strict=True))
        values = np.concatenate([part.values for part in self._parts])[owners]
        direction, start = codes & 3, codes >> 2
        # An edge walked in either direction gets the corner further up or left.
        start -= (direction == WEST) + (direction == NORTH) * (self.grid.width + 1)
        place = 2 * start + (direction & 1)
        order = np.argsort(place, kind='stable')
        place, values = place[order], values[order]
        twin = np.flatnonzero((place[1:] == place[:-1]) & (values[1:] == values[:-1]))
        first, second = order[twin], order[twin + 1]
        self._same.append(np.unique(np.stack([owners[first], owners[second]], 1), axis=0))
        left = np.ones(len(codes), bool)
        left[first] = left[second] = False
        self._edges = [(codes[left], owners[left])]
        self._waiting = self._joined = int(left.sum())

    def finish(self) -> PixelRegions:
        """Put the parts of regions together, and return all regions."""
        if self._edges:
            self._join()
            self._whole.append(self._regions_of_parts())
            self._edges, self._parts, self._same, self._count = [], [], [], 0
        found = PixelRegions.concatenate(self._whole)
        self._whole = []
        shapely = require('shapely', 'outlining regions')
        # Outlines begin at the upper left corner of the first pixel.
        corner = shapely.get_point(shapely.get_exterior_ring(found.outlines), 0)
        return found.take(np.lexsort((shapely.get_x(corner), shapely.get_y(corner))))

    def _regions_of_parts(self) -> PixelRegions:
        parts = PixelRegions.concatenate(self._parts)
        region = _groups(len(parts.values), np.concatenate(self._same))
        count = int(region.max()) + 1
        table = PixelRegions(*(np.zeros((count, *column.shape[1:]), column.dtype)
                               for column in vars(parts).values()))
        table.values[region] = parts.values
        np.add.at(table.pixels, region, parts.pixels)
        np.add.at(table.probability_sums, region, parts.probability_sums)
        table.bounds[:, :2] = np.iinfo(np.int64).max
        np.minimum.at(table.bounds[:, :2], region, parts.bounds[:, :2])
        np.maximum.at(table.bounds[:, 2:], region, parts.bounds[:, 2:])
        wanted = table.pixels >= self.fewest(table.bounds)
        self.left_out += int((~wanted).sum())
        codes, owners = self._edges[0]
        table = table.take(wanted)
        table.outlines = self._trace(codes, region[owners], wanted)
        return table


def _label(classes: np.ndarray, probability: np.ndarray | None
           ) -> tuple[np.ndarray, PixelRegions]:
    """Number the regions of a block from 1.

    Returns:
        Numbers int32 (h, w), 0 outside regions, and a table of the regions without outlines.
    """
    labels, tables = np.zeros(classes.shape, np.int32), []
    count = 0
    for value in np.flatnonzero(np.bincount(classes.reshape(-1), minlength=256)):
        if value in (0, NODATA):
            continue
        _, found, stats, _ = cv2.connectedComponentsWithStats(
            np.uint8(classes == value), connectivity=4, ltype=cv2.CV_32S)
        inside = found > 0
        np.add(found, count, out=labels, where=inside)
        stats = stats[1:].astype(np.int64)
        bounds = stats[:, [cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP] * 2]
        bounds[:, 2:] += stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
        sums = np.zeros(len(stats), np.int64) if probability is None else np.bincount(
            found[inside], probability[inside], len(stats) + 1)[1:].astype(np.int64)
        tables.append(PixelRegions(np.full(len(stats), value, np.uint8),
                                   stats[:, cv2.CC_STAT_AREA], sums, bounds,
                                   np.zeros(len(stats), object)))
        count += len(stats)
    return labels, PixelRegions.concatenate(tables)


def _unit_edges(labels: np.ndarray, box: Box, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Return code and owner (label - 1) of every edge between a region and other pixels."""
    padded = np.pad(labels, 1)
    codes, owners = [], []
    # Of the two pixels at an edge: where it begins seen from the first and from the second one.
    for first, second, ways in (
            (padded[:-1, 1:-1], padded[1:, 1:-1], ((WEST, 0, 1), (EAST, 0, 0))),
            (padded[1:-1, :-1], padded[1:-1, 1:], ((SOUTH, 0, 0), (NORTH, 1, 0)))):
        rows, columns = np.nonzero(first != second)
        for pixels, (direction, down, right) in zip((first, second), ways, strict=True):
            owner = pixels[rows, columns]
            mine = owner > 0
            corner = (rows[mine] + box[1] + down) * stride + columns[mine] + box[0] + right
            codes.append(4 * corner + direction)
            owners.append(owner[mine] - 1)
    return np.concatenate(codes), np.concatenate(owners)


def trace_outlines(codes: np.ndarray, owners: np.ndarray, stride: int) -> np.ndarray:
    """Turn the unit edges of regions into polygons.

    Args:
        codes: 4 * corner + direction of every edge, int64 (n,).
        owners: Number of the region of each, int (n,).
        stride: Corners in a row of the scene.

    Returns:
        A polygon per region, by number. Its shell begins at the region's first corner (top row,
        then left column), its holes at theirs, and they are ordered by it.
    """
    shapely = require('shapely', 'outlining regions')
    if not len(codes):
        return np.zeros(0, object)
    order = np.lexsort((codes, owners))
    codes, owners = codes[order], owners[order]
    direction, start = codes & 3, codes >> 2
    end = start + np.int64([1, stride, -1, -stride])[direction]
    # As many edges of a region end at a corner as begin there, so both orders agree. Where two do,
    # pixels touch at their corners only: a left turn keeps what lies around the region together,
    # so that no ring touches itself.
    following = np.empty(len(codes), np.int64)
    following[np.lexsort((4 * end + ((direction - 1) & 3), owners))] = np.arange(len(codes))
    chain, begins = _walk(following)

    turned = direction[chain]
    before = np.roll(turned, 1)
    before[begins] = turned[np.append(begins[1:], len(chain)) - 1]
    corners = np.flatnonzero(turned != before)
    rings = np.searchsorted(begins, corners, side='right') - 1
    row, column = np.divmod(start[chain[corners]], stride)
    shells_and_holes = shapely.linearrings(np.stack([column, row], 1).astype(float), indices=rings)
    _, number = np.unique(owners[chain[begins]], return_inverse=True)
    return shapely.polygons(shells_and_holes, indices=number)


def _walk(following: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges ring after ring, and where in that order each ring begins."""
    seen, chain, begins = bytearray(len(following)), np.empty_like(following), []
    next_of, written = memoryview(following), memoryview(chain)
    done = 0
    for first in range(len(following)):
        if seen[first]:
            continue
        begins.append(done)
        edge = first
        while not seen[edge]:
            seen[edge] = 1
            written[done] = edge
            done += 1
            edge = next_of[edge]
    return chain, np.array(begins, np.int64)


def _groups(count: int, pairs: np.ndarray) -> np.ndarray:
    """Number the groups of parts that pairs (n, 2) tie together, from 0: int64 (count,)."""
    parent = list(range(count))

    def root(part: int) -> int:
        while parent[part] != part:
            parent[part] = part = parent[parent[part]]
        return part

    for one, other in pairs.tolist():
        one, other = root(one), root(other)
        parent[max(one, other)] = min(one, other)
    roots = np.array([root(part) for part in range(count)], np.int64)
    return np.unique(roots, return_inverse=True)[1]
