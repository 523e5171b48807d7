import json

import pytest

from rscc.scenes.preparation import ScenePair
from rscc.scenes.scene_lists import read_scenes


@pytest.fixture
def listed(tmp_path):
    """Write a list and read it."""
    def read(text, name='list.csv', **options):
        path = tmp_path / name
        path.write_text(text, encoding='utf-8')
        return read_scenes(path, **options)
    return read


def item(name, time=None, place='T31UFT', assets=None, **properties):
    properties |= {key: value for key, value in (('datetime', time), ('grid:code', place)) if value}
    return dict(type='Feature', stac_version='1.0.0', id=name, geometry=None, links=[],
                properties=properties, assets=assets or {
                    'visual': {'href': f'./{name}/TCI.tif'}, 'B04': {'href': f'{name}/B04.tif'}})


def written(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


# Tables

def test_paths_of_a_csv_count_from_its_folder(listed, tmp_path):
    scenes = listed('name,from,to\n'
                    'delft,2018/delft.tif,2024/delft.tif\n'
                    'gouda,/data/a.tif,s3://bucket/b.tif\n'
                    'leiden,/vsicurl/https://x/a.tif,"with, comma.tif"\n')
    assert scenes == [
        ScenePair('delft', str(tmp_path / '2018/delft.tif'), str(tmp_path / '2024/delft.tif')),
        ScenePair('gouda', '/data/a.tif', 's3://bucket/b.tif'),
        ScenePair('leiden', '/vsicurl/https://x/a.tif', str(tmp_path / 'with, comma.tif'))]


def test_columns_may_stand_in_any_order_with_others_between(listed, tmp_path):
    scenes = listed('to, year ,name,from\r\nb.tif,2024,x, a.tif \r\n\r\n')
    assert scenes == [ScenePair('x', str(tmp_path / 'a.tif'), str(tmp_path / 'b.tif'))]


def test_single_images_need_no_later_date(listed, tmp_path):
    assert listed('name,from\nx,a.tif\n') == [ScenePair('x', str(tmp_path / 'a.tif'))]
    assert listed('name,from,to\nx,a.tif,\n') == [ScenePair('x', str(tmp_path / 'a.tif'))]


def test_names_become_names_of_folders(listed):
    (scene,) = listed('name,from,to\n../den haag,a.tif,b.tif\n')
    assert '/' not in scene.name and ' ' not in scene.name and 'den_haag' in scene.name


@pytest.mark.parametrize(('text', 'said'), [
    ('nmae,from,to\nx,a,b\n', r"no column 'name'.*found \['nmae'.* 'nmae': Did you mean 'name'"),
    ('name,form,to\nx,a,b\n', r"no column 'from'.* 'form': Did you mean 'from'"),
    ('name,from,too\nx,a,b\n', r"no column 'to': .*'too': Did you mean 'to'"),
    ('x,a.tif,b.tif\n', r"no column 'name': it needs the columns name, from, to, named in"),
    ('name,from,from\nx,a,b\n', r"several columns 'from'"),
    ('name,from,to\nx,a,b\ny,a\n', r'line 3: 2 cells under 3 columns'),
    ('name,from,to\nx,a,b,c\n', r'line 2: 4 cells under 3 columns.*double quotes'),
    ('name,from,to\nx,a,b\n\n,a,b\n', r"line 4: 'name' is empty"),
    ('name,from,to\nx,,b\n', r"line 2: 'from' is empty"),
    ('name,from,to\nx,a,b\ny,a,b\nx,a,b\n', r"line 4: the name 'x' is that of line 2"),
    ('name,from,to\nx,"a,b\n', r'line 2: unexpected end of data'),
    ('name,from,to\n', 'lists no scene'), ('', r"no column 'name'"),
])
def test_a_wrong_csv_is_told_by_file_and_line(listed, text, said):
    with pytest.raises(ValueError, match=rf"list\.csv'.*{said}"):
        listed(text)


def test_a_missing_list_and_other_files_are_told(listed, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no list of scenes at '.*gone\.csv'"):
        read_scenes(tmp_path / 'gone.csv')
    with pytest.raises(ValueError, match=r"ends in '\.xlsx': a list of scenes is a \.csv"):
        listed('', 'list.xlsx')
    (tmp_path / 'latin.csv').write_bytes('name,from,to\nMünchen,a,b\n'.encode('latin-1'))
    with pytest.raises(ValueError, match=r'latin\.csv.*not UTF-8.*line 2'):
        read_scenes(tmp_path / 'latin.csv')


def test_parquet_is_read_like_csv(tmp_path):
    pandas, path = pytest.importorskip('pandas'), tmp_path / 'list.parquet'
    pytest.importorskip('pyarrow')
    table = pandas.DataFrame({'name': ['x', 'y'], 'from': ['a.tif', '/a'], 'to': ['b.tif', None],
                              'year': [1, 2]})
    table.to_parquet(path)
    assert read_scenes(path) == [
        ScenePair('x', str(tmp_path / 'a.tif'), str(tmp_path / 'b.tif')), ScenePair('y', '/a')]
    table.rename(columns={'from': 'form'}).to_parquet(path)
    with pytest.raises(ValueError, match=r"list\.parquet' has no .*'form': Did you mean 'from'"):
        read_scenes(path)
    table.assign(name=['x', 'x']).to_parquet(path)
    with pytest.raises(ValueError, match="row 2: the name 'x' is that of row 1"):
        read_scenes(path)
    table.assign(name=[1, 2]).to_parquet(path)
    with pytest.raises(ValueError, match="row 1: 'name' is 1; text was expected"):
        read_scenes(path)
    path.write_text('no parquet')
    with pytest.raises(ValueError, match=r"list\.parquet' cannot be read as Parquet"):
        read_scenes(path)


def test_geoparquet_is_read_without_its_geometry(tmp_path):
    geopandas = pytest.importorskip('geopandas')
    from shapely import box
    table = geopandas.GeoDataFrame({'name': ['x'], 'from': ['a.tif'], 'to': ['b.tif']},
                                   geometry=[box(0, 0, 1, 1)], crs=4326)
    table.to_parquet(tmp_path / 'list.geoparquet')
    (scene,) = read_scenes(tmp_path / 'list.geoparquet')
    assert scene == ScenePair('x', str(tmp_path / 'a.tif'), str(tmp_path / 'b.tif'))


# STAC

def test_items_with_both_dates_are_scenes(tmp_path):
    assets = {'from': {'href': '../2018/x.tif'}, 'to': {'href': 'https://host/x.tif'}}
    path = written(tmp_path / 'items/all.json', dict(
        type='FeatureCollection', features=[item('x', assets=assets)]))
    assert read_scenes(path) == [ScenePair('x', str(tmp_path / 'items/../2018/x.tif'),
                                           'https://host/x.tif')]
    assert read_scenes(written(path, item('x', assets=assets)))[0].name == 'x'


def test_items_of_one_place_are_a_pair_of_its_first_and_last_date(tmp_path):
    places = dict(S1=dict(place='MGRS-31UFT'), S2=dict(place='MGRS-31UGT'))
    for number, (name, time, place) in enumerate([
            ('b', '2021-05-01T10:00:00Z', 'S1'), ('c', '2024-06-01T12:00:00.123+02:00', 'S1'),
            ('a', '2019-04-01T10:00:00Z', 'S1'), ('d', '2020-01-01T10:00:00', 'S2'),
            ('e', '2022-01-01T10:00:00Z', 'S2')]):
        written(tmp_path / f'{number}/{name}.json', item(name, time, **places[place]))
    written(tmp_path / 'catalog.json', dict(type='Catalog', id='all', links=[]))
    scenes = read_scenes(tmp_path)
    assert scenes == [
        ScenePair('MGRS-31UFT', str(tmp_path / '2/a/TCI.tif'), str(tmp_path / '1/c/TCI.tif')),
        ScenePair('MGRS-31UGT', str(tmp_path / '3/d/TCI.tif'), str(tmp_path / '4/e/TCI.tif'))]
    assert read_scenes(tmp_path, 'B04')[0].img_from == str(tmp_path / '2/a/B04.tif')


@pytest.mark.parametrize(('properties', 'name'), [
    ({'s2:mgrs_tile': '31UFT'}, '31UFT'),
    ({'mgrs:utm_zone': 31, 'mgrs:latitude_band': 'U', 'mgrs:grid_square': 'FT'}, '31_U_FT'),
    ({'landsat:wrs_path': '198', 'landsat:wrs_row': '024'}, '198_024')])
def test_other_properties_name_a_place_too(tmp_path, properties, name):
    items = [item('a', '2019-04-01T10:00:00Z', None, **properties),
             item('b', None, None, start_datetime='2020-04-01T10:00:00Z', datetime=None,
                  **properties)]
    (scene,) = read_scenes(written(tmp_path / 'all.json',
                                   dict(type='FeatureCollection', features=items)))
    assert scene.name == name and scene.img_to.endswith('b/TCI.tif')


@pytest.mark.parametrize(('items', 'said'), [
    ([item('a', '2019-04-01T10:00:00Z')], "item 'a': there is no other date of the place T31UFT"),
    ([item('a', '2019-04-01T10:00:00Z')] * 2, 'there is no other date of the place T31UFT'),
    ([item('a', '2019-04-01T10:00:00Z', None)], "item 'a' has no assets 'from' and 'to', and none"),
    ([item('a', 'spring'), item('b', '2019-04-01T10:00:00Z')],
     r"item 'a': its datetime is 'spring'; a time such as"),
    ([item('a'), item('b', '2019-04-01T10:00:00Z')], "item 'a': its datetime is None"),
    ([item('a', '2019-04-01T10:00:00Z', assets={'Visual': {'href': 'x'}, 'B04': {}}),
      item('b', '2020-04-01T10:00:00Z')],
     r"item 'a' has no asset 'visual'; it has: Visual, B04\. Did you mean 'Visual'\? --asset"),
    ([item('a', assets={'from': {}, 'to': {'href': 'x'}})], "'a': the asset 'from' has no href"),
    ([item('a', assets={'from': {'href': 'x'}, 'to': {'href': 'x'}})] * 2,
     "several scenes are called 'a'"),
    ([item('', assets={'from': {'href': 'x'}, 'to': {'href': 'x'}})], 'the id of an item is text'),
    (['a'], "'features' is no list of items"), ([], 'lists no scene'),
])
def test_wrong_items_are_told_by_file_and_item(tmp_path, items, said):
    path = written(tmp_path / 'all.json', dict(type='FeatureCollection', features=items))
    with pytest.raises(ValueError, match=rf"all\.json'.*{said}"):
        read_scenes(path)


def test_other_json_files_are_refused(listed, tmp_path):
    with pytest.raises(ValueError, match=r'no STAC item or collection of items: its type is None'):
        listed('{}', 'list.json')
    with pytest.raises(ValueError, match='is not valid JSON'):
        listed('{', 'list.json')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match=r"empty' lists no scene"):
        read_scenes(tmp_path / 'empty')
