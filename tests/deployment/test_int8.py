"""Exports in int8: what is quantised, what stays, what is told and what is refused."""
import numpy as np
import onnx
import pytest
import tiny_models as tiny

from rscc.deployment.int8 import check_loss, quantise
from rscc.deployment.metadata import Int8Loss, Record
from rscc.deployment.onnx_predictor import OnnxPredictor

pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')
WINDOWS = tiny.windows(12, 64, 64)


def kinds_in(path):
    """Return how often each kind of node stands in a graph."""
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    return {kind: kinds.count(kind) for kind in kinds}


def int8_weights(path):
    return sum(np.prod(tensor.dims) for tensor in onnx.load(path).graph.initializer
               if tensor.data_type == onnx.TensorProto.INT8)


@pytest.fixture(scope='module')
def joint(exported, tmp_path_factory):
    """The files of a model with all heads in float, and both parts in int8."""
    exact = exported('joint')[1].files[0]
    out = tmp_path_factory.mktemp('int8') / 'small.onnx'
    return exact, out, quantise(exact, out, WINDOWS, 'drawn', 'all')


def test_an_int8_file_answers_as_its_float_file_and_tells_what_it_lost(joint):
    exact, out, told = joint
    assert [file.name for file in sorted(out.parent.iterdir())] == [
        'small.onnx', 'small.start.onnx', 'small.step.onnx']
    own, true = OnnxPredictor(out), OnnxPredictor(exact)
    assert own.record.int8 == told and true.record.int8 is None
    assert own.facts == true.facts and told.windows == 6 and told.data == 'drawn'
    assert told.parts == ('images', 'words') and told.convolutions == 27 and told.products == 24
    windows = tiny.windows(6, 64, 64, seed=5)
    maps = []
    for found, answer in zip(*(model.predict(windows, ['always'] * 6) for model in (own, true)),
                             strict=True):
        assert not np.array_equal(found.probabilities, answer.probabilities)
        maps.append((found.probabilities.argmax(0) == answer.probabilities.argmax(0)).mean())
        assert found.sentences and abs(
            found.change_probability - answer.change_probability) < 0.1
    assert min(maps) > 0.8
    assert 0 < told.loss.pixels < 0.2 and 0.8 < told.loss.overlap <= 1
    assert told.loss.windows == 6 and told.loss.sentences <= 6 and told.loss.flags <= 6
    assert f'{told.loss.sentences} of 6 sentences differ' in str(told.loss)


def test_convolutions_are_static_products_dynamic_and_score_layers_float(joint):
    exact, out, _ = joint
    plain, images = kinds_in(exact), kinds_in(out)
    assert plain['Conv'] == images['Conv'] and images['QuantizeLinear'] > 20
    assert images['MatMulInteger'] == 2 and plain['Gemm'] == 1 and images['MatMul'] == 1  # flag's
    graph = onnx.load(out).graph
    floats = {tensor.name for tensor in graph.initializer
              if tensor.data_type == onnx.TensorProto.FLOAT}
    assert len([node for node in graph.node if node.op_type == 'Conv'
                and node.input[1] in floats]) == 1  # that of the classes
    step = kinds_in(out.with_suffix('.step.onnx'))
    assert step['MatMulInteger'] == 18 and 'QuantizeLinear' not in step


@pytest.mark.parametrize(('choice', 'main', 'step'), [('images', True, False),
                                                      ('words', False, True)])
def test_a_part_alone_leaves_the_other_in_float(joint, tmp_path, choice, main, step):
    told = quantise(joint[0], tmp_path / 'x.onnx', WINDOWS[:4], 'drawn', choice)
    assert told.parts == (choice, ) and bool(told.convolutions) is main
    assert bool(int8_weights(tmp_path / 'x.onnx')) is main
    assert bool(int8_weights(tmp_path / 'x.step.onnx')) is step
    assert OnnxPredictor(tmp_path / 'x.onnx').predict(WINDOWS[:1], ['always'])[0].sentences


def test_ranges_of_empty_images_are_refused_and_nothing_remains(exported, tmp_path):
    windows = [frames if place % 2 else [np.full_like(frame, 128) for frame in frames]
               for place, frames in enumerate(WINDOWS)]
    with pytest.raises(ValueError, match=r"in int8 'x\.onnx' does not answer as in float \(6 "
                       r'windows\): .*expected.*--calibration'):
        quantise(exported('joint')[1].files[0], tmp_path / 'x.onnx', windows, 'grey')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(('loss', 'message'), [
    (Int8Loss(4, 0.3, 0.9, 0.6), '30% of the pixels changed class, at most 25% was expected'),
    (Int8Loss(4, 0.01, 0.02, 0.4), 'of the pixels that either calls changed both do 40%, 50%'),
    (Int8Loss(4, 0.01, 0.02, float('nan')), 'both do nan%'),
    (Int8Loss(4, sentences=4, likeness=0.3), 'sentences are alike by 30%, 50% was expected'),
    (Int8Loss(4, flags=2, moved=0.3), r'moves by 0\.30 on average, at most 0\.25 was expected'),
])
def test_each_kind_of_nonsense_is_named(tmp_path, loss, message):
    with pytest.raises(ValueError, match=message):
        check_loss(loss, tmp_path / 'x.onnx')


def test_losses_within_the_bounds_pass(tmp_path):
    check_loss(Int8Loss(4, 0.02, 0.03, 0.9, 2, 0.8, 1, 0.1), tmp_path / 'x.onnx')
    check_loss(Int8Loss(4, 0.0001, 0.0002, 0.0), tmp_path / 'x.onnx')  # hardly a pixel changed


def test_what_cannot_be_done_is_said_before_anything_is_written(joint, exported, tmp_path):
    out = tmp_path / 'out' / 'x.onnx'
    for path, windows, choice, message in (
            (joint[1], WINDOWS, 'all', r'is in int8 already; quantise the float file'),
            (exported('detector')[1].files[0], WINDOWS, 'words', 'writes no sentences'),
            (joint[0], [], 'all', 'needs images to be calibrated on'),
            (joint[0], WINDOWS, 'image', r"Did you mean 'images'")):
        with pytest.raises(ValueError, match=message):
            quantise(path, out, windows, 'drawn', choice)
    assert not out.parent.exists()


def test_weights_beside_a_graph_stay_beside_it(exported, tmp_path):
    model = onnx.load(exported('detector')[1].files[0])
    onnx.save_model(model, tmp_path / 'm.onnx', save_as_external_data=True, location='m.onnx.data')
    quantise(tmp_path / 'm.onnx', tmp_path / 'out' / 'q.onnx', WINDOWS, 'drawn')
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['q.onnx', 'q.onnx.data']
    answer, = OnnxPredictor(tmp_path / 'out' / 'q.onnx').predict(WINDOWS[:1], ['never'])
    assert np.isfinite(answer.probabilities).all()


def test_records_of_int8_survive_and_older_ones_have_none(joint):
    record = OnnxPredictor(joint[1]).record
    assert Record.from_json(record.to_json(), 'x') == record
    old = OnnxPredictor(joint[0]).record.to_json().replace('"int8": null, ', '')
    assert 'int8' not in old and Record.from_json(old, 'x').int8 is None
