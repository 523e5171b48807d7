"""The maps of a scene as cloud-optimised GeoTIFFs, and everything else that goes into GIS."""
import errno
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rscc.rasters.rows import gdal
from rscc.scenes.contracts import (
    NODATA,
    Block,
    BlockAnswer,
    Box,
    ModelFacts,
    OutputOptions,
    Scene,
    SceneFindings,
    SceneGrid,
)
from rscc.scenes.findings import FindingsCollector, class_names
from rscc.scenes.vector_files import (
    map_style,
    region_style,
    write_geojson,
    write_geopackage,
    write_geoparquet,
    write_style,
)
from rscc.utils import require
from rscc.utils.files import atomic_folder
from rscc.utils.watching import step
from rscc.visualization.overlays import tint_palette

_TILE = 512
#: Class maps of both dates, of a model of semantic change.
DATES = ('classes_from', 'classes_to')
#: Of ``probability.tif``: P(changed) = value / 254, so that 255 is left for pixels without data.
PROBABILITY_STEPS = 254
_STEP_OF = np.rint(np.arange(256) * (PROBABILITY_STEPS / 255)).astype(np.uint8)


@dataclass
class MapFiles:
    """What :func:`write_maps` has written.

    Attributes:
        files: Paths, in the order in which they were written.
        remarks: Sentences about files that were asked for or are usual, but were not written.
        findings: The rows and sums behind them.
    """
    files: list[Path]
    findings: SceneFindings
    remarks: list[str] = field(default_factory=list)


def write_maps(scene: Scene, read: Callable[[Block], BlockAnswer], folder: Path,
               options: OutputOptions | None = None) -> MapFiles:
    """Write the maps, polygons and styles of a scene.

    Each file appears whole or not at all. Memory holds one block, and the outlines of regions. On
    the disk, maps take up to 2 bytes a pixel more while they are written.

    Args:
        scene: Whose blocks are all answered.
        read: Returns the answer to a block; called once a block, in their order.
        folder: For the files; made if needed. Files of the same names are replaced.
        options: Which files, and how.

    Returns:
        The files, and what the answers say together.

    Raises:
        OSError: If a file cannot be written, on a full disk for example; with the file's name.
        ValueError: If an answer does not fit its block.
        ImportError: If a package of the extra ``[geo]`` is not installed.
    """
    options, folder = options or OutputOptions(), Path(folder)
    collector = FindingsCollector(scene, options)
    with ExitStack() as files:
        maps = _Maps(scene, folder, options, files)
        for block in scene.blocks:
            step()
            answer = read(block)
            check_answer(answer, block)
            collector.add(answer)
            maps.write(answer)
        findings = collector.finish()
    palette = _colours(scene.facts)
    colours = {value: palette[value] for value in findings.classes}
    result = MapFiles(maps.paths, findings)
    if maps.paths:
        result.files.append(write_style(folder / 'change.qml', map_style(findings.classes,
                                                                         colours)))
    if maps.paths and scene.facts.semantic is not None:
        style = map_style(_classes_of_a_date(scene.facts), _class_colours(scene.facts))
        result.files += [write_style(folder / f'{name}.qml', style) for name in DATES]
    _write_vectors(result, folder, options, colours)
    return result


def _write_vectors(result: MapFiles, folder: Path, options: OutputOptions,
                   colours: dict[int, Sequence[int]]) -> None:
    """Write polygons, footprints and their styles, and say what was left out."""
    findings = result.findings
    with failing(folder / 'changes.gpkg'):
        result.files.append(write_geopackage(findings, folder / 'changes.gpkg', colours))
    result.files.append(write_style(folder / 'changes.qml', region_style(findings.classes,
                                                                         colours)))
    if options.geoparquet:
        with failing(folder / 'changes.parquet'):
            result.files += write_geoparquet(findings, folder)
    if not findings.classes:
        result.remarks.append('change.tif, probability.tif and changes.geojson were not written: '
                              'the model has no change head, so it draws no map')
    elif findings.regions.crs is None or findings.regions.crs.geodetic_crs is None:
        result.remarks.append('changes.geojson was not written: it holds longitudes and latitudes, '
                              'and the scene has no place on the globe')
    else:
        with failing(folder / 'changes.geojson'):
            result.files.append(write_geojson(findings, folder / 'changes.geojson'))


