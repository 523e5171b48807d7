import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from scene_files import place, rgb, texture, write_plain, write_raster

from rscc.scenes.contracts import SceneGrid
from rscc.scenes.sources import Picture, RasterDate, Reading, open_date

rasterio = pytest.importorskip('rasterio')
BANDS = texture(90, 130)
RGB = rgb(BANDS)


def everything(date, shape=None):
    return date.read(date.grid.box, shape)


@pytest.mark.parametrize('options', [
    dict(driver='COG', compress='deflate', blocksize=128), dict(compress='lzw'),
    dict(tiled=True, blockxsize=64, blockysize=32), dict(interleave='band'), dict(blockysize=7),
], ids=['cog', 'striped', 'tiled', 'by band', 'odd strips'])
def test_any_layout_gives_the_same_pixels_in_any_rectangle(tmp_path, options):
    date = open_date(write_raster(tmp_path / 'a.tif', BANDS, **options), Reading())
    assert (date.grid.width, date.grid.height, date.count, date.dtype) == (130, 90, 3, 'uint8')
    assert date.grid.transform == tuple(place())[:6] and '32633' in date.grid.crs
    for left, top, right, bottom in (date.grid.box, (3, 5, 70, 66), (129, 89, 130, 90)):
        pixels, valid = date.read((left, top, right, bottom))
        assert np.array_equal(pixels, RGB[top:bottom, left:right]) and valid.all()
        assert pixels.dtype == np.uint8 and valid.dtype == bool


def test_a_reduced_image_is_the_mean_of_its_pixels(tmp_path):
    date = open_date(write_raster(tmp_path / 'a.tif', BANDS), Reading())
    pixels, valid = everything(date, (9, 13))
    means = RGB.reshape(9, 10, 13, 10, 3).mean((1, 3))
    assert np.abs(pixels - means).max() <= 1 and valid.all() and valid.shape == (9, 13)


def test_grey_is_shown_as_rgb(tmp_path):
    date = open_date(write_raster(tmp_path / 'a.tif', BANDS[:1]), Reading())
    assert date.count == 1 and np.array_equal(everything(date)[0], np.repeat(RGB[..., :1], 3, 2))


def test_a_pixel_lacks_data_where_all_bands_hold_the_nodata_value(tmp_path):
    bands = BANDS.copy()
    bands[:, 10:20, 30:50] = 0
    bands[0, 40:50, 30:50] = 0  # no red, and data nevertheless
    date = open_date(write_raster(tmp_path / 'a.tif', bands, nodata=0), Reading())
    expected = np.ones((90, 130), bool)
    expected[10:20, 30:50] = False
    assert np.array_equal(everything(date)[1], expected)
    reduced = everything(date, (9, 13))[1]
    assert not reduced[1, 3:5].any() and reduced.sum() == 9 * 13 - 2


def test_alpha_says_where_there_is_data_and_is_no_colour(tmp_path):
    alpha = np.full((1, 90, 130), 255, np.uint8)
    alpha[:, :, :40] = 0
    path = write_raster(tmp_path / 'a.tif', np.concatenate([BANDS, alpha]), photometric='RGB',
                        alpha='YES')
    date = open_date(path, Reading())
    pixels, valid = everything(date)
    assert date.count == 3 and np.array_equal(pixels[valid], RGB[:, 40:].reshape(-1, 3))
    assert np.array_equal(valid, alpha[0] > 0)


def test_a_band_called_alpha_that_is_shown_as_a_colour_hides_nothing(tmp_path):
    """GDAL calls the near infrared of a four-band file alpha unless told."""
    infrared = BANDS[:1].copy()
    infrared[:, :40] = 0  # water
    path = write_raster(tmp_path / 'a.tif', np.concatenate([BANDS, infrared]), photometric='RGB',
                        alpha='YES')
    pixels, valid = everything(open_date(path, Reading((4, 1, 2))))
    assert valid.all() and np.array_equal(pixels, np.stack([infrared[0], BANDS[0], BANDS[1]], 2))


