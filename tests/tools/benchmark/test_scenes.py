"""Scenes of a few windows through every measurement; what is written is what scenes look like."""
import os
import sys
import time

import numpy as np
import pytest

from rscc.apis.scenes import predictor_of
from tools.benchmark import scenes
from tools.benchmark.scene_inputs import CELL, rendered_cells, save_detector, write_pair
from tools.benchmark.scenes import Child, Found, benchmark_scenes, run_child
from tools.benchmark.tables import say

rasterio = pytest.importorskip('rasterio')
CELLS = 3


@pytest.fixture(scope='module')
def cells():
    return rendered_cells(CELLS)


@pytest.fixture
def commands(monkeypatch):
    """Run commands in this process, where starting takes no seconds; return what was asked for."""
    asked = []

    def run(words):
        from rscc.commands.infer import main
        asked.append(words[2:])
        start, cpu = time.perf_counter(), time.process_time()
        monkeypatch.setattr(sys, 'argv', words[1:])
        main()
        return Child(time.perf_counter() - start, time.process_time() - cpu, 10**9)

    monkeypatch.setattr(scenes, 'run_child', run)
    return asked


def test_every_measurement_has_its_row_and_the_goals_are_judged(commands, cells, monkeypatch):
    monkeypatch.setattr(scenes, 'rendered_cells', lambda count: cells)
    section = benchmark_scenes([520, 300], rounds=1, detectors=['quickstart'], block_size=400)
    assert section.columns[2:] == ('300 px', '520 px')
    rows = {say(row[1], 'en'): row[2:] for row in section.rows}
    judged = {label: [say(cell, 'en') for cell in cells if 'target' in say(cell, 'en')]
              for label, cells in rows.items()}
    assert [len(judged[label]) for label in rows] == [1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1]
    assert '1.00 GB (target ≤ 1.5 GB: met)' in judged['its peak memory']
    assert judged['its peak memory against 300 px'] == ['1.00 (target ≤ 1.15: met)']
    # 520 pixels are 3 x 3 windows; each of the 2 x 2 blocks computes the 2 x 2 that it touches.
    assert rows['windows computed, against those over the scene'] == ['1.000', '1.778']
    parts = [words[words.index('--part') + 1] for words in commands if '--part' in words]
    assert parts == ['1/4', '2/4', '3/4', '4/4', '4/4', '1/1', '1/1']
    assert say(section.rows[0][0], 'zh_cn').startswith('快速上手模型')


def test_ratios_are_those_of_the_rounds():
    found = Found(
        answer={1000: [2.0, 2.0, 5.0], 2000: [8.0, 8.0, 8.0]},
        combine={1000: [0.5] * 3, 2000: [2.0] * 3}, windows={1000: 30, 2000: 120},
        lattice={1000: 25, 2000: 100}, pure=[1.5, 1.6, 4.0], whole=[4.0] * 3, half=[2.0] * 3,
        half_windows=16, parts=(10.2, 10.0), start=3.0,
        children={1000: Child(3, 3, 10**9), 2000: Child(12, 12, 1.2 * 10**9)})
    rows = [row[1:] for row in scenes._rows('d', [1000, 2000], found)]
    said = {say(label, 'en').split(',')[0].split(':')[0]: [say(cell, 'en') for cell in cells]
            for label, *cells in rows}
    # Rounds: 1.5 / 25 * 30 / 2 = 90 %, 96 %, 96 %.
    assert said['windows a second against the model alone'][0] == '96.0 % (target ≥ 85 %: met)'
    assert said['both'] == ['', '1.00 (target ≤ 1.15: met)']
    # Half of the time for 16 of 30 windows.
    assert said['half without data'][0] == '0.94 (target ≤ 1.05: met)'
    assert said['4 parts'][0] == '1.02 (target ≤ 1.05: met)'
    assert said['its peak memory against 1'] == ['', '1.20 (target ≤ 1.15: missed)']


def test_scenes_are_made_of_rendered_pairs_and_alike_at_both_dates(cells, tmp_path):
    places = []
    for date, path in enumerate(write_pair(tmp_path, 700, cells)):
        with rasterio.open(path) as file:
            assert (file.width, file.height, file.nodata) == (700, 700, None)
            assert file.block_shapes[0] == (512, 512) and file.crs.to_epsg() == 32633
            pixels = np.moveaxis(file.read(), 0, -1)
        flips = [(number, vertical, horizontal) for number in range(CELLS)
                 for vertical in (1, -1) for horizontal in (1, -1)]
        places.append([next(flip for flip in flips if np.array_equal(
            cells[flip[0]][date][::flip[1], ::flip[2]], pixels[top:top + CELL, left:left + CELL]))
            for top in (0, CELL) for left in (0, CELL)])
    assert places[0] == places[1] and len(set(places[0])) > 1


def test_half_of_a_scene_can_lack_data(cells, tmp_path):
    path, _ = write_pair(tmp_path, 300, cells, empty=True)
    with rasterio.open(path) as file:
        mask = file.dataset_mask() > 0
    assert not mask[:, :150].any() and mask[:, 150:].all()


@pytest.mark.parametrize(('name', 'classes'), [('quickstart', 6), ('resnet18', 2)])
def test_detectors_load_as_trained_ones_and_see_few_changes(name, classes, cells, tmp_path):
    predictor = predictor_of(str(save_detector(name, tmp_path / 'd.pth', cells)), device='cpu')
    facts = predictor.facts
    assert (facts.window, len(facts.classes), facts.rendered) == ((256, 256), classes, True)
    assert 'change_head' in facts.heads and 'caption_head' not in facts.heads
    values = [answer.probabilities for answer in predictor.predict(cells, ['never'] * CELLS)]
    changed = np.stack([value > 0.5 if classes == 2 else value.argmax(0) > 0 for value in values])
    assert changed.mean() == pytest.approx(0.03, abs=0.01)


def test_a_command_is_measured_without_the_memory_of_who_starts_it():
    held = bytearray(400 * 2**20)
    small = run_child([sys.executable, '-S', '-c', 'pass'])
    assert small.peak < 60e6 and small.seconds < 5
    code = 'sum(range(10**6)); x = bytes([1]) * (150 << 20)'
    large = run_child([sys.executable, '-S', '-c', code])
    assert 150e6 < large.peak < 250e6 and large.cpu > small.cpu
    assert len(held)


def test_a_command_that_fails_tells_why():
    with pytest.raises(OSError, match=r'ended with code 3:\n.*no such thing'):
        run_child([sys.executable, '-c', 'print("no such thing"); raise SystemExit(3)'])


def test_bad_requests_are_refused():
    for wrong in (dict(sides=[300]), dict(sides=[300, 300]), dict(sides=[0, 300]),
                  dict(sides=[300, 600], rounds=0)):
        with pytest.raises(ValueError, match='at least two sides'):
            benchmark_scenes(**wrong)
    with pytest.raises(ValueError, match="'resnet18'"):
        benchmark_scenes([300, 600], detectors=['resnet_18'])


pytestmark = pytest.mark.skipif(not hasattr(os, 'wait4'), reason='the system tells no peaks')
