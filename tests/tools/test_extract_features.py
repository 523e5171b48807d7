"""The tool as people run it; what it computes is tested with its parts."""
import pytest
from fake_data import write_fake_dataset
from mmengine.config import Config
from testers import TINY_INTERPRETER

from rscc.datasets.features import read_index

PIPELINE = [dict(type='LoadFrames'), dict(type='PackChangeInputs')]


@pytest.fixture
def call(load_tool, capsys):
    tool = load_tool('extract_features.py')

    def run(*arguments):
        tool.main([str(part) for part in arguments])
        return capsys.readouterr().out

    return run


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    dataset = dict(type='LEVIRCCDataset', data_root='LEVIR-CC', split='test', pipeline=PIPELINE)
    write_fake_dataset(tmp_path, dataset, pairs=2)
    # Weights by which a second run knows the first.
    encoder = dict(TINY_INTERPRETER['encoder'], backbone=dict(
        TINY_INTERPRETER['encoder']['backbone'],
        init_cfg=[dict(type='Constant', val=0.01, layer='Conv2d')]), embed_dims=None,
        out_channels=None, position=False)
    Config(dict(model=dict(TINY_INTERPRETER, encoder=encoder),
                test_dataloader=dict(dataset=dataset))).dump(tmp_path / 'tiny.py')
    return tmp_path / 'tiny.py'


def test_features_are_written_beside_the_dataset_and_once(call, config):
    target = config.parent / 'LEVIR-CC/features_tiny.safetensors'
    said = call(config, '--num-workers', 0, '--data-root', config.parent)
    assert f'12 images computed  {target}' in said
    assert "features = dict(file='features_tiny.safetensors', encoder='" in said
    assert "encoder = dict(_delete_=True, type='StoredFeatures', channels=32)" in said
    assert read_index(target)['dtype'] == 'float16' and read_index(target)['tokens'] == 4
    assert 'complete already' in call(config, '--num-workers', 0)


def test_one_vector_an_image_is_enough_for_some(call, config):
    out = config.parent / 'x.safetensors'
    said = call(config, '--num-workers', 0, '--pooled-only', '--dtype', 'float32', '--out', out)
    assert f"features = dict(file='{out}'" in said and 'tokens=True' not in said
    assert (read_index(out)['tokens'], read_index(out)['dtype']) == (0, 'float32')


def test_what_is_wrong_is_one_message(call, config, capsys):
    with pytest.raises(SystemExit, match=r"^error: .*Did you mean '.*tiny\.py'"):
        call(config.with_name('tny.py'))
    with pytest.raises(SystemExit, match=r"^error: no checkpoint at '.*none\.pth'"):
        call(config, config.with_name('none.pth'))
    with pytest.raises(SystemExit, match='2'):
        call(config, '--out', 'x.pkl')
    assert 'must end in .safetensors' in capsys.readouterr().err
