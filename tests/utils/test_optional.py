import json

import pytest

from rscc.utils import require


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
