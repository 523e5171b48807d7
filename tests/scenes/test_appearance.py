from copy import copy

import numpy as np
import pytest
from scene_files import rgb, texture, write_raster

from rscc.scenes import appearance
from rscc.scenes.appearance import (
    check_bands,
    check_depth,
    compare_light,
    hint_clouds,
    hint_haze,
)
from rscc.scenes.contracts import ModelFacts
from rscc.scenes.reading import PairReader
from rscc.scenes.sources import Reading, open_date
from rscc.synth.generator import plan_pair
from rscc.synth.rendering import draw_appearance, render

rasterio = pytest.importorskip('rasterio')
BANDS = texture(100, 120)
RGB = rgb(BANDS)
WHOLE = np.ones((100, 120), bool)


PLAIN, UNKNOWN = Reading(), ModelFacts()


def checked(tmp_path, function, first, second, reading=PLAIN, facts=UNKNOWN, colormap=None):
    paths = [write_raster(tmp_path / 'a.tif', first, colormap=colormap),
             write_raster(tmp_path / 'b.tif', second)]
    reader = PairReader([open_date(path, reading) for path in paths])
    return function(reader, *reader.reduced_each(), facts)


# ---- depth -------------------------------------------------------------------------------------


def test_deep_values_are_shown_with_their_scale(tmp_path):
    deep = BANDS.astype(np.uint16) * 10
    found = checked(tmp_path, check_depth, deep, deep, Reading(None, (0.0, 2550.0)))
    assert found.status == 'ok' and found.text == 'uint16, of which 0 to 2550 become 0 to 255'
    assert found.value['dtypes'] == ['uint16'] * 2 and found.value['scales'] == [[0, 2550]] * 2
    own = checked(tmp_path, check_depth, deep, deep + 500, Reading(None, 'percentile'))
    assert own.status == 'ok' and own.text.count('/') == 8, 'two ranges of three bands each'


def test_types_that_differ_warn(tmp_path):
    found = checked(tmp_path, check_depth, BANDS, BANDS.astype(np.uint16) * 10,
                    Reading(None, 'percentile'))
    assert found.status == 'warn' and 'uint8 and uint16' in found.text
    assert '--scale percentile' in found.text


@pytest.mark.parametrize('scale', [(0.0, 255.0), (0.0, 60000.0), (5000.0, 6000.0)])
def test_a_scale_that_does_not_fit_is_told_by_black_and_white(tmp_path, scale):
    deep = BANDS.astype(np.uint16) * 20
    found = checked(tmp_path, check_depth, deep, deep, Reading(None, scale))
    expected = 'ok' if scale[1] == 60000 else 'warn'
    assert found.status == expected and (expected == 'ok' or 'black or white' in found.text)


def test_another_scale_than_in_training_warns(tmp_path):
    deep = BANDS.astype(np.uint16) * 10
    for trained, status in (((0, 2550), 'ok'), ((0, 3000), 'warn'), (None, 'ok')):
        found = checked(tmp_path, check_depth, deep, deep, Reading(None, (0.0, 2550.0)),
                        ModelFacts(scale=trained))
        assert found.status == status
        assert ('trained with --scale 0 3000' in found.text) == (status == 'warn')


# ---- bands -------------------------------------------------------------------------------------


def test_equal_bands_are_ok(tmp_path):
    found = checked(tmp_path, check_bands, BANDS, BANDS)
    assert (found.status, found.value, found.text) == ('ok', [3, 3], '3 bands')
    grey = checked(tmp_path, check_bands, BANDS[:1], BANDS[:1])
    assert (grey.status, grey.text) == ('ok', '1 band')


def test_grey_beside_colours_is_refused(tmp_path):
    for dates in ((BANDS, BANDS[:1]), (BANDS[:1], BANDS)):
        found = checked(tmp_path, check_bands, *dates)
        assert found.status == 'refuse' and 'one date is grey' in found.text


def test_a_palette_with_colours_is_not_grey(tmp_path):
    colours = {number: (number, 255 - number, 90) for number in range(256)}
    found = checked(tmp_path, check_bands, BANDS[:1], BANDS, colormap=colours)
    assert found.status == 'warn' and found.value == [1, 3]


def test_more_bands_at_one_date_and_other_bands_than_in_training_warn(tmp_path):
    four = np.concatenate([BANDS, BANDS[:1], BANDS[:1]]).astype(np.uint16)
    reading = Reading((3, 2, 1), (0, 255))
    found = checked(tmp_path, check_bands, four, four[:3], reading)
    assert found.status == 'warn' and 'same number show the same light' in found.text
    other = checked(tmp_path, check_bands, four, four, reading, ModelFacts(bands=(1, 2, 3)))
    assert other.status == 'warn' and 'trained with --bands 1 2 3' in other.text
    same = checked(tmp_path, check_bands, four, four, reading, ModelFacts(bands=(3, 2, 1)))
    assert same.status == 'ok' and '3 2 1 are shown as red, green and blue' in same.text


# ---- light -------------------------------------------------------------------------------------


