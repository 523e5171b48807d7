"""Ids to sentences by plain tables: what decodes captions where no tokenizer can be built.

An exported model carries one in its file. Nothing here needs torch, transformers or MMEngine.
"""
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import groupby
from typing import Any, Self

from rscc.text.normalisation import LANGUAGES, join_words, normalise
from rscc.utils.forms import check_form

#: What a character turns into whose bytes are not all there.
BROKEN = '\N{REPLACEMENT CHARACTER}'
KINDS = ('words', 'pieces', 'bytes')
_FORM = {'kind': set(KINDS), 'entries': [(str, None)], 'eos_id': int, 'specials': [int],
         'prompt_ids': [int], 'language': set(LANGUAGES), 'lower_case': bool,
         'languages?': [[str, int]]}


def sentence_ids(ids: Sequence[int], eos_id: int, specials: Collection[int],
                 prompt_ids: Sequence[int] = ()) -> list[int]:
    """Return the ids of the sentence itself: up to the first end, without specials and prompt."""
    ids, prompt = list(ids), list(prompt_ids)
    # The prompt first, with a start token before it or without: that of a chat holds end tokens.
    start = 1 if ids and ids[0] in specials and ids[:len(prompt)] != prompt else 0
    if ids[start:start + len(prompt)] == prompt:
        ids = ids[start + len(prompt):]
    if eos_id in ids:
        ids = ids[:ids.index(eos_id)]
    return [i for i in ids if i not in specials]


def join_by_language(starts: Sequence[tuple[str, int]], words: Sequence[tuple[int, str]]) -> str:
    """Join words of several languages, those of each by its own rules.

    Args:
        starts: Languages, and the id that the words of each begin with, in order of the ids.
        words: Id and text of every word of a sentence.
    """
    firsts = [first for _, first in starts]

    def language(word: tuple[int, str]) -> str:
        return starts[max(bisect_right(firsts, word[0]) - 1, 0)][0]

    runs = [join_words([text for _, text in run], name) for name, run in groupby(words, language)]
    return ' '.join(filter(None, runs))


def join_pieces(pieces: Sequence[str], language: str, lower_case: bool) -> str:
    """Join BERT's word pieces to a sentence."""
    text = ' '.join(pieces).replace(' ##', '')
    # Pieces part "t-shaped" and "road's"; the words of the captions keep them together.
    for mark in ("'", '-'):
        text = text.replace(f' {mark} ', mark)
    return normalise(text, language, lower_case)


def join_bytes(entries: Sequence[str], language: str, lower_case: bool) -> str:
    """Join GPT-2's byte pairs, written in its alphabet of bytes, to a sentence."""
    alphabet = _bytes_by_letter()
    data = b''.join(bytes([alphabet[letter]]) if letter in alphabet else letter.encode()
                    for entry in entries for letter in entry)
    text = data.decode('utf-8', errors='replace').replace(BROKEN, '')
    return normalise(text, language, lower_case)


@cache
def _bytes_by_letter() -> dict[str, int]:
    """Return the byte behind every letter of GPT-2's alphabet.

    A byte that prints stands for itself, the other 68 for the characters from 256 on, in order.
    """
    plain = [*range(ord('!'), ord('~') + 1), *range(ord('¡'), ord('¬') + 1),
             *range(ord('®'), ord('ÿ') + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return ({chr(byte): byte for byte in plain}
            | {chr(256 + place): byte for place, byte in enumerate(others)})


@dataclass(frozen=True)
class Detokenizer:
    """Table and rules that turn ids into a sentence, as the tokenizer they come from does.

    Attributes:
        kind: ``'words'``, ``'pieces'`` (BERT's) or ``'bytes'`` (GPT-2's).
        entries: Text of every id; None for one that is never shown.
        eos_id: Id that ends a sentence.
        specials: Ids that are left out.
        prompt_ids: Ids that are left out at the start.
        language: ``'en'`` or ``'zh'``.
        lower_case: Whether sentences are in lower case.
        languages: Of words of several languages: these, and the id that the words of each begin
            with; empty where all are of ``language``.
    """
    kind: str
    entries: tuple[str | None, ...]
    eos_id: int
    specials: tuple[int, ...] = ()
    prompt_ids: tuple[int, ...] = ()
    language: str = 'en'
    lower_case: bool = False
    languages: tuple[tuple[str, int], ...] = ()

    def decode(self, ids: Sequence[int]) -> str:
        """Return the sentence up to the first end, without specials and prompt."""
        kept = sentence_ids([int(i) for i in ids], self.eos_id, self.specials, self.prompt_ids)
        if self.languages:
            return join_by_language(self.languages, [
                (i, self.entries[i]) for i in kept if self.entries[i] is not None])
        shown = [entry for entry in (self.entries[i] for i in kept) if entry is not None]
        if self.kind == 'words':
            return join_words(shown, self.language)
        join = join_pieces if self.kind == 'pieces' else join_bytes
        return join(shown, self.language, self.lower_case)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; :meth:`from_dict` reads them."""
        values = {name: list(value) if isinstance(value, tuple) else value
                  for name, value in asdict(self).items()}
        values['languages'] = [list(pair) for pair in self.languages]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> Self:
        """Read what :meth:`to_dict` wrote.

        Args:
            values: JSON values.
            where: What they are, for messages.

        Raises:
            ValueError: If they are of another form.
        """
        check_form(values, _FORM, where)
        known = {key: values[key] for key in (name.removesuffix('?') for name in _FORM)
                 if key in values}
        known['languages'] = map(tuple, known.get('languages', ()))
        return cls(**{key: tuple(value) if isinstance(value, list | map) else value
                      for key, value in known.items()})
