import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
from painted_scenes import grid_of, painted, window

from rscc.scenes import map_files
from rscc.scenes.contracts import NODATA, Block, BlockAnswer, OutputOptions
from rscc.scenes.map_files import PROBABILITY_STEPS, check_answer, failing, write_maps

rasterio = pytest.importorskip('rasterio')
pyogrio = pytest.importorskip('pyogrio')
pytest.importorskip('geopandas')
shapely = pytest.importorskip('shapely')

UTM = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)
BOX = (200, 100, 340, 420)  # left, top, right, bottom


def rectangle(shape=(800, 1000)):
    classes = np.zeros(shape, np.uint8)
    left, top, right, bottom = BOX
    classes[top:bottom, left:right] = 1
    return classes


def write(classes, folder, parts=2, options=None, **more):
    scene, read = painted(classes, parts, **more)
    return write_maps(scene, read, folder, options)


def read_tiff(path):
    with rasterio.open(path) as file:
        return SimpleNamespace(
            pixels=file.read(1), profile=file.profile, overviews=file.overviews(1),
            structure=file.tags(ns='IMAGE_STRUCTURE'), tags=file.tags(1),
            description=file.descriptions[0], scale=file.scales[0], crs=file.crs,
            transform=tuple(file.transform)[:6],
            colours=file.colormap(1) if file.colorinterp[0].name == 'palette' else None)


@pytest.mark.parametrize(('crs', 'transform'), [
    ('EPSG:32633', UTM),
    ('EPSG:4326', (1e-4, 0.0, 10.0, 0.0, -1e-4, 60.0)),
    ('EPSG:3857', (10.0, 0.0, 1_000_000.0, 0.0, -10.0, 8_400_000.0)),  # 60 degrees north
    ('EPSG:32633', (8.0, 6.0, 500_000.0, 6.0, -8.0, 5_000_000.0)),  # rotated
    ('EPSG:2264', (30.0, 0.0, 2_000_000.0, 0.0, -30.0, 600_000.0)),  # US survey feet
])
def test_a_painted_rectangle_comes_back_where_it_is_and_as_large(tmp_path, crs, transform):
    classes = rectangle()
    write(classes, tmp_path, 3, grid=grid_of(classes.shape, crs, transform))
    row, = pyogrio.read_dataframe(tmp_path / 'changes.gpkg', layer='changes').itertuples()
    left, top, right, bottom = BOX
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)
    a, b, c, d, e, f = transform
    expected = shapely.Polygon(corners @ np.array([[a, d], [b, e]]) + (c, f))
    assert row.geometry.hausdorff_distance(expected) < np.hypot(a, d) / 2
    assert row.area_m2 == pytest.approx(geodesic_area(crs, expected), rel=0.01)
    assert row.pixels == 140 * 320
    written = read_tiff(tmp_path / 'change.tif')
    assert written.transform == transform and written.crs == rasterio.CRS.from_user_input(crs)
    assert np.array_equal(written.pixels, classes)


def geodesic_area(crs, polygon):
    import pyproj
    crs = pyproj.CRS(crs)
    to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    dense = shapely.segmentize(polygon, polygon.length / 1000)
    return abs(crs.get_geod().geometry_area_perimeter(shapely.transform(
        dense, lambda points: np.stack(to_degrees.transform(*points.T), -1)))[0])


def test_the_map_is_a_cloud_optimised_geotiff_with_names_and_colours(tmp_path):
    classes = rectangle((1300, 1100))
    classes[1200:, :300] = NODATA
    result = write(classes, tmp_path, 3, palette=[[0, 0, 0], [10, 200, 30], [0, 0, 255]],
                   grid=grid_of(classes.shape, 'EPSG:32633', UTM))
    written = read_tiff(tmp_path / 'change.tif')
    assert np.array_equal(written.pixels, classes)
    assert written.structure['LAYOUT'] == 'COG' and written.structure['COMPRESSION'] == 'DEFLATE'
    assert written.profile['tiled'] and written.profile['blockxsize'] == 512
    assert written.overviews == [2, 4]
    assert written.profile['nodata'] == NODATA and written.profile['dtype'] == 'uint8'
    assert written.colours[1][:3] == (10, 200, 30) and written.colours[2][:3] == (0, 0, 255)
    assert written.tags == {'class_0': 'unchanged', 'class_1': 'building', 'class_2': 'road'}
    assert written.description == 'class of change'
    with rasterio.open(tmp_path / 'change.tif', overview_level=1) as reduced:
        assert set(np.unique(reduced.read(1))) == {0, 1, NODATA}
    assert [path.name for path in result.files] == [
        'change.tif', 'change.qml', 'changes.gpkg', 'changes.qml', 'changes.geojson']
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        path.name for path in result.files)