def test_brightness_and_contrast_are_measured_and_judged():
    darker = (RGB * 0.5 + 10).astype(np.uint8)
    found = compare_light([RGB, darker], WHOLE)
    assert found.status == 'ok' and '-56/-51/-53 grey levels' in found.text
    assert np.divide(*found.value['spreads'][::-1]) == pytest.approx([0.5] * 3, abs=0.02)
    assert found.value['medians'][1][0] == pytest.approx(found.value['medians'][0][0] / 2 + 10,
                                                         abs=1)
    black = compare_light([RGB, (RGB * 0.3).astype(np.uint8)], WHOLE)
    assert black.status == 'warn' and '--match-histogram' in black.text


def test_what_has_no_data_and_a_few_clouds_do_not_decide():
    other, valid = RGB.copy(), WHOLE.copy()
    other[:20], valid[:20] = 0, False
    other[40:44] = 255
    plain = compare_light([RGB, RGB], valid).value['medians']
    shown = compare_light([RGB, other], valid).value
    assert np.abs(np.subtract(plain[0], shown['medians'][1])).max() < 5
    assert np.abs(np.subtract(*shown['spreads'])).max() < 7


# ---- clouds and haze ---------------------------------------------------------------------------


def rendered(index, haze=0.0):
    """Return a rendered pair of one appearance, with haze at the later date."""
    planned, look = plan_pair(31, 'val', index), draw_appearance(np.random.default_rng(index))
    look.haze = 0.0
    hazy = copy(look)
    hazy.haze, hazy.seed = haze, look.seed + 1
    return [render(planned.scene, date, appearance_)
            for date, appearance_ in (('from', look), ('to', hazy))]


def clouded(image):
    """Return an image with a soft white patch over a seventh of it."""
    rows, columns = np.mgrid[:len(image), :image.shape[1]]
    distance = np.hypot(rows - 90, columns - 120)
    veil = np.clip(2 - distance / 38, 0, 1)[..., None]
    return (image * (1 - veil) + 235 * veil).astype(np.uint8)


@pytest.mark.parametrize('index', range(4))
def test_clouds_at_one_date_are_hinted_at(index):
    images = rendered(index)
    valid = np.ones(images[0].shape[:2], bool)
    assert hint_clouds(images, valid).status == 'ok'
    later = hint_clouds([images[0], clouded(images[1])], valid)
    assert later.status == 'warn' and 'a hint only' in later.text and 'later date' in later.text
    assert later.value[1] > 0.04 > later.value[0]
    earlier = hint_clouds([clouded(images[0]), images[1]], valid)
    assert earlier.status == 'warn' and 'of the earlier date' in earlier.text


def test_white_ground_at_both_dates_is_no_cloud():
    images = [clouded(image) for image in rendered(0)]
    assert hint_clouds(images, np.ones(images[0].shape[:2], bool)).status == 'ok'


def test_clouds_where_there_is_no_data_do_not_count():
    images = rendered(0)
    images[1] = clouded(images[1])
    valid = np.ones(images[0].shape[:2], bool)
    valid[10:180, 30:210] = False
    assert hint_clouds(images, valid).status == 'ok'


@pytest.mark.parametrize('index', range(4))
def test_haze_at_one_date_is_hinted_at(index):
    whole = np.ones((256, 256), bool)
    assert hint_haze(rendered(index), whole).status == 'ok'
    later = hint_haze(rendered(index, 0.45), whole)
    assert later.status == 'warn' and 'a hint only' in later.text and 'the later date' in later.text
    earlier = hint_haze(rendered(index, 0.45)[::-1], whole)
    assert earlier.status == 'warn' and 'the earlier date' in earlier.text


def test_a_brighter_day_with_more_contrast_is_no_haze():
    bright = np.clip(RGB * 1.3 + 5, 0, 255).astype(np.uint8)
    assert hint_haze([(RGB * 0.7).astype(np.uint8), bright], WHOLE).status == 'ok'


def test_limits_are_those_that_rendered_pairs_rarely_exceed():
    """Season, sun, light and haze differ; of ten such pairs about one warns of light."""
    rng, warned = np.random.default_rng(8), {'light': 0, 'clouds': 0}
    for index in range(60):
        planned = plan_pair(41, 'train', index)
        images = [render(planned.scene, date, draw_appearance(rng)) for date in ('from', 'to')]
        whole = np.ones(images[0].shape[:2], bool)
        warned['light'] += compare_light(images, whole).status == 'warn'
        warned['clouds'] += hint_clouds(images, whole).status == 'warn'
    assert warned['light'] <= 12 and warned['clouds'] <= 4


def test_clipping_looks_at_data_only():
    frame = np.full((4, 4, 3), 100, np.uint8)
    frame[0] = 0
    mask = np.ones((4, 4), bool)
    assert appearance.clipped_share(frame, mask) == 0.25
    mask[0] = False
    assert appearance.clipped_share(frame, mask) == 0
    assert appearance.clipped_share(frame, ~mask) == 1
    assert appearance.clipped_share(frame, mask & ~mask) == 0
