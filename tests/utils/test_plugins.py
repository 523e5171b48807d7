import importlib
import sys

import pytest

from rscc.utils.plugins import import_siblings


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
