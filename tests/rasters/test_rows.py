import warnings

import numpy as np
import pytest
from PIL import Image

from rscc.rasters import rows
from rscc.rasters.rows import Reading, open_raster, write_map

RNG = np.random.default_rng(0)


@pytest.fixture
def tiff(tmp_path):
    rasterio = pytest.importorskip('rasterio')

    def write(bands, name='a.tif', **options):
        with warnings.catch_warnings(), rasterio.open(
                tmp_path / name, 'w', driver='GTiff', height=bands.shape[1], width=bands.shape[2],
                count=len(bands), dtype=bands.dtype, **options) as file:
            file.write(bands)
        return tmp_path / name

    warnings.simplefilter('ignore')
    return write


def test_bands_of_rows_are_those_of_the_whole_and_none_is_read_twice(tiff, monkeypatch):
    bands = RNG.integers(0, 256, (3, 90, 40), dtype=np.uint8)
    image = open_raster(tiff(bands))
    read, rows = image._read, []
    monkeypatch.setattr(image, '_read', lambda first, end: (
        rows.extend(range(first, end)), read(first, end))[1])
    for first, end in ((0, 32), (20, 52), (20, 52), (25, 40), (60, 80), (70, 90)):
        assert np.array_equal(image.rows(first, end), np.moveaxis(bands, 0, -1)[first:end])
    assert len(rows) == len(set(rows)) + len(range(40, 40))
    image.close()


def test_a_tiff_scene_keeps_its_place_and_a_region_gets_its_own(tiff):
    from rasterio.transform import Affine
    path = tiff(np.zeros((1, 20, 30), np.uint8), crs='EPSG:2193',
                transform=Affine(0.5, 0, 1000, 0, -0.5, 2000))
    whole, part = open_raster(path), open_raster(path, window=(10, 4, 6, 8))
    assert whole.transform == (0.5, 0, 1000, 0, -0.5, 2000) and '2193' in whole.crs
    assert part.transform == (0.5, 0, 1005, 0, -0.5, 1998) and part.crs == whole.crs
    assert (part.width, part.height) == (6, 8) and part.rows(0, 8).shape == (8, 6)


def test_a_picture_has_no_place(tmp_path, tiff):
    Image.fromarray(RNG.integers(0, 256, (8, 9, 3), dtype=np.uint8)).save(tmp_path / 'a.png')
    for path in (tmp_path / 'a.png', tiff(np.zeros((1, 8, 9), np.uint8))):
        assert open_raster(path).transform is None and open_raster(path).crs is None


def test_deep_bands_need_a_mapping_and_take_one(tiff):
    bands = RNG.integers(0, 4000, (4, 20, 10)).astype(np.uint16)
    with pytest.raises(ValueError, match=r'4 bands of uint16.*bands=\(3, 2, 1\)'):
        open_raster(tiff(bands)).rows(0, 5)
    image = open_raster(tiff(bands), Reading(bands=(3, 2, 1), scale=(0, 4000)))
    expected = np.moveaxis(bands[[2, 1, 0]], 0, -1)[3:9] / 4000 * 255
    assert np.abs(image.rows(3, 9) - expected).max() <= 0.51


def test_a_palette_tiff_shows_its_colours_as_frame_and_its_numbers_as_label(tmp_path):
    pytest.importorskip('rasterio')
    numbers = RNG.integers(0, 4, (12, 10), dtype=np.uint8)
    picture = Image.fromarray(numbers, mode='P')
    picture.putpalette([0, 0, 0, 9, 99, 200, 1, 2, 3, 40, 50, 60])
    picture.save(tmp_path / 'p.tif')
    colours = open_raster(tmp_path / 'p.tif').rows(0, 12)
    assert np.array_equal(colours, np.asarray(picture.convert('RGB')))
    assert np.array_equal(open_raster(tmp_path / 'p.tif', Reading(label=True)).rows(0, 12), numbers)


