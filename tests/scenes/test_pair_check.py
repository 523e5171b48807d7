import json
import re

import numpy as np
import pytest
from scene_files import place, texture, write_plain, write_raster

from rscc.scenes.contracts import ModelFacts
from rscc.scenes.pair_check import PairCheck, check_pair, refused
from rscc.scenes.reading import PairReader
from rscc.scenes.sources import Reading, open_date
from rscc.utils.watching import watched

pytest.importorskip('skimage')
rasterio = pytest.importorskip('rasterio')
PLAIN = Reading()
BANDS = texture(200, 260)
NAMES = ['crs', 'pixel_size', 'overlap', 'nodata', 'bands', 'depth', 'shift', 'light', 'clouds',
         'haze']


@pytest.fixture
def check(tmp_path):
    """Return a function: the bands of both dates -> the check of the pair."""

    def run(first, second, facts=None, reading=PLAIN, transform=None, reader=None, **options):
        paths = [write_raster(tmp_path / 'a.tif', first, **options),
                 write_raster(tmp_path / 'b.tif', second, transform, **options)]
        return check_pair(PairReader([open_date(path, reading) for path in paths],
                                     **reader or {}), facts)

    return run


def finding(result, name):
    return next(found for found in result.findings if found.name == name)


def test_a_pair_that_fits_is_ok_and_says_so_line_by_line(check):
    result = check(BANDS, BANDS, ModelFacts(ground_resolution=1.0))
    assert result.verdict == 'ok' and result.shift == (0, 0) and result.reasons == []
    assert [found.name for found in result.findings] == NAMES
    lines = str(result).splitlines()
    assert len(lines) == len(NAMES) + 1 and lines[-1].split() == ['verdict', 'ok']
    assert {line.index('ok') for line in lines} == {12}


def test_it_can_be_ended_between_its_steps(check):
    class Ended(Exception):
        pass

    def count(most):
        def watcher():
            steps.append(1)
            if len(steps) == most:
                raise Ended
        steps = []
        return steps, watcher

    steps, watcher = count(None)
    with watched(watcher):
        check(BANDS, BANDS)
    assert len(steps) > 20  # dates, windows of the shift, light, clouds, haze
    for most in range(1, len(steps) + 1):
        seen, watcher = count(most)
        with pytest.raises(Ended), watched(watcher):
            check(BANDS, BANDS)
        assert len(seen) == most


def test_the_result_is_json_and_complete(check):
    result = check(BANDS, np.roll(BANDS, 4, 2))
    data = json.loads(json.dumps(result.to_dict()))
    assert data['verdict'] == 'warn' and data['shift'] == pytest.approx([4, 0], abs=0.1)
    assert [found['name'] for found in data['findings']] == NAMES
    assert all(set(found) == {'name', 'status', 'value', 'text', 'texts'}
               for found in data['findings'])
    assert PairCheck.from_dict(data) == result


def test_checks_stored_without_other_languages_are_read():
    stored = dict(verdict='ok', shift=None, findings=[
        dict(name='crs', status='ok', value=None, text='EPSG:32633')])
    assert PairCheck.from_dict(stored).findings[0].texts == {}


