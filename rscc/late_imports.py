"""Keeps MMEngine and MMSegmentation from importing large libraries that few models need.

* ``mmengine.optim``, which every model imports, registers ``Adafactor`` from transformers, and with
  it comes peft: more than a second for every command. ``rscc.registry`` builds the optimizer where
  a config asks for it.
* ``mmseg.models`` imports timm, and with it come torchvision and torch's compiler: two seconds. Its
  ``TIMMBackbone`` imports timm when one is built.
* MMEngine's log of the environment imports torchvision for its version alone.
"""
import importlib
import importlib.abc
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a module that is imported when something of it is first used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


#: Module -> what it imports, and what it finds instead (None: as where it is not installed).
_FOUND_INSTEAD: dict[str, tuple[str, ModuleType | None]] = {
    'mmengine.optim.optimizer.builder': ('transformers', None),
    'mmseg.models.backbones.timm_backbone': ('timm', _Later('timm')),
}


def leave_for_later() -> None:
    """Have those modules imported without the libraries, unless that has happened already."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds those modules, with a loader that hides a library while the module runs."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return where one of the modules is; None for every other one."""
        if name not in _FOUND_INSTEAD:
            return None
        sys.meta_path.remove(self)  # the finders behind it know where the module is
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module
            spec.loader.exec_module = lambda module: _run_without(run, module)
        return spec


def _run_without(run: Callable[[ModuleType], None], module: ModuleType) -> None:
    with _instead(*_FOUND_INSTEAD[module.__name__]):
        run(module)


@contextmanager
def version_alone(library: str) -> Iterator[None]:
    """Have ``import`` of a library within a block find its version and nothing else.

    Nothing changes where it has been imported already, or is not installed.
    """
    try:
        version = importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        version = None
    if version is None or library in sys.modules:
        yield
        return
    stand_in = ModuleType(library)
    stand_in.__version__ = version
    with _instead(library, stand_in):
        yield


@contextmanager
def _instead(library: str, found: ModuleType | None) -> Iterator[None]:
    """Have ``import`` of a library find something else within a block; None: it fails at once."""
    absent = object()
    before = sys.modules.get(library, absent)
    if isinstance(before, ModuleType) and found is not None:
        yield  # it is there: nothing is saved
        return
    sys.modules[library] = found
    try:
        yield
    finally:
        if before is absent:
            del sys.modules[library]
        else:
            sys.modules[library] = before
