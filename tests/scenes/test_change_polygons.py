"""Labels from polygons: what changed, and what exists at two dates."""
import numpy as np
import pytest

pytest.importorskip('rasterio')
geopandas = pytest.importorskip('geopandas')
shapely = pytest.importorskip('shapely')

from scene_files import LEFT, TOP, place  # noqa: E402

from rscc.scenes.change_polygons import ChangePolygons, PolygonFiles, palette_of  # noqa: E402
from rscc.scenes.contracts import SceneGrid  # noqa: E402

GRID = SceneGrid(40, 30, geopandas.GeoSeries([], crs=32633).crs.to_wkt(), tuple(place())[:6])


def square(column, row, width=5, height=5):
    """Return a rectangle of whole pixels."""
    return shapely.box(LEFT + column, TOP - row - height, LEFT + column + width, TOP - row)


def write(path, shapes, crs=32633, **columns):
    geopandas.GeoDataFrame(columns, geometry=shapes, crs=crs).to_file(path)
    return str(path)


def labels(path, **options):
    return ChangePolygons(PolygonFiles(path, **options), GRID, GRID.box)


@pytest.mark.parametrize('ending', ['gpkg', 'shp', 'geojson'])
def test_classes_are_found_and_drawn_in_any_kind_of_file(tmp_path, ending):
    path = write(tmp_path / f'c.{ending}', [square(1, 2), square(10, 10, 6, 3), square(3, 3)],
                 kind=['road', 'building', 'building'])
    made = labels(path, class_column='kind')
    assert made.classes == ('unchanged', 'building', 'road')
    expected = np.zeros((30, 40), np.uint8)
    expected[2:7, 1:6] = 2
    expected[10:13, 10:16] = 1
    expected[3:8, 3:8] = 1  # the later one in the file is on top
    assert np.array_equal(made.label(GRID.box), expected)
    assert np.array_equal(made.label((2, 4, 20, 12)), expected[4:12, 2:20])
    assert made.palette[1] == [230, 60, 50]


def test_polygons_in_degrees_are_brought_to_the_scene(tmp_path):
    shapes = geopandas.GeoSeries([square(4, 5, 9, 7)], crs=32633)
    made = labels(write(tmp_path / 'c.gpkg', shapes.to_crs(4326), 4326))
    label = made.label(GRID.box)
    assert made.classes == ('unchanged', 'changed')
    assert (label[5:12, 4:13] == 1).all() and label.sum() == 63


def test_what_one_date_alone_has_is_the_change(tmp_path):
    before = write(tmp_path / 'before.gpkg', [square(0, 0), square(10, 0), square(20, 0)],
                   kind=['house', 'house', 'field'])
    after = write(tmp_path / 'after.gpkg', [square(0, 0), square(20, 0), square(30, 0)],
                  kind=['house', 'house', 'road'])
    files = PolygonFiles(None, before, after, 'kind')
    made = ChangePolygons(files, GRID, GRID.box)
    assert made.classes == ('unchanged', 'field', 'house', 'road')
    row = made.label(GRID.box)[2, 2::10]
    # Stayed; gone; became another class; appeared.
    assert row.tolist() == [0, 2, 2, 3]
    both = write(tmp_path / 'both.gpkg', [square(0, 0), square(10, 0), square(30, 0)],
                 when=['both', 'Before', 'to'])
    assert labels(both, date_column='when').label(GRID.box)[2, 2::10].tolist() == [0, 1, 0, 1]


def test_what_cannot_be_used_is_counted_and_costs_nothing(tmp_path):
    bow = shapely.Polygon([(LEFT + x, TOP - y) for x, y in ((0, 0), (8, 8), (8, 0), (0, 8))])
    path = write(tmp_path / 'c.gpkg', [bow, square(500, 500), None, shapely.Point(LEFT, TOP),
                                       shapely.MultiPolygon([square(20, 0), square(30, 0)]),
                                       square(20, 20)],
                 kind=['a', 'a', 'a', 'a', 'a', None])
    made = labels(path, class_column='kind')
    assert {kind: number for kind, number in made.counts.items() if number} == {
        'invalid': 1, 'outside': 1, 'without geometry': 1, 'no polygon': 1, 'without class': 1,
        'used': 5}
    label = made.label(GRID.box)
    assert label[4, 1] == 1 and label[1, 4] == 0 and label[2, 22] == label[2, 32] == 1
    assert (label[20:25, 20:25] == 255).all()


def test_named_classes_give_the_numbers_and_others_are_left_out(tmp_path):
    path = write(tmp_path / 'c.gpkg', [square(0, 0), square(10, 0), square(20, 0)],
                 kind=[2.0, 1.0, 7.0])
    made = labels(path, class_column='kind', classes=('1', '2', '3'))
    assert made.classes == ('unchanged', '1', '2', '3')
    assert made.label(GRID.box)[2, 2::10].tolist() == [2, 1, 0, 0]
    assert made.counts['of other classes'] == 1
    assert "no polygon in the scene is of the class '3'" in made.remarks[0]


@pytest.mark.parametrize(('options', 'words'), [
    (dict(class_column='knd'), "no column 'knd'.*Did you mean 'kind'"),
    (dict(class_column='kind', classes=['hous']), "none of the classes hous.*Did you mean 'house'"),
    (dict(date_column='kind'), "date column of .* holds 'house'; 'from', 'to' or 'both'"),
])
def test_wrong_columns_name_the_nearest(tmp_path, options, words):
    path = write(tmp_path / 'c.gpkg', [square(0, 0)], kind=['house'])
    with pytest.raises(ValueError, match=words):
        labels(path, **options)


def test_files_without_polygons_here_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='no polygons at'):
        labels(str(tmp_path / 'gone.gpkg'))
    (tmp_path / 'bad.gpkg').write_bytes(b'no database')
    with pytest.raises(ValueError, match=r"bad.gpkg' cannot be read as polygons"):
        labels(str(tmp_path / 'bad.gpkg'))
    path = write(tmp_path / 'points.gpkg', [shapely.Point(LEFT, TOP), None], kind=['a', 'b'])
    with pytest.raises(ValueError, match=r'no polygon \(2 rows: 1 without geometry, 1 points'):
        labels(path)
    path = write(tmp_path / 'far.gpkg', [square(900, 900)])
    with pytest.raises(ValueError, match=r'inside the part of .*EPSG:32633.*far.gpkg. \(1 out'):
        labels(path)
    path = write(tmp_path / 'nowhere.shp', [square(0, 0)], None)
    with pytest.raises(ValueError, match=r'name no coordinate system.*ogr2ogr -a_srs'):
        labels(path)
    with pytest.raises(ValueError, match='--polygons-from and --polygons-to'):
        PolygonFiles(img_from='a.gpkg')


def test_a_file_of_two_layers_is_refused_and_its_styles_do_not_count(tmp_path):
    table = geopandas.GeoDataFrame(geometry=[square(0, 0)], crs=32633)
    for layer in ('one', 'two'):
        table.to_file(tmp_path / 'c.gpkg', layer=layer)
    with pytest.raises(ValueError, match=r'2 layers with geometries \(one, two\)'):
        labels(str(tmp_path / 'c.gpkg'))


def test_colours_are_distinct():
    names = ['unchanged', 'road', *(f'class {number}' for number in range(40))]
    palette = palette_of(names)
    assert palette[1] == [245, 200, 60] and len({tuple(colour) for colour in palette}) > 15
    assert palette_of(['unchanged', 'changed']) == [[0, 0, 0], [255, 255, 255]]
