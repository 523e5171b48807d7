import numpy as np
import pytest
from scene_files import place, rgb, texture, write_plain, write_raster

from rscc.scenes.mosaics import driver_of, mosaic
from rscc.scenes.sources import Reading, open_date

rasterio = pytest.importorskip('rasterio')
BANDS = texture(60, 100)
RGB = rgb(BANDS)


def read(given, reading=None):
    date = open_date(given, reading or Reading())
    return date.read(date.grid.box)


def test_tiles_lie_where_their_place_says(tmp_path):
    for row in (0, 30):
        for column in (0, 50):
            write_raster(tmp_path / f'{row}_{column}.tif',
                         BANDS[:, row:row + 30, column:column + 50], place(1, column, row))
    pixels, valid = read(tmp_path)
    assert np.array_equal(pixels, RGB) and valid.all()
    date = open_date(tmp_path, Reading())
    assert date.grid.transform == tuple(place())[:6] and '32633' in date.grid.crs


def test_between_tiles_there_is_no_data(tmp_path):
    paths = [write_raster(tmp_path / 'a.tif', BANDS[:, :30, :50]),
             write_raster(tmp_path / 'b.tif', BANDS[:, 40:, 60:], place(1, 60, 40))]
    for given in (tmp_path, paths, paths[::-1]):
        pixels, valid = read(given)
        expected = np.zeros((60, 100), bool)
        expected[:30, :50] = expected[40:, 60:] = True
        assert np.array_equal(valid, expected) and np.array_equal(pixels[valid], RGB[valid])


def test_gaps_between_tiles_stay_gaps_on_another_grid(tmp_path):
    folder = tmp_path / 'tiles'
    folder.mkdir()
    write_raster(folder / 'a.tif', BANDS[:, :30, :50])
    write_raster(folder / 'b.tif', BANDS[:, 40:, 60:], place(1, 60, 40))
    grid = open_date(write_raster(tmp_path / 'c.tif', BANDS, place(1, 10)), Reading()).grid
    pixels, valid = open_date(folder, Reading()).warped(grid, 'nearest').read(grid.box)
    expected = np.zeros((60, 100), bool)
    expected[:30, :40] = expected[40:, 50:90] = True
    assert np.array_equal(valid, expected)
    assert np.array_equal(pixels[:, :90][expected[:, :90]], RGB[:, 10:][expected[:, :90]])


def test_the_later_name_is_on_top_where_tiles_overlap(tmp_path):
    write_raster(tmp_path / 'a.tif', np.full((3, 20, 30), 10, np.uint8))
    write_raster(tmp_path / 'b.tif', np.full((3, 20, 30), 20, np.uint8), place(1, 20))
    assert read(tmp_path)[0][0, [0, 19, 20, 49], 0].tolist() == [10, 10, 20, 20]


def test_pixels_without_data_cover_no_other_tile(tmp_path):
    upper = np.full((3, 20, 30), 20, np.uint8)
    upper[:, :10] = 0
    write_raster(tmp_path / 'a.tif', np.full((3, 20, 30), 10, np.uint8), nodata=0)
    write_raster(tmp_path / 'b.tif', upper, place(1, 20), nodata=0)
    pixels, valid = read(tmp_path)
    assert pixels[[5, 15], 25, 0].tolist() == [10, 20]
    assert valid[:10, :30].all() and not valid[:10, 30:].any() and valid[10:].all()


