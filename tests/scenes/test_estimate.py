import re
from dataclasses import replace

import numpy as np
import pytest
from fake_scenes import SMALL, Difference, pictures, write_pair, write_tiff

from rscc.scenes.estimate import estimate
from rscc.scenes.preparation import ScenePair
from rscc.scenes.run import SceneRun


@pytest.fixture
def run(tmp_path):
    return SceneRun([write_pair(tmp_path)], Difference(pause=0.02), tmp_path / 'out', SMALL)


def test_windows_and_megapixels_are_those_of_the_run(run):
    told = estimate(run)
    done = run.answer(run.folder())
    assert told.windows == done.windows and told.blocks == done.blocks
    assert told.megapixels == pytest.approx(done.megapixels)


def test_time_is_about_that_of_the_run(run):
    told = estimate(run)
    calls = -(-told.windows // SMALL.batch_size)
    # The stand-in sleeps in every call; blocks end batches early, so there are more calls.
    assert 0.02 * calls * 0.5 < told.seconds < 0.02 * calls * 20
    assert told.sentence_seconds >= 0


def test_lines_tell_all_of_it(run):
    text = str(estimate(run))
    assert re.search(r'windows +[\d,]+ with data, in \d+ blocks? of 1 scene, 0\.1 Mpx', text)
    assert re.search(r'sentences +\d+ ms a window', text)
    assert re.search(r'memory +about \d+\.\d GiB\ndisk +at most \d+\.\d\d GiB', text)


def test_a_part_costs_its_share_and_detectors_write_no_sentences(tmp_path):
    run = SceneRun([write_pair(tmp_path)], Difference(heads=('change_head',)), tmp_path / 'out',
                   SMALL)
    parts = [estimate(run, (number, 3)) for number in (1, 2, 3)]
    assert sum(part.windows for part in parts) == estimate(run).windows
    assert parts[0].sentence_seconds is None and 'sentences' not in str(parts[0])


def test_a_scene_without_data_costs_nothing(tmp_path):
    empty = np.zeros((300, 420, 3), np.uint8)
    paths = [write_tiff(tmp_path / f'{name}.tif', empty, nodata=0) for name in 'ab']
    predictor = Difference()
    run = SceneRun([ScenePair('town', *paths)], predictor, tmp_path / 'out',
                   replace(SMALL, force=True))
    told = estimate(run)
    assert told.windows == 0 and told.seconds == 0 and predictor.seen == []
    assert 'windows      0' in str(told)


def test_a_scene_of_one_window(tmp_path):
    pair = write_pair(tmp_path, dates=pictures(40, 50))
    assert estimate(SceneRun([pair], Difference(), tmp_path / 'out')).windows == 1
