"""A scene that becomes training data: two dates on one grid, labels, and a lattice of tiles."""
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rscc.rasters.labels import IGNORE
from rscc.rasters.polygons import outline, window_place
from rscc.rasters.windows import tile_name
from rscc.scenes.change_polygons import ChangePolygons, PolygonFiles
from rscc.scenes.contracts import Box
from rscc.scenes.damage import read_around_gaps
from rscc.scenes.fingerprints import Given, fingerprint, fingerprints
from rscc.scenes.ground import grid_of_resolution, ground_resolution, system_name
from rscc.scenes.reading import Area, PairReader
from rscc.scenes.sources import DateImage, Reading, open_date, pixel_step
from rscc.scenes.spatial_split import Spacing, check_shares


@dataclass(frozen=True)
class PairDatasetOptions:
    """Sources and settings of a dataset that is made of a scene.

    Attributes:
        img_from, img_to: Earlier and later date: a raster, or tiles of a mosaic (a folder or a
            tuple of paths).
        polygons: The labels.
        captions: CSV file with sentences, or None.
        captions_crs: Coordinate system of its places; None for that of the scene.
        resolution: Metres of a pixel; None keeps those of the earlier date.
        size: Side of a tile in pixels.
        overlap: Pixels that neighbouring tiles share.
        min_valid: Least share of pixels of a tile with data at both dates and a known label, 0 to
            1; the others are labelled 255 and, without data, black.
        shares: Of train, val and test.
        block: Side of a block in metres; None chooses.
        gap: Least distance of tiles of two splits in pixels; None for the side of a tile.
        seed: Of the split.
        reading: Bands and scale of the images.
        aoi: Polygons outside of which nobody looked for changes; labels there are 255.
        assume_same_grid: Take a later date without a coordinate system as lying on the grid of the
            earlier one.
        keep_geo: Write GeoTIFFs with their place instead of PNGs.
    """
    img_from: Given
    img_to: Given
    polygons: PolygonFiles
    captions: str | None = None
    captions_crs: str | None = None
    resolution: float | None = None
    size: int = 256
    overlap: int = 0
    min_valid: float = 0.8
    shares: Sequence[float] = (0.7, 0.15, 0.15)
    block: float | None = None
    gap: int | None = None
    seed: int = 0
    reading: Reading = field(default_factory=Reading)
    aoi: str | None = None
    assume_same_grid: bool = False
    keep_geo: bool = False

    def __post_init__(self) -> None:
        check_shares(self.shares)
        for name, fits, wanted in (
                ('size', self.size >= 16, 'pixels, 16 or more'),
                ('overlap', 0 <= self.overlap < self.size, 'pixels, 0 to size - 1'),
                ('min_valid', 0 < self.min_valid <= 1, 'a share above 0, at most 1'),
                ('gap', self.gap is None or self.gap >= 0, 'pixels, 0 or more'),
                ('seed', self.seed >= 0, 'an integer, 0 or more'),
                ('resolution', self.resolution is None or 0 < self.resolution < np.inf,
                 'metres above 0'),
                ('block', self.block is None or 0 < self.block < np.inf, 'metres above 0')):
            if not fits:
                raise ValueError(f'{name}={getattr(self, name)}: expected {wanted}')

    @property
    def ending(self) -> str:
        """Ending of the images: PNGs hold three bands and no place."""
        bands = self.reading.bands
        return '.tif' if self.keep_geo or (bands is not None and len(bands) != 3) else '.png'

    def record(self) -> dict[str, Any]:
        """Return all that the files depend on, as JSON values; files by their content."""
        record = asdict(self)
        record['img_from'], record['img_to'] = map(fingerprints, (self.img_from, self.img_to))
        for name in ('changes', 'img_from', 'img_to'):
            path = record['polygons'][name]
            record['polygons'][name] = path and _with_parts(path)
        for name in ('captions', 'aoi'):
            record[name] = record[name] and fingerprint(record[name])
        return json.loads(json.dumps(record))


def _with_parts(path: str) -> list[str]:
    """Return hashes of a vector file and of those that belong to it, as a Shapefile has them."""
    beside = sorted(Path(path).parent.glob(f'{Path(path).stem}.*')) if path.endswith('.shp') else [
        path]
    return [fingerprint(str(other)) for other in beside]


