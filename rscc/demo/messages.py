"""Messages of the page to its server: the few values that clicks send, and nothing else.

The web framework turns objects inside a message into files: ``{'path': '/etc/passwd', 'meta':
{'_type': 'gradio.FileData'}}`` makes it copy that file, and an address makes it fetch that address.
No message of this page holds an object, as images travel by themselves and are named by tokens. So
every message is read here first, compared with what the page sends, and written anew: the framework
sees what was compared, whatever the bytes were.
"""
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rscc.demo.words import LANGUAGES, Problem

#: Bytes of a message; the longest that the page sends has one thousand.
LARGEST = 16_000
_LONGEST = 400  # characters of a text in a message
_NAME = re.compile(r'[A-Za-z0-9_-]{1,64}')  # of open pages and of events
#: A check of one value.
Kind = Callable[[Any], bool]


def inputs_of(config: Mapping[str, Any]) -> dict[int, tuple[Kind, ...]]:
    """Return what each function of a page takes.

    Args:
        config: Of the framework's ``Blocks``: ``components`` and ``dependencies``.

    Returns:
        Number of a function -> a check of each of its values.
    """
    components = {component['id']: component for component in config['components']}
    return {function['id']: tuple(_kind(components[number]) for number in function['inputs'])
            for function in config['dependencies']}


def _kind(component: Mapping[str, Any]) -> Kind:
    """Return the check of a component's values; None stands for one that was never shown."""
    props = component['props']
    known = {
        'textbox': lambda value: _text(value) and len(value) <= (props.get('max_length') or 0),
        'checkbox': lambda value: isinstance(value, bool),
        'slider': lambda value: _number(value) and props['minimum'] <= value <= props['maximum'],
        'radio': lambda value: _text(value) and value in LANGUAGES,  # all of them choose one
        'dropdown': lambda value: _text(value) and value in [key for _, key in props['choices']]}
    check = known.get(component['type'], lambda value: False)
    return lambda value: value is None or check(value)


def checked(path: str, body: bytes, inputs: Mapping[int, tuple[Kind, ...]]) -> dict[str, Any]:
    """Return a message that is one of the page.

    Args:
        path: Where it was sent.
        body: Of the request.
        inputs: From :func:`inputs_of`.

    Returns:
        What the framework gets: texts, numbers and truth values, no object but that of the event.

    Raises:
        Problem: If the page would not send it; it tells nothing about this machine.
    """
    message = _parsed(body)
    fields = {'/gradio_api/queue/join': ('session_hash', 'fn_index', 'data', 'event_data',
                                         'trigger_id'),
              '/gradio_api/cancel': ('session_hash', 'fn_index', 'event_id'),
              '/gradio_api/reset': ('event_id', )}[path]
    checks = dict(session_hash=is_name, event_id=is_name, fn_index=lambda value: value in inputs,
                  trigger_id=lambda value: value is None or _whole(value), event_data=_event,
                  data=lambda value: isinstance(value, list))
    _need(all(_whole(message.get(name)) for name in fields if name == 'fn_index'))
    _need(all(checks[name](message.get(name)) for name in fields))
    _need(not any(isinstance(value, list | dict) for name, value in message.items()
                  if name not in fields))
    if 'data' in fields:
        kinds = inputs[message['fn_index']]
        _need(len(kinds) == len(message['data']))
        _need(all(kind(value) for kind, value in zip(kinds, message['data'], strict=True)))
    return {name: message[name] for name in fields if name in message}


def _parsed(body: bytes) -> dict[str, Any]:
    """Parse JSON strictly: UTF-8, no key twice, finite numbers, whole characters."""
    try:
        message = json.loads(body.decode('utf-8'), object_pairs_hook=_once,
                             parse_constant=_refuse, parse_float=_finite)
        json.dumps(message, ensure_ascii=False).encode('utf-8')  # no half characters
    except (ValueError, RecursionError) as error:
        raise Problem('bad_message') from error
    _need(isinstance(message, dict))
    return message


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError('a key stands twice')
    return found


def _refuse(text: str) -> None:
    raise ValueError(f'{text} is no number')


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _need(found: bool) -> None:
    if not found:
        raise Problem('bad_message')


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST and '\0' not in value


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31


def _number(value: Any) -> bool:
    return isinstance(value, float) or _whole(value)


def is_name(value: Any) -> bool:
    """Tell whether a value can be the name of an open page, or of an event."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _event(value: Any) -> bool:
    """Tell whether a value is that of an event: None, or a few texts such as the token given."""
    return value is None or (isinstance(value, dict) and len(value) <= 4 and all(
        _text(name) and (text is None or _text(text)) for name, text in value.items())
        and not {'path', 'url', 'meta', '_type', 'is_file', 'is_stream'} & set(value))
