import json
from xml.etree import ElementTree

import numpy as np
import pytest
from painted_scenes import grid_of, painted, window

from rscc.scenes.contracts import OutputOptions
from rscc.scenes.map_files import write_maps
from rscc.scenes.vector_files import map_style, region_style, sentence_style, write_style

pyogrio = pytest.importorskip('pyogrio')
geopandas = pytest.importorskip('geopandas')
shapely = pytest.importorskip('shapely')
pytest.importorskip('rasterio')

UTM = ('EPSG:32633', (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0))
DOUBT = ['doubt', 'risk', 'unsure', 'reasons']
CHANGES = ['class', 'area_m2', 'pixels', 'score', 'sentence', *DOUBT]
SENTENCES = ['sentence', 'score', 'flag', 'probability', 'change_share', 'sampled', *DOUBT]
NAMES, COLOURS = {0: 'unchanged', 1: 'building', 2: 'road'}, {
    0: (0, 0, 0), 1: (230, 60, 50), 2: (10, 11, 12)}


def written(folder, place=UTM, changes=True, said=True):
    classes = np.zeros((200, 300), np.uint8)
    if changes:
        classes[20:60, 30:130] = 1
        classes[30:40, 50:80] = 0
        classes[150:160, 200:210] = 2
    windows = [window((0, 0, 128, 128), '盖了一栋房子 <&>', probability=0.75, change_share=0.2),
               window((128, 0, 256, 128), 'the scene is the same', flag=False, sampled=True)]
    scene, read = painted(classes, grid=grid_of(classes.shape, *place),
                          windows=windows if said else ())
    return write_maps(scene, read, folder, OutputOptions(geoparquet=True))


def test_both_layers_come_back_from_the_geopackage(tmp_path):
    findings = written(tmp_path).findings
    changes, sentences = (geopandas.read_file(tmp_path / 'changes.gpkg', layer=layer)
                          for layer in ('changes', 'sentences'))
    assert changes.columns.tolist() == [*CHANGES, 'geometry']
    assert changes['class'].tolist() == ['building', 'road']
    assert changes['area_m2'].tolist() == [370_000, 10_000]
    assert changes['sentence'][0] == '盖了一栋房子 <&>' and changes['sentence'].isna()[1]
    assert shapely.equals(changes.geometry.values, findings.regions.geometry.values).all()
    assert changes.crs == sentences.crs == 'EPSG:32633'
    assert sentences.columns.tolist() == [*SENTENCES, 'geometry']
    assert sentences['flag'].tolist() == [True, False]
    assert sentences['sampled'].tolist() == [False, True]
    assert sentences['probability'].isna().tolist() == [False, True]
    assert sentences.geometry[0].bounds == (500_000, 4_998_720, 501_280, 5_000_000)


@pytest.mark.parametrize('place', [UTM, (None, None)])
def test_empty_layers_have_their_columns_and_geometry(tmp_path, place):
    written(tmp_path, place, changes=False, said=False)
    for layer, columns in (('changes', CHANGES), ('sentences', SENTENCES)):
        info = pyogrio.read_info(tmp_path / 'changes.gpkg', layer=layer)
        assert info['features'] == 0 and info['geometry_type'] == 'Polygon'
        assert info['fields'].tolist() == columns
    kinds = dict(zip(info['fields'], info['dtypes'], strict=True))
    assert kinds == {'sentence': 'object', 'score': 'float64', 'flag': 'bool',
                     'probability': 'float64', 'change_share': 'float64', 'sampled': 'bool',
                     'doubt': 'float64', 'risk': 'object', 'unsure': 'bool', 'reasons': 'object'}


def test_the_geopackage_holds_a_default_style_of_each_layer(tmp_path):
    written(tmp_path)
    table = pyogrio.read_dataframe(tmp_path / 'changes.gpkg', layer='layer_styles')
    assert table['f_table_name'].tolist() == ['changes', 'sentences']
    assert table['useAsDefault'].tolist() == [True, True]
    for layer, column in zip(table['f_table_name'], table['f_geometry_column'], strict=True):
        assert pyogrio.read_info(tmp_path / 'changes.gpkg', layer=layer)['geometry_name'] == column
    changes, sentences = map(ElementTree.fromstring, table['styleQML'])
    assert changes.find('renderer-v2').get('attr') == 'class'
    assert sentences.find('renderer-v2').get('attr') == 'flag'
    assert changes.find('labeling/settings/text-style').get('fieldName') == 'sentence'


