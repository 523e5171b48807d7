"""Polygons of vector files on the pixels of images."""
import json

import numpy as np
import pytest

rasterio = pytest.importorskip('rasterio')
geopandas = pytest.importorskip('geopandas')
shapely = pytest.importorskip('shapely')

from rscc.rasters import polygons  # noqa: E402
from rscc.rasters.polygons import Drawing, Polygons, draw_file, window_place  # noqa: E402

#: Of an image of 20 x 30 pixels of 2 m.
LEFT, TOP, STEP = 500000, 4000000, 2
PLACE = (STEP, 0, LEFT, 0, -STEP, TOP)
SHAPE = 20, 30


def square(column, row, size):
    """Return a rectangle of whole pixels of the image."""
    return shapely.box(LEFT + STEP * column, TOP - STEP * (row + size),
                       LEFT + STEP * (column + size), TOP - STEP * row)


def write(path, shapes, crs=32633):
    geopandas.GeoDataFrame(geometry=shapes, crs=crs).to_file(path)
    return path


def write_rows(path, *rings):
    """Write a GeoJSON file of polygons without the name of a coordinate system."""
    path.write_text(json.dumps(dict(type='FeatureCollection', features=[
        dict(type='Feature', properties={}, geometry=dict(type='Polygon', coordinates=[ring]))
        for ring in rings])))
    return path


@pytest.fixture
def image(tmp_path):
    with rasterio.open(tmp_path / 'image.tif', 'w', driver='GTiff', width=30, height=20, count=3,
                       dtype='uint8', crs='EPSG:32633', transform=rasterio.Affine(*PLACE)) as file:
        file.write(np.zeros((3, 20, 30), np.uint8))
    return tmp_path / 'image.tif'


@pytest.fixture
def plain(tmp_path):
    from PIL import Image
    Image.new('RGB', (30, 20)).save(tmp_path / 'plain.png')
    return tmp_path / 'plain.png'


@pytest.mark.parametrize('ending', ['gpkg', 'shp', 'geojson'])
@pytest.mark.parametrize('system', [32633, 4326])
def test_files_of_any_kind_and_system_are_drawn_where_they_lie(tmp_path, image, ending, system):
    shapes = geopandas.GeoSeries([square(3, 4, 5), square(25, 15, 50)], crs=32633).to_crs(system)
    mask = draw_file(write(tmp_path / f'a.{ending}', shapes, system), image, SHAPE)
    expected = np.zeros(SHAPE, np.uint8)
    expected[4:9, 3:8] = expected[15:, 25:] = 1
    assert mask.dtype == np.uint8 and np.array_equal(mask, expected)


def test_coordinates_are_pixels_where_an_image_has_no_place(tmp_path, plain, recwarn):
    rows = write_rows(tmp_path / 'a.geojson', [[3, 4], [8, 4], [8, 9], [3, 9], [3, 4]])
    mask = draw_file(rows, plain, SHAPE)
    assert mask[4:9, 3:8].all() and mask.sum() == 25
    assert np.array_equal(draw_file(write(tmp_path / 'a.shp', [shapely.box(3, 4, 8, 9)], None),
                                    plain, SHAPE), mask)
    assert not [warning for warning in recwarn if 'georeferenc' in str(warning.message)]


def test_a_file_without_rows_says_that_there_is_nothing(tmp_path, image):
    assert not draw_file(write_rows(tmp_path / 'a.geojson'), image, SHAPE).any()
    with pytest.raises(ValueError, match=r'holds no polygon \(0 rows'):
        Polygons(tmp_path / 'a.geojson', 32633)


@pytest.mark.parametrize(('make', 'words'), [
    (lambda path: write(path / 'a.gpkg', [square(900, 900, 5)]),
     r"inside '.*image.tif', x 500000 to 500060, y 3999960 to 4000000 in EPSG:32633: '.*a.gpkg' "
     r'\(1 outside, x 501800 to 501810, .*wrong one\? Look at both'),
    (lambda path: write_rows(path / 'a.json', [[3, 4], [8, 4], [8, 9], [3, 4]]),
     'in EPSG:32633: .*1 outside'),
    (lambda path: write(path / 'a.gpkg', [shapely.Point(LEFT, TOP), None]),
     r'2 rows: 1 without geometry, 1 points or lines.*were expected: give the file'),
    (lambda path: write(path / 'a.shp', [square(1, 1, 5)], None),
     r'name no coordinate system.*the image is in EPSG:32633.*ogr2ogr -a_srs'),
    (lambda path: (path / 'a.gpkg').write_bytes(b'no database') and path / 'a.gpkg',
     "a.gpkg' cannot be read as polygons: .*Expected a vector file that GDAL reads"),
])
def test_what_cannot_be_drawn_says_what_was_found_and_expected(tmp_path, image, make, words):
    with pytest.raises(ValueError, match=words):
        draw_file(make(tmp_path), image, SHAPE)


def test_a_file_that_is_not_there_is_named(tmp_path, image):
    with pytest.raises(FileNotFoundError, match=r'no polygons at .*none\.gpkg'):
        draw_file(tmp_path / 'none.gpkg', image, SHAPE)


def test_polygons_with_a_place_are_not_laid_over_images_without_one(tmp_path, plain):
    with pytest.raises(ValueError, match='are in EPSG:32633, and the image has no place'):
        draw_file(write(tmp_path / 'a.gpkg', [square(1, 1, 5)]), plain, SHAPE)


def test_polygons_of_a_system_that_is_nowhere_on_earth_are_refused(tmp_path, image):
    local = 'LOCAL_CS["drawing board",UNIT["metre",1]]'
    with pytest.raises(ValueError, match=r'are in drawing board, which cannot be brought to EPSG'):
        draw_file(write(tmp_path / 'a.gpkg', [square(1, 1, 5)], local), image, SHAPE)


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / 'broken.tif').write_bytes(b'no image')
    with pytest.raises(ValueError, match=r"the place of '.*broken.tif' on the map cannot be read"):
        draw_file(write(tmp_path / 'a.gpkg', [square(1, 1, 5)]), tmp_path / 'broken.tif', SHAPE)


def test_of_several_files_one_inside_is_enough(tmp_path):
    found = [Polygons(write(tmp_path / f'{column}.gpkg', [square(column, 1, 5)]), 32633)
             for column in (3, 900)]
    polygons.need_inside(found, polygons.outline(PLACE, (0, 0, 30, 20)), 'the scene')
    assert [len(one.table) for one in found] == [1, 0]
    assert [one.counts['outside'] for one in found] == [0, 1]


def test_windows_are_parts_of_the_whole_and_the_later_polygon_is_on_top():
    drawing = Drawing([square(2, 2, 8), square(6, 6, 8)], np.array([1, 2], np.uint8))
    whole = drawing.draw(window_place(PLACE, (0, 0, 30, 20)), SHAPE)
    assert whole[6, 6] == 2 and whole[2, 2] == 1 and whole[19, 29] == 0
    part = drawing.draw(window_place(PLACE, (4, 5, 12, 19)), (14, 8))
    assert np.array_equal(part, whole[5:19, 4:12])
    reduced = drawing.draw(window_place(PLACE, (0, 0, 30, 20), (2, 3)), (2, 3), all_touched=True)
    assert (reduced > 0).sum() == 4