def four_deep_bands():
    return (np.concatenate([BANDS, BANDS[:1]]).astype(np.uint16) * 40)


def test_deep_bands_are_shown_as_declared(tmp_path):
    path = write_raster(tmp_path / 'a.tif', four_deep_bands(), photometric='MINISBLACK')
    date = open_date(path, Reading((3, 2, 1), (2000.0, 8000.0)))
    expected = np.clip((RGB[..., ::-1].astype(float) * 40 - 2000) / 6000 * 255, 0, 255)
    assert np.abs(everything(date)[0] - expected).max() <= 0.51
    assert date.count == 4 and date.dtype == 'uint16' and date.scale == (2000.0, 8000.0)


def test_bands_or_scale_that_are_missing_are_asked_for_at_once(tmp_path):
    path = write_raster(tmp_path / 'a.tif', four_deep_bands(), photometric='MINISBLACK')
    with pytest.raises(ValueError, match=r'4 bands of uint16.*--bands 3 2 1 --scale 0 10000'):
        open_date(path, Reading())
    with pytest.raises(ValueError, match=r'has 3 bands of uint16.*--scale 0 10000'):
        open_date(path, Reading((3, 2, 1)))
    with pytest.raises(ValueError, match='asks for band 5'):
        open_date(path, Reading((5, 2, 1), (0, 1)))


def test_percentiles_are_those_of_the_whole_scene_in_every_rectangle(tmp_path):
    deep = four_deep_bands()[:3]
    deep[:, :20] = 0  # without data: enters no percentile
    date = open_date(write_raster(tmp_path / 'a.tif', deep, nodata=0), Reading(None, 'percentile'))
    low, high = zip(*date.scale, strict=True)
    seen = deep[:, 20:].reshape(3, -1)
    assert np.allclose(low, np.percentile(seen, 2, axis=1)) and np.allclose(
        high, np.percentile(seen, 98, axis=1))
    whole = everything(date)[0]
    assert np.array_equal(date.read((50, 30, 90, 60))[0], whole[30:60, 50:90])


def test_percentiles_of_nothing_are_refused(tmp_path):
    path = write_raster(tmp_path / 'a.tif', np.zeros((3, 8, 8), np.uint16), nodata=0)
    with pytest.raises(ValueError, match='holds no data: no pixel gives a percentile'):
        everything(open_date(path, Reading(None, 'percentile')))


def test_numbers_that_are_not_finite_are_no_data(tmp_path):
    values = BANDS.astype(np.float32)
    values[1, 4, 5], values[2, 7, 8] = np.nan, np.inf
    pixels, valid = everything(open_date(write_raster(tmp_path / 'a.tif', values),
                                         Reading(None, (0, 255))))
    assert not valid[4, 5] and not valid[7, 8] and valid.sum() == 90 * 130 - 2
    assert np.abs(pixels[valid].astype(int) - RGB[valid]).max() <= 1


PALETTE = {0: (255, 0, 0), 1: (0, 255, 0), 2: (0, 0, 255), 3: (9, 99, 200)}


def test_a_palette_shows_its_colours(tmp_path):
    numbers = BANDS[:1] // 64
    date = open_date(write_raster(tmp_path / 'a.tif', numbers, colormap=PALETTE), Reading())
    colours = np.array([PALETTE[number] for number in range(4)], np.uint8)
    assert np.array_equal(everything(date)[0], colours[numbers[0]])
    assert {tuple(colour) for colour in everything(date, (30, 40))[0].reshape(-1, 3).tolist()} <= (
        set(PALETTE.values()))


