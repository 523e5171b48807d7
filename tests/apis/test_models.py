"""Models by name, and saving one: a folder and a repository of the hub give it back, offline."""
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny

from rscc.apis import ChangeInferencer, get_config, get_model, list_models, save_model
from rscc.config.files import find_checkpoint, find_config
from rscc.config.stored import StoredConfig
from rscc.deployment import publishing
from rscc.engine.checkpoint import read_checkpoint
from rscc.inference.loading import load_model, resolve_model, training_data
from rscc.utils import logging

COMMIT = 'f' * 40


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """A folder that a model was saved into, and the model."""
    monkeypatch.setattr(publishing, 'PAIRS', 1)
    path = tiny.save(tmp_path / 'trained.pth', tiny.JOINT, classes=('unchanged', 'a', 'b'))
    inferencer = ChangeInferencer(path, device='cpu')
    inferencer.save_pretrained(tmp_path / 'my_model', licence='MIT', metrics={'F1': 0.5})
    return tmp_path / 'my_model', inferencer


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Return a function that puts a folder into an empty cache, laid out as the hub's is."""
    from huggingface_hub import constants
    cache = tmp_path / 'hub'
    cache.mkdir()
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(cache))
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)

    def put(folder, owner='me', name='my-model', revision='main'):
        root = cache / f'models--{owner}--{name}'
        snapshot = root / 'snapshots' / COMMIT
        (root / 'refs').mkdir(parents=True)
        (root / 'refs' / revision).write_text(COMMIT)
        (root / 'blobs').mkdir()
        snapshot.mkdir(parents=True)
        for file in Path(folder).iterdir():
            blob = root / 'blobs' / file.name
            shutil.copy(file, blob)
            (snapshot / file.name).symlink_to(blob)
        return snapshot

    return put


def same(one, other):
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    mine, theirs = one(*frames), other(*frames)
    return (mine.mask == theirs.mask).all() and mine.captions == theirs.captions


def test_a_saved_folder_gives_the_same_model_back(saved):
    folder, inferencer = saved
    assert same(inferencer, get_model(folder, device='cpu'))
    assert {path.name for path in folder.iterdir()} == {'model.safetensors', 'config.json',
                                                        'README.md', 'stac_item.json'}
    assert isinstance(get_config(folder), StoredConfig)


@pytest.mark.parametrize('name', ['me/my-model', 'me/my-model@main'])
def test_a_repository_in_the_local_cache_gives_the_same_model_back(saved, hub, tmp_path, name,
                                                                    monkeypatch):
    folder, inferencer = saved
    snapshot = hub(folder)
    shutil.rmtree(folder)
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint(name) == snapshot / 'model.safetensors'
    loaded = get_model(name, device='cpu')
    assert same(inferencer, loaded)
    assert loaded.checkpoint == name and loaded.title.startswith(f'{name} (my-model, ')
    again = save_model(loaded, tmp_path / 'again', licence='MIT')
    assert again.agreement.good


def test_a_folder_of_the_name_comes_before_a_repository(saved, hub, tmp_path, monkeypatch):
    folder, _ = saved
    hub(folder)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, tmp_path / 'me/my-model')
    assert find_checkpoint('me/my-model') == 'me/my-model'
    assert get_model('me/my-model', device='cpu').checkpoint == 'me/my-model/model.safetensors'


def test_a_repository_that_is_not_there_or_not_ours_says_so(saved, hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match='As a hub repository it is not in the local cache '
                       'either: hf download me/my-model'):
        get_model('me/my-model')
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other/pytorch_model.bin').write_text('')
    hub(tmp_path / 'other')
    with pytest.raises(FileNotFoundError, match=r"holds no 'model\.safetensors' but pytorch_model"):
        get_model('me/my-model')


def test_a_folder_whose_weights_changed_is_warned_of(saved, caplog, monkeypatch):
    folder, _ = saved
    monkeypatch.setattr(logging, '_SAID', set(), raising=False)
    record = folder / 'stac_item.json'
    record.write_text(re.sub(r'1220[0-9a-f]{64}', '1220' + 64 * '0', record.read_text()))
    said = []
    monkeypatch.setattr('rscc.config.files.warn_once', lambda text, *_: said.append(text))
    get_model(folder, device='cpu')
    assert 'is not the file that was published' in said[0]


def test_the_header_holds_registered_classes_and_no_paths(saved, tmp_path):
    folder, _ = saved
    for name in ('config.json', 'README.md', 'stac_item.json'):
        assert str(tmp_path) not in (folder / name).read_text()
    assert str(tmp_path).encode() not in (folder / 'model.safetensors').read_bytes()


# ---- names -------------------------------------------------------------------------------------


def test_models_are_listed_by_task_and_dataset():
    assert 'btc_swin_t_levircd' in list_models('change_detection', 'levir-cd')
    assert 'btc_swin_t_levircdplus' not in list_models('change detection', 'LEVIR-CD')
    assert list_models(dataset='LEVIR-CD+') and 'blip_levirmci' in list_models('change detection')
    assert 'rscc-small' in list_models() and list_models(weights=True) == ['rscc-small']


@pytest.mark.parametrize(('asked', 'message'), [
    (dict(task='change detektion'), "no task is named 'change detektion'. Did you mean 'change "),
    (dict(dataset='LEVIR-CB'), "no dataset is named 'LEVIR-CB'. Did you mean 'LEVIR-C")])
def test_an_unknown_task_or_dataset_names_the_nearest(asked, message):
    with pytest.raises(ValueError, match=message):
        list_models(**asked)


def test_a_config_without_weights_says_how_to_get_some(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'train it .*by its name\. get_config'
                       r"\('blip_synth'\) returns the config alone$"):
        get_model('blip_synth')
    assert get_config('blip_synth').model.type == 'ChangeInterpreter'


@pytest.mark.parametrize('call', [
    get_model, get_config, ChangeInferencer, find_config, find_checkpoint, resolve_model,
    read_checkpoint, training_data, lambda name: load_model('blip_synth', name, 'cpu'),
    lambda name: load_model(name, 'rscc-small', 'cpu'), lambda name: load_model(name, None, 'cpu'),
    lambda name: save_model(name, 'out', licence='MIT')])
@pytest.mark.parametrize('name', ['', ' '])
def test_an_empty_name_is_no_model_even_where_checkpoints_lie(call, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.save(tmp_path / 'of_somebody.pth', tiny.JOINT)
    with pytest.raises((ValueError, FileNotFoundError),
                       match=r"no checkpoint is given: the name is '|no config at '"):
        call(name)


def test_a_saved_folder_without_its_weights_is_told_as_such(saved):
    folder, _ = saved
    (folder / 'model.safetensors').unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks its weights: no 'model\.safetensors' in .* "
                       'download that file again'):
        get_model(folder)


@pytest.mark.parametrize('call', [get_model, get_config])
def test_an_unknown_name_names_the_nearest(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="Did you mean 'blip_levircc'"):
        call('blip_levirc')
