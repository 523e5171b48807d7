import subprocess
import sys

import torch

from rscc.utils import env
from rscc.version import __version__


def test_report_names_versions_hardware_and_data(monkeypatch, tmp_path):
    monkeypatch.setenv('RSCC_DATA', str(tmp_path / 'absent'))
    found = env.environment()
    assert found['rscc'] == __version__
    assert torch.__version__.startswith(found['torch'].split('+')[0])
    assert int(found['cores']) >= 1 and found['memory'].endswith('GiB')
    assert found['data'] == f"{tmp_path / 'absent'} (no such folder)"


def test_lines_are_aligned():
    lines = env.environment_report().splitlines()
    column = lines[0].index(__version__)
    assert all(line[column - 2:column] == '  ' and line[column] != ' ' for line in lines)


def test_absent_packages_and_java_are_said(monkeypatch):
    monkeypatch.setattr(env, '_PACKAGES', ('no-such-package',))
    monkeypatch.setattr('shutil.which', lambda name: None)
    found = env.environment()
    assert found['no-such-package'] == 'not installed'
    assert found['java'] == 'not found: METEOR is left out'


def test_torch_that_does_not_import_is_reported_not_raised(monkeypatch):
    monkeypatch.setitem(sys.modules, 'torch', None)
    assert env.environment()['GPU'].startswith('unknown: ModuleNotFoundError: ')


def test_git_that_fails_is_unknown(monkeypatch):

    def absent(*args, **kwargs):
        raise FileNotFoundError('git')

    monkeypatch.setattr(subprocess, 'run', absent)
    assert env.environment()['commit'] in ('unknown: FileNotFoundError: git', 'installed package')


def test_a_folder_that_is_gone_is_no_reason_to_fail(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ('RSCC_DATA', 'CDPATH'):
        monkeypatch.delenv(name, raising=False)
    tmp_path.rmdir()
    assert env.environment()['data'].startswith('unknown: FileNotFoundError')
    assert env.environment_report()
