"""Writing checkpoints so that a kill or a full disk never costs the previous one."""
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from rscc.utils import atomic_write


@register_backend('atomic', force=True)
class AtomicBackend(LocalBackend):
    """MMEngine's local files, except that a file appears whole or not at all.

    Chosen by ``backend_args=dict(backend='atomic')``, which is what ``SafeCheckpointHook`` does.
    """

    def __init__(self) -> None:
        self._waiting: list[str] | None = None

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write bytes through a temporary sibling, flushed to the disk, then renamed.

        Raises:
            OSError: If they cannot be written; names the file, its size and the free space.
        """
        try:
            with atomic_write(filepath, 'wb') as file:
                file.write(obj)
        except OSError as error:
            raise OSError(error.errno, _explain(Path(filepath), len(obj), error)) from error
        if self._waiting is not None and str(filepath) in self._waiting:
            self._waiting.remove(str(filepath))

    def remove(self, filepath: str | Path) -> None:
        """Remove a file, at the end of :meth:`removing_last` where inside one."""
        if self._waiting is None:
            super().remove(filepath)
        else:
            self._waiting.append(str(filepath))

    @contextmanager
    def removing_last(self) -> Iterator[None]:
        """Hold every removal back until the block has succeeded.

        MMEngine removes the outdated checkpoint before it writes the new one; a kill in between
        would leave neither.
        """
        self._waiting = []
        try:
            yield
            doomed = self._waiting
        finally:
            self._waiting = None
        for path in doomed:
            Path(path).unlink(missing_ok=True)


def _explain(path: Path, size: int, error: OSError) -> str:
    free = shutil.disk_usage(path.parent if path.parent.is_dir() else os.curdir).free
    why = error.strerror or error
    return (f"checkpoint '{path}' ({size / 2**20:.1f} MiB) cannot be written: {why}. "
            f'{free / 2**20:.1f} MiB are free there. Nothing was overwritten: make room, then '
            'continue with --resume')


def remove_leftovers(folder: str | os.PathLike) -> int:
    """Delete temporary files of checkpoints whose writing was killed, and return their number."""
    leftovers = list(Path(folder).glob('.*.pth.*.tmp'))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)
