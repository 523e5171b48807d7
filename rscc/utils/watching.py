"""Long work that somebody watches: it draws no bars, and can be stopped between its steps.

A page that shows its own progress calls long work inside :func:`watched`. The work says where a
step of it begins, by :func:`step`, and knows nothing of who watches::

    with watched(job.check):      # raises when the run shall end
        check_pair(reader, facts)
"""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_WATCHER: ContextVar[Callable[[], object] | None] = ContextVar('watcher', default=None)


@contextmanager
def watched(watcher: Callable[[], object]) -> Iterator[None]:
    """Have a function called at every step of the work inside, in this thread.

    Args:
        watcher: What it raises ends the work.
    """
    token = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def is_watched() -> bool:
    """Tell whether somebody watches the work of this thread."""
    return _WATCHER.get() is not None


def step() -> None:
    """Begin a step of long work: a place where it can be stopped without harm.

    Raises:
        Exception: Whatever the watcher raises to end the work.
    """
    watcher = _WATCHER.get()
    if watcher is not None:
        watcher()
