"""Sentences of a CSV file and their tiles."""
import pytest

shapely = pytest.importorskip('shapely')
pytest.importorskip('pyproj')

from rscc.scenes.contracts import SceneGrid  # noqa: E402
from rscc.scenes.tile_sentences import annotation_files, read_sentences, vocabulary  # noqa: E402

GRID = SceneGrid(200, 100, 'EPSG:32633', (1, 0, 0, 0, -1, 100))
TILES = {'town_1_1': shapely.box(500000, 0, 500100, 100),
         'town_2_1': shapely.box(500100, 0, 500200, 100)}


def read(tmp_path, text, **options):
    (tmp_path / 'c.csv').write_text(text, encoding='utf-8')
    return read_sentences(tmp_path / 'c.csv', TILES, GRID, **options)


def plain(found):
    return {name: {language: list(texts) for language, texts in by.items()}
            for name, by in found.by_tile.items()}


def test_points_geometries_and_names_find_their_tiles(tmp_path):
    found = read(tmp_path, 'x,y,language,sentence\n500010,50,en,A house.\n500150,5,zh,建了房子\n')
    assert plain(found) == {'town_1_1': {'en': ['A house.']}, 'town_2_1': {'zh': ['建了房子']}}
    found = read(tmp_path, 'Sentence,WKT\n"A house, new","POLYGON((500060 0,500120 0,500120 9,'
                           '500060 9,500060 0))"\na road,"LINESTRING(500090 5,500190 5)"\n')
    assert plain(found) == {'town_1_1': {'en': ['A house, new']}, 'town_2_1': {'en': ['a road']}}
    found = read(tmp_path, 'tile,caption\ntown_2_1.png,a road\nimages/train/A/town_1_1,a house\n')
    assert set(found.by_tile) == set(TILES) and found.matched == 2


def test_places_in_degrees_are_brought_to_the_scene(tmp_path):
    found = read(tmp_path, 'lon,lat,sentence\n15.00045,0.00045,a house\n', crs='EPSG:4326')
    assert list(found.by_tile) == ['town_1_1']
    with pytest.raises(ValueError, match="'EPSG:1' of the captions is not known"):
        read(tmp_path, 'lon,lat,sentence\n15,0,a house\n', crs='EPSG:1')


def test_rows_that_cannot_be_used_are_counted_with_their_lines(tmp_path):
    found = read(tmp_path, 'geometry,language,sentence\n"POINT(500010 5)",en,a house\n'
                 '"POINT(9 9)",en,a house\nPOLYGON,en,a house\n"POINT(500010 5)",fr,une maison\n'
                 '"POINT(500010 5)",en,...\n"POINT(500010 5)"\n'
                 '"POLYGON((0 0,600000 0,600000 99,0 99,0 0))",en,a town\n')
    assert found.matched == 1 and sum(found.unmatched.values()) == 6
    assert found.unmatched['no tile of the dataset lies there'] == 1
    assert found.unmatched['no tile holds half of its geometry'] == 1
    assert found.unmatched['its geometry is no WKT'] == 1
    assert found.unmatched['the sentence holds no word'] == 1
    assert found.unmatched['too few cells'] == 1
    assert any("unknown language 'fr'" in reason for reason in found.unmatched)
    assert found.examples[0] == 'line 3: no tile of the dataset lies there'


@pytest.mark.parametrize(('text', 'words'), [
    ('tile,sentnce\na,b\n', "columns tile, sentnce; expected .*Did you mean 'sentnce'"),
    ('x,sentence\n1,b\n', 'one of geometry'),
    ('', 'columns none'),
    ('tile,sentence\ntown_9_9,a house\n', r"no sentence of .* \(1 rows\); line 2: no tile 'town_9"),
])
def test_files_that_place_nothing_are_refused(tmp_path, text, words):
    with pytest.raises(ValueError, match=words):
        read(tmp_path, text)


def test_annotations_have_the_layout_of_levir_cc(tmp_path):
    found = read(tmp_path, 'tile,language,sentence\ntown_1_1,en,A house is built .\n'
                           'town_1_1,en,there is a house\ntown_1_1,zh,建了房子\n')
    files = annotation_files(found, {'town_1_1': 'train', 'town_2_1': 'val'},
                             {'town_1_1': True, 'town_2_1': False}, '.png')
    assert list(files) == ['LevirCCcaptions.json']
    first, second = files['LevirCCcaptions.json']['images']
    assert first['filename'] == 'town_1_1.png' and first['changeflag'] == 1
    assert [entry['raw_chinese'] for entry in first['sentences']] == ['建了房子', '建了房子']
    assert first['sentences'][0]['tokens'] == ['a', 'house', 'is', 'built']
    assert len(second['sentences']) == 5 and second['sentences'][0]['raw'] == (
        'there is no difference')
    assert second['sentids'] == [2, 3, 4, 5, 6]
    assert vocabulary(files['LevirCCcaptions.json'], 'en')[:3] == ['a', 'house', 'is']


def test_tiles_of_one_language_are_listed_in_its_own_file(tmp_path):
    found = read(tmp_path, 'tile,language,sentence\ntown_1_1,en,a house\ntown_1_1,zh,房子\n'
                           'town_2_1,en,a road\n')
    files = annotation_files(found, dict.fromkeys(TILES, 'train'), dict.fromkeys(TILES, True),
                             '.png')
    assert {name: len(content['images']) for name, content in files.items()} == {
        'LevirCCcaptions.json': 1, 'LevirCCcaptions_en.json': 2, 'LevirCCcaptions_zh.json': 1}
