"""Reading of one long list inside a JSON file, item by item, in constant memory.

Annotation files of a million images take gigabytes as Python objects; what reads them one by one
needs the memory of one.
"""
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rscc.utils.files import require_file

_CHUNK = 1 << 20  # characters read at a time
_LARGEST = 1 << 26  # characters of one value; a damaged file would else be read to its end
_GOES_ON = ('', *'.+-0123456789eE')  # behind a number that is perhaps not all of it
_DECODER = json.JSONDecoder()


def stream_list(path: str | Path, key: str) -> Iterator[Any]:
    """Yield the items of a list that stands under a key of a JSON file's outermost object.

    Args:
        path: UTF-8 JSON, gzipped where its name ends in ``.gz``.
        key: Of the outermost object. What stands under other keys is read and passed over.

    Yields:
        The items, in their order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no JSON of that form; the message gives the character.
    """
    path = Path(path)
    require_file(path, 'JSON file')
    opener = gzip.open if path.suffix == '.gz' else open
    try:
        with opener(path, 'rt', encoding='utf-8-sig') as file:
            yield from _Window(file, path).items(key)
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"'{path}' is no readable UTF-8 JSON: {error}. Save or download it again"
                         ) from error


class _Window:
    """The part of a file that is in memory, and a place in it."""

    def __init__(self, file: IO[str], path: Path):
        self.file, self.path = file, path
        self.text, self.place, self.before = '', 0, 0

    def items(self, key: str) -> Iterator[Any]:
        """Yield the items of the list under ``key``."""
        self.expect('{')
        if self.peek() == '}':
            raise self.wrong(f"an object without the key '{key}'")
        while True:
            name = self.value()
            self.expect(':')
            if name == key:
                yield from self.list_items()
                return
            self.value()
            if self.next_mark() != ',':
                raise self.wrong(f"no list '{key}'")

    def list_items(self) -> Iterator[Any]:
        """Yield the items of the list that begins here."""
        self.expect('[')
        if self.peek() == ']':
            return
        while True:
            yield self.value()
            mark = self.next_mark()
            if mark == ']':
                return
            if mark != ',':
                raise self.wrong(f'{mark!r} between two items')

    def value(self) -> Any:
        """Decode the value that begins here, reading as much as it needs."""
        self.peek()
        while True:
            try:
                found, end = _DECODER.raw_decode(self.text, self.place)
            except json.JSONDecodeError as error:
                if len(self.text) - self.place > _LARGEST or not self.more():
                    raise self.wrong(str(error)) from error
                continue
            except (RecursionError, ValueError) as error:  # nested too deeply, numbers too long
                raise self.wrong(str(error)) from error
            # A number at the end of what was read may go on.
            if self.text[end:end + 1] not in _GOES_ON or not self.more():
                self.place = end
                return found

    def expect(self, mark: str) -> None:
        """Pass over one mark."""
        found = self.next_mark()
        if found != mark:
            raise self.wrong(f'{found!r} where {mark!r} was expected')

    def next_mark(self) -> str:
        """Return the next character that is no blank, and pass over it."""
        found = self.peek()
        self.place += 1
        return found

    def peek(self) -> str:
        """Return the next character that is no blank; empty at the end of the file."""
        while True:
            while self.place < len(self.text) and self.text[self.place].isspace():
                self.place += 1
            if self.place < len(self.text):
                return self.text[self.place]
            if not self.more():
                return ''

    def more(self) -> bool:
        """Read on, and let go of what was passed over; False at the end of the file."""
        # At least as much again: a value of many chunks is then decoded a few times, not each time.
        chunk = self.file.read(max(_CHUNK, len(self.text) - self.place))
        self.before += self.place
        self.text, self.place = self.text[self.place:] + chunk, 0
        return bool(chunk)

    def wrong(self, what: str) -> ValueError:
        """Return the error for a file of another form."""
        return ValueError(f"'{self.path}' is not the JSON that was expected: {what}, near "
                          f'character {self.before + self.place}')