def test_a_palette_on_another_grid_keeps_its_colours(tmp_path):
    date = open_date(write_raster(tmp_path / 'a.tif', BANDS[:1] // 64, colormap=PALETTE), Reading())
    grid = open_date(write_raster(tmp_path / 'b.tif', BANDS, place(1, 0.2, 0.3)), Reading()).grid
    colours = np.array([PALETTE[number] for number in range(4)], np.uint8)
    pixels, valid = date.warped(grid, 'bilinear').read(grid.box)
    nearest = colours[BANDS[0] // 64]
    assert valid.all() and np.array_equal(pixels, nearest)
    reduced = date.warped(grid, 'bilinear').read(grid.box, (30, 40))[0]
    assert {tuple(colour) for colour in reduced.reshape(-1, 3).tolist()} <= set(PALETTE.values())


def test_a_warped_date_is_reduced_by_means_too(tmp_path):
    """GDAL takes every tenth pixel of a virtual raster with nodata, which is all aliasing."""
    noise = np.random.default_rng(0).integers(1, 256, (3, 300, 300), dtype=np.uint8)
    date = open_date(write_raster(tmp_path / 'a.tif', noise, nodata=0), Reading())
    pixels, valid = date.warped(date.grid, 'nearest').read(date.grid.box, (30, 30))
    means = rgb(noise).reshape(30, 10, 30, 10, 3).mean((1, 3))
    assert np.abs(pixels - means).max() <= 1 and valid.all()


def test_a_warped_date_remembers_its_own_grid(tmp_path):
    date = open_date(write_raster(tmp_path / 'a.tif', BANDS[:, :40, :60], place(2)), Reading())
    grid = open_date(write_raster(tmp_path / 'b.tif', BANDS), Reading()).grid
    warped = date.warped(grid, 'bilinear')
    assert warped.own_grid == date.grid and warped.grid == grid
    assert (warped.count, warped.dtype, warped.nodata) == (3, 'uint8', None)


def test_percentiles_of_a_warped_date_are_those_of_its_own_pixels(tmp_path):
    deep = four_deep_bands()[:3]
    date = open_date(write_raster(tmp_path / 'a.tif', deep, place(1, 40.5, 0)),
                     Reading(None, 'percentile'))
    grid = open_date(write_raster(tmp_path / 'b.tif', BANDS), Reading()).grid
    assert np.array_equal(date.warped(grid, 'bilinear').scale, date.scale)


@pytest.mark.parametrize('crs', ['EPSG:32633', None], ids=['with a system', 'without'])
def test_beyond_the_border_of_a_warped_date_there_is_no_data(tmp_path, crs):
    for name, nodata in (('n.tif', 0), ('a.tif', None)):
        date = open_date(write_raster(tmp_path / name, BANDS, place(1, 20, 10), crs, nodata=nodata),
                         Reading())
        grid = open_date(write_raster(tmp_path / 'b.tif', BANDS, crs=crs), Reading()).grid
        pixels, valid = date.warped(grid, 'nearest').read(grid.box)
        expected = np.zeros((90, 130), bool)
        expected[10:, 20:] = True
        assert np.array_equal(valid, expected)
        assert np.array_equal(pixels[10:, 20:], RGB[:-10, :-20])


@pytest.mark.parametrize(('kind', 'count'), [
    ('uint8', 4), ('uint16', 4), ('uint16', 1), ('int16', 3), ('float32', 1), ('float32', 3)])
def test_beyond_the_border_there_is_no_data_whatever_the_bands(tmp_path, kind, count):
    bands = np.repeat(BANDS[:1], count, 0).astype(kind)
    reading = Reading((1, 1, 1), (0, 255))
    date = open_date(write_raster(tmp_path / 'a.tif', bands, place(1, 20.5, 11)), reading)
    grid = open_date(write_raster(tmp_path / 'b.tif', BANDS), Reading()).grid
    expected = np.zeros((90, 130), bool)
    expected[11:, 20:] = True
    assert np.array_equal(everything(date.warped(grid, 'bilinear'))[1], expected)
    reduced = everything(date.warped(grid, 'bilinear'), (9, 13))[1]
    assert np.array_equal(reduced, expected[5::10, 5::10])


@pytest.mark.parametrize('kind', ['uint8', 'float32'])
def test_alpha_beside_any_number_of_bands_says_where_there_is_data(tmp_path, kind):
    alpha = np.zeros((1, 90, 130))
    alpha[:, 30:] = 255
    path = write_raster(tmp_path / 'a.tif', np.concatenate([BANDS, BANDS[:1], alpha]).astype(kind))
    with rasterio.open(path, 'r+') as file:
        file.colorinterp = [*file.colorinterp[:4], rasterio.enums.ColorInterp.alpha]
    date = open_date(path, Reading((3, 2, 1), (0, 255)))
    assert date.count == 4 and np.array_equal(everything(date)[1], alpha[0] > 0)


def test_ground_control_points_alone_are_no_grid(tmp_path):
    from rasterio.control import GroundControlPoint
    path = write_plain(tmp_path / 'a.tif', BANDS)
    points = [GroundControlPoint(row, column, 500000 + column, 4000000 - row)
              for row, column in ((0, 0), (0, 130), (90, 0), (90, 130))]
    with rasterio.open(path, 'r+') as file:
        file.gcps = points, rasterio.crs.CRS.from_epsg(32633)
    with pytest.raises(ValueError, match=r'4 ground control points.*gdalwarp'):
        open_date(path, Reading())


@pytest.mark.parametrize('content', [b'these are words', b'%PDF-1.4 and more', b''],
                         ids=['text', 'another format', 'empty'])
def test_what_only_ends_in_tif_is_refused_by_name(tmp_path, content):
    path = tmp_path / 'a.tif'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.tif' cannot be decoded: .*(is no PNG|is empty)"):
        open_date(path, Reading())


def test_a_missing_file_is_named(tmp_path):
    for name in ('a.tif', 'a.png'):
        with pytest.raises(FileNotFoundError, match=name):
            open_date(tmp_path / name, Reading())


def test_a_file_cut_short_says_so(tmp_path):
    path = write_raster(tmp_path / 'a.tif', BANDS)
    path.write_bytes(path.read_bytes()[:len(path.read_bytes()) // 2])
    date = open_date(path, Reading())
    assert np.array_equal(date.read((0, 0, 130, 20))[0], RGB[:20])
    with pytest.raises(OSError, match=r'a\.tif'):
        date.read((0, 80, 130, 90))


def test_a_mosaic_folder_or_list_is_one_date(tmp_path):
    folder = tmp_path / 'tiles'
    folder.mkdir()
    left = write_raster(folder / 'l.tif', BANDS[:, :, :70])
    right = write_raster(folder / 'r.tif', BANDS[:, :, 70:], place(1, 70))
    for given, name in ((folder, str(folder)), ([left, right], 'l.tif and 1 more')):
        date = open_date(given, Reading())
        assert date.name == name and np.array_equal(everything(date)[0], RGB)


def test_threads_read_what_one_reads(tmp_path):
    date = open_date(write_raster(tmp_path / 'a.tif', BANDS, tiled=True, blockxsize=16,
                                  blockysize=16, compress='deflate'), Reading())
    grid = open_date(write_raster(tmp_path / 'b.tif', BANDS, place(1, 0.5)), Reading()).grid
    warped = date.warped(grid, 'bilinear')
    boxes = [(left, top, left + 30, top + 20) for top in range(0, 70, 5)
             for left in range(0, 100, 10)]
    for reader in (date, warped):
        alone = [reader.read(box)[0] for box in boxes]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda box, read=reader.read: read(box)[0], boxes))
        assert all(map(np.array_equal, alone, together))


def test_every_thread_has_its_own_handle(tmp_path):
    date = open_date(write_raster(tmp_path / 'a.tif', BANDS), Reading())
    handles, here = [], threading.Barrier(3)

    def look():
        date.read((0, 0, 5, 5))
        handles.append(date._handle())
        here.wait(10)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(handle) for handle in handles}) == 3


def test_reading_leaves_the_warnings_of_the_process_alone(tmp_path):
    import warnings
    date = open_date(write_plain(tmp_path / 'a.tif', BANDS), Reading())
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: date.read((0, 0, 60, 60)), range(200)))
    assert warnings.filters == before