def test_styles_have_the_colours_of_the_map_where_values_are_missing(tmp_path):
    scene, read = painted(rectangle() * np.uint8(5), classes=())
    result = write_maps(scene, read, tmp_path)
    assert list(result.findings.classes) == [0, 5]
    red, green, blue, _ = read_tiff(tmp_path / 'change.tif').colours[5]
    assert f'color="#{red:02x}{green:02x}{blue:02x}"' in (tmp_path / 'change.qml').read_text()
    assert f'value="{red},{green},{blue},90"' in (tmp_path / 'changes.qml').read_text()


def test_probabilities_are_scaled_and_have_nodata(tmp_path):
    classes = rectangle()
    classes[:10] = NODATA
    values = np.resize(np.arange(256, dtype=np.uint8), classes.shape)
    write(classes, tmp_path, probability=values, options=OutputOptions(probability=True),
          grid=grid_of(classes.shape, 'EPSG:32633', UTM))
    written = read_tiff(tmp_path / 'probability.tif')
    assert written.scale == pytest.approx(1 / PROBABILITY_STEPS)
    assert (written.pixels[:10] == NODATA).all() and (written.pixels[10:] < NODATA).all()
    assert np.abs(written.pixels[10:] * written.scale - values[10:] / 255).max() < 0.002
    assert written.structure['LAYOUT'] == 'COG' and written.profile['nodata'] == NODATA


@pytest.mark.parametrize('parts', [1, 3, 4])
def test_the_map_does_not_depend_on_the_division_into_blocks(tmp_path, parts):
    classes = np.random.default_rng(0).integers(0, 4, (700, 900), dtype=np.uint8)
    write(classes, tmp_path, parts, options=OutputOptions(min_area=1e9),
          grid=grid_of(classes.shape, 'EPSG:32633', UTM))
    assert np.array_equal(read_tiff(tmp_path / 'change.tif').pixels, classes)


def test_each_block_is_read_once_and_missing_ones_have_no_data(tmp_path):
    scene, read = painted(rectangle(), 4, grid=grid_of((800, 1000), 'EPSG:32633', UTM))
    scene = type(scene)(scene.name, scene.reader, scene.facts, scene.blocks[:9])
    asked = []

    def note(block):
        asked.append(block.number)
        return read(block)

    result = write_maps(scene, note, tmp_path)
    assert asked == list(range(9))
    pixels = read_tiff(tmp_path / 'change.tif').pixels
    assert (pixels[600:] == NODATA).all() and (pixels[:400] != NODATA).all()
    assert result.findings.nodata_pixels == (pixels == NODATA).sum()


def test_without_a_place_on_the_map_there_is_no_geojson_and_a_remark(tmp_path):
    result = write(rectangle(), tmp_path)
    assert not (tmp_path / 'changes.geojson').exists()
    assert result.remarks == ['changes.geojson was not written: it holds longitudes and '
                              'latitudes, and the scene has no place on the globe']
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        assert read_tiff(tmp_path / 'change.tif').crs is None
    table = pyogrio.read_dataframe(tmp_path / 'changes.gpkg', layer='changes')
    assert table.geometry[0].bounds == (200, -420, 340, -100)
    assert table['area_m2'].isna().all() and table.crs is None


def test_a_local_grid_has_areas_but_no_longitudes(tmp_path):
    site = ('LOCAL_CS["site",UNIT["US survey foot",0.304800609601219],'
            'AXIS["x",EAST],AXIS["y",NORTH]]')
    result = write(rectangle(), tmp_path, grid=grid_of((800, 1000), site, (2, 0, 0, 0, -2, 0)))
    assert result.findings.area_by == 'plane' and len(result.remarks) == 1
    row, = pyogrio.read_dataframe(tmp_path / 'changes.gpkg', layer='changes').itertuples()
    assert row.area_m2 == pytest.approx(140 * 320 * 4 * 0.304800609601219**2)
    assert not (tmp_path / 'changes.geojson').exists()


