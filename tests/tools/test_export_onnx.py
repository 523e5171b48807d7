import cv2
import numpy as np
import pytest
import tiny_models as tiny

pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')
TOOL = 'deployment/export_onnx.py'


def test_a_checkpoint_becomes_a_file_that_answers(run_tool, tmp_path):
    from rscc.deployment.onnx_predictor import OnnxPredictor
    model = dict(tiny.JOINT, caption_head=None)
    checkpoint = tiny.save(tmp_path / 'm.pth', model, steps=(dict(type='FramesResize', size=32), ))
    done = run_tool(TOOL, checkpoint, '--out', tmp_path / 'm.onnx', '--window', 80, '--overlap', 8)
    assert done.returncode == 0, done.stderr
    assert "frames       ['batch', 2, 3, 32, 32]" in done.stdout
    assert 'heads        change_head, flag_head; opset 18' in done.stdout
    predictor = OnnxPredictor(tmp_path / 'm.onnx')
    assert (predictor.facts.window, predictor.facts.overlap) == ((80, 80), (8, 8))
    answer, = predictor.predict(tiny.windows(1, 80, 80), ['never'])
    assert np.isfinite(answer.probabilities).all()


def test_int8_is_calibrated_on_a_folder_and_tells_what_it_lost(run_tool, tmp_path):
    from rscc.deployment.onnx_predictor import OnnxPredictor
    for number, frames in enumerate(tiny.windows(6, 64, 64)):
        for name, frame in zip('AB', frames, strict=True):
            (tmp_path / name).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / name / f'{number}.png'), frame)
    checkpoint = tiny.save(tmp_path / 'm.pth', dict(tiny.JOINT, caption_head=None),
                           steps=(dict(type='FramesResize', size=32), ))
    done = run_tool(TOOL, checkpoint, '--out', tmp_path / 'm.onnx', '--int8', '--calibration',
                    tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'int8         27 convolutions (static, 3 windows), ' in done.stdout
    assert 'of the pixels changed class; of the ' in done.stdout
    told = OnnxPredictor(tmp_path / 'm.onnx').record.int8
    assert told.parts == ('images', ) and told.data == f'{tmp_path.name}: 6 of 6'
    done = run_tool(TOOL, checkpoint, '--out', tmp_path / 'x.onnx', '--int8')
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(
        "error: int8 is calibrated on images, and those of 'm.pth' are not here")


def test_what_cannot_be_exported_is_one_line(run_tool, tmp_path):
    checkpoint = tiny.save(tmp_path / 'm.pth', dict(tiny.JOINT))
    done = run_tool(TOOL, checkpoint, '--out', tmp_path / 'm.pb')
    assert done.returncode == 1 and done.stderr.startswith('error: the exported file')
    done = run_tool(TOOL, checkpoint, '--out', tmp_path / 'm.onnx', '--opset', 9)
    assert done.returncode == 1 and 'opset 9: expected 18 to 23' in done.stderr
    done = run_tool(TOOL, tmp_path / 'none.pth', '--out', tmp_path / 'm.onnx')
    assert done.returncode == 1 and 'none.pth' in done.stderr


@pytest.mark.parametrize('arguments', [['a', 'b', 'c', '--out', 'x.onnx'], ['a.pth']])
def test_wrong_arguments_end_with_the_usage(run_tool, arguments):
    done = run_tool(TOOL, *arguments)
    assert done.returncode == 2 and 'usage: ' in done.stderr