def check_answer(answer: BlockAnswer, block: Block) -> None:
    """Refuse an answer whose maps do not fit the block.

    Raises:
        ValueError: If it is about another block, or a map has another size or type.
    """
    if answer.block.box != block.box:
        raise ValueError(f"the answer to block '{block.id}' is about the pixels "
                         f'{answer.block.box}; expected {block.box}. Compute the block again')
    for name, shape in (('classes', block.shape), ('probability', block.shape),
                        ('class_maps', (2, *block.shape))):
        pixels = getattr(answer, name)
        if pixels is not None and (pixels.shape != shape or pixels.dtype != np.uint8):
            raise ValueError(f"{name} of block '{block.id}' are {pixels.dtype} {pixels.shape}; "
                             f'expected uint8 {shape}. Compute the block again')


class _Maps:
    """The GeoTIFFs of a scene, opened with the first answer that has a map."""

    def __init__(self, scene: Scene, folder: Path, options: OutputOptions, files: ExitStack):
        self.scene, self.folder, self.options, self.files = scene, folder, options, files
        self._open: dict[str, MapFile] = {}

    @property
    def paths(self) -> list[Path]:
        """The files, which are there when ``files`` is closed."""
        return [file.path for file in self._open.values()]

    def write(self, answer: BlockAnswer) -> None:
        """Write the maps of a block."""
        if answer.classes is None:
            return
        if not self._open:
            self._start()
        self._open['change'].write(answer.block.box, answer.classes)
        if 'probability' in self._open and answer.probability is not None:
            pixels = np.where(answer.classes == NODATA, NODATA, _STEP_OF[answer.probability])
            self._open['probability'].write(answer.block.box, pixels.astype(np.uint8))
        if answer.class_maps is not None:
            for name, pixels in zip(DATES, answer.class_maps, strict=True):
                self._open[name].write(answer.block.box, pixels)

    def _start(self) -> None:
        grid, facts = self.scene.reader.grid, self.scene.facts
        names = class_names(facts.map_classes, np.zeros(256, int))
        self._open['change'] = self.files.enter_context(MapFile.open(
            self.folder / 'change.tif', grid, tags=_tags(names), colours=_colours(facts),
            description='class of change' if facts.semantic is None else 'what became what'))
        for name, date in zip(DATES if facts.semantic else (), ('earlier', 'later'), strict=False):
            self._open[name] = self.files.enter_context(MapFile.open(
                self.folder / f'{name}.tif', grid, description=f'class of the {date} date',
                tags=_tags(_classes_of_a_date(facts)), colours=_class_colours(facts)))
        if self.options.probability:
            self._open['probability'] = self.files.enter_context(MapFile.open(
                self.folder / 'probability.tif', grid, description='P(changed)',
                scale=1 / PROBABILITY_STEPS,
                tags={'meaning': f'P(changed) = value / {PROBABILITY_STEPS}'}))


