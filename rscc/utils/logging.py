"""Messages shown once, notices about old names, and the progress bar of every long loop.

Each use of an old name writes one line to the log, once a process::

    __getattr__ = renamed_names(__name__, removal='0.3', read_caps='read_captions')  # in a module

    @renamed_keyword('max_len', 'max_tokens', removal='0.3')
    def encode(self, text, max_tokens=40): ...

A config's old name stays as a file that says where it went::

    _base_ = './sat_synth.py'
    _deprecation_ = dict(expected='sat_synth.py', removal='0.3')
"""
import ast
import functools
import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from rscc.utils.watching import is_watched, step


@cache
def warn_once(message: str, level: int = 30) -> None:
    """Write a message to the run's log the first time that this process has it.

    Args:
        message: What to say.
        level: As in ``logging``: 20 for information, 30 for a warning.
    """
    try:
        from mmengine.logging import print_log  # late: rscc.utils is free of heavy packages
    except ImportError:  # a process that answers with an exported model needs none of them
        logging.getLogger('rscc').log(level, message)
        return
    print_log(message, 'current', level)


@contextmanager
def log_from(logger: logging.Logger, level: int) -> Iterator[None]:
    """Let a logger say nothing below a level for a while.

    Args:
        logger: Of another package, or of a run.
        level: As in ``logging``.
    """
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


def progress(iterable: Iterable | None, description: str, total: int | None = None,
             unit: str = 'it') -> tqdm:
    """Wrap ``iterable`` in a bar with rate and remaining time on standard error.

    Rank 0 alone shows it. Without a terminal (a log file) it prints every ten seconds only. Work
    that is watched shows none, see :mod:`rscc.utils.watching`; each item is a step of it.

    Args:
        iterable: What to loop over, or None to call ``update`` by hand.
        description: What is being done, a few words.
        total: Number of items where ``iterable`` has no length.
        unit: Name of one item.

    Returns:
        The bar, which iterates like ``iterable`` and is a context manager.
    """
    interval = 0.3 if sys.stderr.isatty() else 10.0
    if iterable is not None and is_watched():
        iterable = _in_steps(iterable)
    return tqdm(iterable, desc=description, total=total, unit=f' {unit}', dynamic_ncols=True,
                mininterval=interval, maxinterval=interval * 2,
                disable=is_watched() or int(os.environ.get('RANK', 0)) != 0)


def _in_steps(iterable: Iterable) -> Iterator:
    for item in iterable:
        step()
        yield item


Function = TypeVar('Function', bound=Callable)
#: Attribute of a wrapped function: its old keywords and what each is called now.
_RENAMED = '__rscc_renamed_keywords__'


def warn_deprecated(old: str, new: str, removal: str) -> None:
    """Say, once a process, that a name has changed.

    Args:
        old: The old name with what it names, the subject of the sentence: ``"keyword 'max_len'"``.
        new: The name to use.
        removal: First version without the old name.
    """
    warn_once(f"{old} is now called '{new}'; the old name will be removed in rscc {removal}")


def renamed_names(module: str, removal: str, **names: str) -> Callable[[str], Any]:
    """Make a module's ``__getattr__`` that serves old names of its functions and classes.

    What an old name gives is the new object itself, so ``isinstance`` and pickles work as before.

    Args:
        module: The module's ``__name__``.
        removal: First version without the old names.
        **names: Old name = new name in the same module, or ``'other.module:name'``.

    Returns:
        A function to be bound to ``__getattr__`` at the end of the module.
    """
    def lookup(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module '{module}' has no attribute '{name}'")
        place, _, new = names[name].rpartition(':')
        warn_deprecated(f"'{module}.{name}'", f'{place or module}.{new}', removal)
        return getattr(importlib.import_module(place or module), new)
    return lookup


def renamed_keyword(old: str, new: str, removal: str) -> Callable[[Function], Function]:
    """Decorate a function or an ``__init__`` whose keyword has changed its name.

    Args:
        old: Keyword that is still accepted.
        new: Keyword that the function takes.
        removal: First version without the old keyword.

    Raises:
        TypeError: At a call that gives both.
    """
    def decorate(function: Function) -> Function:
        owner = function.__qualname__.removesuffix('.__init__')

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if old in kwargs:
                if new in kwargs:
                    raise TypeError(f"{owner}: '{old}' is the old name of '{new}', and both were "
                                    f"given; give '{new}' alone")
                warn_deprecated(f"keyword '{old}' of {owner}", new, removal)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)
        setattr(wrapped, _RENAMED, {**renamed_keywords(function), old: new})
        return wrapped
    return decorate


def renamed_keywords(function: Callable) -> dict[str, str]:
    """Return the old keywords that :func:`renamed_keyword` lets a function take, old -> new."""
    return vars(function).get(_RENAMED, {}) if hasattr(function, '__dict__') else {}


def warn_deprecated_config(path: str | os.PathLike) -> None:
    """Say that a config file has another name now, where the file states that.

    Args:
        path: A config file. One that is not Python is left to whoever reads it.
    """
    try:
        tree = ast.parse(Path(path).read_text(encoding='utf-8'))
    except (OSError, SyntaxError, ValueError):
        return
    # MMEngine shows a `_deprecation_` as a DeprecationWarning, which Python hides from users.
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '_deprecation_':
            notice = {word.arg: ast.literal_eval(word.value) for word in node.value.keywords}
            warn_deprecated(f"config '{Path(path).name}'", notice['expected'], notice['removal'])
