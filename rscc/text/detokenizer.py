"""Ids to sentences by plain tables: what decodes captions where no tokenizer can be built.

An exported model carries one in its file. Nothing here needs torch, transformers or MMEngine.
"""
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Self

from rscc.text.normalisation import LANGUAGES, join_words, normalise
from rscc.utils.forms import check_form

#: What a character turns into whose bytes are not all there.
BROKEN = '\N{REPLACEMENT CHARACTER}'
KINDS = ('words', 'pieces', 'bytes')
_FORM = {'kind': set(KINDS), 'entries': [(str, None)], 'eos_id': int, 'specials': [int],
         'prompt_ids': [int], 'language': set(LANGUAGES), 'lower_case': bool}


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
    """
    kind: str
    entries: tuple[str | None, ...]
    eos_id: int
    specials: tuple[int, ...] = ()
    prompt_ids: tuple[int, ...] = ()
    language: str = 'en'
    lower_case: bool = False

    def decode(self, ids: Sequence[int]) -> str:
        """Return the sentence up to the first end, without specials and prompt."""
        kept = sentence_ids([int(i) for i in ids], self.eos_id, self.specials, self.prompt_ids)
        shown = [entry for entry in (self.entries[i] for i in kept) if entry is not None]
        if self.kind == 'words':
            return join_words(shown, self.language)
        join = join_pieces if self.kind == 'pieces' else join_bytes
        return join(shown, self.language, self.lower_case)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; :meth:`from_dict` reads them."""
        return asdict(self)

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
        return cls(**{key: tuple(values[key]) if isinstance(values[key], list) else values[key]
                      for key in _FORM})
