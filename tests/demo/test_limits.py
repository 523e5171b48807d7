import re

import cv2
import numpy as np
import pytest
from hostile_files import looping_tiff, png, tiff, webp
from PIL import Image

from rscc.demo.limits import ENDINGS, Limits, check_image, check_size, clean_name, name_sent
from rscc.demo.words import Problem
from rscc.rasters.headers import FORMATS

LIMITS = Limits(megabytes=1, megapixels=4, side=5000)


def written(tmp_path, data, name='arriving'):
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.fixture
def undecoded(monkeypatch):
    """Fail where anything is decoded."""
    def decode(*args, **kwargs):
        raise AssertionError('decoded before it was checked')
    monkeypatch.setattr(cv2, 'imdecode', decode)
    monkeypatch.setattr(Image.Image, 'load', decode)


@pytest.mark.parametrize('ending', ['.png', '.jpg', '.bmp', '.webp', '.tif', '.gif'])
def test_ordinary_pictures_pass(tmp_path, ending):
    path = tmp_path / f'picture{ending}'
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(path)
    header = check_image(path, path.name, LIMITS)
    assert (header.width, header.height) == (30, 20)
    assert ending in ENDINGS[header.kind]


def test_every_known_kind_has_an_ending():
    assert set(ENDINGS) == set(FORMATS)


@pytest.mark.parametrize(('data', 'expected'), [
    (png(100_000, 100_000), 'side_too_long'),
    (png(100_000, 1), 'side_too_long'),
    (png(2**31 - 1, 2**31 - 1), 'side_too_long'),
    (png(4000, 4000, rows=4000), 'too_many_pixels'),
    (png(0, 10), 'no_pixels'),
    (webp(16_383, 16_383), 'side_too_long'),
    (webp(4096, 4096), 'too_many_pixels'),
    (tiff((100_000, 100_000)), 'side_too_long'),
    (tiff((64, 64, 60_000)), 'too_much_memory'),
    (tiff((1000, 1000), bands=60_000), 'too_much_memory'),
    (tiff((64, 64), (90_000, 90_000)), 'side_too_long'),
    (tiff((64, 64), (64, 64, 65_000)), 'too_much_memory'),
    (tiff(*[(64, 64)] * 80), 'no_image'),
    (tiff((64, 64))[:30], 'no_image'),
    (b'', 'file_empty'),
    (b'%PDF-1.4 not an image', 'no_image'),
    (b'%!PS\n(quit) run', 'no_image'),
    (b'<VRTDataset rasterXSize="9" rasterYSize="9"/>', 'no_image'),
    (b'<svg xmlns="http://www.w3.org/2000/svg"><script>x</script></svg>', 'no_image'),
    (b'PK\x03\x04' + bytes(100), 'no_image'),
], ids=['bomb', 'strip', 'longest', 'large', 'empty size', 'webp bomb', 'large webp', 'tiff bomb',
        'huge tile', 'many bands', 'second image', 'huge tile of the second', 'many images', 'cut',
        'empty', 'pdf', 'postscript', 'vrt', 'svg', 'zip'])
def test_hostile_files_are_refused_before_anything_is_decoded(tmp_path, undecoded, data, expected):
    path = written(tmp_path, data)
    with pytest.raises(Problem) as found:
        check_image(path, 'mine.png', LIMITS)
    assert found.value.name == expected
    for language in ('en', 'zh'):
        told = found.value.told(language)
        assert 'mine.png' in told
        assert str(tmp_path) not in told
        assert '{' not in told


def test_a_tiff_that_goes_in_circles_is_read_once(tmp_path):
    assert check_image(written(tmp_path, looping_tiff()), 'loop.tif', LIMITS).width == 8


def test_a_tiled_geotiff_with_overviews_passes(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    from scene_files import write_raster
    path = write_raster(tmp_path / 'tiled.tif', np.zeros((3, 600, 700), np.uint8), tiled=True,
                        blockxsize=256, blockysize=256, compress='deflate')
    with rasterio.open(path, 'r+') as file:
        file.build_overviews([2, 4])
    assert check_image(path, 'tiled.tif', LIMITS).width == 700


def test_a_renamed_file_is_taken_for_what_it_is(tmp_path):
    path = tmp_path / 'really.jpg'
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    header = check_image(written(tmp_path, path.read_bytes()), 'said.tif', LIMITS)
    assert clean_name('said.tif', header.kind) == 'said.tif.jpg'


def test_a_file_of_too_many_bytes_is_refused_by_its_length():
    check_size(1_000_000, 'a.png', LIMITS)
    with pytest.raises(Problem, match='2 MB; at most 1 MB'):
        check_size(2_000_000, 'a.png', LIMITS)


@pytest.mark.parametrize(('sent', 'kept'), [
    ('before.png', 'before.png'),
    ('../../etc/passwd', 'passwd.png'),
    ('..\\..\\windows\\system.ini', 'system.ini.png'),
    ('/etc/cron.d/x.png', 'x.png'),
    ('..', 'image.png'),
    ('', 'image.png'),
    ('.png', 'png.png'),
    ('a\x00b.png', 'a_b.png'),
    ('a\nb.png', 'a_b.png'),
    ('前时相 2020.PNG', '前时相 2020.PNG'),
    ('影像（1）、《二》.png', '影像（1）、《二》.png'),
    ('cafe\u0301.png', 'cafe\u0301.png'),
    ('\u202egnp.png', '_gnp.png'),
    ('<img src=x onerror=alert(1)>.png', '_img src_x onerror_alert(1)_.png'),
    ('$(rm -rf ~).png', '_(rm -rf _).png'),
    ('\ud800.png', '_.png'),
])
def test_names_become_names(sent, kept):
    assert clean_name(sent, 'PNG') == kept


@pytest.mark.parametrize(('sent', 'kind', 'told'), [
    ('后 <b>&时相.png', 'PNG', '后 <b>&时相.png'), ('a_jpeg.png', 'JPEG', 'a_jpeg.png'),
    ('a  b.png', 'PNG', 'a  b.png'), ('folder\\x.png', 'PNG', 'folder\\x.png'),
    ('x' * 300 + '.png', 'PNG', 'x' * 255), ('后时相（1）.png', 'PNG', None), ('', 'PNG', None)])
def test_a_name_that_was_changed_is_told(sent, kind, told):
    assert name_sent(sent, clean_name(sent, kind)) == told


def test_endless_names_are_cut():
    for sent in ('a' * 5000 + '.png', '楼' * 5000 + '.tif', 'x.' + 'y' * 5000):
        name = clean_name(sent, 'TIFF')
        assert len(name.encode()) <= 210
        assert re.fullmatch(r'[^/\\\x00]+\.tif', name)


@pytest.mark.parametrize('wrong', [0, -1, float('nan'), float('inf')])
def test_limits_are_numbers_above_zero(wrong):
    with pytest.raises(ValueError, match='expected a number above 0'):
        Limits(megapixels=wrong)


def test_the_page_states_its_limits():
    assert Limits().told() == dict(megabytes='200', megapixels='100', side='30000', minutes='30',
                                   hours='1', waiting='8')
