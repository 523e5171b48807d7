"""Choosing parameters by pattern."""
import re
from collections.abc import Sequence

from torch import nn

from rscc.utils import did_you_mean


def matching_parameters(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Return the names of the parameters that any pattern matches, in model order.

    Args:
        model: The model, unwrapped.
        patterns: Regular expressions, searched anywhere in the dotted names.

    Raises:
        ValueError: If a pattern matches nothing; names the nearest part of the model.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not any(re.search(pattern, name) for name in names):
            prefixes = {name.rsplit('.', depth)[0] for name in names for depth in range(1, 9)}
            wish = re.sub(r'\\(.)', r'\1', pattern).strip('^$.*')
            raise ValueError(f"pattern '{pattern}' matches no parameter of the model, whose parts "
                             f"are {sorted({name.split('.')[0] for name in names})}."
                             f'{did_you_mean(wish, prefixes)}')
    return [name for name in names if any(re.search(pattern, name) for pattern in patterns)]
