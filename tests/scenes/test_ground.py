import shlex

import numpy as np
import pytest
from scene_files import LEFT, TOP, place, texture, write_raster

from rscc.scenes.contracts import ModelFacts, SceneGrid
from rscc.scenes.ground import check_pixel_size, check_system, ground_resolution
from rscc.scenes.reading import PairReader
from rscc.scenes.sources import Reading, open_date

rasterio = pytest.importorskip('rasterio')
BANDS = texture(60, 80)


def grid(crs, pixel, x, y, width=100, height=100):
    return SceneGrid(width, height, rasterio.crs.CRS.from_string(crs).to_wkt(),
                     (pixel, 0, x, 0, -pixel, y))


def reader_of(tmp_path, *dates, **options):
    paths = [write_raster(tmp_path / f'{number}.tif', **dict(bands=BANDS) | date)
             for number, date in enumerate(dates)]
    return PairReader([open_date(path, Reading()) for path in paths], **options)


@pytest.mark.parametrize(('place_', 'metres'), [
    (grid('EPSG:32633', 0.5, 500000, 5000000), 0.5),
    (grid('EPSG:2263', 3, 990000, 200000), 3 * 0.3048),  # US survey feet, New York
    (grid('EPSG:3857', 2, 0, 8399738), 1.0),  # Web Mercator at 60 degrees north
    (grid('EPSG:4326', 1e-5, 10, 0), 1.11),
    (grid('EPSG:4326', 1e-5, 10, 60), 1e-5 * np.sqrt(55800 * 111412)),
], ids=['metres', 'feet', 'mercator', 'equator', '60 north'])
def test_pixels_are_measured_on_the_ground(place_, metres):
    assert ground_resolution(place_) == pytest.approx(metres, rel=0.005)


def test_a_turned_pixel_keeps_its_size():
    turned = rasterio.Affine(*place(0.5)) * rasterio.Affine.rotation(33)
    crs = grid('EPSG:32633', 1, 0, 0).crs
    assert ground_resolution(SceneGrid(10, 10, crs, tuple(turned)[:6])) == pytest.approx(
        0.5, rel=1e-3)


def test_without_a_place_or_system_the_size_is_unknown():
    assert ground_resolution(SceneGrid(10, 10)) is None
    assert ground_resolution(SceneGrid(10, 10, None, (1, 0, 0, 0, -1, 0))) is None


def test_systems_are_named(tmp_path):
    same = check_system(reader_of(tmp_path, {}, {}))
    assert (same.status, same.value, same.text) == ('ok', ['EPSG:32633'] * 2, 'EPSG:32633')
    lacking = reader_of(tmp_path, {}, dict(crs=None), assume_same_grid=True)
    found = check_system(lacking)
    assert found.status == 'warn' and '--assume-same-grid' in found.text


def test_another_system_is_no_fault_and_is_said(tmp_path):
    from rasterio.warp import calculate_default_transform
    there = calculate_default_transform('EPSG:32633', 'EPSG:4326', 80, 60, LEFT, TOP - 60,
                                        LEFT + 80, TOP)[0]
    reader = reader_of(tmp_path, {}, dict(transform=there, crs='EPSG:4326'))
    found = check_system(reader)
    assert found.status == 'ok' and 'EPSG:32633 and EPSG:4326' in found.text
    assert 'warped onto the earlier' in found.text


@pytest.mark.parametrize(('trained', 'status', 'words'), [
    (None, 'ok', 'not known'), (1.0, 'ok', 'trained on 1 m'), (1.3, 'ok', ''), (0.75, 'ok', ''),
    (1.5, 'warn', '1.5 times larger'), (0.5, 'warn', '2 times smaller')])
def test_pixel_sizes_far_from_the_training_images_warn(tmp_path, trained, status, words):
    found = check_pixel_size(reader_of(tmp_path, {}, {}), ModelFacts(ground_resolution=trained))
    assert found.status == status and words in found.text
    assert found.value['metres'] == pytest.approx([1, 1], rel=1e-3)


@pytest.mark.parametrize(('transform', 'crs', 'trained'), [
    (place(1), 'EPSG:32633', 2.0), (place(1), 'EPSG:32633', 0.5),
    (rasterio.Affine(1e-5, 0, 15, 0, -1e-5, 36.14), 'EPSG:4326', 2.0),
    (rasterio.Affine(2, 0, 0, 0, -2, 8399738), 'EPSG:3857', 2.0)])
def test_the_resampling_it_advises_gives_the_pixel_size_of_the_weights(
        tmp_path, monkeypatch, transform, crs, trained):
    from click.testing import CliRunner
    from rasterio.rio.main import main_group
    reader = reader_of(tmp_path, dict(transform=transform, crs=crs))
    found = check_pixel_size(reader, ModelFacts(ground_resolution=trained))
    command = shlex.split(found.text.partition('rio ')[2])
    assert command[command.index('--resampling') + 1] == ('average' if trained > 1 else 'cubic')
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main_group, command)
    assert done.exit_code == 0, done.output
    again = open_date(command[2], Reading())
    assert ground_resolution(again.grid) == pytest.approx(trained, rel=0.01)


def test_a_later_date_without_the_details_of_the_earlier_one_warns(tmp_path):
    for pixel, status in ((1.5, 'ok'), (4, 'warn')):
        reader = reader_of(tmp_path, {}, dict(transform=place(pixel)))
        found = check_pixel_size(reader, ModelFacts())
        assert found.status == status
    assert '4 times as wide' in found.text and found.value['metres'][1] == pytest.approx(4, rel=.01)