def test_a_picture_is_read_in_rectangles_and_reduced(tmp_path):
    Image.fromarray(RGB).save(tmp_path / 'a.png')
    date = open_date(tmp_path / 'a.png', Reading())
    assert isinstance(date, Picture) and date.grid.transform is None and date.count == 3
    assert np.array_equal(date.read((3, 4, 50, 40))[0], RGB[4:40, 3:50])
    means = RGB.reshape(9, 10, 13, 10, 3).mean((1, 3))
    assert np.abs(everything(date, (9, 13))[0] - means).max() <= 1


def test_a_grey_picture_has_one_band(tmp_path):
    Image.fromarray(RGB[..., 0]).save(tmp_path / 'a.png')
    date = open_date(tmp_path / 'a.png', Reading())
    assert date.count == 1 and everything(date)[0].shape == (90, 130, 3)


def test_a_deep_picture_tells_its_depth(tmp_path):
    Image.fromarray(RGB[..., 0].astype(np.uint16) * 100).save(tmp_path / 'a.png')
    date = open_date(tmp_path / 'a.png', Reading(None, (0, 25500)))
    assert date.dtype == 'uint16' and np.array_equal(everything(date)[0][..., 0], RGB[..., 0])


def test_a_picture_moves_by_whole_and_half_pixels(tmp_path):
    Image.fromarray(RGB).save(tmp_path / 'a.png')
    date = open_date(tmp_path / 'a.png', Reading())
    pixels, valid = everything(date.shifted(5, -3))
    assert np.array_equal(pixels[:-3, 5:], RGB[3:, :-5])
    assert valid[:-3, 5:].all() and valid.sum() == (90 - 3) * (130 - 5)
    half, there = everything(date.shifted(0.5, 0))
    means = (RGB[:, :-1].astype(float) + RGB[:, 1:]) / 2
    assert np.abs(half[:, 1:] - means).max() <= 1 and np.array_equal(
        there, np.arange(130)[None].repeat(90, 0) > 0)


