"""The part of METEOR's paraphrase table that a test can use.

The English table has 5.3 million entries of two phrases each, and reading them takes METEOR most of
its time, 10 s. An entry counts only where both phrases are said, so those with a word that nobody
says are left out: the scores are the same, to the last digit. LEVIR-CC's 533 words leave one in a
hundred. Of thousands of words so many are left that looking for them takes longer than it saves.
"""
import gzip
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

#: Words up to which leaving entries out pays, measured with words that are common everywhere.
MOST_WORDS = 1000
_BLOCK = 1 << 24  # bytes of text at a time
_LETTERS = frozenset(b'0123456789abcdefghijklmnopqrstuvwxyz\n')
#: Bytes -> the same in small letters, all but letters and digits -> blanks.
_PLAIN = bytes.maketrans(bytes(range(256)), bytes(
    byte if byte in _LETTERS else ord(' ') for byte in bytes(range(256)).lower()))


def write_usable(table: Path, sentences: Iterable[str], out: Path) -> int | None:
    """Write the entries of a table whose words all occur in the sentences.

    METEOR takes punctuation out of words in its own way, "u.s." becomes "us": stretches of letters
    and digits count as said, and so do neighbouring ones of a word put together.

    Args:
        table: METEOR's, compressed by gzip; three lines an entry: probability, phrase, phrase.
        sentences: Everything that is scored, references too.
        out: File of the same form.

    Returns:
        Number of entries; None, and no file, of more than ``MOST_WORDS`` words, and where METEOR
        may read other ones: of letters beyond ASCII, or of more than eight stretches.

    Raises:
        OSError, EOFError, zlib.error: If the table is damaged, or the file cannot be written.
    """
    said = set(' '.join(sentences).split())
    parts = [word.encode().translate(_PLAIN).split() for word in said]
    if not ''.join(said).isascii() or max(map(len, parts), default=0) > 8:
        return None
    known = frozenset(b''.join(part[start:stop]) for part in parts
                      for start, stop in combinations(range(len(part) + 1), 2))
    if len(known) > MOST_WORDS:
        return None
    begins, kept = _beginnings(known), 0
    with gzip.open(table) as file, gzip.open(out, 'wb', compresslevel=1) as usable:
        for text in _whole_entries(file):
            plain = text.translate(_PLAIN)
            for start, phrases, end in _likely(plain, begins):
                if known.issuperset(plain[phrases:end].split()):
                    usable.write(text[start:end])
                    kept += 1
    return kept


def _beginnings(known: Iterable[bytes]) -> np.ndarray:
    """Return which three bytes begin a phrase of known words, bool (256, 256, 256)."""
    begins = np.zeros((256, ) * 3, bool)
    begins[ord(' ')] = True  # what was punctuation
    for word in known:
        for behind in b' \n':
            begins[(*word[:3], behind)[:3]] = True  # a word of one letter leaves the third open
    return begins


def _whole_entries(file: gzip.GzipFile) -> Iterator[bytes]:
    """Yield text in blocks that end with an entry."""
    rest = b''
    while block := file.read(_BLOCK):
        text = rest + block
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord('\n'))
        cut = int(ends[len(ends) // 3 * 3 - 1]) + 1 if len(ends) >= 3 else 0
        yield text[:cut]
        rest = text[cut:]


def _likely(plain: bytes, begins: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Yield entries whose phrases begin with known words: start, start of the phrases, end.

    Telling that of all entries at once spares half of them a look at their words.
    """
    # Lines: where each ends, its line break included, and starts, (entries, 3).
    text = np.frombuffer(plain, np.uint8)
    ends = (np.flatnonzero(text == ord('\n')) + 1).reshape(-1, 3)
    starts = np.insert(ends.ravel(), 0, 0)[:ends.size].reshape(-1, 3)

    # The first three bytes of both phrases, (entries, 2, 3); behind the last line come blanks.
    padded = np.append(text, np.frombuffer(b'  ', np.uint8))
    heads = padded[starts[:, 1:, None] + np.arange(3)]
    fits = begins[heads[..., 0], heads[..., 1], heads[..., 2]].all(1)
    yield from zip(starts[fits, 0].tolist(), starts[fits, 1].tolist(), ends[fits, 2].tolist(),
                   strict=True)
