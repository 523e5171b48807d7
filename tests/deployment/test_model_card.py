"""Figures of a card, and a STAC record that the package of the extension reads."""
import copy
import hashlib
import json
import re
from dataclasses import replace

import pytest
import yaml

from rscc.deployment.model_card import BEGIN, END, ModelDescription, fill_card, stac_item

MODEL = ModelDescription(
    name='my-model', licence='CC-BY-SA-4.0', file='model.safetensors', sha256=64 * 'a', size=123456,
    architecture='EfficientNet-Lite0', parameters=4_100_000,
    heads=('change_head', 'caption_head', 'flag_head'), config='rscc_small', half=True,
    classes=('unchanged', 'building', 'parking lot', '水体'),
    palette=((0, 0, 0), (255, 0, 10), (1, 2, 3)), languages=('en', 'zh'), threshold=0.5,
    normalisation=dict(mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.1], source='ImageNet'),
    ground_resolution=0.5, bands=3, window=(256, 256), resized=(128, 128), dates=2, rendered=False,
    started_from='package:efficientnet-lite0')
SINGLE = replace(MODEL, heads=('caption_head', ), classes=(), palette=(), normalisation=None,
                 ground_resolution=None, bands=4, window=None, resized=None, dates=1, rendered=True,
                 started_from='random weights', languages=('en', ))


def test_a_card_keeps_what_stands_around_the_figures(tmp_path):
    card = tmp_path / 'README.md'
    card.write_text(f'# Mine\n\nbefore\n{BEGIN}\nold figures\n{END}\nafter\n')
    filled = fill_card(card, MODEL)
    assert f'---\n\n# Mine\n\nbefore\n{BEGIN}\n| | |\n' in filled
    assert filled.endswith(f'\n{END}\nafter\n')
    assert 'old figures' not in filled
    for row in (f'| SHA-256 | `{MODEL.sha256}` |', '| classes | 0 unchanged, 1 building, 2 parking '
                'lot, 3 水体 |', '| ground resolution | 0.5 m a pixel in training |',
                '| languages | English, Chinese |', '| licence of the weights | CC-BY-SA-4.0 |',
                '| architecture | EfficientNet-Lite0, 4.10 M parameters |',
                '| file | `model.safetensors`, 0.1 MB, 16-bit floating point |',
                '| normalisation | mean (0.5, 0.4, 0.3), standard deviation (0.2, 0.2, 0.1) of '
                'values from 0 to 1 |', '| encoder started from | package:efficientnet-lite0 |'):
        assert row in filled
    card.write_text(filled)
    assert fill_card(card, MODEL) == filled


def test_what_a_model_lacks_has_no_row(tmp_path):
    card = fill_card(tmp_path / 'README.md', SINGLE)
    assert f'---\n\n# my-model\n\n{BEGIN}\n' in card
    assert '| training images | rendered only |' in card
    assert 'one image, bands red, green, blue, band-4 |' in card
    assert not any(name in card for name in ('classes', 'normalisation', 'ground resolution'))


def front(card):
    return yaml.safe_load(card.split('---\n')[1])


def test_the_hub_reads_the_front_matter(tmp_path):
    hub = pytest.importorskip('huggingface_hub')
    model = replace(MODEL, metrics={'F1_changed': 0.8}, datasets=('me/pairs', ))
    card = hub.ModelCard(fill_card(tmp_path / 'README.md', model))
    told = card.data
    assert (told.license, told.library_name, told.pipeline_tag) == (
        'cc-by-sa-4.0', 'rscc', 'image-segmentation')
    assert told.tags == ['remote-sensing', 'change-detection', 'change-captioning']
    assert (told.language, told.datasets, told.metrics) == (
        ['en', 'zh'], ['me/pairs'], ['F1_changed'])
    result, = told.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_name) == (
        'F1_changed', 0.8, 'me/pairs')
    assert card.text.lstrip().startswith('# my-model')


def test_front_matter_keeps_entries_of_the_user_and_says_nothing_that_is_not_known(tmp_path):
    path = tmp_path / 'README.md'
    path.write_text(f'---\nlicense: mit\nthumbnail: a.png\n---\n\n# Mine\n{BEGIN}{END}\n')
    told = front(fill_card(path, replace(SINGLE, licence='etalab-2.0')))
    assert told == dict(license='other', license_name='etalab-2.0', thumbnail='a.png',
                        library_name='rscc', pipeline_tag='image-to-text', language=['en'],
                        tags=['remote-sensing', 'image-captioning'])


