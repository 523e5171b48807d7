import time
from dataclasses import replace

import numpy as np
import pytest
from fake_scenes import SMALL, Difference, pictures, write_pair

from rscc.scenes.contracts import WindowPrediction
from rscc.scenes.reading import PairReader
from rscc.scenes.run import SceneRun, run_scenes
from rscc.scenes.sources import Reading, open_date
from rscc.scenes.window_probe import choose_windows


class Timed(Difference):
    """A detector whose calls take as long as told, by the factor of its windows.

    Args:
        costs: Factor -> seconds a window.
        wrong: Factors whose maps say the opposite.
    """

    def __init__(self, costs, wrong=(), factor=1):
        super().__init__(64 * factor, 16, heads=('change_head',))
        self.costs, self.wrong, self.factor = costs, wrong, factor

    def enlarged(self, factor):
        if factor not in self.costs:
            raise ValueError('the position table has 64 places')
        return Timed(self.costs, self.wrong, factor)

    def predict(self, windows, describe):
        time.sleep(self.costs[self.factor] * len(windows))
        maps = [(np.abs(later.astype(float) - earlier).max(2) > 80).astype(np.float32)
                for earlier, later in windows]
        return [WindowPrediction(1 - found if self.factor in self.wrong else found)
                for found in maps]


@pytest.fixture
def reader(tmp_path):
    pair = write_pair(tmp_path, dates=pictures(300, 320))
    return PairReader([open_date(date, Reading()) for date in pair.dates])


@pytest.mark.parametrize(('costs', 'wrong', 'chosen'), [
    ({1: .004, 2: .004, 4: .05}, (), 2),
    ({1: .004, 2: .008, 4: .02}, (), 4),
    ({1: .001, 2: .02, 4: .2}, (), 1),
    ({1: .004, 2: .004, 4: .5}, (2,), 1),
    ({1: .004, 2: .004}, (), 2)])
def test_the_soonest_windows_that_give_the_same_map_are_taken(reader, costs, wrong, chosen):
    predictor, why = choose_windows(Timed(costs, wrong), reader, 8)
    assert predictor.factor == chosen and f'{64 * chosen} x {64 * chosen}' in why
    assert ('larger ones cannot be computed (the position table' in why) == (4 not in costs)


def test_models_that_write_sentences_keep_their_windows(reader):
    predictor, why = choose_windows(Difference(), reader, 8)
    assert predictor.factor == 1 and 'a sentence tells what such a window shows' in why


def test_a_later_part_takes_the_windows_of_the_blocks_that_are_there(tmp_path):
    pair = write_pair(tmp_path, dates=pictures(300, 320))
    options = replace(SMALL, choose_window=True)
    said = []
    run_scenes([pair], Timed({1: .004, 2: .004, 4: .1}), tmp_path / 'out', options, (1, 2),
               say=said.append)
    assert any('windows of 128 x 128' in text for text in said)
    slow = Timed({1: .0, 2: .05, 4: .1})  # a trial of its own would stay with the usual windows
    later = SceneRun([pair], slow, tmp_path / 'out', options)
    assert later.facts.window == (128, 128) and later.predictor.factor == 2
    later.answer(later.folder(), (2, 2))
    later.folder().check_complete(later.blocks)
