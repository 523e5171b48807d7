"""Changed regions of a scene as rows: place on the map, area on the ground, score, sentence."""
import math
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rscc.evaluation.doubt import Doubt
from rscc.scenes.contracts import (
    NODATA,
    BlockAnswer,
    Gap,
    OutputOptions,
    Scene,
    SceneFindings,
    SceneGrid,
    WindowSentence,
)
from rscc.scenes.regions import PixelRegions, RegionCollector
from rscc.utils import require

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

#: How far the areas of a map projection may be off before the ellipsoid's are taken.
MOST_DISTORTION = 0.005
_LONGEST = 256  # pixels of an outline that may become one straight line on another projection
_AT_ONCE = 50_000  # regions whose windows are looked for together


class Ground:
    """The place of a scene's pixels on the map, and their area on the ground.

    Args:
        grid: Of the scene.

    Attributes:
        area_by: ``'plane'`` where the areas of the projection are right within 0.5 %,
            ``'ellipsoid'`` where they are not or there are none (degrees), None where the scene
            has no place on the map.
    """
    area_by: Literal['plane', 'ellipsoid'] | None = None

    def __init__(self, grid: SceneGrid):
        self.grid = grid
        self._transform = grid.transform or (1, 0, 0, 0, -1, 0)
        a, b, _, d, e, _ = self._transform
        self._plane = abs(a * e - b * d)  # square units of the map in a pixel
        if grid.crs is None or grid.transform is None:
            return
        self._crs = require('pyproj', 'areas on the ground').CRS.from_wkt(grid.crs).to_2d()
        axes = self._crs.axis_info
        if self._crs.is_geographic:
            self.area_by = 'ellipsoid'
        elif self._crs.type_name == 'Geocentric CRS' or not axes:
            return  # no map
        else:
            self._plane *= axes[0].unit_conversion_factor**2
            self.area_by = 'plane' if self._crs.geodetic_crs is None else self._better_way()

    def _better_way(self) -> Literal['plane', 'ellipsoid']:
        areas = self.pixel_areas(self._samples())
        off = np.abs(self._plane / areas - 1).max() if np.isfinite(areas).all() else 0
        return 'ellipsoid' if off > MOST_DISTORTION else 'plane'

    def _samples(self) -> np.ndarray:
        """Return nine points of the scene in pixels (9, 2): corners, middles, centre."""
        across, down = (np.linspace(.5, size - .5, 3)
                        for size in (self.grid.width, self.grid.height))
        return np.stack(np.meshgrid(across, down), -1).reshape(-1, 2)

    @property
    def pixel_area(self) -> float | None:
        """Mean of the scene's pixels in square metres; None without a place on the map."""
        if self.area_by is None:
            return None
        if self.area_by == 'plane':
            return self._plane
        # Simpson's rule: exact as far as a pixel's area is a parabola along rows and columns.
        weights = np.outer([1, 4, 1], [1, 4, 1]).reshape(-1) / 36
        return float(weights @ self.pixel_areas(self._samples()))

    def on_map(self, geometries: np.ndarray) -> np.ndarray:
        """Move geometries from pixels to the coordinates of the map.

        Without a place on the map, x = column and y = -row, as QGIS shows images.
        """
        return require('shapely', 'polygons').transform(geometries, self._place)

    def _place(self, points: np.ndarray) -> np.ndarray:
        """Return map coordinates of points (n, 2) in pixels."""
        a, b, c, d, e, f = self._transform
        return points @ np.array([[a, d], [b, e]]) + (c, f)

    def areas(self, outlines: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Return the areas of regions in square metres (n,); NaN without a place on the map.

        Args:
            outlines: Polygons in pixels (n,).
            pixels: How many each has (n,).
        """
        if self.area_by is None:
            return np.full(len(pixels), np.nan)
        if self.area_by == 'plane':
            return pixels * self._plane
        shapely = require('shapely', 'polygons')
        return shapely.area(shapely.transform(shapely.segmentize(outlines, _LONGEST),
                                              self._equal_area))

    def pixel_areas(self, points: np.ndarray) -> np.ndarray:
        """Return the area on the ellipsoid (n,) of pixels whose centres are ``points`` (n, 2)."""
        corners = np.array([[-.5, -.5], [.5, -.5], [.5, .5], [-.5, .5]])
        x, y = np.moveaxis(self._equal_area((points[:, None] + corners).reshape(-1, 2))
                           .reshape(-1, 4, 2), -1, 0)
        return np.abs((x[:, 2] - x[:, 0]) * (y[:, 3] - y[:, 1])
                      - (x[:, 3] - x[:, 1]) * (y[:, 2] - y[:, 0])) / 2

    def _equal_area(self, points: np.ndarray) -> np.ndarray:
        """Map points (n, 2) in pixels to metres such that areas are those of the ellipsoid."""
        projection, middle = self._projection
        longitude, latitude = self._angles(self._place(points)).T - [[middle], [0]]
        # Where the scene lies across the line where longitudes jump, they go on instead.
        turns = np.round(longitude / (2 * np.pi) * (1 - 1e-9))
        return np.stack(projection(longitude - 2 * np.pi * turns, latitude, radians=True), -1)

    def _angles(self, points: np.ndarray) -> np.ndarray:
        """Return longitude and latitude in radians (n, 2), on the ellipsoid of the map's CRS."""
        to_angles, unit = self._to_angles
        return np.stack(to_angles.transform(*points.T), -1) * unit

    @cached_property
    def _to_angles(self) -> tuple[Any, float]:
        pyproj = require('pyproj', 'areas on the ground')
        base = self._crs.geodetic_crs.to_2d()
        return (pyproj.Transformer.from_crs(self._crs, base, always_xy=True),
                base.axis_info[0].unit_conversion_factor)

    @cached_property
    def _projection(self) -> tuple[Any, float]:
        """An equal-area projection around the scene, and the longitude that is 0 there.

        The cylindrical one keeps meridians and parallels straight, but ends at the poles.
        """
        longitude, latitude = self._angles(self._place(
            np.array([[self.grid.width / 2, self.grid.height / 2]])))[0]
        ellipsoid = self._crs.get_geod()
        common = dict(a=ellipsoid.a, b=ellipsoid.b, over=True)
        proj = require('pyproj', 'areas on the ground').Proj
        if abs(latitude) < np.radians(70):
            return proj(proj='cea', **common), longitude
        return proj(proj='laea', lat_0=np.degrees(latitude), **common), longitude

    def fewest_pixels(self, bounds: np.ndarray, min_area: float) -> np.ndarray:
        """Return pixels that a region needs at least to be no smaller than ``min_area``.

        Args:
            bounds: Left, top, right, bottom of regions (n, 4).
            min_area: In square metres, or in pixels where the scene has no place on the map.

        Returns:
            (n,), on the ellipsoid up to 1 % too low.
        """
        if self.area_by != 'ellipsoid' or min_area <= 0 or not len(bounds):
            size = self._plane if self.area_by == 'plane' else 1
            # A region of just the area asked for stays, whatever rounding does to the quotient.
            return np.full(len(bounds), np.ceil(min_area / size * (1 - 1e-9)))
        points = np.concatenate([bounds[:, [0, 1]], bounds[:, [2, 1]], bounds[:, [0, 3]],
                                 bounds[:, [2, 3]], (bounds[:, :2] + bounds[:, 2:]) / 2])
        largest = self.pixel_areas(points).reshape(5, -1).max(0)
        return np.nan_to_num(np.ceil(0.99 * min_area / largest))


class FindingsCollector:
    """Adds up the answers to a scene's blocks.

    Args:
        scene: Whose blocks are answered.
        options: Which regions become rows, and how their outlines are simplified.
    """

    def __init__(self, scene: Scene, options: OutputOptions):
        self.scene, self.options = scene, options
        self.ground = Ground(scene.reader.grid)
        self._regions = RegionCollector(
            scene.reader.grid, lambda bounds: self.ground.fewest_pixels(bounds, options.min_area))
        self._counts = np.zeros(256, np.int64)
        self._by_date: np.ndarray | None = None
        self._sentences: list[WindowSentence] = []
        self._gaps: list[Gap] = []
        self._windows = self._nodata = self._answered = 0
        self._mapped = 'change_head' in scene.facts.heads

    def add(self, answer: BlockAnswer) -> None:
        """Take the answer to a block."""
        height, width = answer.block.shape
        self._answered += height * width
        self._nodata += answer.nodata_pixels
        self._windows += answer.windows
        self._sentences += answer.sentences
        self._gaps += answer.gaps
        if answer.classes is not None:
            self._mapped = True
            self._counts += np.bincount(answer.classes.reshape(-1), minlength=256)
            self._regions.add(answer.block.box, answer.classes, answer.probability)
        if answer.class_maps is not None:
            counts = np.stack([np.bincount(date.reshape(-1), minlength=256)
                               for date in answer.class_maps])
            self._by_date = counts if self._by_date is None else self._by_date + counts

    def finish(self) -> SceneFindings:
        """Return rows and sums."""
        grid = self.scene.reader.grid
        found = self._regions.finish()
        areas = self.ground.areas(found.outlines, found.pixels)
        names = class_names(self.scene.facts.map_classes, self._counts) if self._mapped else {}
        if self.scene.facts.semantic is not None:
            # Of a hundred transitions that are possible, those that there are.
            names = {value: name for value, name in names.items()
                     if not value or self._counts[value]}
        by_class = self._areas_by_class(names, found, areas)
        large = ~(np.where(np.isnan(areas), found.pixels, areas) < self.options.min_area)
        windows = sorted(self._sentences, key=lambda window: (
            window.box[1], window.box[0], window.box[3], window.box[2], window.sentence))
        return SceneFindings(
            regions=self._region_rows(found.take(large), areas[large], names, windows),
            sentences=self._sentence_rows(windows), area_by=self.ground.area_by, classes=names,
            pixels_by_date=self._by_date,
            pixels_by_class={name: int(self._counts[value]) for value, name in names.items()},
            area_by_class=by_class, left_out=self._regions.left_out + int((~large).sum()),
            pixels=grid.width * grid.height, gaps=self._gaps, windows=self._windows,
            nodata_pixels=self._nodata + grid.width * grid.height - self._answered)

    def _areas_by_class(self, names: dict[int, str], found: PixelRegions, areas: np.ndarray
                        ) -> dict[str, float]:
        """Sum up the areas of outlined regions; other pixels count with the scene's mean."""
        pixel_area = self.ground.pixel_area
        if pixel_area is None:
            return {}
        totals = {}
        for value, name in names.items():
            mine = found.values == value
            rest = int(self._counts[value] - found.pixels[mine].sum())
            totals[name] = math.fsum(areas[mine]) + rest * pixel_area
        return totals

    def _region_rows(self, found: PixelRegions, areas: np.ndarray, names: dict[int, str],
                     windows: Sequence[WindowSentence]) -> 'GeoDataFrame':
        unchanged = frozenset(self.scene.facts.no_change_captions)
        chosen = best_windows(found, windows, unchanged)
        outlines = found.outlines
        if self.options.simplify > 0:
            outlines = require('shapely', 'polygons').simplify(outlines, self.options.simplify,
                                                               preserve_topology=True)
        columns = {
            'class': np.array([names[value] for value in found.values.tolist()], object),
            'area_m2': areas, 'pixels': found.pixels,
            'score': found.probability_sums / (255 * np.maximum(found.pixels, 1)),
            'sentence': np.array([windows[index].sentence if index >= 0 else None
                                  for index in chosen.tolist()], object),
            **self._doubt_columns([windows[index] if index >= 0 else None
                                   for index in chosen.tolist()]),
            'value': found.values, **_bounds_columns(found.bounds)}
        return self._table(columns, outlines)

    def _sentence_rows(self, windows: Sequence[WindowSentence]) -> 'GeoDataFrame':
        bounds = _inside(windows, self.scene.reader.grid)
        columns = {name: np.array([getattr(window, name) for window in windows], kind)
                   for name, kind in (('sentence', object), ('score', float), ('flag', bool),
                                      ('probability', float), ('change_share', float),
                                      ('sampled', bool))}
        footprints = require('shapely', 'polygons').box(*bounds.T)
        return self._table({**columns, **self._doubt_columns(windows), **_bounds_columns(bounds)},
                           footprints)

    def _doubt_columns(self, windows: Sequence[WindowSentence | None]) -> dict[str, Any]:
        """Return the columns of the doubt about windows' sentences.

        ``doubt`` is the number, ``risk`` its grade, ``unsure`` the verdict (missing where nothing
        is known), ``reasons`` the reasons in words, ``reason_inputs`` their kinds.
        """
        pandas = require('pandas', 'tables of regions')
        language = self.options.language or self.scene.facts.language or 'en'
        doubts = [Doubt.from_json(window.doubt) or Doubt() if window is not None else Doubt()
                  for window in windows]
        reasons = ['; '.join(doubt.reason_lines(language)) for doubt in doubts]
        return {'doubt': np.array([doubt.value for doubt in doubts], float),
                'risk': np.array([doubt.grade for doubt in doubts], object),
                'unsure': pandas.array([doubt.unsure for doubt in doubts], dtype='boolean'),
                'reasons': np.array([text or None for text in reasons], object),
                'reason_inputs': pandas.Series(
                    [[reason.input or reason.name for reason in doubt.reasons]
                     for doubt in doubts], dtype=object)}

    def _table(self, columns: dict[str, Any], geometry: np.ndarray) -> 'GeoDataFrame':
        geopandas = require('geopandas', 'tables of regions')
        pandas = require('pandas', 'tables of regions')
        # Object columns keep None, which pandas' strings would turn into NaN.
        frame = {name: pandas.Series(values, dtype=values.dtype)
                 for name, values in columns.items()}
        crs = self.scene.reader.grid.crs if self.scene.reader.grid.transform else None
        return geopandas.GeoDataFrame(frame, geometry=self.ground.on_map(geometry), crs=crs)


def class_names(known: Sequence[str], counts: np.ndarray) -> dict[int, str]:
    """Return the name of every value of the map, each name once.

    Args:
        known: Names of the values that have one, 0 first.
        counts: Pixels of every value (256,).
    """
    values = {0, *range(len(known)), *np.flatnonzero(counts[:NODATA]).tolist()}
    names: dict[int, str] = {}
    for value in sorted(values):
        name = known[value] if value < len(known) else f'class {value}' if value else 'unchanged'
        names[value] = name if name not in names.values() else f'{name} ({value})'
    return names


def best_windows(found: PixelRegions, windows: Sequence[WindowSentence],
                 unchanged: Collection[str] = ()) -> np.ndarray:
    """Choose the window whose sentence a region gets.

    Of windows that the model calls changed, in its sentence too before those whose sentence denies
    it, else of the others, it is the one that holds most of the region's pixels; of several, the
    one in whose middle it lies best.

    Args:
        found: The regions.
        windows: What was put into words.
        unchanged: Sentences of the training data for pairs without change.

    Returns:
        Index of each region's window, int64 (n,); -1 where none holds any of it.
    """
    best = np.full(len(found.values), -1, np.int64)
    ranks = np.array([2 if not window.flag else window.sentence in unchanged
                      for window in windows], np.int64)
    for rank in range(3):
        chosen = np.flatnonzero(ranks == rank)
        if not len(chosen):
            continue
        boxes = np.array([windows[index].box for index in chosen], np.int64)
        tree = require('shapely', 'polygons').STRtree(
            require('shapely', 'polygons').box(*boxes.T))
        missing = np.flatnonzero(best < 0)
        for start in range(0, len(missing), _AT_ONCE):
            part = missing[start:start + _AT_ONCE]
            index = _most_covering(found.take(part), boxes, tree)
            best[part] = np.where(index < 0, -1, chosen[index])
    return best


def _most_covering(found: PixelRegions, boxes: np.ndarray, tree: Any) -> np.ndarray:
    """Return the index of the box (m, 4) that holds most of each region, -1 for none."""
    shapely = require('shapely', 'polygons')
    region, box = tree.query(shapely.box(*found.bounds.T))
    bounds, window = found.bounds[region], boxes[box]
    holds = ((window[:, :2] <= bounds[:, :2]) & (window[:, 2:] >= bounds[:, 2:])).all(1)
    # Pixels are counted only where no window holds the whole region.
    entire = np.zeros(len(found.values), bool)
    entire[region[holds]] = True
    kept = np.flatnonzero(holds | ~entire[region])
    kept = kept[np.argsort(region[kept], kind='stable')]
    region, box, holds = region[kept], box[kept], holds[kept]
    pixels = np.where(holds, found.pixels[region], 0)
    numbers, begins = np.unique(region, return_index=True)
    for number, begin, end in zip(numbers, begins, np.append(begins, len(region))[1:], strict=True):
        if not holds[begin]:
            pixels[begin:end] = pixels_inside(found.outlines[number], boxes[box[begin:end]])
    away = boxes[box].reshape(-1, 2, 2).sum(1) - found.bounds[region].reshape(-1, 2, 2).sum(1)
    order = np.lexsort((box, (away**2).sum(1), -pixels, region))
    order = order[pixels[order] > 0]
    first = order[np.unique(region[order], return_index=True)[1]]
    best = np.full(len(found.values), -1, np.int64)
    best[region[first]] = box[first]
    return best


def pixels_inside(outline: Any, boxes: np.ndarray) -> np.ndarray:
    """Count the pixels of a region that lie in boxes.

    Args:
        outline: Polygon that follows the sides of pixels, clockwise with rows downwards.
        boxes: Left, top, right, bottom in pixels (n, 4).

    Returns:
        Counts, int64 (n,).
    """
    shapely = require('shapely', 'polygons')
    points, ring = shapely.get_coordinates(shapely.get_rings(outline), return_index=True)
    points = points.astype(np.int64)
    vertical = (ring[1:] == ring[:-1]) & (points[1:, 0] == points[:-1, 0])
    x, start, end = points[1:, 0][vertical], points[:-1, 1][vertical], points[1:, 1][vertical]
    # Sides by their upper end, so that a box looks only at those that may reach its rows.
    upper = np.minimum(start, end)
    order = np.argsort(upper)
    x, start, end, upper = x[order], start[order], end[order], upper[order]
    longest = np.abs(end - start).max()
    counts = np.zeros(len(boxes), np.int64)
    for index, (left, top, right, bottom) in enumerate(boxes.tolist()):
        near = slice(*np.searchsorted(upper, [top - longest, bottom]))
        # Between a right side, which runs downwards, and the box's left side lie pixels of the
        # region; between a left side, which runs upwards, and the box's left side those before it.
        rows = np.clip(end[near], top, bottom) - np.clip(start[near], top, bottom)
        counts[index] = (rows * (np.clip(x[near], left, right) - left)).sum()
    return counts


def _inside(windows: Sequence[WindowSentence], grid: SceneGrid) -> np.ndarray:
    """Return the boxes of windows (n, 4), clipped to the scene."""
    boxes = np.array([window.box for window in windows], np.int64).reshape(-1, 4)
    return np.clip(boxes, 0, [grid.width, grid.height] * 2)


def _bounds_columns(bounds: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(('left', 'top', 'right', 'bottom'), bounds.T, strict=True))
