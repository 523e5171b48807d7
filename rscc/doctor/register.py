"""Record of a check-up on disk: one row a sample, so that a run of days goes on where it stopped.

Everything that grows with the dataset is kept in an SQLite file and asked for in pieces; memory
stays the same for a thousand samples and for a million.
"""
import json
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from rscc.doctor.details import restored, stored

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS sample (n INTEGER PRIMARY KEY, part INTEGER, name TEXT, split TEXT,
    data TEXT);
CREATE TABLE IF NOT EXISTS image (n INTEGER, date INTEGER, split TEXT, place TEXT, digest BLOB,
    print BLOB);
CREATE TABLE IF NOT EXISTS finding (n INTEGER, kind TEXT, detail TEXT, compared INTEGER,
    partner INTEGER);
CREATE TABLE IF NOT EXISTS word (word TEXT PRIMARY KEY, count INTEGER, n INTEGER);
"""
_UNPRINTABLE = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]')
#: Bytes of pages that SQLite keeps in memory.
_CACHE = 16_000_000
#: Images that are compared with each other at most, of those whose prints begin alike.
_LARGEST_GROUP = 5000


class Register:
    """The record of one check-up.

    Args:
        path: The file; None takes a temporary one, which goes with the register.
        identity: What is examined and how. A file of another identity is refused.

    Raises:
        ValueError: If the file is none of a check-up, or one of something else.
    """

    def __init__(self, path: str | Path | None, identity: Mapping[str, Any]):
        self._folder = tempfile.TemporaryDirectory(prefix='rscc-check-') if path is None else None
        self.path = Path(self._folder.name, 'check.sqlite') if path is None else Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.base = sqlite3.connect(self.path)
        try:
            self.base.execute(f'PRAGMA cache_size = -{_CACHE // 1000}')
            self.base.execute('PRAGMA temp_store = FILE')
            self.base.execute('PRAGMA synchronous = OFF')
            self.base.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            raise ValueError(f"'{self.path}' is no record of a check-up: {error}. Name another "
                             'file with --state') from error
        told = json.dumps(identity, sort_keys=True, default=str)
        known = self.recall('identity')
        if known is not None and known != told:
            raise ValueError(f"'{self.path}' is the record of another dataset, of files that have "
                             'changed since, or of other options. Remove it, or name another file '
                             'with --state')
        self.keep('identity', told)

    def close(self) -> None:
        """Let go of the file; a temporary one is removed."""
        self.base.close()
        if self._folder is not None:
            self._folder.cleanup()

    def recall(self, key: str) -> str | None:
        """Return what was kept under a name, None where nothing was."""
        row = self.base.execute('SELECT value FROM meta WHERE key = ?', (key,)).fetchone()
        return None if row is None else row[0]

    def keep(self, key: str, value: str) -> None:
        """Keep a text under a name."""
        self.base.execute('INSERT OR REPLACE INTO meta VALUES (?, ?)', (key, value))
        self.base.commit()

    # ---- while samples are examined ----------------------------------------------------------

    @property
    def done(self) -> int:
        """Number of samples examined so far."""
        return self.base.execute('SELECT COALESCE(MAX(n) + 1, 0) FROM sample').fetchone()[0]

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Keep some samples, all or none of them.

        Args:
            rows: With ``n``, ``part``, ``name``, ``split``, ``place``, ``data`` (JSON values),
                ``digests``, ``prints`` and ``found`` (kind -> detail).
        """
        with self.base:
            for row in rows:
                self.base.execute('INSERT INTO sample VALUES (?, ?, ?, ?, ?)', (
                    row['n'], row['part'], _whole(row['name']), _whole(row['split']),
                    _compact(row['data'])))
                self.base.executemany('INSERT INTO image VALUES (?, ?, ?, ?, ?, ?)', [
                    (row['n'], date, _whole(row['split']), _whole(row['place']), digest, mark)
                    for date, (digest, mark) in enumerate(zip(row['digests'], row['prints'],
                                                              strict=True))])
                self.base.executemany('INSERT INTO finding VALUES (?, ?, ?, 0, NULL)', [
                    (row['n'], kind, stored(detail)) for kind, detail in row['found'].items()])

    # ---- when they are compared --------------------------------------------------------------

    def samples(self) -> Iterator[tuple[int, int, str, str, dict]]:
        """Yield number, part, name, split and data of every sample."""
        for n, part, name, split, data in self.base.execute(
                'SELECT n, part, name, split, data FROM sample ORDER BY n'):
            yield n, part, name, split, json.loads(data)

    def sample(self, n: int) -> tuple[int, str, str, dict]:
        """Return part, name, split and data of one sample."""
        part, name, split, data = self.base.execute(
            'SELECT part, name, split, data FROM sample WHERE n = ?', (n,)).fetchone()
        return part, name, split, json.loads(data)

    def forget_comparison(self) -> None:
        """Remove what an earlier comparison found."""
        with self.base:
            self.base.execute('DELETE FROM finding WHERE compared = 1')
            self.base.execute('DELETE FROM word')

    def note(self, found: Iterable[tuple[int | None, str, str, int | None]]) -> None:
        """Add findings of the comparison: sample (None for all), kind, detail, other sample."""
        with self.base:
            self.base.executemany('INSERT INTO finding VALUES (?, ?, ?, 1, ?)', (
                (n, kind, stored(detail), partner) for n, kind, detail, partner in found))

    def add_words(self, counts: Mapping[str, tuple[int, int]]) -> None:
        """Add occurrences of words: word -> (count, a sample that has it)."""
        with self.base:
            self.base.executemany(
                'INSERT INTO word VALUES (?, ?, ?) ON CONFLICT (word) DO UPDATE SET '
                'count = count + excluded.count', [(word, *values)
                                                   for word, values in counts.items()])

    def words(self, most: int | None = None) -> Iterator[tuple[str, int, int]]:
        """Yield word, occurrences and a sample, the commonest first."""
        yield from self.base.execute('SELECT word, count, n FROM word ORDER BY count DESC, word '
                                     'LIMIT ?', (-1 if most is None else most,))

    def repeated(self, column: str, table: str = 'image', where: str = '1'
                 ) -> Iterator[list[tuple]]:
        """Yield rows (n, date, split, place) of images, or (n, split) of samples, of one value.

        Args:
            column: Whose values are compared.
            table: ``'image'`` or ``'sample'``.
            where: A condition on the rows.
        """
        wanted = 'n, date, split, place' if table == 'image' else 'n, split'
        # Sorted on disk, read once: groups come one after the other.
        rows = self.base.execute(
            f'SELECT {column}, {wanted} FROM {table} WHERE {column} IS NOT NULL AND {where} '
            f'ORDER BY {column}, n')
        for _, group in groupby(rows, key=lambda row: row[0]):
            members = [row[1:] for row in group]
            if len(members) > 1:
                yield members

    def alike(self, start: int, length: int = 2) -> Iterator[list[tuple]]:
        """Yield images (n, date, split, place, digest, print) whose prints agree in some bytes.

        Args:
            start: First of the bytes, from 0.
            length: How many.
        """
        rows = self.base.execute(
            'SELECT substr(print, ?, ?), n, date, split, place, digest, print FROM image '
            'WHERE print IS NOT NULL ORDER BY 1, n', (start + 1, length))
        for _, group in groupby(rows, key=lambda row: row[0]):
            members = [row[1:] for row in islice(group, _LARGEST_GROUP)]
            if len(members) > 1:
                yield members

    # ---- when they are shown -----------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Return how many findings there are of each kind."""
        return dict(self.base.execute('SELECT kind, COUNT(*) FROM finding GROUP BY kind'))

    def examples(self, kind: str, most: int | None = None, language: str = 'en'
                 ) -> list[tuple[int | None, str, Any]]:
        """Return sample, detail and other sample of the first findings of a kind."""
        rows = self.base.execute('SELECT n, detail, partner FROM finding WHERE kind = ? '
                                 'ORDER BY n LIMIT ?', (kind, -1 if most is None else most))
        return [(n, _whole(restored(kept).text(language)), partner) for n, kept, partner in rows]

    def of_kinds(self, kinds: Sequence[str]) -> Iterator[int]:
        """Yield the samples with a finding of one of the kinds, in order."""
        marks = ', '.join('?' * len(kinds))
        for (n,) in self.base.execute(f'SELECT DISTINCT n FROM finding WHERE n IS NOT NULL AND '
                                      f'kind IN ({marks}) ORDER BY n', list(kinds)):
            yield n

    def samples_by_kind(self, kinds: Sequence[str]) -> dict[str, int]:
        """Return how many samples have a finding of each of some kinds."""
        marks = ', '.join('?' * len(kinds))
        return dict(self.base.execute(
            'SELECT kind, COUNT(DISTINCT n) FROM finding WHERE n IS NOT NULL AND '
            f'kind IN ({marks}) GROUP BY kind', list(kinds)))

    def image_paths(self) -> Iterator[str]:
        """Yield the paths of all images that samples name."""
        for _, _, _, _, data in self.samples():
            yield from data['images']


def _whole(text: str) -> str:
    """Return a text with control and half characters (of names that are no UTF-8) as escapes."""
    return _UNPRINTABLE.sub(lambda found: f'\\x{ord(found.group()):02x}', text)


def _compact(data: Any) -> str:
    """Return JSON values as text; names that are no UTF-8 come back as they were."""
    text = json.dumps(data, ensure_ascii=False, separators=(',', ':'))
    return text if _whole(text) == text else json.dumps(data, separators=(',', ':'))
