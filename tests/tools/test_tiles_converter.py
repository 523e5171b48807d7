"""Tiles as people cut and merge them."""
import functools
import json
import re

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def tiles(run_tool):
    return functools.partial(run_tool, 'dataset_converters/tiles.py')


@pytest.fixture
def pair(tmp_path):
    rng = np.random.default_rng(0)
    for name in ('before', 'after'):
        Image.fromarray(rng.integers(0, 256, (90, 120, 3), np.uint8)).save(tmp_path / f'{name}.png')
    label = np.zeros((90, 120), np.uint8)
    label[20:60, 30:100] = 255
    Image.fromarray(label).save(tmp_path / 'change.png')
    return ('--from', tmp_path / 'before.png', '--to', tmp_path / 'after.png',
            '--label', tmp_path / 'change.png')


def test_cut_and_merge_a_pair(tiles, pair, tmp_path):
    grid = ('--size', 32, '--overlap', 8)
    done = tiles('cut', *pair, '--out', tmp_path / 'cut', *grid)
    assert done.returncode == 0, done.stderr
    assert '20 pairs of tiles' in done.stdout
    done = tiles('merge', tmp_path / 'cut/label', '--tiles', tmp_path / 'cut', '--out',
                 tmp_path / 'out', '--label', tmp_path / 'change.png', '--blend', 'linear')
    assert done.returncode == 0, done.stderr
    assert 'F1_changed          1.0000' in done.stdout and '1 map written' in done.stdout
    assert json.loads((tmp_path / 'out/metrics.json').read_text())['change/IoU_changed'] == 1
    done = tiles('merge', tmp_path / 'cut/label', '--image-size', 120, 90, *grid, '--out',
                 tmp_path / 'other', '--rule', 'and')
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'other/masks/before.png').read_bytes() == (
        tmp_path / 'out/masks/before.png').read_bytes()


def test_wrong_calls_end_with_one_line(tiles, pair, tmp_path):
    for arguments, words in (
            (('cut', '--out', tmp_path), 'cut needs a folder, or the files of one pair'),
            (('cut', tmp_path, '--out', tmp_path, '--shares', 0.5, 0.5), '--shares splits one'),
            (('cut', tmp_path / 'gone', '--out', tmp_path), "error: no folder '.*gone"),
            (('merge', tmp_path, '--out', tmp_path), 'error: merge needs --tiles'),
            (('cut', *pair, '--out', tmp_path / 'x', '--overlap', 300), 'overlap of 300')):
        done = tiles(*arguments)
        assert done.returncode and 'Traceback' not in done.stderr
        assert re.search(words, done.stderr), done.stderr


def test_geotiffs_that_lie_apart_are_no_pair(tiles, tmp_path):
    rasterio = pytest.importorskip('rasterio')
    for name, left in (('before', 1000), ('after', 1010)):
        with rasterio.open(tmp_path / f'{name}.tif', 'w', driver='GTiff', height=90, width=120,
                           count=3, dtype='uint8', crs='EPSG:32633',
                           transform=rasterio.Affine(0.5, 0, left, 0, -0.5, 2000)) as file:
            file.write(np.zeros((3, 90, 120), np.uint8))
    done = tiles('cut', '--from', tmp_path / 'before.tif', '--to', tmp_path / 'after.tif',
                 '--out', tmp_path / 'cut')
    assert done.returncode and not (tmp_path / 'cut').exists()
    assert re.search(r'different grids: their corners are up to 20\.0 pixels apart.*rio warp',
                     done.stderr), done.stderr