class MapFile:
    """A map of bytes that is written block by block and becomes a cloud-optimised GeoTIFF.

    Pixels that are never written have no data.

    Attributes:
        path: The final name.
    """

    def __init__(self, path: Path, target: Any):
        self.path, self._target = path, target
        self._counts = np.zeros(256, np.int64)

    @classmethod
    @contextmanager
    def open(cls, path: Path, grid: SceneGrid, description: str, tags: dict[str, str],
             colours: Sequence[Sequence[int]] | None = None, scale: float | None = None
             ) -> Iterator['MapFile']:
        """Open a map, which lands at ``path`` when the block ends without error.

        Args:
            path: The file.
            grid: Its size and place.
            description: Of its band.
            tags: Metadata of its band.
            colours: RGB by value, for a colour table.
            scale: By which values are multiplied to get what they mean.

        Raises:
            OSError: If the disk is full, or does not give back what was written.
        """
        rasterio = require('rasterio', f"writing '{path}'")
        place = {} if grid.transform is None else dict(
            crs=grid.crs, transform=rasterio.Affine(*grid.transform))
        with atomic_folder(path) as temporary:
            with failing(path), gdal(rasterio):
                # Not compressed: blocks may end inside a tile, which is then written again.
                target = rasterio.open(
                    temporary.with_name('tiles.tif'), 'w', driver='GTiff', height=grid.height,
                    width=grid.width, count=1, dtype='uint8', nodata=NODATA, tiled=True,
                    blockxsize=_TILE, blockysize=_TILE, sparse_ok=True, bigtiff='if_safer',
                    **place)
                target.set_band_description(1, description)
                target.update_tags(1, **tags)
                if colours is not None:
                    target.write_colormap(1, dict(enumerate(map(tuple, colours))))
                if scale is not None:
                    target.scales = (scale,)
            file = cls(path, target)
            try:
                yield file
                with failing(path), gdal(rasterio):
                    file._finish(temporary)
            finally:
                with suppress(Exception):  # on a full disk this fails too
                    target.close()

    def write(self, box: Box, pixels: np.ndarray) -> None:
        """Write a rectangle that was not written before, uint8 (h, w)."""
        rasterio = require('rasterio', f"writing '{self.path}'")
        left, top, right, bottom = box
        window = rasterio.windows.Window(left, top, right - left, bottom - top)
        with failing(self.path), gdal(rasterio):
            self._target.write(pixels, 1, window=window)
        self._counts += np.bincount(pixels.reshape(-1), minlength=256)

    def _finish(self, temporary: Path) -> None:
        """Compress the pixels, add reduced images, and read all of them once to be sure."""
        self._target.close()
        # Nearest: other ways would make classes rarer than they are, or mix their numbers.
        require('rasterio.shutil', f"writing '{self.path}'").copy(
            self._target.name, temporary, driver='COG', compress='deflate', blocksize=_TILE,
            overview_resampling='nearest', bigtiff='if_safer')
        expected = self._counts.copy()
        expected[NODATA] += self._target.height * self._target.width - expected.sum()
        if not np.array_equal(_count_values(temporary), expected):
            raise OSError(errno.EIO, 'the disk does not give back the pixels that were written',
                          str(self.path))


def _count_values(path: Path) -> np.ndarray:
    """Return how many pixels have each value (256,)."""
    counts = np.zeros(256, np.int64)
    with require('rasterio', f"checking '{path}'").open(path) as file:
        for _, window in file.block_windows(1):
            counts += np.bincount(file.read(1, window=window).reshape(-1), minlength=256)
    return counts


@contextmanager
def failing(path: Path) -> Iterator[None]:
    """Turn what libraries raise when they cannot write ``path`` into an error of that file.

    Raises:
        OSError: With the file's name; ``ENOSPC`` where less than a megabyte is free.
    """
    try:
        yield
    except Exception as error:
        # The base class of rasterio's errors has no public name.
        known = isinstance(error, (OSError, RuntimeError, SystemError)) or type(
            error).__module__.startswith('rasterio.')
        if not known or (isinstance(error, OSError) and error.errno and error.filename):
            raise
        full = shutil.disk_usage(path.parent).free < 2**20
        raise OSError(errno.ENOSPC if full else errno.EIO,
                      f'no space left on the disk ({error})' if full else
                      f'cannot be written ({error}); is the disk full?', str(path)) from error


def _colours(facts: ModelFacts) -> list[tuple[int, int, int]]:
    """Return the RGB of every value of the map but 255."""
    return tint_palette(NODATA, facts.map_palette)


def _tags(names: dict[int, str]) -> dict[str, str]:
    return {f'class_{value}': name for value, name in names.items()}


def _classes_of_a_date(facts: ModelFacts) -> dict[int, str]:
    return dict(enumerate(facts.semantic.names, 1))


def _class_colours(facts: ModelFacts) -> list[tuple[int, int, int]]:
    return tint_palette(NODATA, facts.semantic.colours)
