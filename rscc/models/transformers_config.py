"""Configurations of transformers, without its silence about misspelt fields."""
from collections.abc import Callable, Mapping
from typing import Any

from rscc.utils import did_you_mean


def make_config(make: Callable[..., Any], fields: Mapping[str, Any], owner: str,
                **defaults: Any) -> Any:
    """Make a configuration all of whose fields mean something.

    transformers keeps a field that it does not know and uses its default for the one that was
    meant: ``n_layers=2`` would silently give a GPT-2 of twelve layers.

    Args:
        make: Class of the configuration, or a function that returns one.
        fields: What the user gives.
        owner: Whose config they stand in, for the message.
        **defaults: Fields for when they are not given.

    Raises:
        TypeError: If there is no such field; the nearest name is given.
    """
    config = make(**(defaults | dict(fields)))
    default = type(config)()
    known = sorted({*default.to_dict(), *default.attribute_map})
    for name in fields:
        if not hasattr(default, name):
            raise TypeError(f"{owner}: {type(config).__name__} has no '{name}'."
                            f'{did_you_mean(name, known)} Fields: {", ".join(known)}')
    return config
