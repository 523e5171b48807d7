"""Base class of caption tokenizers, and the padding of what they encode."""
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rscc.text.detokenizer import Detokenizer, sentence_ids
from rscc.text.normalisation import check_language, language_of, warn
from rscc.utils.logging import warn_deprecated

if TYPE_CHECKING:
    from torch import Tensor


class CaptionTokenizer(ABC):
    """Conversion of sentences to ids and back; subclasses define what a token is.

    An encoded caption is ``bos, prompt, words, eos``. Captions of more than ``max_tokens`` tokens
    are cut and keep their eos; :attr:`cut` counts them, :attr:`empty` those without a word, and the
    first of each is logged.

    Attributes:
        pad_id, bos_id, eos_id, unk_id: Ids of the special tokens.
        vocab_size: Number of ids, specials included.
        language: ``'en'`` or ``'zh'``; of several languages the first.
        languages: All languages that it knows, mostly that one alone.
        prompt_ids: Ids put after bos in every caption (no loss is due on them); often empty.
        lead_ids: Ids that a language model reads before the image; empty of most.
        start_ids: What every encoded caption starts with: bos (a tokenizer may leave it out), then
            the prompt.
        max_tokens: Tokens of the longest caption of the data, without start and end, where the file
            of the tokenizer tells; else None.
        cut: How many captions :meth:`encode` has cut so far.
        empty: How many had nothing to encode.
    """

    pad_id: int
    bos_id: int
    eos_id: int
    unk_id: int
    vocab_size: int
    prompt_ids: Sequence[int] = ()
    lead_ids: Sequence[int] = ()
    max_tokens: int | None = None

    def __init__(self, language: str = 'en') -> None:
        check_language(language)
        self.language = language
        self.languages: tuple[str, ...] = (language,)
        self.cut = 0
        self.empty = 0
        self._warned_unknown = False

    @abstractmethod
    def _text_to_ids(self, text: str) -> list[int]:
        """Return the ids of a sentence without specials and prompt."""

    @abstractmethod
    def _ids_to_text(self, ids: list[int]) -> str:
        """Return the sentence of ids among which no special is left."""

    def plain_ids(self, text: str) -> list[int]:
        """Return the ids of a text as it stands, a lone ``' .'`` for instance, without specials."""
        return self._text_to_ids(text)

    @property
    def start_ids(self) -> list[int]:
        """Ids at the start of every encoded caption: bos and the prompt."""
        return [self.bos_id, *self.prompt_ids]

    def language_of(self, text: str) -> str:
        """Return the language that a sentence is encoded in."""
        return language_of(text, self.languages)

    def choose(self, language: str | None) -> str:
        """Return the language to write in, the first one where none is asked for.

        Raises:
            ValueError: If the tokenizer has no words of it; the message names what it knows.
        """
        if language is None or language in self.languages:
            return language or self.language
        check_language(language)
        known = ' and '.join(f"'{name}'" for name in self.languages)
        raise ValueError(f"language='{language}': this caption head writes {known} only, for its "
                         f'{type(self).__name__} has no other words. Leave the language out, or '
                         'take a model that was trained in that language (BilingualWordTokenizer '
                         'has words of several)')

    def prompt_in(self, language: str | None = None) -> list[int]:
        """Return the prompt of captions in a language, equally long in all; None for the first.

        Raises:
            ValueError: If the tokenizer does not know the language.
        """
        self.choose(language)
        return list(self.prompt_ids)

    def foreign_ids(self, language: str | None = None) -> list[int]:
        """Return the ids that captions in a language never hold: words of the other ones.

        Raises:
            ValueError: If the tokenizer does not know the language.
        """
        self.choose(language)
        return []

    def vocabulary(self) -> list[str] | None:
        """Return the entries that rebuild this tokenizer, or None where that needs files."""
        return None

    def encode(self, text: str, *, max_tokens: int | None = None, max_len: int | None = None
               ) -> list[int]:
        """Return the ids of a sentence: ``bos, prompt, words, eos``.

        Args:
            text: A sentence; it is normalised here.
            max_tokens: Most tokens of the sentence itself; start, prompt and end are not counted.
                Without, nothing is cut.
            max_len: The old limit, which counts them.

        Raises:
            ValueError: If ``max_tokens`` leaves no room for a single word.
        """
        max_tokens = self._limit(max_tokens, max_len)
        body = self._text_to_ids(text)
        if not body:
            self.count_empty(text)
        if body and not self._warned_unknown and all(i == self.unk_id for i in body):
            self._warned_unknown = True
            warn(f"no word of '{text}' is in the vocabulary (language "
                 f"'{self.language_of(text)}'): is this the vocabulary of that dataset? Later "
                 'cases are not logged.')
        if max_tokens is not None and len(body) > max_tokens:
            if max_tokens < 1:
                raise ValueError(f'max_tokens={max_tokens} leaves no room for a word: use at least '
                                 '1 (40 suits LEVIR-CC)')
            self.count_cut(text, len(body), max_tokens)
            body = self._cut(body, max_tokens)
        return [*self.start_ids, *body, self.eos_id]

    def _limit(self, max_tokens: int | None, max_len: int | None) -> int | None:
        """Return the limit in tokens of a caption, under its new name or its old one."""
        if max_len is None:
            return max_tokens
        extra = len(self.start_ids) + 1
        warn_deprecated(f"the limit 'max_len={max_len}', which counts {extra} tokens beside the "
                        'caption,', f'max_tokens={max_len - extra}', '0.3')
        return max_len - extra

    def _cut(self, body: list[int], room: int) -> list[int]:
        """Return what of a sentence fits into ``room`` ids."""
        return body[:room]

    def count_empty(self, text: str) -> None:
        """Count a caption without a word; log the first one, and the count as it grows."""
        self.empty += 1
        if self.empty == 1:
            warn(f'caption {text!r} has no token: there is nothing to learn from it. Later ones '
                 'are counted.')
        elif _is_power_of_ten(self.empty):
            warn(f'{self.empty} times a caption had no token so far, last {text!r}')

    def count_cut(self, text: str, tokens: int, max_tokens: int) -> None:
        """Count a caption that does not fit; log the first one, and the count as it grows.

        Args:
            text: The caption.
            tokens: How many it has.
            max_tokens: What fits.
        """
        self.cut += 1
        if self.cut == 1:
            warn(f"caption cut from {tokens} to {max_tokens} tokens: '{text}'. Raise max_tokens to "
                 'keep it whole; later cuts are counted.')
        elif _is_power_of_ten(self.cut):
            warn(f'{self.cut} times a caption was cut to max_tokens={max_tokens} so far, last from '
                 f"{tokens}: '{text}'")

    def decode(self, ids: 'Sequence[int] | Tensor') -> str:
        """Return the sentence up to the first eos, without specials and prompt.

        Args:
            ids: Token ids, with or without bos, prompt, eos and padding.
        """
        return self._ids_to_text(
            sentence_ids([int(i) for i in ids], self.eos_id, self.special_ids, self.prompt_ids))

    def detokenizer(self) -> Detokenizer | None:
        """Return what decodes without this tokenizer and its files, or None where nothing can."""
        return None

    def _detokenizer(self, kind: str, entries: Sequence[str | None], lower_case: bool = False,
                     languages: Sequence[tuple[str, int]] = ()) -> Detokenizer:
        return Detokenizer(kind, tuple(entries), self.eos_id, tuple(sorted(self.special_ids)),
                           tuple(self.prompt_ids), self.language, lower_case,
                           tuple(languages))

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that are no word of a sentence; all but the end are never written."""
        return frozenset((self.pad_id, self.bos_id, self.eos_id, self.unk_id))

    def batch_encode(self, texts: Sequence[str], max_tokens: int | None = None, *,
                     max_len: int | None = None) -> tuple['Tensor', 'Tensor']:
        """Encode sentences and pad them to the longest of the batch.

        Args:
            texts: B sentences.
            max_tokens: As in :meth:`encode`.
            max_len: As in :meth:`encode`.

        Returns:
            Ids (B, L) and mask (B, L), both int64; the mask is 1 on tokens and 0 on padding.

        Raises:
            ValueError: If there is no sentence, or ``max_tokens`` is too small.
        """
        if not texts:
            raise ValueError('batch_encode got no sentence')
        limit = self._limit(max_tokens, max_len)
        ids, mask = pad_sentences([self.encode(text, max_tokens=limit) for text in texts],
                                  self.pad_id)
        return ids, mask.long()

    def __len__(self) -> int:
        return self.vocab_size


def _is_power_of_ten(count: int) -> bool:
    return str(count).rstrip('0') == '1'


def pad_sentences(sentences: Sequence[Sequence[int]], pad_id: int, length: int | None = None
                  ) -> tuple['Tensor', 'Tensor']:
    """Lay sentences out one a row.

    Args:
        sentences: Ids of M sentences.
        pad_id: Id that fills up the rows.
        length: Length T of the rows, longer sentences being cut; that of the longest if None.

    Returns:
        Ids (M, T), and a mask (M, T) that is true on them and false on padding.
    """
    import torch  # late: a tokenizer that encodes one sentence needs no tensors
    length = max(map(len, sentences)) if length is None else length
    ids = torch.full((len(sentences), length), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for row, sentence in enumerate(sentences):
        kept = torch.as_tensor(sentence[:length], dtype=torch.long)
        ids[row, :len(kept)], mask[row, :len(kept)] = kept, True
    return ids, mask
