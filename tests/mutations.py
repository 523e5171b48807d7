"""Seeded mutations of files: damaged bytes, and values of a kind that does not belong there."""
import copy
import io
import json
import pickle
import random
from collections.abc import Callable
from typing import Any

#: Stand-ins that JSON cannot hold as Python values; replaced in the text.
_RAW = {'@huge@': '9' * 5000, '@large@': '9' * 400, '@deep@': '[' * 20000 + ']' * 20000,
        '@nested@': '[' * 300 + ']' * 300, '@float@': '1e999', '@half@': '\\ud83d', '@nan@': 'NaN'}
_VALUES = (None, True, False, 0, -1, 3, 2.5, 10**18, '', ' ', '#', '.', '\x00', '<pad>',
           '../../x', '一座桥', 'a\nb\tc', '😀', 'x' * 3000, [], {}, [[]], [None], ['a', 1],
           {'a': 1}, {'': []}, [{}], *(raw for raw in _RAW if raw != '@half@'), 'a@half@b')
_BYTES = (b'', b'\0', b'\xff', b'\xed\xa0\xbd', b'\n', b'\r', b'"', b'\\', b'{', b'}', b'[', b']',
          b',', b':', b'null', b'NaN', b'9' * 400, b'\\ud83d', '一'.encode(), b'\xe4\xb8', b'\x85',
          '\u2028'.encode(), b'  ', b'\t', b'#', b'-', b'()', b'**{}', b'{[]: 1}', b'-' * 9999,
          b'(' * 150, b'\nfilename = 1\n', b'dict(', b'a=1', b"'\\ud83d'")


class Mutator:
    """Source of damaged versions of one file.

    Args:
        content: The sound file: bytes, or data that ``encode`` turns into bytes.
        encode: Turns data into the file's bytes; None where only bytes are damaged.
        seed: The same seed gives the same files.
    """

    def __init__(self, content: Any, encode: Callable[[Any], bytes] | None, seed: int) -> None:
        self.content, self.encode = content, encode
        self.sound = content if encode is None else encode(content)
        self.draw = random.Random(seed)

    def __call__(self) -> bytes:
        """Return the next damaged file."""
        if self.encode is None or self.draw.random() < 0.4:
            return self._bytes(self.sound)
        data = copy.deepcopy(self.content)
        for _ in range(self.draw.choice((1, 1, 1, 2, 3))):
            data = self._value(data)
        return self.encode(data)

    def _bytes(self, data: bytes) -> bytes:
        """Cut, overwrite, insert, double or exchange some bytes, once or a few times."""
        for _ in range(self.draw.choice((1, 1, 1, 2, 4))):
            start = self.draw.randrange(len(data) + 1)
            end = min(len(data), start + self.draw.choice((1, 1, 2, 8, 64)))
            middle = self.draw.choice((
                b'', self.draw.randbytes(end - start), self.draw.choice(_BYTES),
                data[start:end] * 2, bytes(byte ^ 1 << self.draw.randrange(8)
                                           for byte in data[start:end])))
            data = data[:start] + middle + data[end:]
            if self.draw.random() < 0.1:
                data = data[:self.draw.randrange(len(data) + 1)]
        return data

    def _value(self, data: Any) -> Any:
        """Replace, remove, double or rename one entry somewhere below the top, or the top."""
        holders = [holder for holder in _holders(data) if holder]
        if not holders or self.draw.random() < 0.02:
            return copy.deepcopy(self.draw.choice(_VALUES))
        holder = self.draw.choice(holders)
        key = self.draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        action = self.draw.random()
        if action < 0.6:
            holder[key] = copy.deepcopy(self.draw.choice(_VALUES))
        elif action < 0.75:
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, copy.deepcopy(self.draw.choice(holder)))
        else:
            name = self.draw.choice([key, 'a@half@b', '', '<start>', 'x', *list(holder)])
            holder[name] = holder.pop(key)
        return data


def _holders(data: Any) -> list[Any]:
    """Return all lists and dicts in some data, the data itself first."""
    found, waiting = [], [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list | dict):
            found.append(value)
            waiting += value if isinstance(value, list) else value.values()
    return found


def as_json(data: Any) -> bytes:
    """Encode data with stand-ins as JSON."""
    text = json.dumps(data)
    for name, raw in _RAW.items():
        text = text.replace(name if name == '@half@' else f'"{name}"', raw)
    return text.encode()


def as_pickle(data: Any) -> bytes:
    """Encode data as a pickle, as torch tensors are pickled."""
    stream = io.BytesIO()
    pickle.Pickler(stream, protocol=4).dump(data)
    return stream.getvalue()
