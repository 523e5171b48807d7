"""Keeps MMEngine from importing transformers, and peft with it, for one optimizer of theirs.

``mmengine.optim``, which every model imports, registers ``Adafactor`` that way: more than a second
for every command, a detector's too. ``rscc.registry`` builds the optimizer where a config asks for
it.
"""
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: Module of MMEngine that imports transformers.
MODULE = 'mmengine.optim.optimizer.builder'


def leave_transformers_for_later() -> None:
    """Have ``mmengine.optim`` imported without transformers, unless that has happened already."""
    if MODULE not in sys.modules:
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds that one module, with a loader that hides transformers while the module runs."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return where the module is; None for every other one."""
        if name != MODULE:
            return None
        sys.meta_path.remove(self)  # asked once; the finders behind it know where the module is
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module
            spec.loader.exec_module = lambda module: _run_without_transformers(run, module)
        return spec


def _run_without_transformers(run: Callable[[ModuleType], None], module: ModuleType) -> None:
    absent = object()
    present = sys.modules.get('transformers', absent)
    sys.modules['transformers'] = None  # importing it fails at once, as where it is not installed
    try:
        run(module)
    finally:
        if present is absent:
            del sys.modules['transformers']
        else:
            sys.modules['transformers'] = present
