"""A block through the model: windows in batches, maps blended, sentences where something changed.

Batches never cross blocks, so that the answer to a block depends on nothing but its own pixels.
"""
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from rscc.evaluation.calibration import calibration_for
from rscc.evaluation.doubt import Doubt, Evidence
from rscc.evaluation.functional.consistency import MapFacts
from rscc.rasters.blending import RowBlender, decided
from rscc.rasters.windows import Grid, cut
from rscc.scenes.blocks import part_of
from rscc.scenes.contracts import (
    CHANGED_SHARE,
    NODATA,
    Block,
    BlockAnswer,
    Box,
    Describe,
    Gap,
    Predictor,
    WindowPrediction,
    WindowSentence,
)
from rscc.scenes.reading import Bands

#: Of the windows without change every so manieth is described too, as a sample.
SAMPLE_EVERY = 50
#: A window with less data is not put into words: its sentence would be about the border.
_LEAST_DATA = 0.5


@dataclass(frozen=True)
class PassOptions:
    """How blocks go through the model.

    Attributes:
        batch_size: Windows that are answered at once.
        sample_every: Of the unchanged windows every so manieth is described too; 0 for none.
        probability: Keep P(changed) of unchanged pixels too; without it they are 0, and blocks a
            tenth of the size.
    """
    batch_size: int = 8
    sample_every: int = SAMPLE_EVERY
    probability: bool = False


@dataclass
class _Window:
    """A window on its way through the model: its place, and its pixels where it has data."""
    box: Box
    frames: list[np.ndarray]
    data: np.ndarray
    describe: Describe


