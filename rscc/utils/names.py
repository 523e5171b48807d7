"""Nearest names for error messages."""
import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name nearest to ``name``, or an empty string.

    Args:
        name: What the user wrote.
        known: Names that would have been accepted.

    Returns:
        A sentence with a leading blank, ready to append to an error message.
    """
    lowered = {str(candidate).lower(): str(candidate) for candidate in known}
    match = difflib.get_close_matches(str(name).lower(), lowered, n=1, cutoff=0.6)
    return f" Did you mean '{lowered[match[0]]}'?" if match else ''
