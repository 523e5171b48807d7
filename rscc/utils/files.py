"""Writing files so that a kill leaves the previous version, and reading JSON with useful errors."""
import gzip
import json
import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


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
            open(temporary, mode, encoding=None if 'b' in mode else 'utf-8') as file:
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


def _umask() -> int:
    """Return the process's file mode mask (reading it means setting it for an instant)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


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

    Raises:
        FileNotFoundError: If ``path`` is not a file.
        ValueError: If it is not JSON; the message gives file, line and column. Or if a key comes
            twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such JSON file: '{path}'")
    try:
        data = path.read_bytes()
        if path.suffix == '.gz':
            data = gzip.decompress(data)
        if not data.strip():
            raise ValueError(f"'{path}' is empty: JSON was expected")
        # Editors on Windows begin a file with a mark that says UTF-8.
        return json.loads(data.decode('utf-8-sig'),
                          object_pairs_hook=_unique(path) if unique_keys else None)
    except (json.JSONDecodeError, UnicodeDecodeError, EOFError, zlib.error,
            gzip.BadGzipFile) as error:
        kind = 'gzipped JSON' if path.suffix == '.gz' else 'JSON'
        raise ValueError(f"'{path}' is not valid {kind}: {error}") from error


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
