"""Visitors of the web page and their files: nobody reads another's, and nothing stays.

A visitor is known by a random cookie. Every file has a random name of its own below a folder of its
visitor, and is found only by who shows both. What has not been used for an hour is deleted, and
everything when the page ends.
"""
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rscc.demo.jobs import Job
from rscc.demo.limits import Limits
from rscc.demo.words import Problem
from rscc.utils.files import locked

_PREFIX, _LOCK = 'rscc_demo_', 'in_use.lock'
_TOKEN_BYTES = 24
_SPARE = 200_000_000  # bytes of the disk that others keep
_MOST_TABS = 20  # of one visitor, newest kept


@contextmanager
def page_folder(parent: str | os.PathLike | None = None) -> Iterator[Path]:
    """Make the folder of a page, readable by its owner alone, and delete it with all in it.

    Folders that killed pages left beside it are deleted first.

    Args:
        parent: Where; None for the system's folder for temporary files.

    Yields:
        The folder.
    """
    parent = Path(parent or tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f'{_PREFIX}*/{_LOCK}'):
        try:
            with locked(left, wait=False) as unused:
                if unused:
                    shutil.rmtree(left.parent, ignore_errors=True)
        except OSError:  # another user's
            continue
    with tempfile.TemporaryDirectory(dir=parent, prefix=_PREFIX, ignore_cleanup_errors=True
                                     ) as folder, locked(Path(folder, _LOCK)):
        yield Path(folder)


@dataclass
class Stored:
    """A file of a visitor.

    Attributes:
        path: Where it lies, alone in its folder or with others of one answer.
        name: What its owner calls it.
        used: When it was stored or used last, in seconds.
        facts: What is known of it.
    """
    path: Path
    name: str
    used: float
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Tab:
    """State of one open page of a visitor: images given, run, and answer.

    Attributes:
        dates: ``'from'``, ``'to'`` or ``'image'`` -> token of the file that is there.
        answers: ``'pair'`` or ``'single'`` -> the last answer, to be shown again in another
            language.
        jobs: ``'pair'`` or ``'single'`` -> the last run.
        turns: ``'pair'`` or ``'single'`` -> numbers of what the page's script has asked for last.
        language: That it is shown in; None before it was first drawn.
        used: When it was asked for last, in seconds.
    """
    dates: dict[str, str] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    turns: dict[str, deque] = field(default_factory=lambda: defaultdict(partial(deque, maxlen=20)))
    language: str | None = None
    used: float = 0.0

    @property
    def busy(self) -> bool:
        """Whether a run of it has not ended yet."""
        return any(not job.finished for job in self.jobs.values())


