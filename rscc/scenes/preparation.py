"""A scene made ready: files opened, dates on one grid, checked, divided into windows and blocks."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import numpy as np

from rscc.rasters.image_files import check_band_numbers
from rscc.rasters.scales import check_scale, scale_in_tuples
from rscc.rasters.windows import Grid, window_grid
from rscc.scenes.appearance import rounded_scale
from rscc.scenes.blocks import BLOCK_PIXELS, plan_blocks
from rscc.scenes.contracts import Block, ModelFacts, OutputOptions, Scene
from rscc.scenes.fingerprints import Given, fingerprint, fingerprints
from rscc.scenes.ground import ground_resolution
from rscc.scenes.model_pass import SAMPLE_EVERY, PassOptions
from rscc.scenes.pair_check import PairCheck, check_pair
from rscc.scenes.plans import Plans, findings_of, stored_scale
from rscc.scenes.reading import Area, PairReader
from rscc.scenes.sources import Reading, open_date
from rscc.utils import require
from rscc.utils.watching import step
from rscc.version import __version__

#: Longest side of a scene that is taken whole where nothing tells what a training image covered.
_WHOLE_SIDE = 1024


@dataclass(frozen=True)
class ScenePair:
    """A scene by name and files.

    Attributes:
        name: Names its folder and its blocks.
        img_from: Earlier date, or the only one: a raster, a picture, or tiles of one mosaic (a
            folder or a tuple of paths).
        img_to: Later date; None for models of single images.
    """
    name: str
    img_from: Given
    img_to: Given | None = None

    @property
    def dates(self) -> list[Given]:
        """The dates that are given."""
        return [date for date in (self.img_from, self.img_to) if date is not None]


@dataclass(frozen=True)
class SceneOptions:
    """How scenes are read, checked, answered and written.

    Attributes:
        bands: Bands that are read, counted from 1: those that become red, green and blue, then any
            others that the model takes; None for the model's.
        scale: ``(low, high)``, one such pair for each band, or ``'percentile'``; None for the
            model's.
        area: File of polygons that limit the work.
        assume_same_grid: Take images of which only one has a place as lying on its grid.
        align: Move the later date by the shift that the pair check estimates.
        match_histogram: Bring the later date's values to the earlier one's distribution.
        force: Go on where the pair check refuses.
        batch_size: Windows that are answered at once.
        sample_every: Of the unchanged windows every so manieth is described too; 0 for none.
        block_pixels: Pixels of a block, about.
        choose_window: Try larger windows first, see :mod:`rscc.scenes.window_probe`.
        outputs: Which files are written.
    """
    bands: tuple[int, ...] | None = None
    scale: Any = None
    area: str | None = None
    assume_same_grid: bool = False
    align: bool = False
    match_histogram: bool = False
    force: bool = False
    batch_size: int = 8
    sample_every: int = SAMPLE_EVERY
    block_pixels: int = BLOCK_PIXELS
    choose_window: bool = False
    outputs: OutputOptions = field(default_factory=OutputOptions)

    def __post_init__(self) -> None:
        check_scale(self.scale, self.bands)
        if self.bands is not None:
            check_band_numbers(self.bands)
        for name, least in (('batch_size', 1), ('sample_every', 0), ('block_pixels', 1)):
            value = getattr(self, name)
            if not (isinstance(value, Integral) and value >= least):
                raise ValueError(f'{name}={value!r}: expected a whole number, at least {least}')

    @property
    def passing(self) -> PassOptions:
        """What the model pass needs of them."""
        return PassOptions(self.batch_size, self.sample_every, self.outputs.probability)


class Refused(ValueError):
    """Error for a pair that the check refuses.

    Attributes:
        check: The check.
    """

    def __init__(self, check: PairCheck, name: str) -> None:
        super().__init__(f"the pair '{name}' is refused:\n{check}\n--force goes on all the same")
        self.check = check


@dataclass(frozen=True)
class SceneRecipe:
    """How a prepared scene is opened again, in another process: nothing is estimated twice.

    Attributes:
        pair: Its name and files.
        bands: Bands that are read, red, green and blue first; None for RGB or grey files.
        scales: Of every date, the values that become 0 and 255; None where values stay.
        offset: By which the later date is displaced, (columns, rows) in pixels.
        tables: See :class:`rscc.scenes.reading.PairReader`.
        area: File of polygons that limit the work.
        assume_same_grid: Take images of which only one has a place as lying on its grid.
    """
    pair: ScenePair
    bands: tuple[int, ...] | None
    scales: tuple
    offset: tuple[float, float]
    tables: np.ndarray | None
    area: str | None
    assume_same_grid: bool

    def open(self) -> PairReader:
        """Open the scene."""
        dates = [open_date(date, Reading(self.bands, scale))
                 for date, scale in zip(self.pair.dates, self.scales, strict=True)]
        area = None if self.area is None else Area(self.area, dates[0].grid)
        return PairReader(dates, self.assume_same_grid, self.offset, area=area, tables=self.tables)


@dataclass(frozen=True)
class PreparedScene:
    """A scene ready to be answered.

    Attributes:
        pair: Its name and files.
        reader: Its pixels.
        lattice: Its windows; None where one window takes it whole.
        blocks: Its blocks, row by row.
        check: The pair check; None for single images.
    """
    pair: ScenePair
    reader: PairReader
    lattice: Grid | None
    blocks: tuple[Block, ...]
    check: PairCheck | None

    @property
    def name(self) -> str:
        """Name of the scene."""
        return self.pair.name

    def recipe(self, facts: ModelFacts, options: SceneOptions) -> SceneRecipe:
        """Return how the scene is opened again, given the options that it was prepared with."""
        return SceneRecipe(self.pair, options.bands or facts.bands, tuple(self.reader.scales),
                           self.reader.offset, self.reader.tables, options.area,
                           options.assume_same_grid)

    def divided(self, facts: ModelFacts, options: SceneOptions) -> 'PreparedScene':
        """Return the scene divided for other windows."""
        lattice, blocks = _divide(self.pair, self.reader, facts, options)
        return replace(self, lattice=lattice, blocks=blocks)

    def windows(self) -> int:
        """Return the number of windows over the whole scene."""
        return 1 if self.lattice is None else len(self.lattice)

    def record(self) -> dict[str, Any]:
        """Return what the pixels of the scene come from, as JSON values."""
        return dict(
            grid=[self.reader.grid.width, self.reader.grid.height, self.reader.grid.transform],
            sources=[fingerprints(date) for date in self.pair.dates],
            scale=[rounded_scale(date_scale) for date_scale in self.reader.scales],
            offset=list(self.reader.offset))

    def scene(self, facts: ModelFacts, options: dict[str, Any]) -> Scene:
        """Return the scene as the writers of its files see it."""
        provenance = dict(options=options, remarks=list(self.reader.remarks),
                          versions=versions(), scale=[rounded_scale(scale) for scale
                                                      in self.reader.scales])
        if self.check is not None:
            provenance['pair_check'] = self.check.to_dict()
        return Scene(self.name, self.reader, facts, self.blocks, provenance)


def prepare_scene(pair: ScenePair, facts: ModelFacts, options: SceneOptions,
                  say: Callable[[str], object] = lambda text: None,
                  plans: Plans | None = None) -> PreparedScene:
    """Open, check and divide a scene.

    Args:
        pair: Its files.
        facts: Of the model: what it was trained on decides bands, scale and windows.
        options: Over these.
        say: Told what was done to the dates.
        plans: Findings of other processes about the same scene, which are not looked for again.

    Raises:
        FileNotFoundError: If a file is missing.
        Refused: If the pair check refuses and ``force`` does not go on.
        ValueError: If the files cannot be read, do not fit, or are too few or many.
    """
    _check_dates(pair, facts)
    _check_bands(pair, facts, options)
    key = _key(pair, facts, options)
    found = None if plans is None else plans.find(key)
    if found is None:
        reader, check = _looked_at(pair, facts, options)
    else:
        reader, check = _opened(pair, facts, options, found), PairCheck.from_dict(found['check'])
    for remark in reader.remarks:
        say(remark)
    step()
    if check.verdict == 'refuse' and not options.force:
        raise Refused(check, pair.name)
    for finding in check.findings:
        if finding.status != 'ok':
            say(f'pair check, {finding.name}: {finding.text}')
    lattice, blocks = _divide(pair, reader, facts, options, found and found['nodata'])
    if plans is not None and found is None:
        plans.keep(key, findings_of(reader, check, [block.nodata for block in blocks]))
    reader.release()
    return PreparedScene(pair, reader, lattice, blocks, check)


def _key(pair: ScenePair, facts: ModelFacts, options: SceneOptions) -> dict[str, Any]:
    """Return what the findings about a scene depend on."""
    return dict(
        sources=[fingerprints(date) for date in pair.dates],
        area=None if options.area is None else fingerprint(options.area),
        options=[options.bands, stored_scale(options.scale), options.assume_same_grid,
                 options.align, options.match_histogram, options.block_pixels],
        facts=[facts.window, facts.overlap, facts.bands, stored_scale(facts.scale),
               facts.ground_resolution], versions=versions())


def _looked_at(pair: ScenePair, facts: ModelFacts, options: SceneOptions
               ) -> tuple[PairReader, PairCheck]:
    """Open a scene and look at all of it."""
    scale = facts.scale if options.scale is None else options.scale
    # By way of what a plan keeps, so that who takes it has the same numbers to the last digit.
    reading = Reading(options.bands or facts.bands, scale_in_tuples(stored_scale(scale)))
    dates = [open_date(date, reading) for date in pair.dates]
    shared = dict(assume_same_grid=options.assume_same_grid,
                  match_histogram=options.match_histogram)
    if options.area is not None:
        shared['area'] = Area(options.area, dates[0].grid)
    reader = PairReader(dates, **shared)
    check = check_pair(reader, facts)
    if options.align and check.shift is not None and any(check.shift):
        reader = PairReader(dates, offset=check.shift, **shared)
    return reader, check


def _opened(pair: ScenePair, facts: ModelFacts, options: SceneOptions, found: dict[str, Any]
            ) -> PairReader:
    """Open a scene as another process found it."""
    tables = None if found['tables'] is None else np.array(found['tables'], np.uint8)
    reader = SceneRecipe(
        pair, options.bands or facts.bands, tuple(map(scale_in_tuples, found['scales'])),
        tuple(found['offset']), tables, options.area, options.assume_same_grid).open()
    reader.remarks = list(found['remarks'])
    return reader


def _check_dates(pair: ScenePair, facts: ModelFacts) -> None:
    if len(pair.dates) != facts.dates:
        wanted, given = ('pairs', 'the later date is missing') if facts.dates == 2 else (
            'single images', 'two dates were given')
        raise ValueError(f"scene '{pair.name}': this model reads {wanted}; {given}")


def _check_bands(pair: ScenePair, facts: ModelFacts, options: SceneOptions) -> None:
    if options.bands is not None and len(options.bands) != facts.channels:
        trained = '' if facts.bands is None else (
            f": in training they were --bands {' '.join(map(str, facts.bands))}")
        raise ValueError(f"scene '{pair.name}': this model takes images of {facts.channels} bands, "
                         f'and bands={tuple(options.bands)} names {len(options.bands)}{trained}')


def _divide(pair: ScenePair, reader: PairReader, facts: ModelFacts, options: SceneOptions,
            nodata: Sequence[float] | None = None) -> tuple[Grid | None, tuple[Block, ...]]:
    grid = reader.grid
    if facts.window is None and max(grid.width, grid.height) > _WHOLE_SIDE:
        raise ValueError(f"scene '{pair.name}' has {grid.width} x {grid.height} pixels, and "
                         f"'{facts.weights}' does not tell what its training images covered: give "
                         'the side of the windows in pixels (--window)')
    lattice = window_grid(grid.height, grid.width, facts.window, facts.overlap)
    valid = np.ones((1, 1), bool) if nodata else reader.reduced()[1]
    blocks = plan_blocks(pair.name, grid, lattice, valid, reader.block, options.block_pixels)
    if nodata:
        blocks = [replace(block, nodata=share) for block, share
                  in zip(blocks, nodata, strict=True)]
    resolution = ground_resolution(grid) or 0.0
    return lattice, tuple(replace(block, resolution=resolution) for block in blocks)


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    rasterio = require('rasterio', 'a scene')
    return {'rscc': __version__, 'rasterio': rasterio.__version__,
            'gdal': rasterio.__gdal_version__, 'numpy': np.__version__}
