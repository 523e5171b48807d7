"""Comparison of all samples with each other: ids, splits, duplicates, odd ones, words."""
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from rscc.datasets.checks import SPLITS, rank
from rscc.doctor.details import detail
from rscc.doctor.register import Register
from rscc.doctor.sentences import STOCK_COUNT, STOCK_SHARE, misspelt, words_of
from rscc.doctor.sources import Part
from rscc.text.normalisation import normalise, strip_hashes
from rscc.utils import did_you_mean
from rscc.utils.paths import SUFFIXES

#: Bits of 128 in which prints of one picture may differ. Pictures of rendered places that were
#: compressed or resized differed in 14 at most, those of different places in 32 at least.
NEAR = 10
#: Share of the samples that must agree on a size, form or number of captions to make others odd.
NEARLY_ALL = 0.95
#: Others that an image is compared with dates of, where it looks like very many.
_MOST_NEAR = 20
#: Words counted in memory before they go to the record.
_WORDS_HELD = 200_000
#: Different values of one kind that are told apart; a set of more has no usual one.
_VALUES_HELD = 1000


def compare(register: Register, parts: Sequence[Part], files: bool = True) -> None:
    """Find what no sample shows alone, and keep it in the record.

    Args:
        register: All samples.
        parts: What they are of.
        files: Whether folders are looked at for files that no sample names.
    """
    register.forget_comparison()
    register.note(_ids(register))
    register.note(_splits(register))
    register.note(_numbers(register))
    register.note(_odd(register))
    register.note(_unchanged_splits(register))
    register.note(copies(register))
    register.note(near_copies(register))
    register.note(_sentences(register, parts))
    if files:
        register.note(_orphans(register, parts))
    for kind, places in (('bad_annotations', 'faulty'), ('unread_json', 'unread'),
                         ('unreadable_folder', 'unreadable')):
        told = {place: why for part in parts for place, why in getattr(part, places).items()}
        register.note((None, kind, detail('at_quoted', path=place, why=why), None)
                      for place, why in told.items())


# ---- annotations -----------------------------------------------------------------------------


def _ids(register: Register) -> Iterator[tuple]:
    """Find ids that come twice, in one split or in two."""
    for members in register.repeated('name', 'sample'):
        first: dict[str, int] = {}
        for n, split in members:
            if split in first:
                yield n, 'repeated_id', split, first[split]
            first.setdefault(split, n)
        first.pop('', None)
        if len(first) > 1:
            # What is tested on stays; a name alone says little where splits have folders of names
            # of their own, so the images decide (see copies).
            shown = {n: register.sample(n)[3]['images'] for n in first.values()}
            lowest = min(first, key=rank)
            other = next(n for split, n in first.items() if split != lowest)
            if shown[first[lowest]] == shown[other]:
                yield first[lowest], 'id_in_two_splits', ', '.join(first), other


def _splits(register: Register) -> Iterator[tuple]:
    """Find splits that are written like a known one, and samples without any."""
    counts = dict(register.base.execute('SELECT split, COUNT(*) FROM sample GROUP BY split'))
    for split in counts:
        if split in ('restval', 'all', '', *SPLITS):
            continue
        meant = re.search("'(.*)'", did_you_mean(split, SPLITS))
        if meant:
            yield None, 'strange_split', detail('strange_split', split=split, count=counts[split],
                                                meant=meant[1]), None
    if '' in counts and len(counts) > 1:
        for (n,) in register.base.execute("SELECT n FROM sample WHERE split = ''").fetchall():
            yield n, 'no_split', '', None


def _numbers(register: Register) -> Iterator[tuple]:
    number = "json_extract(data, '$.number')"
    for members in register.repeated(number, 'sample'):
        first: dict[str, int] = {}
        for n, split in members:
            # An id that is given twice is told as such.
            if split in first and register.sample(n)[1] != register.sample(first[split])[1]:
                yield n, 'repeated_number', '', first[split]
            first.setdefault(split, n)


def _odd(register: Register) -> Iterator[tuple]:
    """Find samples that differ from nearly all of their dataset in size, form, or captions."""
    kinds = {'odd_size': 'sizes', 'odd_form': 'forms', 'caption_count': 'count'}
    counts: dict[tuple[str, int], Counter] = {}
    for _, part, _, _, data in register.samples():
        for kind, key in kinds.items():
            for value in _values(data, key):
                seen = counts.setdefault((kind, part), Counter())
                if value in seen or len(seen) < _VALUES_HELD:
                    seen[value] += 1
    usual = {key: seen.most_common(1)[0][0] for key, seen in counts.items()
             if len(seen) > 1 and seen.most_common(1)[0][1] >= NEARLY_ALL * seen.total()}
    if not usual:
        return
    for n, part, _, _, data in register.samples():
        for kind, key in kinds.items():
            strange = [value for value in _values(data, key)
                       if usual.get((kind, part), value) != value]
            if strange:
                yield n, kind, detail('odd', found=strange[0], usual=usual[kind, part]), None


