from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
from fake_scenes import damage
from scene_files import LEFT, TOP, rgb, texture, write_plain, write_raster

from rscc.rasters.scales import scale_in_tuples
from rscc.scenes.contracts import Gap, ModelFacts, Scene
from rscc.scenes.damage import read_around_gaps
from rscc.scenes.pair_check import check_pair
from rscc.scenes.pictures import thumbnails
from rscc.scenes.plans import stored_scale
from rscc.scenes.reading import Area, Bands, PairReader
from rscc.scenes.sources import Reading, open_date

rasterio = pytest.importorskip('rasterio')
BANDS = texture(90, 130)
RGB = rgb(BANDS)
PLAIN = Reading()


def reader_of(*paths, reading=PLAIN, **options):
    return PairReader([open_date(path, reading) for path in paths], **options)


@pytest.fixture
def files(tmp_path):
    """Two dates: the same texture, another one."""
    return (write_raster(tmp_path / 'a.tif', BANDS),
            write_raster(tmp_path / 'b.tif', texture(90, 130, seed=1)))


def test_one_date_alone_is_a_scene_too(files):
    reader = reader_of(files[0])
    frames, valid = reader.read((10, 20, 40, 50))
    assert len(frames) == 1 and np.array_equal(frames[0], RGB[20:50, 10:40]) and valid.all()
    assert reader.sources == (str(files[0]),) and reader.overlap == reader.grid.box


def test_data_is_where_every_date_has_some_and_elsewhere_all_are_black(tmp_path):
    one, other = BANDS.copy(), BANDS.copy()
    one[:, :10], other[:, :, :20] = 0, 0
    reader = reader_of(write_raster(tmp_path / 'a.tif', one, nodata=0),
                       write_raster(tmp_path / 'b.tif', other, nodata=0))
    frames, valid = reader.read(reader.grid.box)
    expected = np.ones((90, 130), bool)
    expected[:10] = expected[:, :20] = False
    assert np.array_equal(valid, expected)
    assert all(not frame[~valid].any() and frame[valid].all() for frame in frames)


def test_the_dates_one_by_one_keep_what_the_other_lacks(tmp_path):
    other = BANDS.copy()
    other[:, :, :20] = 0
    reader = reader_of(write_raster(tmp_path / 'a.tif', BANDS),
                       write_raster(tmp_path / 'b.tif', other, nodata=0))
    frames, masks = reader.read_each(reader.grid.box)
    assert masks[0].all() and not masks[1][:, :20].any() and masks[1][:, 20:].all()
    assert np.array_equal(frames[0], RGB)


def test_reduced_images_keep_their_form_and_are_not_enlarged(files):
    reader = reader_of(*files)
    frames, valid = reader.reduced(65)
    assert [frame.shape for frame in frames] == [(45, 65, 3)] * 2 and valid.shape == (45, 65)
    means = RGB.reshape(45, 2, 65, 2, 3).mean((1, 3))
    assert np.abs(frames[0] - means).max() <= 1
    assert reader.reduced(5000)[1].shape == (90, 130)


def test_matching_brings_values_to_the_distribution_of_the_earlier_date(tmp_path):
    dark = (BANDS * 0.5 + 20).astype(np.uint8)
    paths = write_raster(tmp_path / 'a.tif', BANDS), write_raster(tmp_path / 'b.tif', dark)
    plain, reader = reader_of(*paths), reader_of(*paths, match_histogram=True)
    box = (20, 10, 120, 80)
    frames, _ = reader.read(box)
    assert np.abs(frames[0].astype(int) - frames[1]).mean() < 2
    assert np.abs(np.subtract(*plain.read(box)[0], dtype=int)).mean() > 20
    assert np.array_equal(frames[0], plain.read(box)[0][0]), 'the earlier date keeps its values'
    assert plain.remarks == [] and '(--match-histogram)' in reader.remarks[0]


def test_matching_looks_at_data_only_and_leaves_the_rest_black(tmp_path):
    dark = (BANDS * 0.5 + 20).astype(np.uint8)
    dark[:, :45] = 0
    reader = reader_of(write_raster(tmp_path / 'a.tif', BANDS),
                       write_raster(tmp_path / 'b.tif', dark, nodata=0), match_histogram=True)
    frames, valid = reader.read(reader.grid.box)
    assert np.abs(frames[0].astype(int) - frames[1])[valid].mean() < 2
    assert not frames[1][~valid].any()


# ---- area of interest --------------------------------------------------------------------------