class PairScene:
    """Two dates on the grid of the dataset, their labels, and the lattice of tiles over them.

    Args:
        options: What is made.

    Attributes:
        reader: The dates.
        polygons: The labels.
        spacing: Distances of the lattice.
        shape: Rows and columns of tiles.
        remarks: What was done to the dates, in sentences.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the files cannot be used together; the message says what to do.
    """

    def __init__(self, options: PairDatasetOptions) -> None:
        self.options = options
        earlier, later = (open_date(given, options.reading)
                          for given in (options.img_from, options.img_to))
        if earlier.grid.crs is None or earlier.grid.transform is None:
            raise ValueError(f"'{earlier.name}' has {system_name(earlier.grid)}, so polygons "
                             'cannot be laid over it. Place it first: gdal_translate -a_srs '
                             f"EPSG:... -a_ullr LEFT TOP RIGHT BOTTOM '{earlier.name}' placed.tif")
        self.remarks: list[str] = []
        earlier = self._at_resolution(earlier)
        area = None if options.aoi is None else Area(options.aoi, earlier.grid)
        self.reader = PairReader([earlier, later], options.assume_same_grid, area=area)
        self.remarks += self.reader.remarks
        self.grid, (left, top, right, bottom) = self.reader.grid, self.reader.overlap
        step = options.size - options.overlap
        gap = options.size if options.gap is None else options.gap
        self.spacing = Spacing(options.size, step, gap)
        self.shape = tuple(max(0, (length - options.size) // step + 1)
                           for length in (bottom - top, right - left))
        if not all(self.shape):
            raise ValueError(f'the dates share {right - left} x {bottom - top} pixels, fewer than '
                             f'one tile of {options.size} x {options.size}. Take a smaller --size, '
                             'or a finer --resolution')
        self.polygons = ChangePolygons(options.polygons, self.grid, self.reader.overlap)
        self.remarks += self.polygons.remarks
        self.reader.scales  # noqa: B018  settled here once, before threads ask for it
        stem = Path(earlier.name).stem if isinstance(options.img_from, str | Path) else 'scene'
        self.stem = ''.join(letter if letter.isalnum() or letter in '-_' else '_'
                            for letter in stem)

    def _at_resolution(self, date: DateImage) -> DateImage:
        if self.options.resolution is None:
            return date
        wanted = grid_of_resolution(date.grid, self.options.resolution)
        if wanted == date.grid:
            return date
        step = pixel_step(date.grid, wanted)
        how = 'average' if step < 0.5 else 'bilinear'
        self.remarks.append(
            f"'{date.name}' is resampled to pixels of {self.options.resolution:g} m while reading "
            f'({how}; its own are {1 / step:.3g} times as fine, {system_name(wanted)})')
        return date.warped(wanted, how)

    @cached_property
    def resolution(self) -> float | None:
        """Metres of a pixel on the ground."""
        found = ground_resolution(self.grid)
        return found and float(f'{self.options.resolution or found:.3g}')

    def box(self, row: int, column: int) -> Box:
        """Return the pixels of a tile."""
        left, top = (self.reader.overlap[axis] + place * self.spacing.step
                     for axis, place in ((0, column), (1, row)))
        return left, top, left + self.spacing.size, top + self.spacing.size

    def name(self, row: int, column: int) -> str:
        """Return the name of a tile's files without ending."""
        return tile_name(self.stem, column, row)

    def outline(self, row: int, column: int) -> Any:
        """Return the place of a tile on the map, a shapely polygon."""
        return outline(self.grid.transform, self.box(row, column))

    def read(self, row: int, column: int) -> tuple[list[np.ndarray], np.ndarray, list[str]]:
        """Return a tile: frames uint8 (H, W, B), label uint8 (H, W), and what is damaged there."""
        box = self.box(row, column)
        frames, valid, gaps = read_around_gaps(self.reader, box)
        label = self.polygons.label(box)
        label[~valid] = IGNORE
        return frames, label, [f'{gap.box}: {gap.reason}' for gap in gaps]

    def place(self, row: int, column: int) -> dict[str, Any]:
        """Return system and transform of a tile as rasterio takes them."""
        return dict(crs=self.grid.crs, transform=window_place(self.grid.transform,
                                                              self.box(row, column)))