class BlockPass:
    """The way of one block through the model.

    Args:
        block: The block.
        lattice: Windows over the whole scene; None where one window takes it whole.
        bands: Pixels of the block's halo.
        predictor: The model.
        options: Batch size, and which windows are described.
        advance: Told the number of windows that are done, those without data among them.
    """

    def __init__(self, block: Block, lattice: Grid | None, bands: Bands, predictor: Predictor,
                 options: PassOptions, advance: Callable[[int], object] = lambda count: None
                 ) -> None:
        self.block, self.lattice, self.bands = block, lattice, bands
        self.predictor, self.options, self.advance = predictor, options, advance
        self.grid = None if lattice is None else part_of(lattice, block.box)
        self.answer = BlockAnswer(block)
        # Of larger windows, as many as hold the same number of pixels.
        self._batch_size = max(1, options.batch_size // predictor.factor**2)
        self._blender = None if self.grid is None else RowBlender(self.grid, blend='linear')
        self._waiting: list[_Window | None] = []
        self._drawing: Future | None = None
        self._data = np.zeros(block.shape, bool)
        self._described = 'caption_head' in predictor.facts.heads
        self._calibration = calibration_for(predictor.facts.calibration, predictor.facts.language)
        self._columns = [] if self.grid is None else [
            np.array(self.grid.columns.source(column)) - block.halo[0]
            for column in range(self.grid.columns.count)]

    def run(self) -> BlockAnswer:
        """Answer the block."""
        # Maps are drawn by a thread of their own, while the model computes the next windows.
        with ThreadPoolExecutor(1) as self._drawer:
            if self.grid is None:
                self._whole()
            else:
                for row in range(self.grid.rows.count):
                    self._row(row)
            self._flush()
            self._drawing.result()
        self.answer.gaps = [Gap(part, gap.reason) for gap in self.bands.gaps
                            if (part := _inside(gap.box, self.block.box)) is not None]
        self.answer.nodata_pixels = int(self._data.size - self._data.sum())
        if 'change_head' in self.predictor.facts.heads:
            self._finish_maps()
        return self.answer

    def _whole(self) -> None:
        """Queue the block as one window."""
        frames, self._data = self.bands.rows(self.block.box[1], self.block.box[3])
        if self._data.any():
            self._waiting.append(_Window(self.block.box, frames, self._data,
                                         self._when(0, True, self._data)))

    def _row(self, row: int) -> None:
        """Queue the windows of one row, and answer what fills a batch."""
        rows = np.array(self.grid.rows.source(row))
        first, end = int(rows.min()), int(rows.max()) + 1
        frames, data = self.bands.rows(first, end)
        self._keep_data(first, end, data)
        number = (self.grid.rows.lowest + row) * self.lattice.columns.count
        for column, columns in enumerate(self._columns):
            inside = cut(data, rows - first, columns)
            if not inside.any():
                self._waiting.append(None)  # costs nothing
                continue
            owned = self.grid.rows.owned(row) and self.grid.columns.owned(column)
            index = self.grid.columns.lowest + column
            self._waiting.append(_Window(
                self.lattice.box(index, self.grid.rows.lowest + row),
                [cut(frame, rows - first, columns) for frame in frames], inside,
                self._when(number + index, owned, inside)))
            if sum(window is not None for window in self._waiting) >= self._batch_size:
                self._flush()

    def _keep_data(self, first: int, end: int, data: np.ndarray) -> None:
        """Remember where the block has data, of rows that were read with its halo."""
        left, top, right, bottom = self.block.box
        top_row, bottom_row = max(first, top), min(end, bottom)
        if top_row < bottom_row:
            shift = self.block.halo[0]
            self._data[top_row - top:bottom_row - top] = data[
                top_row - first:bottom_row - first, left - shift:right - shift]

    def _when(self, number: int, owned: bool, data: np.ndarray) -> Describe:
        """Return when a window is put into words; ``number`` counts those of the whole scene."""
        if not (self._described and owned) or data.mean() < _LEAST_DATA:
            return 'never'
        every = self.options.sample_every
        return 'always' if every and number % every == 0 else 'changed'

    def _flush(self) -> None:
        """Answer the waiting windows, and have their answers taken in."""
        asked = [window for window in self._waiting if window is not None]
        answers = self.predictor.predict(
            [window.frames for window in asked],
            [window.describe for window in asked]) if asked else ()
        if self._drawing is not None:
            self._drawing.result()  # no more than two batches are held, and errors end the block
        self._drawing = self._drawer.submit(self._take_all, self._waiting, iter(answers))
        self.advance(len(self._waiting))
        self._waiting = []
        self.answer.windows += len(asked)

    def _take_all(self, windows: list[_Window | None], answers: Iterator[WindowPrediction]
                  ) -> None:
        """Take in the answers to a batch, in order."""
        for window in windows:
            self._take(window, None if window is None else next(answers))

    def _take(self, window: _Window | None, answer: WindowPrediction | None) -> None:
        values = None if answer is None else answer.probabilities
        if answer is not None and answer.class_probabilities is not None:
            # Blended with the classes of both dates, as so many more bands (1 + 2K, h, w).
            dates = answer.class_probabilities
            values = np.concatenate([values[None], dates.reshape(-1, *dates.shape[2:])])
        if values is not None and not np.isfinite(values.sum()):
            raise ValueError(f'the map of the window {window.box} is not a number (NaN): the '
                             'weights are damaged, or reduced precision is too coarse for them. '
                             'Try without --amp; blocks that are done are kept')
        if self._blender is None:
            band = None if values is None else (0, values)
        else:
            band = self._blender.add(values)
        if band is not None:
            self._draw(*band)
        if answer is not None and answer.sentences:
            self.answer.sentences.append(self._sentence(window, answer))

    def _draw(self, first: int, values: np.ndarray) -> None:
        """Put finished rows into the maps of the block."""
        if self.answer.classes is None:
            self.answer.classes = np.zeros(self.block.shape, np.uint8)
            self.answer.probability = np.zeros(self.block.shape, np.uint8)
        place = slice(first, first + values.shape[-2])
        classes, values = self._decide(values, place)
        self.answer.classes[place] = classes
        changed = values if values.ndim == 2 else 1 - values[0]
        shares = np.rint(np.clip(changed, 0, 1) * 255).astype(np.uint8)
        self.answer.probability[place] = shares if self.options.probability else (
            shares * (classes != 0))

    def _decide(self, values: np.ndarray, place: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes of finished rows, and the probabilities of their change map alone."""
        facts = self.predictor.facts
        if facts.semantic is None:
            return decided(values, facts.threshold), values
        if self.answer.class_maps is None:
            self.answer.class_maps = np.zeros((2, *self.block.shape), np.uint8)
        change, dates = values[0], values[1:]
        classes, self.answer.class_maps[:, place] = facts.semantic.decide(
            dates.reshape(2, len(dates) // 2, *dates.shape[1:]), decided(change, facts.threshold))
        return classes, change

    def _finish_maps(self) -> None:
        """Leave out pixels without data; a block without any has never met the model."""
        if self.answer.classes is None:
            semantic = self.predictor.facts.semantic
            bands = () if semantic is None else (1 + 2 * len(semantic.names), )
            self._draw(0, np.zeros((*bands, *self.block.shape), np.float32))
        self.answer.classes[~self._data] = NODATA
        if self.answer.class_maps is not None:
            self.answer.class_maps[:, ~self._data] = NODATA
        self.answer.probability[~self._data] = 0

    def _sentence(self, window: _Window, answer: WindowPrediction) -> WindowSentence:
        best, facts = answer.sentences[0], self.predictor.facts
        changed = drawn = None
        if answer.probabilities is not None:
            drawn = decided(answer.probabilities, facts.threshold)
            if facts.semantic is not None:
                drawn, _ = facts.semantic.decide(answer.class_probabilities, drawn)
            changed = float((drawn != 0)[window.data].mean())
        if facts.task == 'single':
            flag = False
        elif answer.change_probability is not None:
            flag = answer.change_probability >= 0.5
        elif changed is not None:
            flag = changed >= CHANGED_SHARE
        else:
            flag = self.predictor.tells_of_change(best.text)
        told = answer.change_probability is not None or changed is not None
        return WindowSentence(window.box, best.text, best.score, bool(flag),
                              answer.change_probability, changed,
                              sampled=facts.task == 'pair' and told and not flag,
                              doubt=self._doubt(answer, drawn, window.data).to_json())

    def _doubt(self, answer: WindowPrediction, drawn: np.ndarray | None, data: np.ndarray) -> Doubt:
        """Return how far the best sentence about a window is to be doubted.

        Args:
            answer: To the window.
            drawn: Its classes (h, w); None without a map.
            data: Where it has data, bool (h, w).
        """
        facts, language = self.predictor.facts, self.predictor.facts.language or 'en'
        evidence = Evidence.of(
            {language: answer.sentences}, lambda _: facts.no_change_captions, facts.task,
            map_facts=None if drawn is None else MapFacts.of(drawn, facts.map_classes, data),
            probability=answer.change_probability, novelty=answer.novelty,
            resolution=self.block.resolution or None, trained=facts.ground_resolution)
        return evidence.doubt(self._calibration, language)


def _inside(box: Box, limits: Box) -> Box | None:
    """Return the part of a rectangle inside another, None where they do not meet."""
    left, top = max(box[0], limits[0]), max(box[1], limits[1])
    right, bottom = min(box[2], limits[2]), min(box[3], limits[3])
    return (left, top, right, bottom) if right > left and bottom > top else None