def test_a_large_png_is_read_in_parts(tmp_path, monkeypatch):
    pytest.importorskip('rasterio')
    pixels = RNG.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
    image = open_raster(tmp_path / 'a.png')
    assert isinstance(image, rows.WindowedRaster)
    assert np.array_equal(image.rows(10, 30), pixels[10:30])
    assert not list(tmp_path.glob('*.xml'))


@pytest.mark.parametrize('ending', ['png', 'tif'])
def test_what_is_no_image_is_named(tmp_path, ending):
    if ending == 'tif':
        pytest.importorskip('rasterio')
    (tmp_path / f'a.{ending}').write_text('hello')
    with pytest.raises(ValueError, match=rf"a\.{ending}' cannot be decoded"):
        open_raster(tmp_path / f'a.{ending}')
    with pytest.raises(FileNotFoundError, match='no such image'):
        open_raster(tmp_path / f'b.{ending}')


def test_a_damaged_tiff_names_file_and_rows(tiff):
    path = tiff(RNG.integers(0, 256, (3, 600, 100), dtype=np.uint8), blockysize=20)
    path.write_bytes(path.read_bytes()[:90_000])
    image = open_raster(path)
    with pytest.raises(ValueError, match=r"a\.tif' cannot be decoded: rows 550 to 599"):
        image.rows(550, 600)


def test_a_region_beyond_the_image_is_refused(tmp_path):
    Image.new('L', (10, 10)).save(tmp_path / 'a.png')
    with pytest.raises(ValueError, match=r'10 x 10 pixels and does not hold the region of 5 x 5 at '
                       'column 6, row 0'):
        open_raster(tmp_path / 'a.png', window=(6, 0, 5, 5))


WRITTEN = np.random.default_rng(0)


@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
@pytest.mark.parametrize('ending', ['png', 'tif'])
def test_rows_written_in_parts_are_read_back(tmp_path, dtype, ending):
    if ending == 'tif':
        pytest.importorskip('rasterio')
    values = WRITTEN.integers(0, np.iinfo(dtype).max, (150, 37), dtype=dtype, endpoint=True)
    path = tmp_path / f'a.{ending}'
    with write_map(path, 150, 37, dtype) as write:
        for first, end in ((0, 1), (1, 70), (70, 150)):
            write(values[first:end])
        assert not path.exists()
    assert np.array_equal(np.asarray(Image.open(path)), values)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize('ending', ['png', 'tif'])
def test_a_map_that_is_not_finished_does_not_appear(tmp_path, ending):
    if ending == 'tif':
        pytest.importorskip('rasterio')
    with pytest.raises(ValueError, match=r"a\.\w+' got 2 of 5 rows"), \
            write_map(tmp_path / f'a.{ending}', 5, 4) as write:
        write(np.zeros((2, 4), np.uint8))
    with pytest.raises(RuntimeError, match='stopped'), \
            write_map(tmp_path / f'a.{ending}', 5, 4) as write:
        write(np.zeros((2, 4), np.uint8))
        raise RuntimeError('stopped')
    assert list(tmp_path.iterdir()) == []


def test_a_geotiff_keeps_its_place(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    place = (0.5, 0, 1000, 0, -0.5, 2000)
    with write_map(tmp_path / 'a.tif', 8, 8, crs='EPSG:2193', transform=place) as write:
        write(np.full((8, 8), 7, np.uint8))
    with rasterio.open(tmp_path / 'a.tif') as file:
        assert file.crs.to_epsg() == 2193 and tuple(file.transform)[:6] == place
        assert (file.read(1) == 7).all()


def test_an_alpha_channel_is_dropped_from_rows_too(tmp_path):
    pytest.importorskip('rasterio')
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 4), np.uint8)
    pixels[..., 3] = 120
    pixels[7, 3, 3] = 0
    for ending in ('png', 'tif'):
        Image.fromarray(pixels).save(tmp_path / f'a.{ending}')
        raster = open_raster(tmp_path / f'a.{ending}')
        raster.check()
        assert np.array_equal(raster.rows(0, 40), pixels[..., :3])
        assert raster.without_data == 1
