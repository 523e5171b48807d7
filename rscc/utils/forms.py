"""Check of data out of files against an expected form, with the place of what differs.

A form is written as the data would be::

    {'size': int, 'bands?': ([int], None), 'images': [{'stem': str, 'split': {'train', 'test'}}]}

It is a type (``int`` takes no bool and no more than 64 bits, ``float`` takes integers too,
``object`` takes anything), a range or set of values, ``None``, a tuple of alternatives, a list with
the form of its items (with several forms, of that many items), a dict with the forms of its keys
(``'key?'`` may lack, others may be there), or ``{str: form}`` for any keys.
"""
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

_TYPES = {str: 'a string', int: 'an integer', float: 'a number', bool: 'true or false',
          list: 'a list', dict: 'an object', type(None): 'null', object: 'a value'}
_INTEGERS = range(-2**63, 2**63)
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel = 3


def check_form(data: Any, form: Any, where: str, remedy: str = '') -> None:
    """Refuse data that is not of a form.

    Args:
        data: What was read.
        form: See the module.
        where: The file and the place in it, the subject of the message.
        remedy: What to do about it, the last sentence of the message.

    Raises:
        ValueError: Naming the first place that differs, what stands there, and what was expected.
    """
    place, found, expected = next(_differences(data, form, where), (None, None, None))
    if place is None:
        return
    if expected is None:
        raise ValueError(f'{place} lacks {found}. {remedy}'.rstrip())
    raise ValueError(f'{place} is {_TYPES.get(type(found), "no JSON")} ({shorten(found)}); '
                     f'{expected} was expected. {remedy}'.rstrip())


def shorten(value: Any) -> str:
    """Return a value as Python writes it, but short, however long or deeply nested it is."""
    return _SHORT.repr(value)


def _differences(data: Any, form: Any, where: str) -> Iterator[tuple[str, Any, str | None]]:
    """Yield (place, what is there, what was expected); what lacks is there, with None expected."""
    if isinstance(form, list) and isinstance(data, list) and len(form) in (1, len(data)):
        for number, item in enumerate(data):
            yield from _differences(item, form[number % len(form)], f'{where}: {number}')
    elif isinstance(form, Mapping) and isinstance(data, dict):
        yield from _of_keys(data, form, where)
    elif isinstance(form, tuple):
        # Of alternatives, one that fits in kind tells best what is wrong inside.
        if not any(next(_differences(data, one, where), None) is None for one in form):
            inside = next((one for one in form if isinstance(one, list | Mapping)
                           and isinstance(data, list if isinstance(one, list) else dict)), None)
            yield from ([(where, data, _name(form))] if inside is None else
                        _differences(data, inside, where))
    elif not _fits(data, form):
        yield where, data, _name(form)


def _of_keys(data: Mapping, form: Mapping, where: str) -> Iterator[tuple[str, Any, str | None]]:
    for key, inner in form.items():
        if key is str:
            for name, value in data.items():
                yield from _differences(value, inner, f'{where}: {name}')
        elif key.removesuffix('?') in data:
            name = key.removesuffix('?')
            yield from _differences(data[name], inner, f'{where}: {name}')
        elif not key.endswith('?'):
            yield where, f"'{key}'", None


def _fits(data: Any, form: Any) -> bool:
    """Return whether a value fits a form without an inside."""
    if form is object or (form is None and data is None):
        return True
    if form is int:
        return type(data) is int and data in _INTEGERS
    if form is float:
        return type(data) is float or _fits(data, int)
    if isinstance(form, range):
        return type(data) is int and data in form
    if isinstance(form, set | frozenset):
        return isinstance(data, str | int) and data in form
    return isinstance(form, type) and isinstance(data, form)


def _name(form: Any) -> str:
    """Name a form in a message."""
    if isinstance(form, tuple):
        return ' or '.join(map(_name, form))
    if isinstance(form, range):
        return f'an integer from {form.start} to {form.stop - 1}'
    if isinstance(form, set | frozenset):
        return ' or '.join(map(repr, sorted(form, key=str)))
    if isinstance(form, list) and len(form) > 1:
        return f'a list of {", ".join(map(_name, form))}'
    if isinstance(form, list):
        return f'a list (each entry: {_name(form[0])})'
    if isinstance(form, Mapping):
        names = [f"'{key}'" for key in form if key is not str and not key.endswith('?')]
        return f'an object with {", ".join(names)}' if names else 'an object'
    return _TYPES[type(None) if form is None else form]
