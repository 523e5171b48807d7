"""What the parts of scene interpretation hand to each other: grid, blocks, model, answers."""
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rscc.scenes.transitions import SemanticClasses
from rscc.text.pair_findings import Told
from rscc.utils import check_choice

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

#: Class of pixels without data, and nodata value of ``change.tif``.
NODATA = 255
#: Share of changed pixels from which on a window has changed, where no flag head tells.
CHANGED_SHARE = 0.001
Box = tuple[int, int, int, int]
#: When a window is put into words: never (only its map counts), where it changed, in any case.
Describe = Literal['never', 'changed', 'always']


@dataclass(frozen=True)
class SceneGrid:
    """The pixels of a scene and their place on the map: those of its earlier date.

    Attributes:
        width, height: In pixels.
        crs: Coordinate reference system as WKT; None for images without a place.
        transform: (a, b, c, d, e, f), x = a * column + b * row + c and y = d * column + e * row + f
            at the upper left corner of a pixel; None for images without a place.
    """
    width: int
    height: int
    crs: str | None = None
    transform: tuple[float, ...] | None = None

    @property
    def box(self) -> Box:
        """Left, top, right, bottom in pixels; right and bottom are not inside."""
        return 0, 0, self.width, self.height


@dataclass(frozen=True)
class Block:
    """A rectangle of a scene that is answered at once and stored as one file.

    Attributes:
        scene: Name of the scene.
        number: Place among the scene's blocks, row by row, from 0.
        box: The pixels that the block answers.
        halo: Extent of the windows that cover them, inside the scene.
        nodata: Share of pixels without data at some date, 0 to 1, from a reduced image.
        resolution: Metres that a pixel covers; 0 where unknown.
    """
    scene: str
    number: int
    box: Box
    halo: Box
    nodata: float = 0.0
    resolution: float = 0.0

    @property
    def id(self) -> str:
        """Name of the block, and of its file: row and column of its first pixel."""
        return f'{self.scene}_{self.box[1]:07d}_{self.box[0]:07d}'

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        left, top, right, bottom = self.box
        return bottom - top, right - left


@dataclass(frozen=True)
class Sentence:
    """A sentence, its score, and how far those drawn beside it agree.

    Attributes:
        text: The sentence.
        score: Mean log-probability of its tokens, usually.
        common_ground: Mean similarity, 0 to 1, of several sentences drawn for the window; None
            where one alone was written.
        cut_at: The limit of tokens at which it was cut; None of a whole sentence.
    """
    text: str
    score: float
    common_ground: float | None = None
    cut_at: int | None = None


@dataclass(frozen=True)
class WindowPrediction:
    """What a model says of one window.

    Attributes:
        probabilities: P(changed) float32 (h, w) of a model of one or two classes, else the
            probability of each class (C, h, w); None without a mask head.
        sentences: Best first; empty where none was asked for or there is no caption head.
        change_probability: Of any change, 0 to 1; None without a flag head.
        novelty: Squared distance of the images from those of the training, over that which 99 % of
            those keep; None where the weights carry no statistic.
        class_probabilities: Probability of each class at each date, float32 (2, K, h, w), of a
            model of semantic change; None of another.
    """
    probabilities: np.ndarray | None = None
    sentences: tuple[Sentence, ...] = ()
    change_probability: float | None = None
    novelty: float | None = None
    class_probabilities: np.ndarray | None = None


@dataclass(frozen=True)
class WindowSentence:
    """A window that was put into words; a row of the layer ``sentences``.

    Attributes:
        box: Its pixels in the scene.
        sentence, score: The best sentence.
        flag: Whether the model says that something changed there: by its flag head, else by its
            map, else by the sentence. Always False for models of single images.
        probability: Of any change, by the flag head; None without one.
        change_share: Share of changed pixels, 0 to 1; None without a mask head.
        sampled: Described although nothing changed, as a sample.
        doubt: How far the sentence is to be doubted, as ``Doubt.to_json`` returns it.
    """
    box: Box
    sentence: str
    score: float
    flag: bool
    probability: float | None = None
    change_share: float | None = None
    sampled: bool = False
    doubt: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Gap:
    """Pixels that could not be read, and why."""
    box: Box
    reason: str


@dataclass
class BlockAnswer:
    """The answer to one block.

    Attributes:
        block: Which.
        classes: uint8 (h, w), 0 = unchanged, :data:`NODATA` without data; None without a mask head.
            Of a model of semantic change they are transitions, see ``SemanticClasses``.
        probability: P(changed) as uint8 (h, w), 255 = 1, 0 without data, and 0 of unchanged pixels
            unless ``probability.tif`` is wanted; None without a mask head.
        nodata_pixels: Pixels without data at some date or outside the area of interest.
        sentences: Windows whose centre lies in the block and that were put into words.
        gaps: What could not be read.
        windows: Windows that the model computed.
        class_maps: Classes of both dates uint8 (2, h, w), 1 to K, :data:`NODATA` without data; None
            of a model that tells none.
    """
    block: Block
    classes: np.ndarray | None = None
    probability: np.ndarray | None = None
    nodata_pixels: int = 0
    sentences: list[WindowSentence] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    windows: int = 0
    class_maps: np.ndarray | None = None

    @property
    def data_pixels(self) -> int:
        """Pixels with data."""
        height, width = self.block.shape
        return height * width - self.nodata_pixels


