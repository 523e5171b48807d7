"""Telling the user something once."""
from functools import cache


@cache
def say_once(message: str, level: int = 30) -> None:
    """Write a message to the run's log the first time that this process has it.

    Args:
        message: What to say.
        level: As in ``logging``: 20 for information, 30 for a warning.
    """
    from mmengine.logging import print_log  # late: rscc.utils is free of heavy packages
    print_log(message, 'current', level)