def _values(data: Mapping[str, Any], key: str) -> list[str]:
    if key == 'count':
        return [str(len(data['captions']))] if data['captions'] else []
    values = {f'{width} x {height}' for height, width in data['sizes']} if key == 'sizes' else {
        *data['forms']}
    return list(values) if len(values) == 1 else []  # unlike dates are a finding of their own


def _unchanged_splits(register: Register) -> Iterator[tuple]:
    rows = register.base.execute(
        "SELECT split, COUNT(*), SUM(json_extract(data, '$.changed') > 0) FROM sample "
        "WHERE json_extract(data, '$.changed') IS NOT NULL GROUP BY split").fetchall()
    for split, total, changed in rows:
        if not changed:
            yield None, 'split_unchanged', detail('masks', split=split or 'all', count=total), None


def _orphans(register: Register, parts: Sequence[Part]) -> Iterator[tuple]:
    """Find image files beside those that samples name, where all samples are known."""
    chosen = {split for part in parts for split in part.splits}
    if any(part.load for part in parts) or (chosen and not chosen >= set(SPLITS)):
        return
    named = np.unique(np.fromiter((_key(path) for path in register.image_paths()
                                   if '::' not in path), np.uint64))
    folders = {str(Path(path).parent) for path in _some_paths(register)}
    for folder in sorted(folders):
        try:
            names = sorted(os.listdir(folder))
        except (OSError, ValueError):
            continue  # told before: its images cannot be read either
        for name in names:
            path = os.path.join(folder, name)
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith('.') and (
                    not _holds(named, _key(path))):
                yield None, 'orphan_file', path, None


def _some_paths(register: Register) -> Iterator[str]:
    """Yield one path of each folder of images, and now and then another."""
    seen: set[str] = set()
    for path in register.image_paths():
        folder = path.rpartition('/')[0]
        if folder not in seen and '::' not in path and len(seen) < _VALUES_HELD:
            seen.add(folder)
            yield path


def _key(path: str) -> int:
    return int.from_bytes(blake2b(os.path.normpath(path).encode(errors='replace'),
                                  digest_size=8).digest(), 'little')


def _holds(keys: np.ndarray, key: int) -> bool:
    place = int(np.searchsorted(keys, np.uint64(key)))
    return place < len(keys) and int(keys[place]) == key


# ---- images ----------------------------------------------------------------------------------


def copies(register: Register) -> Iterator[tuple]:
    """Find samples with the very pixels of another one: of their split, or of another.

    Every sample is told once, with the first other one. Of two splits, the one that is trained on
    is told, and a list of clean samples leaves it out.
    """
    pairs: dict[tuple[int, int], int] = {}
    told: dict[int, tuple[str, int, str]] = {}
    for members in register.repeated('digest'):
        splits = {n: split for n, _, split, _ in members}
        if len(splits) < 2:
            continue
        first: dict[str, int] = {}
        for n, split in splits.items():
            if split in first:
                pairs[n, first[split]] = pairs.get((n, first[split]), 0) + 1
            first.setdefault(split, n)
        best = max(first, key=rank)
        for n, split in splits.items():
            if split != best and rank(split) < rank(best):
                told[n] = ('leak', first[best], detail('splits', one=split, other=best))
    for (n, other), count in pairs.items():
        if n not in told:
            whole = count >= len(register.sample(n)[3]['images'])
            told[n] = ('duplicate' if whole else 'shared_image', other, '')
    for n, (kind, other, why) in sorted(told.items()):
        if register.sample(n)[3]['images'] == register.sample(other)[3]['images']:
            continue  # one file named twice: told by its id
        yield n, kind, why, other


