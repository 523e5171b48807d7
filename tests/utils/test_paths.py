from pathlib import Path

import pytest

from rscc.utils import data_home, resolve_data_root
from rscc.utils.paths import resolve_data_file


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    monkeypatch.delenv('RSCC_DATA', raising=False)
    monkeypatch.delenv('CDPATH', raising=False)


def test_home_is_rscc_data_then_cdpath_then_data(monkeypatch):
    assert data_home() == Path('data')
    monkeypatch.setenv('CDPATH', '/sets')
    assert data_home() == Path('/sets')
    monkeypatch.setenv('RSCC_DATA', '~/mine')
    assert data_home() == Path('~/mine').expanduser()


def test_cdpath_of_a_shell_with_several_entries_is_not_ours(monkeypatch):
    monkeypatch.setenv('CDPATH', '.:/home')
    assert data_home() == Path('data')


def test_absolute_folder_is_kept():
    assert resolve_data_root('/else/where') == Path('/else/where')


def test_home_may_be_the_dataset_itself(tmp_path, monkeypatch):
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    assert resolve_data_root('synth', 'a.json') == tmp_path / 'synth'
    (tmp_path / 'a.json').touch()
    assert resolve_data_root('synth', 'a.json') == tmp_path
    assert resolve_data_file('synth/a.json') == tmp_path / 'a.json'
    (tmp_path / 'synth').mkdir()
    (tmp_path / 'synth' / 'a.json').touch()
    assert resolve_data_root('synth', 'a.json') == tmp_path / 'synth'
    assert resolve_data_file('synth/a.json') == tmp_path / 'synth' / 'a.json'


def test_file_that_exists_from_here_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'v.json').touch()
    assert resolve_data_file('v.json') == Path('v.json')
