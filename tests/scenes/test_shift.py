from copy import copy

import cv2
import numpy as np
import pytest
from PIL import Image
from scene_files import place, rgb, texture, write_plain, write_raster

from rscc.scenes import shift as module
from rscc.scenes.reading import PairReader
from rscc.scenes.shift import Shift, estimate_shift, textured_windows
from rscc.scenes.sources import Reading, open_date
from rscc.synth.generator import plan_pair
from rscc.synth.rendering import draw_appearance, render

pytest.importorskip('skimage')
rasterio = pytest.importorskip('rasterio')
PLAIN = Reading()


def reader_of(*paths, **options):
    return PairReader([open_date(path, PLAIN) for path in paths], **options)


def estimate(reader):
    return estimate_shift(reader, *reader.reduced())


def other_light(bands, seed=0):
    """Return bands of another gain, gamma and haze, brighter to one side, with noise."""
    rng, (_, height, width) = np.random.default_rng(seed), bands.shape
    ramp = np.linspace(0.7, 1.2, width) * np.linspace(1.1, 0.8, height)[:, None]
    values = 255 * (bands / 255) ** 1.3 * ramp * 0.8 + 30 + rng.normal(0, 2, bands.shape)
    return np.clip(values, 0, 255).round().astype(np.uint8)


SHIFTS = [(3, 0), (0, -4), (0.5, 0), (0, 0.25), (1.35, -2.7), (-20.6, 11.2)]


@pytest.mark.parametrize('moved', SHIFTS)
def test_a_known_shift_is_found_under_other_light_and_undone_by_reading(tmp_path, moved):
    first = texture(500, 600)
    second = other_light(texture(500, 600, moved=moved))
    paths = write_raster(tmp_path / 'a.tif', first), write_raster(tmp_path / 'b.tif', second)
    found = estimate(reader_of(*paths))
    assert found.sure and found.windows == 9
    assert np.abs(np.subtract((found.columns, found.rows), moved)).max() < 0.1
    rest = estimate(reader_of(*paths, offset=(found.columns, found.rows)))
    assert rest.sure and rest.length < 0.1


@pytest.mark.parametrize('kind', ['picture', 'raster without a place'])
def test_images_without_a_place_are_measured_and_moved_alike(tmp_path, kind):
    moved = (2.4, -1.6)
    first, second = texture(300, 320), other_light(texture(300, 320, moved=moved))
    if kind == 'picture':
        paths = tmp_path / 'a.png', tmp_path / 'b.png'
        for path, bands in zip(paths, (first, second), strict=True):
            Image.fromarray(rgb(bands)).save(path)
    else:
        paths = write_plain(tmp_path / 'a.tif', first), write_plain(tmp_path / 'b.tif', second)
    found = estimate(reader_of(*paths))
    assert np.abs(np.subtract((found.columns, found.rows), moved)).max() < 0.1
    assert estimate(reader_of(*paths, offset=(found.columns, found.rows))).length < 0.1


def test_a_date_on_another_grid_is_measured_in_pixels_of_the_first(tmp_path):
    fine = texture(600, 800, fineness=0.06)
    first = fine.reshape(3, 300, 2, 400, 2).mean((2, 4)).astype(np.uint8)
    paths = (write_raster(tmp_path / 'a.tif', first, place(2)),
             write_raster(tmp_path / 'b.tif', fine, place(1, 3, 5)))  # 3 and 5 of its pixels off
    found = estimate(reader_of(*paths))
    assert np.abs(np.subtract((found.columns, found.rows), (1.5, 2.5))).max() < 0.1
    assert estimate(reader_of(*paths, offset=(found.columns, found.rows))).length < 0.1


def rendered(index, moved, everything_else):
    """Return a rendered pair whose later date is moved; other light, or season and sun too."""
    rng = np.random.default_rng(index)
    planned, earlier = plan_pair(21, 'val', index), draw_appearance(rng)
    later = draw_appearance(rng) if everything_else else copy(earlier)
    if not everything_else:
        later.gain, later.gamma = earlier.gain * 1.25, earlier.gamma * 0.8
        later.haze, later.noise, later.seed = 0.2, 3.0, earlier.seed + 1
    earlier.shift, later.shift = np.zeros(2), np.array(moved, float)
    return render(planned.scene, 'from', earlier), render(planned.scene, 'to', later)


@pytest.mark.parametrize(('index', 'moved'), [
    (0, (1.3, -0.4)), (1, (-2.75, 3.5)), (2, (0.5, 0.5)), (3, (3, -2)), (4, (0, 0)),
    (5, (5.2, 4.1))])