def test_a_model_without_a_map_gives_sentences_and_a_remark(tmp_path):
    scene, _ = painted(rectangle(), heads=('caption_head',), classes=(),
                       grid=grid_of((800, 1000), 'EPSG:32633', UTM))
    said = [window((0, 0, 256, 256))]
    result = write_maps(scene, lambda block: BlockAnswer(
        block, sentences=said if block.number == 0 else []), tmp_path,
        OutputOptions(probability=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['changes.gpkg', 'changes.qml']
    assert result.remarks == ['change.tif, probability.tif and changes.geojson were not written: '
                              'the model has no change head, so it draws no map']
    assert len(pyogrio.read_dataframe(tmp_path / 'changes.gpkg', layer='changes')) == 0
    assert len(pyogrio.read_dataframe(tmp_path / 'changes.gpkg', layer='sentences')) == 1
    assert result.findings.classes == result.findings.pixels_by_class == {}


@pytest.mark.parametrize('value', [0, NODATA])
def test_a_scene_without_changes_gives_empty_layers(tmp_path, value):
    classes = np.full((300, 400), value, np.uint8)
    result = write(classes, tmp_path, grid=grid_of(classes.shape, 'EPSG:32633', UTM))
    assert (read_tiff(tmp_path / 'change.tif').pixels == value).all()
    assert len(result.findings.regions) == 0
    assert len(pyogrio.read_dataframe(tmp_path / 'changes.geojson')) == 0


def test_an_error_in_the_middle_leaves_earlier_files_as_they_were(tmp_path):
    write(rectangle(), tmp_path, options=OutputOptions(probability=True))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    scene, read = painted(np.zeros((800, 1000), np.uint8), 3)

    def fail(block):
        if block.number == 5:
            raise OSError("'painted_5.npz' is damaged")
        return read(block)

    with pytest.raises(OSError, match=r"'painted_5.npz' is damaged"):
        write_maps(scene, fail, tmp_path, OutputOptions(probability=True))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_pixels_that_the_disk_lost_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(map_files, '_count_values', lambda path: np.zeros(256, np.int64))
    with pytest.raises(OSError, match=r'does not give back the pixels.*change\.tif'):
        write(rectangle(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == 'win32', reason='Windows limits no file sizes')
@pytest.mark.parametrize(('most_bytes', 'name', 'left'), [
    (100_000, 'change.tif', []), (2_500_000, 'changes.gpkg', ['change.qml', 'change.tif'])])
def test_a_full_disk_names_the_file_and_leaves_nothing_half(repo, tmp_path, most_bytes, name,
                                                            left):
    # A limit on the size of files fails as a full disk does, in the middle of a write.
    script = textwrap.dedent(f"""
        import resource, signal, sys
        sys.path[:0] = [{str(repo)!r}, {str(repo / 'tests')!r}]
        import numpy as np
        from painted_scenes import painted
        from rscc.scenes.map_files import write_maps
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        classes = np.uint8(np.random.default_rng(0).random((1400, 1400)) < 0.05)
        scene, read = painted(classes)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({most_bytes}, resource.RLIM_INFINITY))
        try:
            write_maps(scene, read, {str(tmp_path)!r})
        except OSError as error:
            print(error.errno, error)
    """)
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True,
                          check=True)
    assert str(tmp_path / name) in done.stdout, done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_other_errors_are_not_taken_for_a_full_disk(tmp_path):
    with pytest.raises(TypeError, match='a mistake'), failing(tmp_path / 'change.tif'):
        raise TypeError('a mistake')
    with pytest.raises(OSError, match=r'cannot be written \(odd\); is the disk full'), failing(
            tmp_path / 'change.tif'):
        raise RuntimeError('odd')
    full = SimpleNamespace(disk_usage=lambda path: SimpleNamespace(free=10))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match='no space left'):
        patch.setattr(map_files, 'shutil', full)
        with failing(tmp_path / 'change.tif'):
            raise RuntimeError('odd')


def test_an_answer_that_does_not_fit_its_block_is_named():
    block = Block('town', 0, (0, 0, 30, 20), (0, 0, 30, 20))
    with pytest.raises(ValueError, match=r"classes of block 'town_0000000_0000000' are uint8 "
                                         r'\(30, 20\); expected uint8 \(20, 30\)'):
        check_answer(BlockAnswer(block, np.zeros((30, 20), np.uint8)), block)
    with pytest.raises(ValueError, match=r'probability of block .* are float64'):
        check_answer(BlockAnswer(block, np.zeros((20, 30), np.uint8), np.zeros((20, 30))), block)
    other = Block('town', 1, (30, 0, 60, 20), (30, 0, 60, 20))
    with pytest.raises(ValueError, match=r'is about the pixels \(30, 0, 60, 20\)'):
        check_answer(BlockAnswer(other), block)


def test_nothing_heavy_is_imported(repo):
    script = ('import sys; sys.modules.update(dict.fromkeys(["torch", "mmengine", "mmseg", '
              '"transformers"])); import rscc.scenes.map_files')
    subprocess.run([sys.executable, '-c', script], cwd=repo, check=True)