@pytest.mark.parametrize(('text', 'message'), [
    ('a: [', 'is not valid YAML'), ('- a', "is list; entries such as 'license: mit' were")])
def test_front_matter_that_is_none_is_refused(tmp_path, text, message):
    (tmp_path / 'README.md').write_text(f'---\n{text}\n---\n{BEGIN}{END}')
    with pytest.raises(ValueError, match=f'the front matter of .* {message}'):
        fill_card(tmp_path / 'README.md', MODEL)


@pytest.mark.parametrize('text', ['no marks', f'{BEGIN} only', f'{END} {BEGIN}',
                                  f'{BEGIN}{END}{BEGIN}{END}'])
def test_a_card_without_a_place_for_the_figures_is_refused(tmp_path, text):
    (tmp_path / 'README.md').write_text(text)
    with pytest.raises(ValueError, match=r'README\.md. needs the marks .<!-- figures -->. and'):
        fill_card(tmp_path / 'README.md', MODEL)


SEMANTIC = replace(MODEL, classes=('unchanged', 'changed'), date_classes=('water', 'tree'),
                   started_from=None, date_palette=((0, 0, 255), (0, 128, 0)))


def test_changes_within_a_class_count_as_transitions_where_a_model_knows_them(tmp_path):
    assert '| transitions | 4 from a class of the earlier date to one of the later date, changes ' \
        'within a class among them;' in fill_card(tmp_path / 'README.md', SEMANTIC)


@pytest.mark.parametrize('model', [MODEL, SINGLE, SEMANTIC])
def test_the_package_of_the_extension_reads_the_record(model):
    pystac = pytest.importorskip('pystac')
    schema = pytest.importorskip('stac_model.schema')
    from pystac.validation import validate_dict
    record = stac_item(model)
    # The schemas of the core come with the package, those of extensions lie in the web.
    assert validate_dict(copy.deepcopy(record), extensions=[])
    item = pystac.Item.from_dict(copy.deepcopy(record))
    schema.MLModelExtension.ext(item)  # raises unless the record names this version
    told = schema.MLModelProperties(**item.properties)
    assert told.name == model.name and told.total_parameters == model.parameters
    assert told.input[0].input.shape[1:3] == [model.dates, model.bands]
    assert {band['name'] for band in item.properties['bands']} == set(told.input[0].bands)
    tasks = dict(change_head='semantic-segmentation', caption_head='image-captioning',
                 flag_head='scene-classification')
    assert told.tasks == {tasks[head] for head in model.heads}
    assert told.output[0].name == (
        'change map' if 'change_head' in model.heads else 'sentences')


def test_the_record_tells_what_a_catalogue_asks_for():
    record = stac_item(MODEL)
    told, asset = record['properties'], record['assets']['model']
    assert told['license'] == 'CC-BY-SA-4.0' and record['bbox'] == [-180, -90, 180, 90]
    assert asset['file:checksum'] == f'1220{MODEL.sha256}' and asset['file:size'] == MODEL.size
    assert 'mlm:model' in asset['roles'] and asset['href'] == './model.safetensors'
    assert told['bands'][0] == {'name': 'red', 'data_type': 'uint8', 'eo:common_name': 'red',
                                'raster:spatial_resolution': 0.5}
    classes = told['mlm:output'][0]['classification:classes']
    assert classes[1] == {'value': 1, 'name': 'building', 'description': 'building',
                          'color_hint': 'FF000A'}
    assert [one['name'] for one in classes] == ['unchanged', 'building', 'parking-lot', 'class-3']
    # (v - 255 mean) / (255 std) of 8 bits is (v / 255 - mean) / std.
    scaling = told['mlm:input'][0]['value_scaling']
    assert scaling[0] == {'type': 'z-score', 'mean': 127.5, 'stddev': 51.0} and len(scaling) == 3
    assert told['mlm:pretrained_source'] == 'package:efficientnet-lite0'
    assert stac_item(SINGLE)['properties']['mlm:pretrained'] is False


def test_cards_and_records_of_what_comes_with_the_package_are_those_of_its_files(repo):
    found = sorted((repo / 'rscc/weights').glob('*/model.safetensors'))
    assert repo / 'rscc/weights/rscc_small/model.safetensors' in found
    for weights in found:
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        record = json.loads((weights.parent / 'stac_item.json').read_text())['assets']['model']
        assert (record['file:checksum'], record['file:size']) == (
            f'1220{digest}', weights.stat().st_size)
        card = (weights.parent / 'README.md').read_text()
        assert re.findall(r'SHA-256 \| `([0-9a-f]+)`', card) == [digest]
