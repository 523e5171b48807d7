"""Atomic writing of files, their hashes, and strict reading of text and JSON.

Writing goes to a temporary sibling first, so that a kill leaves the previous version. Reading lets
out ``FileNotFoundError`` and ``ValueError`` alone, with the file and the place in their messages.
"""
import errno
import glob
import gzip
import hashlib
import json
import os
import re
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

# Half characters, in a file name for instance, are written as JSON escapes and cost no file.
_TEXT = {'encoding': 'utf-8', 'errors': 'backslashreplace'}

_IN_USE = 'in_use.lock'  # held by the process that a temporary folder belongs to
_BLOCK = 2**20  # bytes written at a time where a file system cannot reserve


@contextmanager
def atomic_write(path: str | os.PathLike, mode: str = 'w') -> Iterator[IO]:
    """Open a temporary sibling of ``path`` that replaces it only when the block ends without error.

    Args:
        path: The file to write; its folder is made if needed.
        mode: ``'w'`` (UTF-8 text) or ``'wb'``.

    Yields:
        The open temporary file.

    Raises:
        OSError: Whatever the file system says (a full disk, say); ``path`` is then as it was.
    """
    with atomic_path(path) as temporary, \
            open(temporary, mode, **({} if 'b' in mode else _TEXT)) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Name a temporary sibling of ``path``, for libraries that open files themselves.

    Like :func:`atomic_write`, whose promise it keeps, but for the data being on the disk: that is
    for the caller to see to.

    Args:
        path: The file to write; its folder is made if needed.

    Yields:
        The temporary file, empty.

    Raises:
        OSError: Whatever the file system says; ``path`` is then as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.',
                                             suffix='.tmp')
    os.close(descriptor)
    try:
        yield Path(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, temporary):
            error.filename = str(path)  # the temporary name says nothing; a full disk not even that
        raise


@contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Name a file in a temporary folder that replaces ``path`` when the block ends without error.

    As :func:`atomic_path`, for libraries that go by the ending of a name, refuse a file that is
    there already, or leave other files beside it. The folder goes with all that is in it; one that
    a killed process left goes with the next call for the same path.

    Args:
        path: The file to write; its folder is made if needed.

    Yields:
        Where to write it: a file of the same name, which does not exist.

    Raises:
        OSError: Whatever the file system says; ``path`` is then as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f'.{glob.escape(path.name)}.*.tmp/{_IN_USE}'):
        with locked(left, wait=False) as unused:
            if unused:
                shutil.rmtree(left.parent, ignore_errors=True)
    temporary = None
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f'.{path.name}.',
                                         suffix='.tmp') as folder, locked(Path(folder, _IN_USE)):
            temporary = Path(folder, path.name)
            yield temporary
            with open(temporary, 'rb') as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except OSError as error:
        if error.errno and (temporary is None or error.filename in (None, str(temporary))):
            error.filename = str(path)
        raise


def reserve(path: str | os.PathLike, size: int) -> None:
    """Make a file ``size`` bytes long, for which the disk really has the room.

    A file that is merely long gets its room when it is written: through a memory map a full disk
    then ends the process by a signal.

    Args:
        path: An existing file.
        size: Bytes, no fewer than it has.

    Raises:
        OSError: If there is no room; the file is then as long as it was.
    """
    with open(path, 'r+b') as file:
        before = file.seek(0, os.SEEK_END)
        try:
            if not _allocate(file.fileno(), size):
                for start in range(before, size, _BLOCK):
                    file.write(bytes(min(_BLOCK, size - start)))
                file.flush()
        except OSError as error:
            file.truncate(before)
            error.filename = str(path)
            raise