def test_tiles_with_alpha(tmp_path):
    alpha = np.full((1, 60, 100), 255, np.uint8)
    alpha[:, :10] = 0
    bands = np.concatenate([BANDS, alpha])
    for column in (0, 60):  # the second leaves a gap of ten columns
        write_raster(tmp_path / f'{column}.tif', bands[:, :, column:column + 50 - column // 6],
                     place(1, column), photometric='RGB', alpha='YES')
    pixels, valid = read(tmp_path)
    assert not valid[:10].any() and valid[10:, :50].all() and not valid[:, 50:60].any()
    assert np.array_equal(pixels[valid], RGB[valid])


@pytest.mark.parametrize('how', ['alpha', 'mask'])
def test_what_is_masked_covers_no_other_tile(tmp_path, how):
    import rasterio
    data = np.full((20, 30), 255, np.uint8)
    data[:, :15] = 0
    for name, value, column, seen in (('a', 10, 0, data * 0 + 255), ('b', 20, 10, data)):
        bands = np.full((3, 20, 30), value, np.uint8)
        path = tmp_path / f'{name}.tif'
        if how == 'alpha':
            write_raster(path, np.concatenate([bands, seen[None]]), place(1, column),
                         photometric='RGB', alpha='YES')
            continue
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            write_raster(path, bands, place(1, column))
            with rasterio.open(path, 'r+') as file:
                file.write_mask(seen)
    pixels, valid = read(tmp_path)
    assert pixels[0, [0, 9, 10, 24, 25, 39], 0].tolist() == [10, 10, 10, 10, 20, 20]
    assert valid.all()


def test_deep_tiles_share_one_scale(tmp_path):
    deep = BANDS.astype(np.uint16) * 30
    deep[:, :, 50:] += 2000
    for column in (0, 50):
        write_raster(tmp_path / f'{column}.tif', deep[:, :, column:column + 50], place(1, column))
    date = open_date(tmp_path, Reading(None, 'percentile'))
    lows = [low for low, _ in date.scale]
    assert np.allclose(lows, np.percentile(deep.reshape(3, -1), 2, axis=1))
    assert date.read((0, 0, 50, 60))[0].mean() < date.read((50, 0, 100, 60))[0].mean() - 50


COLOURS = {0: (255, 0, 0, 255), 1: (0, 255, 0, 255), 2: (0, 0, 255, 255), 3: (9, 99, 200, 255)}


def test_tiles_with_a_palette_show_its_colours(tmp_path):
    numbers = BANDS[:1] // 64
    for column in (0, 50):
        write_raster(tmp_path / f'{column}.tif', numbers[:, :, column:column + 50],
                     place(1, column), colormap=COLOURS)
    colours = np.array([COLOURS[number][:3] for number in range(4)], np.uint8)
    assert np.array_equal(read(tmp_path)[0], colours[numbers[0]])


@pytest.mark.parametrize(('change', 'message'), [
    (dict(crs='EPSG:32634'), 'differ in their coordinate system.*gdalwarp'),
    (dict(bands=BANDS[:1, :30, :50]), 'differ in their bands'),
    (dict(bands=BANDS[:, :30, :50].astype(np.uint16)), 'differ in their bands'),
    (dict(nodata=0), 'differ in their value without data'),
    (dict(transform=place(2, 50)), 'differ in their pixel size'),
    (dict(transform=place(1, 50.4)), r'lies between the pixels.*\+0\.40 columns.*one grid'),
], ids=['system', 'bands', 'type', 'nodata', 'pixel size', 'origin'])
def test_tiles_that_do_not_belong_together_are_refused_by_name(tmp_path, change, message):
    write_raster(tmp_path / 'a.tif', BANDS[:, :30, :50])
    change = dict(bands=BANDS[:, :30, 50:], transform=place(1, 50)) | change
    write_raster(tmp_path / 'b.tif', **change)
    with pytest.raises(ValueError, match=message) as error:
        mosaic(tmp_path)
    assert 'b.tif' in str(error.value)


def test_tiles_of_different_palettes_are_refused(tmp_path):
    write_raster(tmp_path / 'a.tif', BANDS[:1] // 64, colormap=COLOURS)
    write_raster(tmp_path / 'b.tif', BANDS[:1] // 64, place(1, 100),
                 colormap=COLOURS | {3: (1, 2, 3, 255)})
    with pytest.raises(ValueError, match=r'differ in their palette.*b\.tif'):
        mosaic(tmp_path)


def test_turned_tiles_are_refused(tmp_path):
    turned = place() * rasterio.Affine.rotation(10)
    for name in 'ab':
        write_raster(tmp_path / f'{name}.tif', BANDS, turned)
    with pytest.raises(ValueError, match='turned against its coordinate system'):
        mosaic(tmp_path)


def test_tiles_that_grow_upwards_keep_their_order(tmp_path):
    upwards = rasterio.Affine(1, 0, 500000, 0, 1, 4000000)
    for row in (0, 30):
        write_raster(tmp_path / f'{row}.tif', BANDS[:, row:row + 30],
                     upwards * rasterio.Affine.translation(0, row))
    assert np.array_equal(read(tmp_path)[0], RGB)


def test_tiles_without_a_place_are_refused(tmp_path):
    write_plain(tmp_path / 'a.tif', BANDS)
    with pytest.raises(ValueError, match=r"tile '.*a\.tif' has no place.*--pairs"):
        mosaic(tmp_path)


def test_an_empty_folder_or_list_says_what_was_expected(tmp_path):
    (tmp_path / 'a.txt').write_text('no raster')
    with pytest.raises(FileNotFoundError, match=r'no raster in the folder .*\.tif'):
        mosaic(tmp_path)
    with pytest.raises(ValueError, match='an empty list of tiles'):
        mosaic([])


@pytest.mark.parametrize('content', [b'these are words', b'%PDF-1.4', b'\x89PNG\r\n\x1a\n'])
def test_a_tile_that_is_no_raster_is_named_and_handed_to_no_other_reader(tmp_path, content):
    write_raster(tmp_path / 'a.tif', BANDS)
    (tmp_path / 'b.tif').write_bytes(content)
    with pytest.raises(ValueError, match=r"b\.tif' cannot be decoded: it begins with"):
        mosaic(tmp_path)


def test_a_missing_tile_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'b\.tif'):
        mosaic([write_raster(tmp_path / 'a.tif', BANDS), tmp_path / 'b.tif'])


def test_a_tile_that_vanishes_is_an_error_and_no_black_pixels(tmp_path):
    write_raster(tmp_path / 'a.tif', BANDS[:, :, :50])
    lost = write_raster(tmp_path / 'b.tif', BANDS[:, :, 50:], place(1, 50))
    date = open_date(tmp_path, Reading())
    lost.unlink()
    with pytest.raises(OSError, match=r'b\.tif'):
        date.read(date.grid.box)


def test_names_with_markup_and_blanks_are_read(tmp_path):
    write_raster(tmp_path / 'a & <b> "c".tif', BANDS)
    assert np.array_equal(read(tmp_path)[0], RGB)


def test_addresses_are_told_by_their_ending(tmp_path):
    assert driver_of('s3://bucket/a.tif') == 'GTiff' and driver_of('/vsicurl/x/b.vrt') == 'VRT'
    assert driver_of(str(write_raster(tmp_path / 'a.dat', BANDS))) == 'GTiff'


def test_a_virtual_raster_of_files_that_are_gone_is_refused(tmp_path):
    tile = write_raster(tmp_path / 'a.tif', np.full((3, 20, 30), 10, np.uint8))
    inner, outer = tmp_path / 'inner.vrt', tmp_path / 'outer.vrt'
    inner.write_text(mosaic([tile])[1])
    outer.write_text(mosaic([inner])[1])
    assert open_date(outer, Reading()).read((0, 0, 30, 20))[1].all()
    tile.unlink()
    for path in (inner, outer):
        with pytest.raises(FileNotFoundError, match=r"inner.vrt' reads '.*a.tif', which is not"):
            open_date(path, Reading())


def test_a_virtual_raster_that_reads_itself_is_refused(tmp_path):
    tile = write_raster(tmp_path / 'a.tif', np.full((3, 20, 30), 10, np.uint8))
    path = tmp_path / 'loop.vrt'
    path.write_text(mosaic([tile])[1].replace(str(tile), str(path)))
    with pytest.raises(ValueError, match='reads itself'):
        open_date(path, Reading())
