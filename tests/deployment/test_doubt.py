"""The doubt about an answer is the same on every route, and travels with the weights."""
import json
from dataclasses import replace

import numpy as np
import pytest
import tiny_models as tiny
import torch

from rscc.apis import ChangeInferencer
from rscc.deployment import publishing
from rscc.deployment.publishing import PublishOptions, publish
from rscc.engine.checkpoint import read_checkpoint
from rscc.evaluation.calibration import Calibration
from rscc.inference.calibrating import write_copy
from rscc.inference.loading import load_model
from rscc.inference.result import describe
from rscc.models.novelty import FeatureDistance, pooled_vectors
from rscc.scenes.contracts import Block
from rscc.scenes.model_pass import BlockPass, PassOptions
from rscc.scenes.torch_predictor import TorchPredictor

CLASSES = ('unchanged', 'building', 'road')
CALIBRATION = Calibration(
    {'sentence_flag': 2.0, 'sentence_map/denied': 1.0, 'score': 1.0, 'novelty': 3.0},
    {'sentence_flag': 0.2, 'sentence_map/denied': 0.1, 'score': 0.3, 'novelty': 0.0},
    {'score': 0.5}, -0.5, 0.5, 100, 0.3)


@pytest.fixture(scope='module')
def calibrated(tmp_path_factory):
    """A checkpoint with map, flag and sentences, and the same with statistic and calibration."""
    folder = tmp_path_factory.mktemp('doubt')
    plain = tiny.save(folder / 'plain.pth', tiny.JOINT, classes=CLASSES, ground_resolution=0.5)
    model = load_model(None, plain, torch.device('cpu'), fuse_conv_bn=False).model
    frames = np.stack([np.stack(dates) for dates in tiny.windows(40, 64, 64)])
    pixels = torch.from_numpy(frames).permute(0, 1, 4, 2, 3).contiguous()
    with torch.inference_mode():
        vectors = pooled_vectors(model.encoder(
            model.data_preprocessor(dict(inputs=list(pixels)))['inputs']))
    made = folder / 'made.pth'
    write_copy(plain, made, FeatureDistance.fit(vectors.flatten(0, 1)),
               {'en': CALIBRATION.to_dict()})
    return plain, made


def bright():
    """A pair unlike any of the training: even brightness."""
    return [np.full((64, 64, 3), value, np.uint8) for value in (250, 255)]


def test_a_copy_keeps_everything_else(calibrated):
    plain, made = map(read_checkpoint, calibrated)
    assert all(torch.equal(value, made['state_dict'][key])
               for key, value in plain['state_dict'].items())
    assert plain['state_dict'].keys() == made['state_dict'].keys()
    assert set(made['meta']) - set(plain['meta']) == {'novelty', 'doubt'}


def test_languages_are_added_one_after_the_other(calibrated, tmp_path):
    write_copy(calibrated[1], tmp_path / 'b.pth', None, {'zh': CALIBRATION.to_dict()})
    meta = read_checkpoint(tmp_path / 'b.pth')['meta']
    assert set(meta['doubt']) == {'en', 'zh'}
    assert meta['novelty'] == read_checkpoint(calibrated[1])['meta']['novelty']


def test_weights_without_calibration_give_reasons_alone(calibrated):
    result = ChangeInferencer(str(calibrated[0]), device='cpu')(*tiny.windows(1, 64, 64)[0])
    assert result.doubt.value is None and result.doubt.sure is None
    assert 'sentence_flag' in result.doubt.inputs and 'novelty' not in result.doubt.inputs
    assert result.to_dict()['doubt']['value'] is None


def test_an_answer_has_its_doubt_in_json_text_and_picture(calibrated, tmp_path):
    inferencer = ChangeInferencer(str(calibrated[1]), device='cpu')
    usual, odd = inferencer(*tiny.windows(1, 64, 64)[0]), inferencer(*bright())
    assert 0 < usual.doubt.value < 1 and usual.doubt.inputs['distance'] < 0.6
    assert odd.doubt.inputs['novelty'] > 0.5
    assert 'novelty' in [reason.name for reason in odd.doubt.reasons]
    odd.save(tmp_path, 'x')
    stored = json.loads((tmp_path / 'x.json').read_text())['doubt']
    assert stored['value'] == pytest.approx(odd.doubt.value, abs=1e-4)
    assert {reason['name'] for reason in stored['reasons']} == {
        reason.name for reason in odd.doubt.reasons}
    lines = [line for line in describe(odd).splitlines() if line.startswith('doubt')]
    assert lines and lines[0].endswith(stored['texts']['en']) and ' % ' not in stored['texts']['zh']
    assert 'unlike those of the training' in describe(odd)
    assert odd.panel().shape[0] > replace(odd, doubts={}).panel().shape[0]  # it is written
    plain = ChangeInferencer(str(calibrated[0]), device='cpu')(*bright())
    assert 'not calibrated' in describe(plain)
    assert plain.to_dict()['doubt']['grade'] == 'uncalibrated'