def test_rendered_scenes_under_other_light_are_within_a_tenth_of_a_pixel(tmp_path, index, moved):
    for name, image in zip('ab', rendered(index, moved, False), strict=True):
        Image.fromarray(image).save(tmp_path / f'{name}.png')
    paths = tmp_path / 'a.png', tmp_path / 'b.png'
    found = estimate(reader_of(*paths))
    assert found.sure and np.abs(np.subtract((found.columns, found.rows), moved)).max() < 0.1
    assert estimate(reader_of(*paths, offset=(found.columns, found.rows))).length < 0.1


def test_season_and_shadows_do_not_decide():
    """Nine windows of as many scenes, all moved alike, each changed in its own way."""
    moved, pairs = (2.3, -1.7), []
    for index in range(9):
        images = rendered(index, moved, True)
        grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
        pairs.append((*grey, np.ones(grey[0].shape, bool)))
    found = module._robust(pairs)
    assert found.sure and np.hypot(*np.subtract((found.columns, found.rows), moved)) < 0.2


def test_windows_that_show_something_else_are_outvoted(tmp_path):
    first, second = texture(600, 2400), texture(600, 2400, moved=(4, 2))
    # Windows of 300 pixels begin at columns 0 to 2100: those of the left third alone see it.
    second[:, :, :700] = texture(600, 700, seed=5)
    found = estimate(reader_of(write_raster(tmp_path / 'a.tif', first),
                               write_raster(tmp_path / 'b.tif', second)))
    assert found.sure and found.agreeing < found.windows
    assert np.abs(np.subtract((found.columns, found.rows), (4, 2))).max() < 0.1


def test_two_places_give_no_sure_shift(tmp_path):
    found = estimate(reader_of(write_raster(tmp_path / 'a.tif', texture(400, 400)),
                               write_raster(tmp_path / 'b.tif', texture(400, 400, seed=5))))
    assert not found.sure and found.agreeing <= 2


def test_the_edge_of_the_data_is_no_texture(tmp_path):
    """The same frame of missing pixels around two different places says nothing of a shift."""
    first, second = texture(400, 400), texture(400, 400, moved=(6, 0))
    for bands in (first, second):
        bands[:, :60], bands[:, :, :60], bands[:, 180:195] = 0, 0, 0
    found = estimate(reader_of(write_raster(tmp_path / 'a.tif', first, nodata=0),
                               write_raster(tmp_path / 'b.tif', second, nodata=0)))
    assert found.sure and np.abs(np.subtract((found.columns, found.rows), (6, 0))).max() < 0.1


def test_windows_lie_where_both_dates_have_data_and_texture(tmp_path):
    first, second = texture(1200, 1500), texture(1200, 1500)
    first[:, :400] = 0            # no data
    second[:, :, 1000:] = 120     # flat
    reader = reader_of(write_raster(tmp_path / 'a.tif', first, nodata=0),
                       write_raster(tmp_path / 'b.tif', second))
    boxes = textured_windows(reader, *reader.reduced())
    assert boxes and len(boxes) <= 9 and len(set(boxes)) == len(boxes)
    for left, top, right, bottom in boxes:
        assert (right - left, bottom - top) == (512, 512) and left >= 0 and right <= 1500
        assert bottom <= 1200 and top >= 400 - 0.2 * 512 - 2, 'a fifth may lack data'
        assert left < 1000, 'no window of flat ground alone'


def test_flat_empty_and_tiny_images_tell_nothing(tmp_path):
    flat, tiny = np.full((3, 200, 200), 90, np.uint8), texture(40, 300)
    for name, bands in (('flat', flat), ('tiny', tiny)):
        paths = [write_raster(tmp_path / f'{name}{date}.tif', bands) for date in 'ab']
        assert estimate(reader_of(*paths)) is None
    mostly = texture(200, 200)
    mostly[:, 20:] = 0
    paths = [write_raster(tmp_path / f'm{date}.tif', mostly, nodata=0) for date in 'ab']
    assert estimate(reader_of(*paths)) is None


def test_a_damaged_window_is_passed_over(tmp_path, monkeypatch):
    reader = reader_of(write_raster(tmp_path / 'a.tif', texture(400, 400)),
                       write_raster(tmp_path / 'b.tif', texture(400, 400, moved=(2, 1))))
    reduced, read = reader.reduced(), reader.read_each

    def damaged(box, shape=None):
        if box[1] < 100:
            raise OSError('damaged there')
        return read(box, shape)

    monkeypatch.setattr(reader, 'read_each', damaged)
    found = estimate_shift(reader, *reduced)
    assert 0 < found.windows < 9 and found.sure
    assert np.abs(np.subtract((found.columns, found.rows), (2, 1))).max() < 0.1


def test_agreement_decides_whether_a_shift_is_sure():
    assert Shift(1, 2, 9, 6).sure and not Shift(1, 2, 9, 5).sure and not Shift(1, 2, 1, 1).sure
    assert Shift(3, -4, 9, 9).length == 5