def test_a_tiff_stored_turned_is_read_as_it_is_shown(tmp_path):
    path = tmp_path / 'a.tif'
    Image.fromarray(RGB).save(path, tiffinfo={274: 3})
    date = open_date(path, Reading())
    assert isinstance(date, Picture) and np.array_equal(everything(date)[0], RGB[::-1, ::-1])


def test_a_plain_tiff_is_read_in_rectangles(tmp_path):
    date = open_date(write_plain(tmp_path / 'a.tif', BANDS), Reading())
    assert isinstance(date, RasterDate) and date.grid.transform is None
    assert np.array_equal(date.read((3, 4, 50, 40))[0], RGB[4:40, 3:50])


def test_code_in_a_virtual_raster_is_never_run(tmp_path, monkeypatch):
    monkeypatch.setenv('GDAL_VRT_ENABLE_PYTHON', 'YES')
    path = tmp_path / 'a.vrt'
    path.write_text(f"""<VRTDataset rasterXSize="10" rasterYSize="10">
        <VRTRasterBand dataType="Byte" band="1" subClass="VRTDerivedRasterBand">
        <PixelFunctionType>run</PixelFunctionType>
        <PixelFunctionLanguage>Python</PixelFunctionLanguage>
        <PixelFunctionCode>def run(*_, **__): open('{tmp_path}/run', 'w')</PixelFunctionCode>
        </VRTRasterBand></VRTDataset>""")
    with pytest.raises(OSError, match='Python'):
        open_date(path, Reading()).read((0, 0, 10, 10))
    assert not (tmp_path / 'run').exists()


