"""Tools as users call them, in this process: starting Python with torch takes seconds a call."""
import importlib.util
import os
import subprocess
import sys
from collections import OrderedDict

import pytest
from real_pairs import make_samples, make_unchanged, rendered


@pytest.fixture(scope='session')
def load_tool(repo):
    """Return a function: path of a tool below ``tools/`` -> its module."""
    def load(name):
        path = repo / 'tools' / name
        spec = importlib.util.spec_from_file_location(f'{path.stem}_tool', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def run_tool(load_tool, repo, monkeypatch, capsys):
    """Return a function that calls a tool's ``main`` and gives what ``subprocess.run`` would.

    The tool runs in the repository root with a log of its own; what it sets in the environment is
    gone afterwards.
    """
    from mmengine.logging import MMLogger
    monkeypatch.chdir(repo)

    def call(tool, *arguments):
        module, before = load_tool(tool), dict(os.environ)
        monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())
        monkeypatch.setattr(sys, 'argv', [f'tools/{tool}', *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            module.main()
        except SystemExit as stopped:
            code = stopped.code or 0
        finally:
            os.environ.clear()
            os.environ.update(before)
        out, err = capsys.readouterr()
        if isinstance(code, str):
            code, err = 1, f'{err}{code}\n'
        return subprocess.CompletedProcess([tool, *arguments], code, out, err)

    return call


@pytest.fixture(scope='session')
def rendered_pairs(tmp_path_factory):
    """Six rendered pairs, (A, B, classes, annotation) each, the changed ones first."""
    return rendered(tmp_path_factory.mktemp('rendered'))


@pytest.fixture
def real_roots(tmp_path, rendered_pairs):
    """Folders of sets in the layout of the real ones: with changes, and unchanged."""
    return (make_samples(tmp_path / 'samples', rendered_pairs),
            make_unchanged(tmp_path / 'train', rendered_pairs))