def test_windows_answered_together_or_alone_have_the_same_doubt(calibrated):
    inferencer = ChangeInferencer(str(calibrated[1]), device='cpu')
    pairs = tiny.windows(3, 64, 64, seed=5)
    together = inferencer([a for a, _ in pairs], [b for _, b in pairs])
    for pair, result in zip(pairs, together, strict=True):
        assert inferencer(*pair).doubt.value == pytest.approx(result.doubt.value, abs=1e-4)


def test_an_image_in_several_windows_has_one_doubt(calibrated):
    frames = [np.tile(frame, (2, 3, 1)) for frame in tiny.windows(1, 64, 64)[0]]
    result = ChangeInferencer(str(calibrated[1]), device='cpu')(*frames)
    assert len(result.windows) > 1 and 0 < result.doubt.value < 1
    assert not {'sentence_map/place', 'sentence_map/count'} & set(result.doubt.inputs)


class Whole:
    """Bands of a block that one window takes whole."""
    gaps = ()

    def __init__(self, frames):
        self.frames = frames

    def rows(self, first, end):
        part = [frame[first:end] for frame in self.frames]
        return part, np.ones(part[0].shape[:2], bool)


def in_scene(predictor, frames, resolution=0.5):
    box = (0, 0, 64, 64)
    block = Block('s', 0, box, box, resolution=resolution)
    answer = BlockPass(block, None, Whole(frames), predictor, PassOptions(sample_every=1)).run()
    return answer.sentences[0].doubt


def test_scenes_doubt_as_pairs_do(calibrated):
    inferencer = ChangeInferencer(str(calibrated[1]), device='cpu')
    for frames in (tiny.windows(1, 64, 64)[0], bright()):
        expected = inferencer(*frames).doubt
        found = in_scene(TorchPredictor(inferencer.model_pass), frames)
        assert found['value'] == pytest.approx(expected.value, abs=2e-3)
        assert [reason['name'] for reason in found['reasons']] == [
            reason.name for reason in expected.reasons]
        assert found['inputs'].pop('resolution') == 0  # arrays do not say theirs
        assert set(found['inputs']) == set(expected.inputs)
    coarse = in_scene(TorchPredictor(inferencer.model_pass), frames, resolution=5.0)
    assert coarse['inputs']['resolution'] == pytest.approx(0.9)


def test_exported_models_doubt_as_torch_does(calibrated, tmp_path):
    pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    from rscc.deployment.export import export_onnx
    from rscc.deployment.onnx_predictor import OnnxPredictor
    done = export_onnx(None, calibrated[1], tmp_path / 'a.onnx')
    assert done.axes['novelty'] == ['batch']
    predictor = OnnxPredictor(tmp_path / 'a.onnx')
    assert predictor.facts.calibration == {'en': CALIBRATION.to_dict()}
    own = TorchPredictor(ChangeInferencer(str(calibrated[1]), device='cpu').model_pass)
    for frames in (tiny.windows(1, 64, 64)[0], bright()):
        found, expected = in_scene(predictor, frames), in_scene(own, frames)
        assert found['value'] == pytest.approx(expected['value'], abs=2e-3)
        assert found['inputs'] == pytest.approx(expected['inputs'], abs=5e-3)


def test_published_weights_carry_both(calibrated, tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, 'PAIRS', 2)
    publish(None, calibrated[1], tmp_path / 'out', PublishOptions('my-model', 'CC-BY-4.0'))
    file = tmp_path / 'out' / 'model.safetensors'
    answers = [ChangeInferencer(str(path), device='cpu')(*bright()).doubt
               for path in (file, calibrated[1])]
    assert answers[0].value == pytest.approx(answers[1].value, abs=1e-4)
    # Published weights are calibrated anew as well.
    write_copy(file, tmp_path / 'copy.safetensors', None,
               {'en': CALIBRATION.to_dict() | {'offset': 2.0}})
    again = ChangeInferencer(str(tmp_path / 'copy.safetensors'), device='cpu')(*bright()).doubt
    assert again.value > answers[0].value
    with pytest.raises(ValueError, match='only copies of published models'):
        write_copy(calibrated[1], tmp_path / 'x.safetensors', None, {})


def test_a_damaged_calibration_names_the_remedy(calibrated, tmp_path):
    write_copy(calibrated[1], tmp_path / 'bad.pth', None, {'en': {'weights': {}}})
    inferencer = ChangeInferencer(str(tmp_path / 'bad.pth'), device='cpu')
    with pytest.raises(ValueError, match=r'(?s)calibration of doubt.*calibrate\.py'):
        inferencer(*bright())
