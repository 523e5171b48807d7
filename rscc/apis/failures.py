"""Ending a command with a message where its input is wrong, with a traceback where the code is."""
import errno
import linecache
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.logging import MMLogger

import rscc

_PACKAGE = str(Path(rscc.__file__).parent) + os.sep
# A worker process hands its exception over as text; these find the last place in it and its words.
_FRAME = re.compile(r'^ +File "(?P<file>[^"]+)", line \d+, in .*\n +(?P<code>.*)$', re.M)
_WORDS = re.compile(r'^[\w.]*(?:Error|Exception): ', re.M)
_PLACES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM,
           errno.EISDIR, errno.ENOTDIR)
_KILLED = re.compile(r'DataLoader worker \(pid(?:\(s\))? [\d, ]+\) [^\n.]*')


@contextmanager
def explained() -> Iterator[None]:
    """Turn errors that this package raises on purpose into their message and exit code 1.

    A wrong file among thousands deserves one readable line, not a hundred of calls through loaders
    and registries. The traceback goes into the run's log file. Anything else is a fault of the
    code and passes unchanged.

    Raises:
        SystemExit: With the message.
    """
    try:
        yield
    except Exception as error:
        message = explanation(error)
        if message is None:
            raise
        rank = os.environ.get('RANK', '0')
        where = _log_traceback()
        raise SystemExit(f'error{"" if rank == "0" else f" (rank {rank})"}: {message}'
                         + (f'\n(traceback: {where})' if where else '')) from error


def explanation(error: BaseException) -> str | None:
    """Return the message of an error that was raised on purpose, None for a fault of the code.

    On purpose means: by a ``raise`` statement of this package, here or in a data worker. Told too
    are a disk that is full or may not be written, a folder where a file should be, and a process of
    the run that was ended.
    """
    text = str(error)
    # The cause, where there is one, names the signal.
    killed = _KILLED.search(str(error.__cause__)) or _KILLED.search(text)
    if killed:
        return (f'{killed.group()}. Something ended a process that loads data, most often the '
                'system because memory ran out. Lower num_workers or batch_size of the dataloader '
                '(num_workers=0 loads in the main process), then continue with --resume')
    if 'Connection closed by peer' in text or 'Connection reset by peer' in text:
        return ('another process of this run ended, see its message above or below; '
                'continue with --resume')
    if 'Original Traceback' in text:
        return _of_worker(text)
    if isinstance(error, OSError) and error.errno in _PLACES:
        # Ours come without a file name: it stands in the words.
        return f"{error.strerror}: '{error.filename}'" if error.filename else error.strerror
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or not _on_purpose(frames[-1].filename, linecache.getline(
            frames[-1].filename, frames[-1].lineno or 0)):
        return None
    # KeyError quotes its message.
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else text


def _of_worker(text: str) -> str | None:
    frames = list(_FRAME.finditer(text))
    if not frames or not _on_purpose(frames[-1]['file'], frames[-1]['code']):
        return None
    words = _WORDS.search(text, frames[-1].end())
    return text[words.end():].strip() if words else None


def _on_purpose(file: str, code: str) -> bool:
    return file.startswith(_PACKAGE) and code.strip().startswith('raise ')


def _log_traceback() -> str | None:
    """Append the current traceback to the run's log file and return that file's name."""
    logger = MMLogger.get_current_instance()
    files = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
    for handler in files:
        handler.handle(logger.makeRecord(logger.name, logging.ERROR, __file__, 0,
                                         'stopped by an error', (), sys.exc_info()))
    return files[0].baseFilename if files else None