def near_copies(register: Register) -> Iterator[tuple]:
    """Find samples all of whose dates look like those of another one, though pixels differ."""
    shared: dict[tuple[int, int], dict[int, int]] = {}
    for start in range(0, 16, 2):
        for members in register.alike(start):
            for (n, date), (other, beside), distance in _near(members):
                dates = shared.setdefault((n, other), {})
                dates.setdefault(date, distance)
                dates.setdefault(-1 - beside, distance)
    told: set[int] = set()
    for (n, other), dates in sorted(shared.items()):
        split, beside = register.sample(n)[2], register.sample(other)[2]
        count = len(register.sample(n)[3]['images'])
        ours, theirs = sum(date >= 0 for date in dates), sum(date < 0 for date in dates)
        if min(ours, theirs) < count or not count:
            continue
        if split == beside:
            kind, one, two = 'near_duplicate', n, other
        else:
            kind = 'near_leak'
            one, two = (n, other) if rank(split) < rank(beside) else (other, n)
        if one not in told:
            told.add(one)
            yield one, kind, detail('bits', bits=float(max(dates.values()))), two


def _near(members: Sequence[tuple]) -> Iterator[tuple]:
    """Yield (later sample, date), (earlier sample, date) and their distance in bits."""
    marks = np.frombuffer(b''.join(row[5] for row in members), np.uint64).reshape(-1, 2)
    for place in range(1, len(members)):
        distances = np.bitwise_count(marks[:place] ^ marks[place]).sum(1)
        n, date, _, where, digest, _ = members[place]
        for near in np.flatnonzero(distances <= NEAR)[:_MOST_NEAR]:
            other, beside, _, there, theirs, _ = members[near]
            # Both dates of a place look alike, and equal pixels are told already.
            if other != n and digest != theirs and not (where and where == there):
                yield (n, date), (other, beside), int(distances[near])


# ---- captions --------------------------------------------------------------------------------


def _sentences(register: Register, parts: Sequence[Part]) -> Iterator[tuple]:
    """Count words and sentences, and find misspellings and stock sentences."""
    total = _count_words(register, parts)
    yield from _misspellings(register, parts)
    if total:
        yield from _stock(register, parts, total)


def _captions(register: Register) -> Iterator[tuple[int, int, str]]:
    for n, part, _, _, data in register.samples():
        for caption in data['captions'] or ():
            yield n, part, caption


def _count_words(register: Register, parts: Sequence[Part]) -> int:
    """Count all words; those in memory go to the record now and then."""
    held: dict[str, tuple[int, int]] = {}
    total = 0
    for n, part, caption in _captions(register):
        total += 1
        for word in words_of(caption, parts[part].language):
            count, first = held.get(word, (0, n))
            held[word] = (count + 1, first)
        if len(held) > _WORDS_HELD:
            register.add_words(held)
            held.clear()
    register.add_words(held)
    return total


def _misspellings(register: Register, parts: Sequence[Part]) -> Iterator[tuple]:
    if any(part.language != 'en' for part in parts):
        return
    # Words that matter here: the frequent ones, and those seen once.
    rows = register.base.execute('SELECT word, count, n FROM word WHERE count = 1 OR count >= 20')
    counts, where = {}, {}
    for word, count, n in rows:
        counts[word] = count
        if count == 1:
            where[word] = n
    for word, meant in misspelt(counts).items():
        yield where[word], 'misspelt', detail('misspelt', word=word, meant=meant), None


def _stock(register: Register, parts: Sequence[Part], total: int) -> Iterator[tuple]:
    """Find sentences that stand under very many samples and are none of the known ones."""
    known = {normalise(text, part.language) for part in parts for text in part.stock}
    base = register.base
    base.execute('CREATE TEMP TABLE IF NOT EXISTS sentence (mark INTEGER)')
    base.execute('DELETE FROM sentence')
    base.executemany('INSERT INTO sentence VALUES (?)', (
        (_mark(normalise(strip_hashes(caption), parts[part].language)),)
        for _, part, caption in _captions(register)))
    least = max(STOCK_COUNT, int(STOCK_SHARE * total))
    counts = dict(base.execute('SELECT mark, COUNT(*) FROM sentence GROUP BY mark '
                               'HAVING COUNT(*) >= ? ORDER BY 2 DESC LIMIT 100', (least,)))
    (different,) = base.execute('SELECT COUNT(*) FROM (SELECT DISTINCT mark FROM sentence)'
                                ).fetchone()
    register.keep('sentences', f'{total} {different}')
    base.execute('DROP TABLE sentence')
    for _, part, caption in _captions(register) if counts else ():
        text = normalise(strip_hashes(caption), parts[part].language)
        count = counts.pop(_mark(text), 0)
        if count and text and text not in known:
            yield None, 'stock_sentence', detail('stock', text=text, count=count, total=total), None
        if not counts:
            return


def _mark(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors='replace'), digest_size=8).digest(),
                          'little', signed=True)
