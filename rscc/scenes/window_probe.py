"""A short trial of larger windows: the same map in less time, where encoder and memory allow.

Larger windows overlap by the same pixels, so fewer pixels are computed twice. A model that was
trained on small windows need not answer large ones alike: what differs from the map of the usual
windows counts against them.
"""
import time
from dataclasses import dataclass

import numpy as np

from rscc.rasters.blending import RowBlender, decided
from rscc.rasters.windows import Grid, cut, window_grid
from rscc.scenes.contracts import Box, Predictor, SceneReader

FACTORS = (2, 4)
#: Share of pixels that must get the same class as from the usual windows.
LEAST_AGREEMENT = 0.99
#: Share of the time that larger windows may take, to be worth it.
MOST_TIME = 0.9


@dataclass(frozen=True)
class Trial:
    """What a trial of one window size brought.

    Attributes:
        window: (H, W) in pixels.
        seconds: Per megapixel of a large scene, whose border counts little.
        agreement: Share of pixels with the class of the usual windows, 0 to 1.
    """
    window: tuple[int, int]
    seconds: float
    agreement: float = 1.0

    def __str__(self) -> str:
        return (f'{self.window[1]} x {self.window[0]}: {1 / self.seconds:.2f} Mpx/s, '
                f'{self.agreement:.2%} of the pixels as from the usual windows')


def choose_windows(predictor: Predictor, reader: SceneReader, batch_size: int
                   ) -> tuple[Predictor, str]:
    """Return the predictor with the windows that answer a scene soonest, and why, in a sentence.

    Args:
        predictor: The model with its usual windows.
        reader: The scene, of which a square in the middle is answered in the trial.
        batch_size: Windows of the usual size that are answered at once; of larger ones as many as
            hold the same number of pixels.
    """
    usual = predictor.facts.window
    if 'caption_head' in predictor.facts.heads:
        return predictor, ('windows stay as in training: a sentence tells what such a window shows '
                           '(--window auto is for models without sentences)')
    if usual is None:
        return predictor, 'windows stay: it is not known what a training image covered'
    frames = _middle(reader, [side * FACTORS[-1] for side in usual])
    classes, seconds = _answer(predictor, frames, batch_size)
    trials, chosen, best = [Trial(usual, seconds)], predictor, seconds * MOST_TIME
    for factor in FACTORS:
        if any(side * factor > length for side, length in zip(usual, classes.shape, strict=True)):
            break
        try:
            larger = predictor.enlarged(factor)
            drawn, seconds = _answer(larger, frames, max(1, batch_size // factor**2))
        except (ValueError, RuntimeError, AssertionError, MemoryError) as error:
            reason = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
            return chosen, f'{_told(trials, chosen)}; larger ones cannot be computed ({reason})'
        trials.append(Trial(larger.facts.window, seconds, float((drawn == classes).mean())))
        if trials[-1].agreement >= LEAST_AGREEMENT and seconds <= best:
            chosen, best = larger, seconds
    return chosen, _told(trials, chosen)


def _told(trials: list[Trial], chosen: Predictor) -> str:
    height, width = chosen.facts.window
    return f'windows of {width} x {height} pixels, of ' + '; '.join(map(str, trials))


def _middle(reader: SceneReader, size: list[int]) -> list[np.ndarray]:
    """Return the frames (h, w, B) of the middle of a scene."""
    grid = reader.grid
    sides = []
    for length, wanted in zip((grid.width, grid.height), reversed(size), strict=True):
        first = max(0, (length - wanted) // 2)
        sides.append((first, min(length, first + wanted)))
    box: Box = (sides[0][0], sides[1][0], sides[0][1], sides[1][1])
    return reader.read(box)[0]


def _answer(predictor: Predictor, frames: list[np.ndarray], batch_size: int
            ) -> tuple[np.ndarray, float]:
    """Return the classes (h, w) of an image, and the seconds that a megapixel of a scene takes."""
    height, width = frames[0].shape[:2]
    grid = window_grid(height, width, predictor.facts.window, predictor.facts.overlap)
    if grid is None:
        windows = [frames]
    else:
        windows = [[cut(frame, grid.rows.source(row), grid.columns.source(column))
                    for frame in frames] for column, row in grid.places()]
    predictor.predict(windows[:1], ['never'])  # the first call sets up more than it computes
    began, maps = time.perf_counter(), []
    for start in range(0, len(windows), batch_size):
        batch = windows[start:start + batch_size]
        maps += [answer.probabilities for answer in predictor.predict(
            batch, ['never'] * len(batch))]
    # The trial is small: a part of its windows lies beyond its border, and that is not counted.
    new = np.prod(np.subtract(predictor.facts.window, predictor.facts.overlap)) / 1e6
    seconds = (time.perf_counter() - began) / (len(windows) * float(new))
    return _blended(maps, grid, predictor.facts.threshold), seconds


def _blended(maps: list[np.ndarray], grid: Grid | None, threshold: float) -> np.ndarray:
    if grid is None:
        return decided(maps[0], threshold)
    blender = RowBlender(grid, blend='linear')
    bands = (blender.add(values) for values in maps)  # one at a time: memory is used again
    return np.concatenate([decided(band[1], threshold) for band in bands if band is not None])