@pytest.fixture
def polygons(tmp_path):
    geopandas = pytest.importorskip('geopandas')
    from shapely.geometry import Point, box

    def write(name, shapes=None, crs='EPSG:32633', to=None):
        shapes = shapes or [box(LEFT + 20, TOP - 50, LEFT + 60, TOP - 10)]
        table = geopandas.GeoDataFrame(geometry=shapes, crs=crs)
        (table.to_crs(to) if to else table).to_file(tmp_path / name)
        return tmp_path / name

    write.box, write.point = box, Point
    return write


@pytest.mark.parametrize(('name', 'to'), [('a.gpkg', None), ('a.geojson', 'EPSG:4326')])
def test_pixels_whose_centre_lies_outside_the_area_are_without_data(files, polygons, name, to):
    grid = open_date(files[0], PLAIN).grid
    reader = reader_of(*files, area=Area(polygons(name, to=to), grid))
    frames, valid = reader.read(reader.grid.box)
    expected = np.zeros((90, 130), bool)
    expected[10:50, 20:60] = True
    assert (valid ^ expected).sum() <= (0 if to is None else 4)
    assert not frames[0][~valid].any()
    part = reader.read((30, 5, 70, 45))[1]
    assert np.array_equal(part, valid[5:45, 30:70])
    assert reader.reduced(13)[1].sum() == 4 * 4


def test_two_polygons_are_one_area(files, polygons):
    box, grid = polygons.box, open_date(files[0], PLAIN).grid
    path = polygons('a.gpkg', [box(LEFT, TOP - 10, LEFT + 10, TOP),
                               box(LEFT + 50, TOP - 10, LEFT + 60, TOP)])
    assert Area(path, grid).mask(grid, grid.box, (90, 130)).sum() == 200


def test_a_small_area_of_a_large_scene_is_none_the_less_there(files, polygons):
    grid = replace(open_date(files[0], PLAIN).grid, width=40000, height=40000)
    path = polygons('a.gpkg', [polygons.box(LEFT + 9001, TOP - 9004, LEFT + 9004, TOP - 9001)])
    area = Area(path, grid)
    assert area.mask(grid, grid.box, (1024, 1024)).sum() == 1
    assert area.mask(grid, (9000, 9000, 9010, 9010), (10, 10)).sum() == 9


def test_areas_that_limit_nothing_sensible_are_refused(files, polygons, tmp_path):
    grid = open_date(files[0], PLAIN).grid
    with pytest.raises(ValueError, match='no polygon lies inside the scene'):
        Area(polygons('far.gpkg', [polygons.box(0, 0, 10, 10)]), grid)
    with pytest.raises(ValueError, match=r'holds no polygon \(1 rows: .*1 points'):
        Area(polygons('point.gpkg', [polygons.point(LEFT + 5, TOP - 5)]), grid)
    with pytest.raises(FileNotFoundError, match=r'no polygons at .*none\.gpkg'):
        Area(tmp_path / 'none.gpkg', grid)
    (tmp_path / 'words.gpkg').write_text('these are words')
    with pytest.raises(ValueError, match=r'words\.gpkg. cannot be read as polygons'):
        Area(tmp_path / 'words.gpkg', grid)
    plain = open_date(write_plain(tmp_path / 'p.tif', BANDS), PLAIN).grid
    with pytest.raises(ValueError, match='cannot be laid over images without a place'):
        Area(polygons('a.gpkg'), plain)


# ---- rows ahead of the model -------------------------------------------------------------------


@pytest.fixture
def tall(tmp_path):
    bands = texture(900, 50)
    return rgb(bands), reader_of(
        write_raster(tmp_path / 'a.tif', bands, tiled=True, blockxsize=64, blockysize=64,
                     compress='deflate'), write_raster(tmp_path / 'b.tif', bands))


def test_rows_read_ahead_are_those_of_the_file(tall):
    image, reader = tall
    with ThreadPoolExecutor(2) as pool:
        bands = Bands(reader, (3, 70, 45, 890), pool)
        for first, end in ((70, 100), (90, 300), (95, 95 + 512), (600, 610), (800, 890)):
            frames, valid = bands.rows(first, end)
            assert np.array_equal(frames[0], image[first:end, 3:45]) and valid.all()
            assert np.array_equal(frames[1], frames[0])
        bands.close()


def test_no_row_is_read_twice_and_pieces_end_where_blocks_do(tall, monkeypatch):
    _, reader = tall
    boxes, read = [], reader.read
    monkeypatch.setattr(reader, 'read', lambda box: (boxes.append(box), read(box))[1])
    with ThreadPoolExecutor(1) as pool:
        bands = Bands(reader, (0, 70, 50, 890), pool)
        for first in range(70, 800, 30):
            bands.rows(first, first + 60)
    edges = sorted(top for _, top, _, _ in boxes)
    assert edges == [70, 256, 512, 768] and len(set(edges)) == len(edges)