class Visitor:
    """One browser, and what it has left here.

    Args:
        folder: Of its files; made with the first one.
        clock: Gives the time in seconds.
        limits: Of the page.

    Attributes:
        key: The secret of its cookie.
        seen: When it came last.
    """

    def __init__(self, folder: Path, clock: Callable[[], float], limits: Limits) -> None:
        self.key, self.folder = secrets.token_urlsafe(_TOKEN_BYTES), folder
        self._clock, self._limits, self.seen = clock, limits, clock()
        self._files: dict[str, Stored] = {}
        self._tabs: dict[str, Tab] = {}
        self._lock = threading.Lock()

    def tab(self, name: str) -> Tab:
        """Return what one of its open pages holds, by the page's own name."""
        with self._lock:
            tab = self._tabs.setdefault(str(name)[:100], Tab())
            tab.used = self._clock()
            if len(self._tabs) > _MOST_TABS:
                idle = [key for key, other in self._tabs.items()
                        if other is not tab and not other.busy]
                if idle:
                    del self._tabs[min(idle, key=lambda key: self._tabs[key].used)]
            return tab

    @property
    def tabs(self) -> list[Tab]:
        """All of its open pages."""
        return list(self._tabs.values())

    def make_folder(self) -> Path:
        """Make a folder for further files of this visitor."""
        folder = self.folder / secrets.token_hex(12)
        folder.mkdir(parents=True, mode=0o700)
        return folder

    def keep(self, path: Path, name: str, **facts: Any) -> str:
        """Remember a file below the visitor's folder, and return the token that finds it."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        with self._lock:
            self._files[token] = Stored(Path(path), name, self._clock(), facts)
        return token

    def file(self, token: str) -> Stored:
        """Return a file, which counts as used.

        Raises:
            Problem: If this visitor has no such file, or it has been deleted.
        """
        with self._lock:
            stored = self._files.get(str(token))
            if stored is None or not stored.path.is_file():
                raise Problem('file_gone')
            stored.used = self._clock()
            return stored

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return folder_size(self.folder)

    @property
    def empty(self) -> bool:
        """Whether it has left nothing."""
        return not self._files and not any(tab.busy for tab in self.tabs)

    def clean(self, before: float) -> None:
        """Delete files, and forget open pages, last used before a time."""
        with self._lock:
            for token, stored in list(self._files.items()):
                if stored.used < before:
                    del self._files[token]
            used = {stored.path.relative_to(self.folder).parts[0]
                    for stored in self._files.values()}
            for key, tab in list(self._tabs.items()):
                if tab.used < before and not tab.busy:
                    del self._tabs[key]
        if not self.folder.is_dir():
            return
        for folder in self.folder.iterdir():
            if folder.name not in used and newest(folder) < before:
                shutil.rmtree(folder, ignore_errors=True)


class Visitors:
    """All visitors of a page.

    Args:
        root: Folder of the page.
        limits: How many, how much, how long.
        clock: Gives the time in seconds, as files have it.
    """

    def __init__(self, root: Path, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self.root, self.limits, self._clock = root, limits, clock
        self._known: dict[str, Visitor] = {}
        self._lock, self._arriving = threading.Lock(), 0

    def __len__(self) -> int:
        return len(self._known)

    def find(self, key: str | None) -> Visitor:
        """Return the visitor with a cookie.

        Raises:
            Problem: If there is none.
        """
        visitor = self._known.get(key or '')
        if visitor is None:
            raise Problem('unknown_visitor')
        visitor.seen = self._clock()
        return visitor

    def enter(self, key: str | None) -> Visitor:
        """Return the visitor with a cookie, or a new one.

        Raises:
            Problem: If there are too many.
        """
        with self._lock:
            if key in self._known:
                self._known[key].seen = self._clock()
                return self._known[key]
            if len(self._known) >= self.limits.visitors:
                idle = [visitor for visitor in self._known.values() if visitor.empty]
                if not idle:
                    raise Problem('too_many_visitors')
                del self._known[min(idle, key=lambda visitor: visitor.seen).key]
            visitor = Visitor(self.root / secrets.token_hex(12), self._clock, self.limits)
            self._known[visitor.key] = visitor
            return visitor

    @contextmanager
    def room(self, visitor: Visitor, size: int) -> Iterator[None]:
        """Hold the room for a file that arrives, or refuse it.

        Args:
            visitor: Whose it is.
            size: Its bytes.

        Raises:
            Problem: If the visitor, the page or the disk has none left.
        """
        with self._lock:
            self._arriving += size
        try:
            if visitor.size + size > self.limits.visitor_megabytes * 1e6:
                raise Problem('no_room_visitor', megabytes=f'{self.limits.visitor_megabytes:g}')
            if folder_size(self.root) + self._arriving > self.limits.total_megabytes * 1e6 or (
                    shutil.disk_usage(self.root).free < 2 * self._arriving + _SPARE):
                raise Problem('no_room')
            yield
        finally:
            with self._lock:
                self._arriving -= size

    def clean(self) -> None:
        """Delete what has not been used for as long as the limits say."""
        before = self._clock() - self.limits.keep
        for visitor in list(self._known.values()):
            visitor.clean(before)
            if visitor.empty and visitor.seen < before:
                with self._lock:
                    self._known.pop(visitor.key, None)
                shutil.rmtree(visitor.folder, ignore_errors=True)


def address(token: str, name: str) -> str:
    """Return where a visitor's browser finds one of its files."""
    return f'rscc/file/{token}/{quote(name)}'


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below a folder; those deleted meanwhile count nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return total


def newest(folder: Path) -> float:
    """Return when a folder, or a file in it, was written last, in seconds; 0 if it is gone."""
    times = [0.0]
    for place, _, names in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in names)):
            try:
                times.append(os.lstat(path).st_mtime)
            except OSError:
                continue
    return max(times)
