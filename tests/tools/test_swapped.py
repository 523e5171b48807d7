"""Tools that take CONFIG and CKPT, called with the two in the wrong order."""
import pytest
import torch

IMAGE = 'rscc/demo/examples/2010.png'


@pytest.fixture
def weights(tmp_path):
    torch.save(dict(state_dict={}), tmp_path / 'best.pth')
    return tmp_path / 'best.pth'


@pytest.mark.parametrize(('tool', 'options'), [
    ('test.py', []), ('analysis_tools/calibrate.py', ['--dry-run']),
    ('analysis_tools/set_thresholds.py', ['--dry-run']), ('analysis_tools/sampling_steps.py', []),
    ('extract_features.py', []), ('model_converters/export_merged.py', ['OUT']),
    ('model_converters/publish.py', ['--name', 'x', '--out', 'OUT', '--licence', 'CC0-1.0']),
    ('deployment/export_onnx.py', ['--out', 'x.onnx']),
    ('infer.py', ['--img-from', IMAGE, '--img-to', IMAGE])])
def test_swapped_arguments_are_one_line(tool, options, weights, run_tool, tmp_path):
    options = [tmp_path / 'out' if option == 'OUT' else option for option in options]
    done = run_tool(tool, weights, 'configs/blip_synth.py', *options)
    assert done.returncode == 1
    assert 'seem to be swapped' in done.stderr.splitlines()[-1], done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize('tool', ['test.py', 'analysis_tools/calibrate.py'])
def test_a_config_for_a_checkpoint_is_one_line(tool, run_tool):
    options = ['--dry-run'] if 'calibrate' in tool else []
    done = run_tool(tool, 'configs/blip_synth.py', 'configs/blip_synth.py', *options)
    assert done.returncode == 1 and 'seem to be swapped' in done.stderr.splitlines()[-1]
