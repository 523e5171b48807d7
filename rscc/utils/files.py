"""Writing files so that a kill leaves the previous version, and reading JSON with useful errors."""
import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Iterator
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
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.',
                                             suffix='.tmp')
    try:
        encoding = None if 'b' in mode else 'utf-8'
        with os.fdopen(descriptor, mode, encoding=encoding) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(path)  # a full disk does not say which file it is about
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


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file, gzipped where its name ends in ``.gz``.

    Raises:
        FileNotFoundError: If ``path`` is not a file.
        ValueError: If it is not JSON; the message gives file, line and column.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such JSON file: '{path}'")
    try:
        data = path.read_bytes()
        if path.suffix == '.gz':
            data = gzip.decompress(data)
        return json.loads(data.decode('utf-8'))
    except (json.JSONDecodeError, UnicodeDecodeError, EOFError, zlib.error,
            gzip.BadGzipFile) as error:
        kind = 'gzipped JSON' if path.suffix == '.gz' else 'JSON'
        raise ValueError(f"'{path}' is not valid {kind}: {error}") from error
