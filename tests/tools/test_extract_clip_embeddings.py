"""The tool as people run it; what it computes is tested with its parts."""
import json

import numpy as np
import pytest
from fake_clip import save_state_dict, tiny_clip
from PIL import Image

from rscc.datasets.features import read_index
from rscc.datasets.single_image import SydneyCaptionsDataset


@pytest.fixture
def call(load_tool, capsys):
    tool = load_tool('extract_clip_embeddings.py')

    def run(*arguments):
        tool.main([str(part) for part in arguments])
        return capsys.readouterr().out

    return run


@pytest.fixture
def root(tmp_path, monkeypatch):
    folder = tmp_path / 'Sydney_captions'
    (folder / 'imgs').mkdir(parents=True)
    for number in (1, 2):
        Image.fromarray(np.full((40, 40, 3), 90 * number, np.uint8)).save(
            folder / f'imgs/{number}.tif')
    (folder / 'dataset.json').write_text(json.dumps({'images': [
        {'filename': f'{number}.tif', 'split': split, 'sentences': [{'raw': 'a road .'}]}
        for number, split in ((1, 'train'), (2, 'test'))]}))
    save_state_dict(tiny_clip(), tmp_path / 'tiny.pt')
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    return tmp_path


def test_features_are_written_where_a_config_finds_them(call, root):
    out = root / 'Sydney_captions' / 'clip.safetensors'
    arguments = ('--dataset', 'sydney', '--pretrained', root / 'tiny.pt', '--num-workers', 0,
                 '--tokens', '--out', out)
    assert '2 images computed' in call(*arguments)
    # As the original spells it.
    assert 'complete already' in call('--dataset_type', *arguments[1:])
    assert read_index(out)['tokens'] == 16
    dataset = SydneyCaptionsDataset(features=dict(file='clip.safetensors', tokens=True),
                                    split='test', pipeline=[{'type': 'PackChangeInputs'}])
    assert dataset[0]['inputs'].shape == (1, 17, 32)


@pytest.mark.parametrize(('arguments', 'message'), [
    (('--dataset', 'sydny'), r"no dataset 'sydny'.*Did you mean 'sydney'\?"),
    (('--dataset', 'ucm'), r'UCM-captions annotations not found at'),
    (('--dataset', 'sydney', '--pretrained', 'here/no.pt'), r"no CLIP weights at 'here/no\.pt'"),
    (('--dataset', 'sydney', '--from-pickle', 'no.pkl'),
     r"the name 'no\.pkl' does not tell which CLIP")])
def test_what_is_wrong_is_one_message(call, root, arguments, message):
    with pytest.raises(SystemExit, match=rf'^error: {message}'):
        call(*arguments)
    assert not list(root.rglob('*.safetensors'))


def test_impossible_arguments_are_refused(call, root, capsys):
    for wrong in (('--batch-size', 0), ('--out', 'x.pkl')):
        with pytest.raises(SystemExit, match='2'):
            call('--dataset', 'sydney', *wrong)
    assert 'must end in .safetensors' in capsys.readouterr().err
