"""Warnings that appear once, and the progress bar of long loops."""
import os
import sys
from collections.abc import Iterable
from functools import cache

from tqdm import tqdm


@cache
def warn_once(message: str, level: int = 30) -> None:
    """Write a message to the run's log the first time that this process has it.

    Args:
        message: What to say.
        level: As in ``logging``: 20 for information, 30 for a warning.
    """
    from mmengine.logging import print_log  # late: rscc.utils is free of heavy packages
    print_log(message, 'current', level)


def progress(iterable: Iterable | None, description: str, total: int | None = None,
             unit: str = 'it') -> tqdm:
    """Wrap ``iterable`` in a bar with rate and remaining time on standard error.

    Rank 0 alone shows it. Without a terminal (a log file) it prints every ten seconds only.

    Args:
        iterable: What to loop over, or None to call ``update`` by hand.
        description: What is being done, a few words.
        total: Number of items where ``iterable`` has no length.
        unit: Name of one item.

    Returns:
        The bar, which iterates like ``iterable`` and is a context manager.
    """
    interval = 0.3 if sys.stderr.isatty() else 10.0
    return tqdm(iterable, desc=description, total=total, unit=unit, dynamic_ncols=True,
                mininterval=interval, maxinterval=interval * 2,
                disable=int(os.environ.get('RANK', 0)) != 0)