def test_geojson_is_that_of_rfc_7946(tmp_path):
    written(tmp_path)
    data = json.loads((tmp_path / 'changes.geojson').read_text(encoding='utf-8'))
    assert data['type'] == 'FeatureCollection' and 'crs' not in data
    first = data['features'][0]
    assert list(first['properties']) == CHANGES
    assert first['properties']['sentence'] == '盖了一栋房子 <&>'
    shell, hole = first['geometry']['coordinates']
    assert shapely.LinearRing(shell).is_ccw and not shapely.LinearRing(hole).is_ccw
    longitude, latitude = np.array(shell).T
    assert longitude.min() >= 15 and longitude.max() < 15.02
    assert latitude.min() > 45.14 and latitude.max() < 45.16
    # Seven decimals are about a centimetre: the corners are those of the map.
    table = geopandas.read_file(tmp_path / 'changes.geojson').to_crs('EPSG:32633')
    assert table.geometry[0].bounds == pytest.approx((500_300, 4_999_400, 501_300, 4_999_800),
                                                     abs=0.02)


def test_geojson_is_cut_at_the_180th_meridian(tmp_path):
    written(tmp_path, ('EPSG:4326', (1e-3, 0.0, 179.95, 0.0, -1e-3, 10.0)))
    table = geopandas.read_file(tmp_path / 'changes.geojson')
    assert table.geometry[0].geom_type == 'MultiPolygon'
    assert sorted(part.bounds[0] for part in table.geometry[0].geoms) == pytest.approx(
        [-180, 179.98])
    assert table.geometry[0].area == pytest.approx(3700e-6)


@pytest.mark.parametrize('changes', [True, False])
def test_geoparquet_holds_the_same_rows(tmp_path, changes):
    pytest.importorskip('pyarrow')
    findings = written(tmp_path, changes=changes).findings
    table = geopandas.read_parquet(tmp_path / 'changes.parquet')
    assert table.columns.tolist() == [*CHANGES, 'geometry'] and table.crs == 'EPSG:32633'
    assert table['pixels'].tolist() == findings.regions['pixels'].tolist()
    assert shapely.equals(table.geometry.values, findings.regions.geometry.values).all()
    import pyarrow.parquet
    kind = pyarrow.parquet.read_schema(tmp_path / 'changes.parquet').field('sentence').type
    assert 'string' in str(kind)  # even where no region has a sentence
    assert len(geopandas.read_parquet(tmp_path / 'sentences.parquet')) == 2


def test_the_style_of_the_map_names_and_colours_classes(tmp_path):
    path = write_style(tmp_path / 'change.qml', map_style(NAMES, COLOURS))
    renderer = ElementTree.parse(path).getroot().find('pipe/rasterrenderer')
    assert renderer.get('type') == 'paletted' and renderer.get('band') == '1'
    assert [(entry.get('value'), entry.get('label'), entry.get('color'), entry.get('alpha'))
            for entry in renderer.find('colorPalette')] == [
        ('0', 'unchanged', '#000000', '0'), ('1', 'building', '#e63c32', '255'),
        ('2', 'road', '#0a0b0c', '255')]


def test_the_style_of_regions_has_a_symbol_per_changed_class():
    root = region_style(NAMES, COLOURS)
    renderer = root.find('renderer-v2')
    assert renderer.get('type') == 'categorizedSymbol'
    symbols = {symbol.get('name'): symbol for symbol in renderer.find('symbols')}
    shown = {category.get('value'): symbols[category.get('symbol')].find(
        "layer/Option/Option[@name='color']").get('value')
        for category in renderer.find('categories')}
    assert shown == {'building': '230,60,50,90', 'road': '10,11,12,90'}
    assert root.get('labelsEnabled') == '1'
    assert '"sentence"' in root.find('mapTip').text
    assert '"sentence"' in sentence_style().find('mapTip').text


def test_names_that_are_no_xml_give_styles_that_are(tmp_path):
    names = {0: 'unchanged', 1: '<"房屋" & \x07>'}
    path = write_style(tmp_path / 'a.qml', region_style(names, COLOURS))
    category, = ElementTree.parse(path).getroot().find('renderer-v2/categories')
    assert category.get('value') == '<"房屋" &  >'
