import importlib
import json
import sys

import pytest

from rscc.utils import require
from rscc.utils.imports import import_siblings


def test_installed_package_is_returned():
    assert require('json', 'reading') is json


def test_missing_package_names_purpose_and_extra(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'jieba', None)
    with pytest.raises(ImportError, match=r'CIDEr in Chinese needs \'jieba\': pip install '
                       r'"rscc\[zh\]"'):
        require('jieba', 'CIDEr in Chinese')


def test_unlisted_package_points_to_everything():
    with pytest.raises(ImportError, match=r'it needs \'no_such_thing\': pip install "rscc\[all\]"'):
        require('no_such_thing', 'it')


def test_failure_inside_a_package_is_not_disguised(tmp_path, monkeypatch):
    (tmp_path / 'half_installed.py').write_text('import missing_dependency')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match='missing_dependency'):
        require('half_installed', 'it')


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / 'toy_plugins'
    (folder / 'inner').mkdir(parents=True)
    (folder / '__init__.py').write_text('')
    (folder / 'inner' / '__init__.py').write_text('')
    (folder / 'b.py').write_text('')
    (folder / 'a.py').write_text('')
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module('toy_plugins'), folder
    for name in [name for name in sys.modules if name.startswith('toy_plugins')]:
        del sys.modules[name]


def test_every_module_and_package_beside_is_imported(package):
    import_siblings(package[0])
    assert {'toy_plugins.a', 'toy_plugins.b', 'toy_plugins.inner'} <= set(sys.modules)


def test_broken_module_is_not_passed_over(package):
    (package[1] / 'c.py').write_text('import no_such_thing')
    with pytest.raises(ModuleNotFoundError, match='no_such_thing'):
        import_siblings(package[0])
