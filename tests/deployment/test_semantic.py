"""Models of semantic change answer alike as checkpoint and as export, window by window."""
import json

import numpy as np
import pytest
import tiny_models as tiny
from fake_scenes import pictures, write_tiff

from rscc.apis import ChangeInferencer, interpret_scene
from rscc.deployment.metadata import Preparation, Record
from rscc.scenes.torch_predictor import TorchPredictor
from rscc.scenes.transitions import SemanticClasses

NAMES = ('none', 'water', 'farmland', 'building')
PALETTE = [[0, 0, 0], [0, 0, 200], [200, 200, 0], [200, 0, 0]]


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp('semantic') / 'semantic.pth', tiny.SEMANTIC,
                     classes=('unchanged', 'changed'), semantic_classes=NAMES,
                     semantic_palette=PALETTE)


def test_the_checkpoint_tells_the_classes_of_a_date(checkpoint):
    semantic = TorchPredictor.load(None, checkpoint, 'cpu').facts.semantic
    assert semantic.names == NAMES[1:] and semantic.same_class is False
    assert [list(colour) for colour in semantic.colours[1:]] == PALETTE[1:]


def test_a_model_whose_data_have_no_names_numbers_its_classes(tmp_path):
    nameless = tiny.save(tmp_path / 'nameless.pth', tiny.SEMANTIC)
    facts = TorchPredictor.load(None, nameless, 'cpu').facts
    assert facts.semantic.names == ('class 1', 'class 2', 'class 3')
    assert facts.map_classes[6] == 'class 2 → class 3'
    other = tiny.save(tmp_path / 'joint.pth', tiny.JOINT)
    assert TorchPredictor.load(None, other, 'cpu').facts.semantic is None


def test_windows_have_the_probabilities_of_both_dates(checkpoint):
    answer, = TorchPredictor.load(None, checkpoint, 'cpu').predict(
        tiny.windows(1, 64, 64), ['never'])
    assert answer.class_probabilities.shape == (2, 3, 64, 64)
    np.testing.assert_allclose(answer.class_probabilities.sum(1), 1, atol=1e-5)


def test_a_scene_has_the_maps_of_an_image(checkpoint, tmp_path):
    rasterio = pytest.importorskip('rasterio')
    pytest.importorskip('geopandas')
    pair = [write_tiff(tmp_path / f'{name}.tif', pixels)
            for name, pixels in zip(('before', 'after'), pictures(150, 200), strict=True)]
    interpret_scene(None, *pair, tmp_path / 'out', checkpoint=checkpoint, device='cpu', window=64,
                    overlap=16, say=lambda text: None)
    whole = ChangeInferencer(None, checkpoint, 'cpu', window=64, overlap=16)(*pair)
    found = {}
    for name in ('change', 'classes_from', 'classes_to'):
        with rasterio.open(tmp_path / f'out/{name}.tif') as file:
            found[name] = file.read(1)
    assert np.array_equal(found['change'] != 0, whole.mask != 0) and whole.mask.any()
    differ = found['classes_from'] != found['classes_to']
    assert np.array_equal(differ, whole.mask != 0)  # this model has no change within a class
    summary = json.loads((tmp_path / 'out/summary.json').read_text())
    assert all(row['from'] != row['to'] for row in summary['transitions'])


def test_an_export_answers_as_the_checkpoint(checkpoint, tmp_path):
    pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    from rscc.deployment.export import ExportOptions, export_onnx
    from rscc.deployment.onnx_predictor import OnnxPredictor
    done = export_onnx(None, checkpoint, tmp_path / 'semantic.onnx', ExportOptions())
    predictor, windows = OnnxPredictor(done.files[0]), tiny.windows(2, 64, 64)
    ours = TorchPredictor.load(None, checkpoint, 'cpu')
    assert predictor.facts.semantic.names == ours.facts.semantic.names
    for theirs, own in zip(predictor.predict(windows, ['never'] * 2),
                           ours.predict(windows, ['never'] * 2), strict=True):
        np.testing.assert_allclose(theirs.probabilities, own.probabilities, atol=1e-4)
        np.testing.assert_allclose(theirs.class_probabilities, own.class_probabilities, atol=1e-4)


def test_the_record_of_an_export_keeps_the_classes(checkpoint):
    facts = TorchPredictor.load(None, checkpoint, 'cpu').facts
    again = Record.from_json(Record(facts, Preparation()).to_json(), 'a file').facts
    assert isinstance(again.semantic, SemanticClasses)
    assert again.semantic.transitions == facts.semantic.transitions
    assert again.semantic.colours == facts.semantic.colours
