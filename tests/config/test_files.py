"""Configs and published models by file and by name, from a clone, a package and any folder."""
import ast
import hashlib
import json

import pytest

import rscc
from rscc.config import files
from rscc.config.files import (
    bases_of,
    config_names,
    existing_config,
    find_checkpoint,
    find_config,
    packaged_configs,
    published_names,
    refuse_config,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def own(folder):
    """A working folder with two configs of its own, one of them of a name that rscc has too."""
    (folder / 'configs').mkdir()
    for name in ('mine', 'blip_synth'):
        (folder / 'configs' / f'{name}.py').write_text('model = dict()\n')
    return folder


@pytest.mark.parametrize('name', ['blip_synth', 'blip_synth.py', 'configs/blip_synth.py',
                                  'configs/blip_synth', 'configs/_base_/runtime.py'])
def test_a_packaged_config_is_found_from_any_folder(folder, name):
    found = find_config(name)
    assert found.is_file() and found.is_relative_to(packaged_configs())
    assert found.stem == name.removesuffix('.py').rpartition('/')[2]


@pytest.mark.parametrize('name', ['blip_synth', 'configs/blip_synth.py'])
def test_the_working_folder_comes_first(own, name):
    assert find_config(name).resolve() == own / 'configs' / 'blip_synth.py'


def test_a_file_is_itself(own):
    (own / 'other.py').write_text('')
    assert find_config('other.py').samefile(own / 'other.py')
    assert find_config(own / 'configs' / 'mine.py') == own / 'configs' / 'mine.py'


def test_names_are_those_of_both_folders(own):
    assert {'mine', 'blip_synth', 'blip_levircc', 'attend_synth'} <= set(config_names())


@pytest.mark.parametrize(('name', 'nearest'), [
    ('blip_sinth', 'blip_synth'), ('configs/blip_sinth.py', 'configs/blip_synth.py'),
    ('blip_sinth.py', 'blip_synth.py'), ('mime', 'mine')])
def test_a_mistyped_name_names_the_nearest_as_it_was_written(own, name, nearest):
    with pytest.raises(FileNotFoundError) as raised:
        find_config(name)
    assert str(raised.value).startswith(f"no config at '{name}'. Did you mean '{nearest}'?")


@pytest.mark.parametrize('odd', ['', '.', '..', '/', 'configs', 'configs/'])
def test_what_is_no_name_at_all_is_no_config(own, odd):
    with pytest.raises(FileNotFoundError, match='no config at'):
        find_config(odd)


def test_a_file_of_another_folder_is_never_replaced_by_a_packaged_one(own):
    for path in ('elsewhere/blip_synth.py', own / 'elsewhere/configs/blip_synth.py'):
        with pytest.raises(FileNotFoundError, match='no config at'):
            find_config(path)
    with pytest.raises(FileNotFoundError, match=r"Did you mean '.*/configs/mine\.py'"):
        find_config(own / 'configs' / 'mime.py')


def test_a_config_that_comes_with_rscc_is_said_and_one_of_the_folder_is_not(own, monkeypatch):
    said = []
    monkeypatch.setattr(files, 'warn_once', lambda message, level: said.append((message, level)))
    existing_config('blip_synth')
    existing_config(packaged_configs() / 'blip_levircc.py')
    assert said == []
    path = existing_config('configs/blip_levircc.py')
    assert said == [("'configs/blip_levircc.py' is not in this folder; reading the config that "
                     f'comes with rscc: {path}', 20)]


@pytest.mark.parametrize('name', ['best.pth', 'folder/model.safetensors'])
def test_weights_in_the_place_of_a_config_are_told(name):
    with pytest.raises(ValueError, match=rf"'{name}' holds weights.*seem to be swapped"):
        existing_config(name)


def test_a_config_in_the_place_of_weights_is_told():
    with pytest.raises(ValueError, match=r"'configs/x\.py' is a config.*seem to be swapped"):
        refuse_config('configs/x.py')
    for fine in ('best.pth', 'rscc-small', 'work_dirs/blip_synth', 'owner/name'):
        refuse_config(fine)


def test_an_installed_package_has_its_configs_inside(tmp_path, monkeypatch):
    (tmp_path / 'site/rscc/configs').mkdir(parents=True)
    monkeypatch.setattr(rscc, '__file__', str(tmp_path / 'site/rscc/__init__.py'))
    assert packaged_configs() == tmp_path / 'site/rscc/configs'


def test_bases_are_followed_and_each_comes_once(folder):
    found = [str(path.relative_to(packaged_configs())) for path in bases_of(
        find_config('blip_levirmci'))]
    assert '_base_/datasets/levir_cc.py' in found, 'the base of a base'
    assert len(found) == len(set(found)) == 5


def test_a_computed_base_is_an_error_that_names_the_file(folder):
    (folder / 'odd.py').write_text("_base_ = './' + 'x.py'\n")
    with pytest.raises(ValueError, match=r"what '.*odd\.py' inherits from cannot be read"):
        list(bases_of(folder / 'odd.py'))


def test_every_config_names_its_bases_as_literals():
    for path in packaged_configs().rglob('*.py'):
        assert all(base.is_file() for base in bases_of(path)), path
        assert ast.get_docstring(ast.parse(path.read_text())), f'{path} has no title to list'


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A folder of published models with one in it, 'my-model', and nothing of what rscc ships."""
    folder = tmp_path / 'weights'
    (folder / 'my_model').mkdir(parents=True)
    (folder / 'my_model/model.safetensors').write_bytes(b'weights')
    monkeypatch.setattr(files, 'packaged_weights', lambda: folder)
    return folder


def record(folder, checksum):
    (folder / 'my_model/stac_item.json').write_text(json.dumps(
        {'assets': {'model': {'file:checksum': checksum}}}))


def test_a_published_model_is_found_by_its_name_and_all_else_stays(weights):
    assert find_checkpoint('my-model') == weights / 'my_model/model.safetensors'
    assert published_names() == ['my-model', 'rscc-small']
    for other in ('my_model', './my-model', 'a/epoch_1.pth', 'https://x.org/my-model'):
        assert find_checkpoint(other) == other


def test_absent_weights_of_the_shipped_model_say_how_to_get_them(weights):
    with pytest.raises(FileNotFoundError, match=r"the weights of 'rscc-small' are not in this insta"
                       r"llation of rscc: no '.*/rscc_small/model\.safetensors'. Install rscc from "
                       r'(.|\n)*--name rscc-small --out .*/weights/rscc_small'):
        find_checkpoint('rscc-small')


@pytest.mark.parametrize(('checksum', 'warned'), [
    ('1220' + hashlib.sha256(b'weights').hexdigest(), False), ('1220' + 64 * '0', True),
    (None, True)])
def test_a_file_that_is_not_the_published_one_is_warned_of(weights, monkeypatch, checksum, warned):
    said = []
    monkeypatch.setattr(files, 'warn_once', said.append)
    record(weights, checksum)
    find_checkpoint('my-model')
    assert len(said) == warned
    assert all('is not the file that was published: its SHA-256 is '
               f'{hashlib.sha256(b"weights").hexdigest()}, ' in text for text in said)


def test_a_damaged_record_is_warned_of(weights, monkeypatch):
    said = []
    monkeypatch.setattr(files, 'warn_once', said.append)
    (weights / 'my_model/stac_item.json').write_text('{')
    find_checkpoint('my-model')
    assert 'none that can be read' in said[0]
