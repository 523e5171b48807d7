"""Choosing dotted names by pattern."""
import re
from collections.abc import Iterable, Sequence

from rscc.utils.names import did_you_mean


def matching_names(names: Iterable[str], patterns: Sequence[str],
                   what: str = 'parameter') -> list[str]:
    """Return the names that any pattern matches, in their order.

    Args:
        names: Dotted names, those of a model's parameters for instance.
        patterns: Regular expressions, searched anywhere in a name.
        what: What is named, for the message.

    Raises:
        ValueError: If a pattern matches nothing; the message gives the nearest part of a name.
    """
    names = list(names)
    for pattern in patterns:
        if not any(re.search(pattern, name) for name in names):
            prefixes = {name.rsplit('.', depth)[0] for name in names for depth in range(1, 9)}
            wish = re.sub(r'\\(.)', r'\1', pattern).strip('^$.*')
            raise ValueError(f"pattern '{pattern}' matches no {what} of the model, whose parts "
                             f"are {sorted({name.split('.')[0] for name in names})}."
                             f'{did_you_mean(wish, prefixes)}')
    return [name for name in names if any(re.search(pattern, name) for pattern in patterns)]