@pytest.mark.parametrize('second', [
    BANDS, texture(200, 260, moved=(2.5, -3)), texture(200, 260, moved=(0.6, 0)),
    texture(200, 260, seed=4), np.full_like(BANDS, 90), (BANDS // 4 + 150).astype(np.uint8),
    np.where(np.arange(260) < 170, 0, BANDS).astype(np.uint8), np.zeros_like(BANDS),
    BANDS.astype(np.uint16) * 3],
    ids=['same', 'moved', 'moved a little', 'elsewhere', 'flat', 'hazy', 'half', 'empty', 'deep'])
@pytest.mark.parametrize('exchanged', [False, True])
def test_english_and_chinese_say_the_same(check, second, exchanged):
    pair = (second, BANDS) if exchanged else (BANDS, second)
    reading = Reading(None, 'percentile') if second.dtype == np.uint16 else PLAIN
    findings = check(*pair, ModelFacts(ground_resolution=0.5), reading, nodata=0).findings
    for found in findings:
        texts = [re.sub(r'[a-z]\.tif|windows', '', text) for text in found.texts.values()]
        numbers, flags, warped = ([sorted(re.findall(pattern, text)) for text in texts]
                                  for pattern in (r'\d+(?:\.\d+)?', '--[a-z-]+', 'rio warp.*'))
        assert numbers[0] == numbers[1], found
        assert flags[0] == flags[1], found
        assert warped[0] == warped[1], found
        assert found.text == found.texts['en']
    assert len({found.name for found in findings if found.texts['zh'] != found.text}) >= 2


def test_a_shift_warns_beyond_what_models_are_trained_with(check):
    for moved, status in ((0, 'ok'), (1, 'ok'), (2, 'warn')):
        result = check(BANDS, texture(200, 260, moved=(moved, 0)))
        assert finding(result, 'shift').status == result.verdict == status
        assert result.shift == pytest.approx((moved, 0), abs=0.1)
    text = finding(result, 'shift').text
    assert '2.0' in text and 'pixels right' in text and '9 of 9' in text and '--align' in text


def test_an_unsure_shift_is_no_shift(check):
    result = check(BANDS, texture(200, 260, seed=4))
    assert result.shift is None and result.verdict == 'warn'
    assert 'unsure' in finding(result, 'shift').text and 'same place' in finding(
        result, 'shift').text


def test_flat_ground_tells_no_shift(check):
    result = check(np.full((3, 90, 90), 80, np.uint8), np.full((3, 90, 90), 90, np.uint8))
    assert result.shift is None and 'nowhere is there enough texture' in finding(
        result, 'shift').text


def test_aligned_pairs_have_no_shift_left(check):
    moved = texture(200, 260, moved=(3.4, -2.2))
    shift = check(BANDS, moved).shift
    result = check(BANDS, moved, reader=dict(offset=shift))
    assert result.shift == (0, 0) and finding(result, 'shift').status == 'ok'


def test_little_overlap_is_worth_a_look(check):
    for column, status in ((100, 'ok'), (180, 'warn')):
        found = finding(check(BANDS, BANDS, transform=place(1, column)), 'overlap')
        assert found.status == status
        assert found.value == pytest.approx((260 - column) / 260, abs=1e-4)


def test_missing_data_warns_from_half_of_the_scene_on(check):
    for rows, status in ((90, 'ok'), (130, 'warn')):
        second = BANDS.copy()
        second[:, :rows] = 0
        found = finding(check(BANDS, second, nodata=0), 'nodata')
        assert found.status == status
        assert found.value == pytest.approx([0, rows / 200, rows / 200], abs=0.01)


def test_nothing_in_common_is_refused_and_nothing_else_is_looked_at(check):
    first, second = BANDS.copy(), BANDS.copy()
    first[:, :100], second[:, 100:] = 0, 0
    result = check(first, second, nodata=0)
    assert result.verdict == 'refuse' and result.shift is None
    assert '50 % of the later one' in finding(result, 'nodata').text
    assert '100 % in all: look at' in finding(result, 'nodata').text
    empty = check(BANDS, np.zeros_like(BANDS), nodata=0)
    assert empty.verdict == 'refuse' and '100 % of the later one' in finding(empty, 'nodata').text


def test_an_area_of_interest_limits_the_check(tmp_path):
    geopandas = pytest.importorskip('geopandas')
    from shapely.geometry import box

    from rscc.scenes.reading import Area
    second = BANDS.copy()
    second[:, :, 130:] = 0  # outside the area
    paths = [write_raster(tmp_path / 'a.tif', BANDS, nodata=0),
             write_raster(tmp_path / 'b.tif', second, nodata=0)]
    geopandas.GeoDataFrame(geometry=[box(500000, 3999800, 500130, 4000000)],
                           crs='EPSG:32633').to_file(tmp_path / 'area.gpkg')
    dates = [open_date(path, PLAIN) for path in paths]
    result = check_pair(PairReader(dates, area=Area(tmp_path / 'area.gpkg', dates[0].grid)))
    assert finding(result, 'nodata').value == pytest.approx([0.5, 0.5, 0.5])


def test_one_date_alone_gets_the_checks_that_apply(tmp_path):
    path = write_raster(tmp_path / 'a.tif', BANDS)
    result = check_pair(PairReader([open_date(path, PLAIN)]), ModelFacts(ground_resolution=0.5))
    assert [found.name for found in result.findings] == ['crs', 'pixel_size', 'nodata', 'bands',
                                                         'depth']
    assert result.verdict == 'warn' and result.shift is None
    assert '2 times smaller' in finding(result, 'pixel_size').text


def test_images_without_a_place_are_checked_too(tmp_path):
    paths = [write_plain(tmp_path / f'{name}.tif', BANDS) for name in 'ab']
    result = check_pair(PairReader([open_date(path, PLAIN) for path in paths]),
                        ModelFacts(ground_resolution=0.5))
    assert result.verdict == 'ok' and 'no place on the map' in finding(result, 'crs').text
    assert finding(result, 'pixel_size').text == (
        'unknown; the weights were trained on pixels of 0.5 m')


def test_dates_that_share_no_grid_are_a_refusal_like_others():
    result = refused('they do not overlap')
    assert result.verdict == 'refuse' and result.reasons == ['they do not overlap']
    assert result.findings[0].texts['zh'].endswith('（英文）：they do not overlap')
    assert json.loads(json.dumps(result.to_dict()))['findings'][0]['name'] == 'grids'
