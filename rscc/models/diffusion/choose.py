"""Choosing a function by its name in a config."""
import functools
from collections.abc import Callable
from typing import Any

from rscc.registry import Registry
from rscc.utils import did_you_mean
from rscc.utils.signatures import keywords_of

# Have defaults, but are what the caller of a sampler gives, not a config.
_NOT_OPTIONS = {'noise', 'callback'}


def choose(registry: Registry, cfg: str | dict[str, Any]) -> Callable:
    """Return a registered function with its options filled in.

    Args:
        registry: Of functions: NOISE_DENSITIES, LOSS_WEIGHTINGS, SIGMA_SCHEDULES or SAMPLERS.
        cfg: Name of a function, ``'karras'``, or ``dict(type='karras', rho=5)``.

    Returns:
        The function; what its protocol gives (``steps``, ``sigma_data``, ...) is left to the call.

    Raises:
        TypeError: If ``cfg`` is neither a name nor a dict with one, or an option is unknown; the
            message names the nearest one.
        KeyError: If the name is unknown; the message names the nearest one.
    """
    cfg = dict(type=cfg) if isinstance(cfg, str) else cfg
    if not isinstance(cfg, dict) or not isinstance(cfg.get('type'), str):
        raise TypeError(f'a {registry.name} is a name or dict(type=name, **options), found {cfg!r}')
    options = {key: value for key, value in cfg.items() if key != 'type'}
    name = cfg['type']
    if name not in (known := registry.known_names()):
        raise KeyError(f"no {registry.name} '{name}'.{did_you_mean(name, known)} "
                       f'Known are {", ".join(known)}.')
    function = registry.get(name)
    accepted = option_names(function)
    for option in options:
        if option not in accepted:
            raise TypeError(f"the {registry.name} '{name}' has no option '{option}'."
                            f'{did_you_mean(option, accepted)} '
                            f'Options: {", ".join(accepted) or "none"}')
    return functools.partial(function, **options)


def option_names(function: Callable) -> list[str]:
    """Return the parameters a config may set: those with a default."""
    return [name for name in keywords_of(function).defaults if name not in _NOT_OPTIONS]