def test_rows_are_handed_out_without_a_copy(tall):
    _, reader = tall
    with ThreadPoolExecutor(1) as pool:
        bands = Bands(reader, reader.grid.box, pool)
        (first, *_), valid = bands.rows(0, 300)
        (second, *_), _ = bands.rows(200, 760)
        assert np.shares_memory(first, second) and not valid.flags.owndata
        assert (first[200:] == second[:100]).all()


# ---- damage ------------------------------------------------------------------------------------


def spoil(path, number):
    """Overwrite the compressed bytes of one block of a tiled TIFF."""
    from PIL import Image
    with Image.open(path) as image:
        offsets, lengths = image.tag_v2[324], image.tag_v2[325]
    data = bytearray(path.read_bytes())
    data[offsets[number]:offsets[number] + lengths[number]] = b'\xff' * lengths[number]
    path.write_bytes(data)


@pytest.fixture
def damaged(tmp_path):
    """Files of 3 x 4 blocks of 64 pixels, of which one is damaged: columns and rows 64 to 128."""
    bands = texture(192, 256)
    for name in ('whole.tif', 'damaged.tif'):
        write_raster(tmp_path / name, bands, tiled=True, blockxsize=64, blockysize=64,
                     compress='deflate')
    spoil(tmp_path / 'damaged.tif', 5)
    return rgb(bands), tmp_path / 'whole.tif', tmp_path / 'damaged.tif'


@pytest.mark.parametrize('order', [(1, 2), (2, 1), (2,)], ids=['later', 'earlier', 'single'])
def test_a_damaged_block_costs_its_own_pixels_and_is_listed(damaged, order):
    image, reader = damaged[0], reader_of(*[damaged[number] for number in order])
    with pytest.raises(OSError, match=r"damaged\.tif' is damaged: "):
        reader.read((0, 64, 256, 128))
    frames, valid, gaps = read_around_gaps(reader, (10, 0, 250, 192))
    expected = np.ones((192, 240), bool)
    expected[64:128, 54:118] = False
    assert np.array_equal(valid, expected)
    assert np.array_equal(frames[-1][valid], image[:, 10:250][valid])
    assert not frames[0][~valid].any()
    assert [gap.box for gap in gaps] == [(64, 64, 128, 128)] and 'damaged.tif' in gaps[0].reason
    assert len(read_around_gaps(reader, (128, 0, 256, 192))[2]) == 0


def test_a_damaged_block_of_a_warped_date_is_listed_too(damaged):
    _, whole, path = damaged
    reader = reader_of(whole, path, offset=(0.5, 0))
    _, valid, gaps = read_around_gaps(reader, reader.grid.box)
    assert gaps and not valid[64:128, 64:127].any()
    assert valid[:, 192:255].all(), 'blocks beside the damaged one may need pixels of it'


def test_a_file_cut_short_is_read_as_far_as_it_goes(tmp_path):
    path = write_raster(tmp_path / 'a.tif', BANDS, blockysize=10)
    path.write_bytes(path.read_bytes()[:-130 * 3 * 25])  # the last 25 rows
    frames, valid, gaps = read_around_gaps(reader_of(path), (0, 0, 130, 90))
    assert np.array_equal(frames[0][:60], RGB[:60]) and valid[:60].all() and not valid[70:].any()
    assert gaps[-1].box[3] == 90 and all(isinstance(gap, Gap) for gap in gaps)


def test_gaps_are_collected_while_rows_are_read(damaged):
    reader = reader_of(*damaged[1:])
    with ThreadPoolExecutor(2) as pool:
        bands = Bands(reader, reader.grid.box, pool)
        _, valid = bands.rows(0, 192)
    assert [gap.box for gap in bands.gaps] == [(64, 64, 128, 128)] and not valid[64, 64]