def _allocate(descriptor: int, size: int) -> bool:
    """Let the file system reserve the room; False where it knows no such call."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except AttributeError:  # Windows, macOS
        return False
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            return False
        raise
    return True


@contextmanager
def locked(path: str | os.PathLike, wait: bool = True) -> Iterator[bool]:
    """Hold a lock file that the system releases when the process ends, however it ends.

    Args:
        path: The lock file, which stays there, empty.
        wait: Wait for another holder; else give up at once.

    Yields:
        Whether the lock is held. Windows has no such locks: always.
    """
    with open(path, 'a') as file:
        try:
            import fcntl
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except ImportError:
            pass
        except BlockingIOError:
            yield False
            return
        yield True


def _umask() -> int:
    """Return the file mode mask of the process, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def file_hash(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file; empty where it is none of this machine.

    A file is read once in a process, and again when its size, time of change or inode is another.
    """
    path = Path(path).absolute()
    if not path.is_file():
        return ''
    state = path.stat()
    return _hash_of(path, (state.st_size, state.st_mtime_ns, state.st_ino))


@lru_cache(maxsize=256)
def _hash_of(path: Path, _state: tuple[int, ...]) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def write_json(path: str | os.PathLike, data: Any, indent: int | None = 1) -> None:
    """Write ``data`` as UTF-8 JSON, atomically."""
    with atomic_write(path) as file:
        json.dump(data, file, ensure_ascii=False, indent=indent)
        file.write('\n')


def read_json(path: str | os.PathLike, unique_keys: bool = False) -> Any:
    """Read a JSON file, gzipped where its name ends in ``.gz``.

    Args:
        path: The file.
        unique_keys: Refuse an object that has a key twice, of which Python takes the last.

    Returns:
        Its content. Every string in it can be encoded.

    Raises:
        FileNotFoundError: If ``path`` is not a file.
        ValueError: If it is not JSON, is nested too deeply, or holds a number of thousands of
            digits or half a character; the message gives file and place. Or if a key comes twice.
    """
    path = Path(path)
    text = read_text(path, 'JSON file')
    if not text.strip():
        raise ValueError(f"'{path}' is empty: JSON was expected")
    try:
        data = json.loads(text, object_pairs_hook=_unique(path) if unique_keys else None)
    except json.JSONDecodeError as error:
        kind = 'gzipped JSON' if path.suffix == '.gz' else 'JSON'
        raise ValueError(f"'{path}' is not valid {kind}: {error}") from error
    except RecursionError as error:
        raise ValueError(f"'{path}' is nested too deeply to be one of our JSON files") from error
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"'{path}' holds a number that is too long: {error}") from error
    # Only an escape can put half a character into text that was UTF-8.
    if _HALF_ESCAPE.search(text):
        _check_strings(data, f"'{path}'")
    return data


def require_file(path: Path, what: str) -> None:
    """Refuse what is no file; of a folder, name one in it.

    Args:
        path: The file, perhaps.
        what: What it is, for the message: ``'JSON file'``.

    Raises:
        FileNotFoundError: If it is not there, or a folder.
    """
    if path.is_dir():
        inside = next(iter(sorted(path.glob('*.json'))), None) if 'JSON' in what else None
        more = '' if inside is None else f", '{inside}' perhaps"
        raise FileNotFoundError(f"'{path}' is a folder; expected a {what}{more}")
    if not path.is_file():
        raise FileNotFoundError(f"no such {what}: '{path}'")


def read_text(path: str | os.PathLike, what: str = 'text file') -> str:
    """Read a UTF-8 file, gzipped where its name ends in ``.gz``.

    Args:
        path: The file.
        what: What it is, for messages.

    Raises:
        FileNotFoundError: If ``path`` is not a file.
        ValueError: If it is not UTF-8 (the message gives line and byte), or not gzipped.
    """
    path = Path(path)
    require_file(path, what)
    data = path.read_bytes()
    try:
        if path.suffix == '.gz':
            data = gzip.decompress(data)
        return data.decode('utf-8-sig')  # editors on Windows begin a file with a mark
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + 1
        raise ValueError(f"'{path}' is not UTF-8: {error.reason} at byte {error.start} (line "
                         f'{line}). Save it again as UTF-8') from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"'{path}' is not a whole gzipped file: {error}") from error


_HALF_ESCAPE = re.compile(r'\\u[dD][89a-fA-F]')
_HALF = re.compile('[\ud800-\udfff]')


def check_text(text: str, where: str) -> str:
    """Refuse a string that cannot be encoded.

    Python strings may hold half a character (a lone surrogate; JSON can write it as an escape). No
    file, program or tokenizer takes such a string, and most fail far from where it came in.

    Args:
        text: The string.
        where: Where it stands, the subject of the message.

    Returns:
        The same string.

    Raises:
        ValueError: If it holds half a character.
    """
    half = _HALF.search(text)
    if half:
        raise ValueError(f'{where} holds half a character, U+{ord(half.group()):04X} after '
                         f'{text[max(0, half.start() - 20):half.start()]!r}, which cannot be '
                         'written as UTF-8. Remove it, or write the whole character')
    return text


def check_path(path: str, where: str) -> str:
    """Refuse a path that no file can have: empty, a folder's, with a NUL, or with a name too long.

    Args:
        path: The path as it is written somewhere; slashes of either kind part its names.
        where: Where it is written, the subject of the message.

    Returns:
        The same path.

    Raises:
        ValueError: If no file can have it.
    """
    names = path.replace('\\', '/').split('/')
    long = len(path.encode(errors='replace')) > 4000 or any(
        len(name.encode(errors='replace')) > 255 for name in names)
    if '\0' in path or names[-1] in ('', '.', '..') or long:
        shown = repr(path if len(path) < 100 else path[:100] + '...')
        raise ValueError(f'{where} is no path of a file: {shown}')
    return path


def _check_strings(data: Any, place: str) -> None:
    """Refuse half characters in any string of JSON data, keys too, and name the place."""
    waiting = [(data, place)]
    while waiting:
        value, place = waiting.pop()
        if isinstance(value, str):
            check_text(value, place)
        elif isinstance(value, list):
            waiting += [(item, f'{place}: {index}') for index, item in enumerate(value)]
        elif isinstance(value, dict):
            for key, item in value.items():
                check_text(key, f'a key of {place}')
                waiting.append((item, f'{place}: {key}'))


def _unique(path: Path) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """Return a maker of JSON objects that refuses a key that comes twice."""
    def make(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
            raise ValueError(f"'{path}' has the key '{twice[0]}' more than once in one object "
                             f'({len(twice)} such keys): remove what is not meant')
        return made
    return make
