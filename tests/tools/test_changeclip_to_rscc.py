"""The converter on recorded weights of the original, called as a user calls it."""
import functools
import json

import pytest
import torch
from changeclip_records import SHARED, TINY, records
from mmengine.config import Config
from recordings import tensors

from rscc.apis.inferencer import ChangeInferencer


def original(name, tmp_path):
    """Save a fixture's weights as the original saves its checkpoints; skip other sizes."""
    config = json.loads((records(name) / 'config.json').read_text())['model']
    text = config['text_encoder']
    if (text['transformer_width'], text['transformer_layers'], config['backbone'].get('width')) != (
            32, 2, 8 if name == 'rn50_tiny' else 32):
        pytest.skip('the fixture model has another size than these options')
    weights = tensors(records(name) / 'weights.npz')
    path = tmp_path / 'original.pth'
    torch.save(dict(state_dict=weights, meta=dict(iter=17000), optimizer={}), path)
    return path


@pytest.fixture
def convert(run_tool):
    return functools.partial(run_tool, 'model_converters/changeclip_to_rscc.py')


@pytest.mark.parametrize('name', TINY)
def test_a_converted_checkpoint_answers_with_nothing_else_at_hand(convert, tmp_path, name):
    source, out = original(name, tmp_path), tmp_path / 'new' / 'converted.pth'
    done = convert(source, out, '--cfg-options', *TINY[name], *SHARED)
    assert done.returncode == 0, done.stderr
    assert '0 missing, 0 unexpected, 0 of another shape' in done.stdout
    assert f'python tools/test.py {out.with_suffix(".py")} {out}' in done.stdout
    cfg = Config.fromfile(out.with_suffix('.py'))
    assert cfg.model.fusion.prompts_at_test == 'from'
    assert cfg.model.encoder.get('double_class_embedding', False) == (name == 'vit_tiny')
    frames = torch.randint(256, (2, 70, 50, 3), dtype=torch.uint8).numpy()
    for config in (cfg, None):
        result = ChangeInferencer(config, out, device='cpu')(*frames)
        assert result.mask.shape == (70, 50) and result.classes == ('unchanged', 'changed')


def test_weights_that_do_not_fit_are_listed_and_nothing_is_written(convert, tmp_path):
    source, out = original('rn50_tiny', tmp_path), tmp_path / 'converted.pth'
    done = convert(source, out, '--cfg-options', *TINY['rn50_tiny'], *SHARED,
                   'model.change_head.num_classes=3')
    assert done.returncode == 1
    assert 'error: ' in done.stderr and '2 of another shape' in done.stderr
    assert 'change_head.classify.weight: file (2, 256, 1, 1), model (3, 256, 1, 1)' in done.stderr
    assert not out.exists() and not out.with_suffix('.py').exists()


def test_a_file_of_something_else_is_told(convert, tmp_path):
    torch.save(dict(state_dict=dict(weight=torch.zeros(1))), tmp_path / 'other.pth')
    done = convert(tmp_path / 'other.pth', tmp_path / 'out.pth')
    assert done.returncode == 1 and 'holds no ChangeCLIP weights' in done.stderr
