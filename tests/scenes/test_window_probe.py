from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from fake_scenes import SMALL, Difference, pictures, write_pair

from rscc.scenes import window_probe
from rscc.scenes.contracts import SceneGrid, SceneReader, WindowPrediction
from rscc.scenes.run import SceneRun, run_scenes
from rscc.scenes.window_probe import choose_windows


class Pictures(SceneReader):
    """Two dates in memory."""

    def __init__(self):
        self.frames = pictures(500, 400)
        self.grid, self.sources = SceneGrid(400, 500), ('a', 'b')

    def read(self, box, shape=None):
        left, top, right, bottom = box
        frames = [frame[top:bottom, left:right] for frame in self.frames]
        return frames, np.ones(frames[0].shape[:2], bool)


class Clocked(Difference):
    """A detector that tells how long it takes instead of taking it.

    Args:
        seconds: Of a window, by factor.
        wrong: Factors whose maps are those of another model.
    """

    refusal = RuntimeError

    def __init__(self, clock, seconds, wrong=(), factor=1):
        super().__init__(64 * factor, 16, heads=('change_head',))
        self.clock, self.seconds, self.wrong, self.factor = clock, seconds, wrong, factor

    def predict(self, windows, describe):
        self.clock.now += self.seconds[self.factor] * len(windows)
        answers = super().predict(windows, describe)
        if self.factor in self.wrong:
            answers = [WindowPrediction(1 - answer.probabilities) for answer in answers]
        return answers

    def _answer(self, dates, when):
        differing = np.abs(dates[1].astype(np.float32) - dates[0]).mean(2) / 255
        return WindowPrediction(differing)

    def enlarged(self, factor):
        if factor not in self.seconds:
            raise self.refusal('out of memory\nwith more lines')
        return Clocked(self.clock, self.seconds, self.wrong, factor)


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(window_probe, 'time', SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


@pytest.mark.parametrize(('seconds', 'wrong', 'factor'), [
    ({1: 1, 2: 1, 4: 1}, (), 4), ({1: 1, 2: 1, 4: 16}, (), 2), ({1: 1, 2: 4, 4: 99}, (), 2),
    ({1: 1, 2: 4, 4: 16}, (), 4), ({1: 1, 2: 5, 4: 99}, (), 1), ({1: 1, 2: 1, 4: 1}, (4,), 2),
    ({1: 1, 2: 1, 4: 1}, (2, 4), 1)])
def test_windows_that_give_the_same_map_soonest_are_taken(clock, seconds, wrong, factor):
    chosen, why = choose_windows(Clocked(clock, seconds, wrong), Pictures(), 8)
    assert chosen.factor == factor and chosen.facts.window == (64 * factor, 64 * factor)
    assert why.startswith(f'windows of {64 * factor} x {64 * factor} pixels, of 64 x 64: ')
    assert '256 x 256' in why and 'Mpx/s' in why


@pytest.mark.parametrize('kind', [RuntimeError, AssertionError, ValueError])
def test_what_cannot_be_computed_is_told_and_left(clock, kind, monkeypatch):
    monkeypatch.setattr(Clocked, 'refusal', kind)
    chosen, why = choose_windows(Clocked(clock, {1: 1, 2: 1}), Pictures(), 8)
    assert chosen.factor == 2 and why.endswith('larger ones cannot be computed (out of memory)')


def test_models_that_write_keep_their_windows():
    predictor = Difference()
    assert choose_windows(predictor, Pictures(), 8)[0] is predictor
    unknown = Difference(window=None, heads=('change_head',))
    chosen, why = choose_windows(unknown, Pictures(), 8)
    assert chosen is unknown and 'not known what a training image covered' in why


def test_a_later_part_takes_the_windows_of_the_blocks_that_are_there(clock, tmp_path):
    pair = write_pair(tmp_path, dates=pictures(300, 320))
    options, said = replace(SMALL, choose_window=True), []
    run_scenes([pair], Clocked(clock, {1: 1, 2: 1, 4: 99}), tmp_path / 'out', options, (1, 2),
               say=said.append)
    assert any('windows of 128 x 128' in text for text in said)
    slow = Clocked(clock, {1: 1, 2: 99, 4: 999})  # its own trial would keep the usual windows
    later = SceneRun([pair], slow, tmp_path / 'out', options)
    assert later.facts.window == (128, 128) and later.predictor.factor == 2
    later.answer(later.folder(), (2, 2))
    later.folder().check_complete(later.blocks)