@dataclass(frozen=True)
class ModelFacts:
    """What a model's file tells of it; part of every summary.

    Attributes:
        task: ``'pair'`` or ``'single'``.
        window: (H, W) in pixels of the scene that the model sees at once; None where it is not
            known what a training image covered.
        overlap: (rows, columns) that neighbouring windows share.
        heads: Of ``'change_head'``, ``'caption_head'``, ``'flag_head'``.
        classes: Names of the map's values, 0 first; empty where unknown.
        palette: RGB per class; None for default colours.
        semantic: Classes of each date, of a model of semantic change; None of another.
        threshold: P(changed) above which a pixel of a map of one or two classes is changed.
        language: ``'en'`` or ``'zh'``; None without sentences.
        no_change_captions: The dataset's sentences for unchanged pairs.
        bands: Bands that it takes, counted from 1, as in training, red, green and blue first; None
            for RGB.
        scale: Values that become 0 and 255, as in training; None for 8-bit files.
        ground_resolution: Metres of a pixel of the training images; None where unknown.
        rendered: Whether the model has seen rendered images only.
        normalisation: ``mean`` and ``std`` of every band on the 0-1 scale by which images are
            standardised, and ``source``, where they come from; None where unknown.
        weights: Name of the weights' file, or of the published model.
        weights_hash: SHA-256 of the weights' file.
        config: Name of the config.
        calibration: Language -> calibration of doubt, as plain values; empty where the weights
            carry none.
    """
    task: str = 'pair'
    window: tuple[int, int] | None = None
    overlap: tuple[int, int] = (0, 0)
    heads: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    palette: Sequence[Sequence[int]] | None = None
    semantic: SemanticClasses | None = None
    threshold: float = 0.5
    language: str | None = None
    no_change_captions: tuple[str, ...] = ()
    bands: tuple[int, ...] | None = None
    scale: Any = None
    ground_resolution: float | None = None
    rendered: bool = False
    normalisation: Mapping[str, Any] | None = None
    weights: str = ''
    weights_hash: str = ''
    config: str = ''
    calibration: Mapping[str, Any] = field(default_factory=dict)

    @property
    def map_classes(self) -> tuple[str, ...]:
        """Names of the values of ``change.tif``: classes of change, or transitions."""
        return self.classes if self.semantic is None else self.semantic.transitions

    @property
    def map_palette(self) -> Sequence[Sequence[int]] | None:
        """RGB of the values of ``change.tif``; None for default colours."""
        return self.palette if self.semantic is None else self.semantic.transition_colours

    @property
    def dates(self) -> int:
        """Number of images of a sample."""
        return 1 if self.task == 'single' else 2

    @property
    def channels(self) -> int:
        """Number of bands of an image."""
        return 3 if self.bands is None else len(self.bands)


class Predictor(ABC):
    """A model that answers windows of a scene.

    Attributes:
        facts: What its file tells.
        decoding: Options of the caption head that were given, over the file's; JSON values.
        overrides: Settings of the config that were given, over the file's, as text.
        amp: Whether it computes in reduced precision.
        factor: How many times as high and wide as usual its windows are.
    """
    facts: ModelFacts
    decoding: Mapping[str, Any] = MappingProxyType({})
    overrides: Mapping[str, str] = MappingProxyType({})
    amp: bool = False
    factor: int = 1

    @property
    def title(self) -> str:
        """The model in one line, for people."""
        return self.facts.weights

    @abstractmethod
    def predict(self, windows: Sequence[Sequence[np.ndarray]], describe: Sequence[Describe]
                ) -> list[WindowPrediction]:
        """Answer a batch of windows.

        Args:
            windows: Of each its dates, uint8 (h, w, B), earliest first.
            describe: Of each when it is put into words. ``'changed'`` means a flag probability of
                at least 0.5, else at least :data:`CHANGED_SHARE` changed pixels; of a model with
                neither flag nor map, and of one of single images, every window.
        """

    def enlarged(self, factor: int) -> 'Predictor':
        """Return a predictor whose windows are ``factor`` times as high and wide.

        Raises:
            ValueError: If this model answers windows of one size only.
        """
        raise ValueError('this model answers windows of one size only')

    def tells_of_change(self, sentence: str) -> bool:
        """Return whether a sentence says that something changed."""
        return sentence.strip() not in self.facts.no_change_captions


class SceneReader(ABC):
    """Pixels of a scene: every date on the grid of the earliest.

    Attributes:
        grid: That grid.
        sources: Paths as they were given, one a date.
        channels: Number B of bands of a frame, of which pictures show the first three.
    """
    grid: SceneGrid
    sources: tuple[str, ...]
    channels: int = 3

    @abstractmethod
    def read(self, box: Box, shape: tuple[int, int] | None = None
             ) -> tuple[list[np.ndarray], np.ndarray]:
        """Read a rectangle.

        Args:
            box: In pixels, inside the scene.
            shape: (h, w) to read it at, reduced (from overviews where the files have them); None
                for the pixels themselves.

        Returns:
            Frames uint8 (h, w, B), one a date, and where every date holds data, bool (h, w).

        Raises:
            OSError: If the file is damaged there.
        """


