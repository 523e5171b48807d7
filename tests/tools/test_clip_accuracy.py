"""The tool that compares both activations of a CLIP on labelled images."""
import numpy as np
import pytest
from fake_clip import save_state_dict, tiny_clip
from PIL import Image


@pytest.fixture
def root(tmp_path):
    draw = np.random.default_rng(0)
    for name in ('forest', 'river'):
        (tmp_path / 'scenes' / name).mkdir(parents=True)
        for number in range(3):
            pixels = draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / 'scenes' / name / f'{number}.png')
    return tmp_path / 'scenes'


@pytest.fixture
def call(load_tool, capsys, tmp_path, monkeypatch):
    from rscc import compat
    tool = load_tool('analysis_tools/clip_accuracy.py')
    config = dict(embed_dim=32, vision_cfg=dict(layers=2, width=64, patch_size=8), text_cfg={})
    monkeypatch.setitem(compat.import_open_clip('factory')._MODEL_CONFIGS, 'ViT-tiny', config)
    file = save_state_dict(tiny_clip(), tmp_path / 'clip.pt')

    def run(*arguments):
        tool.main(['--model-name', 'ViT-tiny', '--pretrained', file, '--device', 'cpu',
                   '--num-workers', '0', *map(str, arguments)])
        return capsys.readouterr().out.splitlines()

    return run


def test_both_activations_are_compared_where_the_file_does_not_say(call, root):
    first, second = call(root, '--template', '{}')
    assert first.endswith('QuickGELU') and second.endswith('exact GELU')
    assert all('% of 6 images, 2 classes' in line for line in (first, second))
    (only, ) = call(root, '--template', '{}', '--quick-gelu', 'no')
    assert only == second


@pytest.mark.parametrize(('arguments', 'message'), [
    (('--template', 'a photo'), 'has no {} where the class name belongs'),
    (('--pretrained', 'remoteclip-rn5'), "Did you mean 'remoteclip-rn50'")])
def test_what_is_wrong_is_one_message(call, root, arguments, message):
    with pytest.raises(SystemExit, match=message):
        call(root, *arguments)


def test_a_folder_that_is_not_there_is_one_message(call, root):
    with pytest.raises(SystemExit, match=r"no folder '.*scene'"):
        call(root.with_name('scene'))