def test_no_side_file_is_written(tmp_path):
    date = open_date(write_raster(tmp_path / 'a.tif', BANDS), Reading(None, 'percentile'))
    everything(date, (20, 20))
    assert [path.name for path in tmp_path.iterdir()] == ['a.tif']


def test_alpha_counts_on_another_grid_too(tmp_path):
    alpha = np.full((1, 90, 130), 255, np.uint8)
    alpha[:, :, :40] = 0
    path = write_raster(tmp_path / 'a.tif', np.concatenate([BANDS, alpha]), photometric='RGB',
                        alpha='YES')
    date = open_date(path, Reading())
    grid = open_date(write_raster(tmp_path / 'b.tif', BANDS, place(1, 10)), Reading()).grid
    pixels, valid = date.warped(grid, 'nearest').read(grid.box)
    assert not valid[:, :30].any() and valid[:, 30:120].all() and not valid[:, 120:].any()
    assert np.array_equal(pixels[:, 30:120], RGB[:, 40:])


def test_a_raster_without_a_place_moves_by_whole_and_half_pixels(tmp_path):
    date = open_date(write_plain(tmp_path / 'a.tif', BANDS), Reading())
    pixels, valid = everything(date.shifted(5, -3))
    assert np.array_equal(pixels[:-3, 5:], RGB[3:, :-5])
    assert valid[:-3, 5:].all() and valid.sum() == (90 - 3) * (130 - 5)
    half = everything(date.shifted(0.5, 0))[0]
    assert np.abs(half[:, 1:] - (RGB[:, :-1].astype(float) + RGB[:, 1:]) / 2).max() <= 1
    reduced = everything(date.shifted(10, 0), (9, 13))[0]
    assert np.abs(reduced[:, 1:] - RGB[:, :-10].reshape(9, 10, 12, 10, 3).mean((1, 3))).max() <= 1


def test_a_warped_date_is_reduced_from_overviews_where_there_are_some(tmp_path):
    path = write_raster(tmp_path / 'a.tif', texture(640, 640, fineness=0.02))
    with rasterio.open(path, 'r+') as file:
        file.build_overviews([2, 4], rasterio.enums.Resampling.average)
    with rasterio.open(path) as file:
        assert file.overviews(1) == [2, 4]
    date = open_date(path, Reading())
    moved = date.shifted(8, 0)
    coarse = date.grid, (80, 80)
    assert [moved._overview_for(SceneGrid(side, side, date.grid.crs, tuple(place(640 / side))[:6]))
            for side in (640, 320, 200, 160, 40)] == [None, 0, 0, 1, 1]
    expected = everything(date, coarse[1])[0][:, :-1].astype(int)
    assert np.abs(everything(moved, coarse[1])[0][:, 1:] - expected).max() <= 2


def test_nodata_in_notes_beside_a_file_is_honoured(tmp_path):
    bands = np.full((3, 40, 50), 90, np.uint8)
    bands[:, :, :20] = 0
    path = write_raster(tmp_path / 'a.tif', bands)
    (tmp_path / 'a.tif.aux.xml').write_text('<PAMDataset>' + ''.join(
        f'<PAMRasterBand band="{band}"><NoDataValue>0</NoDataValue></PAMRasterBand>'
        for band in (1, 2, 3)) + '</PAMDataset>')
    _, valid = open_date(path, Reading()).read((0, 0, 50, 40))
    assert not valid[:, :20].any() and valid[:, 20:].all()
    assert sorted(file.name for file in tmp_path.iterdir()) == ['a.tif', 'a.tif.aux.xml']


def test_a_system_without_a_tie_to_the_globe_gives_no_degrees():
    from rscc.scenes.sources import degrees_of
    site = 'LOCAL_CS["site",LOCAL_DATUM["datum",0],UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
    assert degrees_of(site, [0, 1], [0, 1]) is None
    longitudes, latitudes = degrees_of('EPSG:32631', [500000.0], [0.0])
    assert longitudes[0] == pytest.approx(3) and latitudes[0] == pytest.approx(0, abs=1e-9)