def test_a_reduced_image_of_a_damaged_file_lacks_what_is_damaged(damaged):
    image, whole, path = damaged
    reader = reader_of(whole, path)
    frames, valid = reader.reduced(64)
    assert not valid[16:32, 16:32].any() and valid.sum() >= 48 * 64 - 24 * 24
    means = image.reshape(48, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(frames[1] - means)[valid].max() <= 1
    moved = reader_of(whole, path, offset=(0.5, 0)).reduced(64)[1]
    assert not moved[17:31, 17:31].any() and moved.sum() > 48 * 64 / 2


def test_percentiles_of_a_damaged_file_are_those_of_what_can_be_read(damaged):
    scale = open_date(damaged[2], Reading(None, 'percentile')).scale
    whole = open_date(damaged[1], Reading(None, 'percentile')).scale
    assert np.abs(np.subtract(scale, whole)).max() < 8


def test_damage_of_one_date_leaves_the_other_as_it_is(damaged):
    reader = reader_of(damaged[1], damaged[2])
    frames, masks = reader.reduced_each(64)
    assert masks[0].all() and not masks[1].all() and frames[0][20, 20].any()
    assert np.array_equal(reader.reduced(64)[1], masks[1])


@pytest.mark.parametrize('bands', [(1, 2, 3, 4), (2,), (4, 3, 2, 1, 5, 6)])
def test_all_bands_that_are_read_come_through_and_pictures_show_three(tmp_path, bands):
    stored = np.concatenate([texture(120, 140, seed) for seed in (1, 2)]).astype(np.uint16) * 10
    later = np.clip(stored * 0.7 + 200, 0, 2550).astype(np.uint16)
    paths = [write_raster(tmp_path / f'{date}.tif', values)
             for date, values in zip('ab', (stored, later), strict=True)]
    scale = tuple((0, 2550 + 10 * band) for band in bands)
    reading = Reading(bands, scale)
    reader = reader_of(*paths, reading=reading)
    assert reader.channels == len(bands)
    frames, valid = reader.read((5, 7, 95, 77))
    assert frames[0].shape == (70, 90, len(bands)) and valid.all()
    for place, (band, (_, high)) in enumerate(zip(bands, scale, strict=True)):
        wanted = stored[band - 1, 7:77, 5:95] / high * 255
        assert np.abs(frames[0][..., place] - wanted).max() <= 0.51
    with ThreadPoolExecutor(1) as pool:
        rows = Bands(reader, (5, 7, 95, 77), pool).rows(7, 77)[0]
    assert all(np.array_equal(row, frame) for row, frame in zip(rows, frames, strict=True))
    matched = reader_of(*paths, reading=reading, match_histogram=True)
    assert matched.tables.shape == (len(bands), 256)
    first, second = matched.read(matched.grid.box)[0]
    assert np.abs(first.mean((0, 1)) - second.mean((0, 1))).max() < 3
    assert reader.reduced(64)[0][0].shape[2] == len(bands)
    shown = thumbnails(Scene('x', reader, ModelFacts(bands=bands), ()))
    assert len(shown) == 2
    assert check_pair(reader, ModelFacts(bands=bands, scale=scale)).shift == (0, 0)


def test_percentiles_of_bands_give_one_pair_each(tmp_path):
    deep = np.concatenate([texture(60, 50, seed) for seed in (1, 2)]).astype(np.uint16) * 10
    path = write_raster(tmp_path / 'a.tif', deep)
    date = open_date(path, Reading((1, 2, 3, 5), 'percentile'))
    assert np.allclose(date.scale, np.percentile(deep[[0, 1, 2, 4]].reshape(4, -1), [2, 98], 1).T)
    again = open_date(path, Reading((1, 2, 3, 5), scale_in_tuples(stored_scale(date.scale))))
    assert np.array_equal(again.read((0, 0, 50, 60))[0], date.read((0, 0, 50, 60))[0])


def test_a_picture_of_four_channels_is_moved_and_reduced(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (40, 44, 4)).astype(np.uint16)
    assert cv2.imwrite(str(tmp_path / 'a.png'), deep)
    date = open_date(tmp_path / 'a.png', Reading((3, 2, 1, 4), (0, 65535)))
    pixels = date.read(date.grid.box)[0]
    assert pixels.shape == (40, 44, 4) and date.count == 4
    assert date.read(date.grid.box, (10, 11))[0].shape == (10, 11, 4)
    moved, there = date.shifted(2, 1).read(date.grid.box)
    assert np.array_equal(moved[1:, 2:], pixels[:-1, :-2]) and not there[0].any()


def test_damaged_parts_are_empty_in_every_band(tmp_path):
    stored = np.repeat(texture(128, 128)[:1], 5, 0)
    options = dict(tiled=True, blockxsize=64, blockysize=64, compress='deflate', interleave='pixel')
    path = write_raster(tmp_path / 'a.tif', stored, **options)
    damage(path, 0, 1)
    reader = reader_of(path, write_raster(tmp_path / 'b.tif', stored, **options),
                       reading=Reading((1, 2, 3, 4, 5)))
    frames, valid, gaps = read_around_gaps(reader, reader.grid.box)
    assert frames[0].shape == (128, 128, 5) and len(gaps) == 1 and not valid[:64, 64:].any()
    assert frames[0][:64, :64].all() and not frames[0][:64, 64:].any()
