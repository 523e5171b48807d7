import json

import pytest

from rscc.deployment.greedy import GreedyRules
from rscc.deployment.metadata import CaptionRecord, Preparation, Record, plugin_metadata
from rscc.scenes.contracts import ModelFacts
from rscc.text.detokenizer import Detokenizer

FACTS = ModelFacts(window=(256, 192), overlap=(64, 48), heads=('change_head', 'caption_head'),
                   classes=('unchanged', 'built'), palette=((0, 0, 0), (250, 0, 0)), threshold=0.4,
                   language='zh', no_change_captions=('没有变化', ), bands=(4, 3, 2),
                   scale=(0.0, 3000.0), ground_resolution=0.5, rendered=True, weights='a.pth',
                   weights_hash='12', config='b.py')
RECORD = Record(
    FACTS, Preparation((((128, 96), False), ), (0.1, 0.2, 0.3), (0.5, 0.5, 0.5), 32),
    CaptionRecord(GreedyRules((2, ), (2, ), (3, )), Detokenizer('words', ('a', None), 1)))


def test_a_record_survives_its_file():
    assert Record.from_json(RECORD.to_json(), 'x') == RECORD
    detector = Record(ModelFacts(palette=None, scale='percentile'), Preparation())
    assert Record.from_json(detector.to_json(), 'x') == detector
    assert '没有变化' in RECORD.to_json()


@pytest.mark.parametrize(('change', 'message'), [
    (dict(format=2), r'in format 2 and this rscc .* reads format 1: update rscc'),
    (dict(opset='18'), 'opset is a string'),
    (dict(facts=dict(json.loads(RECORD.to_json())['facts'], window=[1])), 'facts: window'),
    (dict(preparation=dict(resize=[], mean=[1.0], std=[1.0, 1.0, 1.0], size_divisor=1)),
     'preparation: mean'),
    (dict(caption=dict(rules={}, detokenizer={})), "the decoding rules of 'f' lacks 'first_ids'"),
])
def test_a_record_of_another_form_is_refused_by_its_place(change, message):
    text = json.dumps(json.loads(RECORD.to_json()) | change)
    with pytest.raises(ValueError, match=message):
        Record.from_json(text, "'f'")


def test_a_damaged_record_is_refused():
    with pytest.raises(ValueError, match=r"the record 'rscc' of 'f' is damaged .*export the model"):
        Record.from_json('{', "'f'")


def test_sizes_are_filled_up_to_the_divisor():
    preparation = Preparation((((100, 60), False), ), size_divisor=32)
    assert preparation.fixed_size == (128, 64) and preparation.filled(64, 65) == (64, 96)
    assert Preparation().fixed_size is None
    assert Preparation((((100, 60), True), )).fixed_size is None


def test_what_qgis_plugins_read_counts_in_centimetres_of_the_graphs_pixels():
    values = {key: json.loads(value) for key, value in plugin_metadata(FACTS, 128, 2).items()}
    assert values == {'model_type': 'Segmentor', 'class_names': {'0': 'unchanged', '1': 'built'},
                      'tile_size': 128, 'seg_thresh': 0.4, 'tiles_overlap': 25, 'resolution': 100.0}
    single = plugin_metadata(FACTS, 128, 1)
    assert json.loads(single['class_names']) == {'0': 'built'}
    unknown = plugin_metadata(ModelFacts(), 64, 3)
    assert json.loads(unknown['class_names']) == {'0': 'unchanged', '1': 'class 1', '2': 'class 2'}
    assert 'resolution' not in unknown and 'tiles_overlap' not in unknown
    assert json.loads(plugin_metadata(ModelFacts(), 64, 1)['class_names']) == {'0': 'changed'}
