"""Bands beyond the colours: what water, plants and haze look like in them, and their files."""
from dataclasses import replace

import numpy as np
import pytest

from rscc.synth import contact_sheet
from rscc.synth.drawing import Appearance
from rscc.synth.generator import FROM, Parameters, generate, plan_pair, render_pair
from rscc.synth.objects import BOTH, Lot, Pond, Trees
from rscc.synth.rendering import draw, render
from rscc.synth.scene import Scene
from rscc.synth.spectra import (
    BAND_SETS,
    MATERIALS,
    brightness,
    draw_materials,
    read_picture,
    render_bands,
)
from rscc.utils import read_json

CLEAR = Appearance('summer', np.array([0.6, -0.8]), 1.0, np.ones(3), 1.0, 1.0, 0.0, 0.0, 0.0,
                   np.zeros(2), 7)
SQUARE = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
NAMES = BAND_SETS[10]


@pytest.fixture(scope='module')
def place():
    """A meadow with a pond on the left, a parking lot on the right and trees at the top."""
    crowns = np.array([[x, 30.0, 8.0, 1] for x in range(30, 230, 10)])
    return Scene('meadow', 3, [Pond(SQUARE * 40 + [60, 150], when=BOTH),
                               Lot(np.array([190.0, 150]), (80, 80), 0.0, 0.0, when=BOTH),
                               Trees(crowns, when=BOTH)])


def means(place, appearance):
    """Return the mean of every band on water, asphalt, grass and crowns."""
    drawn = render_bands(place, FROM, appearance, 10).astype(float)
    areas = dict(water=np.s_[130:170, 40:80], asphalt=np.s_[120:180, 160:220],
                 grass=np.s_[215:250, 10:250], leaves=np.s_[26:34, 40:220])
    return {name: dict(zip(NAMES, drawn[area].mean((0, 1)), strict=True))
            for name, area in areas.items()}


def test_near_infrared_shows_water_black_and_plants_bright(place):
    seen = means(place, CLEAR)
    assert seen['water']['B8'] < 300 < 2000 < seen['leaves']['B8'] and seen['grass']['B8'] > 2000
    assert seen['water']['B8'] < seen['asphalt']['B8'] / 3 < seen['grass']['B8'] / 6
    for plant in ('grass', 'leaves'):  # a steep edge behind red, and water in the leaves
        assert seen[plant]['B8'] > 2.5 * seen[plant]['B4']
        assert seen[plant]['B4'] < seen[plant]['B5'] < seen[plant]['B6'] < seen[plant]['B7']
        assert seen[plant]['B12'] < seen[plant]['B11'] < seen[plant]['B8']
    assert 0.8 < seen['asphalt']['B8'] / seen['asphalt']['B4'] < 1.3


def test_haze_fades_with_the_wavelength(place):
    clear, hazy = means(place, CLEAR), means(place, replace(CLEAR, haze=0.25))
    air = 200 * 3000 / 255
    share = {name: (hazy['water'][name] - clear['water'][name]) / (air - clear['water'][name])
             for name in NAMES}
    assert share['B3'] == pytest.approx(0.25, abs=0.02)
    assert 0.5 < share['B8'] / share['B3'] < 0.7 and share['B12'] < 0.25 * share['B3']


def test_leaves_that_are_not_green_are_less_bright(place):
    summer, winter = means(place, CLEAR), means(place, replace(CLEAR, season='winter'))
    assert winter['grass']['B8'] / winter['grass']['B4'] < (
        0.7 * summer['grass']['B8'] / summer['grass']['B4'])


def test_materials_are_drawn_where_the_picture_has_them(place):
    canvas, plants, _ = draw(place, FROM, CLEAR)
    materials, cover = draw_materials(place, FROM, CLEAR, plants)
    assert canvas.shape[:2] == materials.shape == cover.shape
    names = {MATERIALS[value] for value in np.unique(materials)}
    assert names == {'grass', 'leaves', 'soil', 'water', 'asphalt'}
    assert cover.min() >= 0 and cover.max() <= 1
    assert all(brightness(material, 'B4') > 0 for material in MATERIALS)


@pytest.mark.parametrize('count', BAND_SETS)
def test_the_colours_are_those_of_the_picture(count):
    for pair in range(3):
        pictures, drawn = (render_pair(plan_pair(3, 'train', pair), bands) for bands in (3, count))
        for picture, bands in zip(pictures, drawn, strict=True):
            assert bands.shape == (256, 256, count) and bands.dtype == np.uint16
            shown = np.rint(bands[..., [2, 1, 0]] * (255 / 3000))
            assert np.array_equal(shown, picture)


def test_bands_of_20_metres_are_half_as_fine():
    noisy = replace(CLEAR, noise=3.5)
    bands = render_bands(Scene('desert', 1), FROM, noisy, 10).astype(float)
    steps = dict(zip(NAMES, np.abs(np.diff(bands, axis=1)).mean((0, 1)) / bands.mean((0, 1)),
                     strict=True))
    assert max(steps[name] for name in ('B5', 'B8A', 'B11')) < 0.6 * steps['B8']


def test_files_hold_named_bands_and_the_same_scenes(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    made = {bands: tmp_path / str(bands) for bands in (3, 4)}
    for bands, folder in made.items():
        assert generate(folder, Parameters(2, 1, 1, 5, bands=bands))
        assert not generate(folder, Parameters(2, 1, 1, 5, bands=bands))
    path = made[4] / 'images/train/B/train_000001.tif'
    with rasterio.open(path) as file:
        assert file.descriptions == BAND_SETS[4] and file.dtypes[0] == 'uint16'
    picture = render(*_second_date(5, 1))
    assert np.array_equal(read_picture(path), picture)
    labels = [(folder / 'images/train/label/train_000001.png').read_bytes()
              for folder in made.values()]
    assert labels[0] == labels[1]
    marker = read_json(made[4] / 'synth.json')
    assert marker['parameters']['bands'] == 4 and marker['bands'] == list(BAND_SETS[4])
    assert 'bands' not in read_json(made[3] / 'synth.json')['parameters']
    contact_sheet.write_contact_sheet(made[4], tmp_path / 'sheet.png', count=3)


def _second_date(seed, index):
    """Return what draws the later date of a training pair: the scene, the date, its appearance."""
    from unittest import mock
    drawn = []
    with mock.patch('rscc.synth.generator.render', lambda *given: drawn.append(given)):
        render_pair(plan_pair(seed, 'train', index))
    return drawn[1]


def test_other_numbers_of_bands_are_refused():
    with pytest.raises(ValueError, match=r'bands=5: expected 3 .*, 4 or 10'):
        Parameters(1, 0, 0, 0, bands=5)