@dataclass(frozen=True)
class CheckFinding:
    """One finding of the pair check.

    Attributes:
        name: Of the check.
        status: ``'ok'``, ``'warn'`` or ``'refuse'``.
        value: What was measured, JSON values; None where nothing was.
        text: In plain words, with what to do next.
        texts: Language -> the same, with the same numbers and advice.
    """
    name: str
    status: Literal['ok', 'warn', 'refuse']
    value: Any
    text: str
    texts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, status: str, value: Any, told: Told) -> 'CheckFinding':
        """Return a finding from what is told of it in every language."""
        return cls(name, status, value, told.en, told.texts)


@dataclass(frozen=True)
class OutputOptions:
    """Which files are written, and how.

    Attributes:
        probability: ``probability.tif`` too.
        geoparquet: ``changes.parquet`` and ``sentences.parquet`` too.
        min_area: Smaller regions are left out of the polygons (not of ``change.tif``), in square
            metres; in pixels where the scene has no place on the map.
        simplify: Furthest that a simplified outline may lie from the pixels', in pixels; 0 follows
            them.
        language: Of the summary and the report; None takes the model's.
    """
    probability: bool = False
    geoparquet: bool = False
    min_area: float = 0.0
    simplify: float = 0.0
    language: str | None = None

    def __post_init__(self) -> None:
        for name, value in (('min_area', self.min_area), ('simplify', self.simplify)):
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f'{name}={value!r}: expected a number, 0 or more')
        if self.language is not None:
            check_choice('language', self.language, ('en', 'zh'))


@dataclass(frozen=True)
class Scene:
    """A scene whose blocks are all answered, as the writers of its files see it.

    Attributes:
        name: Of the scene.
        reader: Its pixels, for thumbnails and crops.
        facts: Of the model.
        blocks: All of them, row by row.
        provenance: JSON values that ``summary.json`` repeats: ``pair_check``, ``options``,
            ``versions`` and others.
    """
    name: str
    reader: SceneReader
    facts: ModelFacts
    blocks: tuple[Block, ...]
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass
class SceneFindings:
    """What the answers to a scene's blocks say together: regions, sentences, areas, counts.

    Attributes:
        regions: A row per connected region of one changed class, by its first pixel (top row, then
            left column). Columns ``class`` (name), ``area_m2`` (of its pixels; missing where the
            scene has no place on the map), ``pixels``, ``score`` (mean P(changed), 0 to 1),
            ``sentence`` (None where no window was described) with ``doubt``, ``risk``, ``unsure``
            and ``reasons`` of that window, ``geometry`` (polygon in the scene's CRS), and for crops
            ``value`` (of the map) and ``left``, ``top``, ``right``, ``bottom`` (bounds in pixels).
            Those smaller than ``min_area`` are not in it.
        sentences: A row per window that was put into words, by its place. Columns ``sentence``,
            ``score``, ``flag``, ``probability``, ``change_share``, ``sampled``, ``doubt`` (0 to 1,
            missing without a calibration), ``risk`` (its grade: ``'low'``, ``'medium'``,
            ``'high'``, ``'uncalibrated'``; None where there is no sentence), ``unsure`` (whether
            that means "not sure"; missing where nobody knows), ``reasons`` (of the doubt, in
            words), ``reason_inputs`` (their kinds, a list), ``geometry`` and ``left``, ``top``,
            ``right``, ``bottom``.
        area_by: ``'plane'`` where areas are those of the map projection, ``'ellipsoid'`` where
            that would be more than 0.5 % wrong or the CRS is in degrees; None without areas.
        classes: Value of the map -> name of the class, of every value that the model can give or
            the map holds, 0 (unchanged) first, without :data:`NODATA`.
        pixels_by_date: Of each date pixels by number of the class (2, 256); None of a model that
            tells no classes of dates.
        pixels_by_class: Name -> pixels of the map, 0 (unchanged) and small regions included;
            empty for models without a map.
        area_by_class: Name -> square metres of the map likewise; empty without areas. Unchanged
            pixels and the smallest regions count with the scene's mean.
        left_out: Regions that are smaller than ``min_area``.
        pixels: Of the scene.
        nodata_pixels: Of them without data.
        gaps: What could not be read.
        windows: Windows that the model computed.
    """
    regions: 'GeoDataFrame'
    sentences: 'GeoDataFrame'
    area_by: Literal['plane', 'ellipsoid'] | None = None
    classes: dict[int, str] = field(default_factory=dict)
    pixels_by_date: np.ndarray | None = None
    pixels_by_class: dict[str, int] = field(default_factory=dict)
    area_by_class: dict[str, float] = field(default_factory=dict)
    left_out: int = 0
    pixels: int = 0
    nodata_pixels: int = 0
    gaps: list[Gap] = field(default_factory=list)
    windows: int = 0
