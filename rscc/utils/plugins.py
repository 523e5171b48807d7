"""Filling a registry: import every module of a package."""
import importlib
import pkgutil
from types import ModuleType


def import_siblings(package: ModuleType) -> None:
    """Import every module and subpackage directly inside ``package``, in name order.

    A folder that fills a registry calls this from its ``__init__``; a new file is found without
    editing a list.
    """
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda found: found.name):
        importlib.import_module(f'{package.__name__}.{module.name}')
