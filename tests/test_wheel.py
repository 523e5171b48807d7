"""The wheel: built and installed offline, it works from an empty folder without a clone at hand."""
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rscc.version import __version__

#: Files of a published model, as they lie in rscc/weights.
PUBLISHED = ('model.safetensors', 'README.md', 'stac_item.json', 'training.log')
PARTS = ('rscc', 'configs', 'requirements', 'setup.py', 'pyproject.toml', 'README.md', 'LICENSE')


@pytest.fixture(scope='module')
def wheel(repo, tmp_path_factory):
    """The wheel of a copy of the sources, so that the build leaves nothing in the clone."""
    folder = tmp_path_factory.mktemp('wheel')
    for name in PARTS:
        source = repo / name
        if source.is_dir():
            shutil.copytree(source, folder / 'src' / name,
                            ignore=shutil.ignore_patterns('__pycache__'))
        else:
            shutil.copy(source, folder / 'src' / name)
    for name in PUBLISHED:
        file = folder / 'src/rscc/weights/test_model' / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('of a published model')
    pip('wheel', '.', '--no-build-isolation', '--wheel-dir', folder, cwd=folder / 'src')
    return next(folder.glob('rscc-*.whl'))


@pytest.fixture(scope='module')
def site(wheel, tmp_path_factory):
    """A folder that the wheel is installed into, without what it requires."""
    folder = tmp_path_factory.mktemp('site')
    pip('install', wheel, '--target', folder, cwd=folder)
    return folder


def pip(command, *arguments, cwd):
    done = subprocess.run(
        [sys.executable, '-m', 'pip', command, '--quiet', '--no-deps', '--no-index',
         '--disable-pip-version-check', *map(str, arguments)], cwd=cwd, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def run(site, tmp_path):
    """Return a function that runs the installed package in an empty folder."""
    def call(*arguments, program=('-m', 'rscc')):
        env = {key: value for key, value in os.environ.items() if key != 'RSCC_DATA'}
        done = subprocess.run([sys.executable, *map(str, program), *map(str, arguments)],
                              cwd=tmp_path, text=True, capture_output=True, check=False,
                              timeout=200, env={**env, 'PYTHONPATH': str(site)})
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    return call


def test_the_wheel_has_every_file_of_the_package_and_every_config(repo, wheel):
    expected = {str(path.relative_to(repo)) for path in (repo / 'rscc').rglob('*')
                if path.is_file() and '__pycache__' not in path.parts}
    expected |= {f'rscc/{path.relative_to(repo)}' for path in (repo / 'configs').rglob('*')
                 if path.suffix in ('.py', '.yml')}
    expected |= {f'rscc/weights/test_model/{name}' for name in PUBLISHED}
    with zipfile.ZipFile(wheel) as archive:
        found = set(archive.namelist())
        assert archive.read('rscc/configs/_base_/runtime.py') == (
            repo / 'configs/_base_/runtime.py').read_bytes()
    assert {name for name in found if '.dist-info/' not in name} == expected
    assert not {name.split('/')[0] for name in found} & {'tools', 'tests', 'configs'}


def test_the_command_is_installed_and_finds_its_package(run, site):
    assert run('--version') == run('--version', program=[site / 'bin/rscc'])
    assert run('--version') == f'rscc {__version__}\n'
    assert run('-c', 'import rscc; print(rscc.__file__)', program=()) == (
        f'{site}/rscc/__init__.py\n')


def test_configs_are_found_by_name_and_old_name(run, site, tmp_path):
    assert run('configs', 'attend_synth') == f'{site}/rscc/configs/attend_synth.py\n'
    assert run('configs').startswith(f'{site}/rscc/configs:\n')
    copied = run('configs', 'blip_levirmci', '--copy', 'configs')
    assert copied.startswith('configs/blip_levirmci.py\n')
    assert (tmp_path / 'configs/_base_/runtime.py').is_file()


def test_models_are_listed_and_one_is_ready_to_answer(run, site):
    assert '  blip_levircc ' in run('models', '--task', 'change captioning')
    code = ("from rscc.apis import get_config, list_models; print(list_models(dataset='CDD'), "
            "get_config('btc_swin_t_cdd').filename)")
    listed = run('-c', code, program=())
    assert "'btc_swin_t_cdd'" in listed and f'{site}/rscc/configs/btc_swin_t_cdd.py' in listed


def test_data_is_made_and_a_training_prepared_in_an_empty_folder(run, site, tmp_path):
    run('synth', '--out', 'data/synth', '--train', 2, '--val', 1, '--test', 1, '--jobs', 1)
    for name in ('blip_synth', 'configs/blip_synth.py'):
        said = run('train', name, '--check')
        assert said.endswith('ok\n') and 'train  2 samples of SynthChangeDataset' in said
        assert (f"'{name}' is not in this folder; reading the config that comes with rscc: "
                f'{site}/rscc/configs/blip_synth.py') in said
    assert [path.name for path in Path(tmp_path).iterdir()] == ['data']
