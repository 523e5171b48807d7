"""Base class of caption tokenizers."""
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rscc.text.normalisation import check_language, warn
from rscc.utils.deprecation import renamed_keyword

if TYPE_CHECKING:
    from torch import Tensor


class CaptionTokenizer(ABC):
    """Conversion of sentences to ids and back; subclasses define what a token is.

    An encoded caption is ``bos, prompt, words, eos``. Captions longer than ``max_tokens`` are cut
    and keep their eos; :attr:`cut` counts them, :attr:`empty` those without a word, and the first
    of each is logged.

    Attributes:
        pad_id, bos_id, eos_id, unk_id: Ids of the special tokens.
        vocab_size: Number of ids, specials included.
        language: ``'en'`` or ``'zh'``.
        prompt_ids: Ids put after bos in every caption (no loss is due on them); often empty.
        start_ids: What every encoded caption starts with: bos (a tokenizer may leave it out), then
            the prompt.
        cut: How many captions :meth:`encode` has cut so far.
        empty: How many had nothing to encode.
    """

    pad_id: int
    bos_id: int
    eos_id: int
    unk_id: int
    vocab_size: int
    prompt_ids: Sequence[int] = ()

    def __init__(self, language: str = 'en') -> None:
        check_language(language)
        self.language = language
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

    def vocabulary(self) -> list[str] | None:
        """Return the entries that rebuild this tokenizer, or None where that needs files."""
        return None

    @renamed_keyword('max_len', 'max_tokens', removal='0.3')
    def encode(self, text: str, max_tokens: int | None = None) -> list[int]:
        """Return the ids of a sentence: ``bos, prompt, words, eos``.

        Args:
            text: A sentence; it is normalised here.
            max_tokens: Largest number of ids, specials and prompt included; without, nothing is
                cut.

        Raises:
            ValueError: If ``max_tokens`` leaves no room for a single word.
        """
        body = self._text_to_ids(text)
        if not body:
            self.count_empty(text)
        if body and not self._warned_unknown and all(i == self.unk_id for i in body):
            self._warned_unknown = True
            warn(f"no word of '{text}' is in the vocabulary (language '{self.language}'): is this "
                 'the vocabulary of that dataset? Later cases are not logged.')
        start = self.start_ids
        length = len(start) + len(body) + 1
        if max_tokens is None or length <= max_tokens:
            return [*start, *body, self.eos_id]
        if max_tokens < len(start) + 2:
            raise ValueError(f'max_tokens={max_tokens} leaves no room for a word beside start, end '
                             f'and {len(self.prompt_ids)} prompt tokens: use at least '
                             f'{len(start) + 2} (40 suits LEVIR-CC)')
        self.count_cut(text, length, max_tokens)
        return [*start, *self._cut(body, max_tokens - len(start) - 1), self.eos_id]

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

    def count_cut(self, text: str, length: int, max_tokens: int) -> None:
        """Count a caption that does not fit; log the first one, and the count as it grows.

        Args:
            text: The caption.
            length: Its number of ids, specials included.
            max_tokens: What fits.
        """
        self.cut += 1
        if self.cut == 1:
            warn(f"caption cut from {length} to {max_tokens} tokens: '{text}'. Raise max_tokens to "
                 'keep it whole; later cuts are counted.')
        elif _is_power_of_ten(self.cut):
            warn(f'{self.cut} times a caption was cut to {max_tokens} tokens (max_tokens) so far, '
                 f"last from {length}: '{text}'")

    def decode(self, ids: 'Sequence[int] | Tensor') -> str:
        """Return the sentence up to the first eos, without specials and prompt.

        Args:
            ids: Token ids, with or without bos, prompt, eos and padding.
        """
        ids = [int(i) for i in ids]
        if self.eos_id in ids:
            ids = ids[:ids.index(self.eos_id)]
        ids = [i for i in ids if i not in self._specials]
        prompt = list(self.prompt_ids)
        if prompt and ids[:len(prompt)] == prompt:
            ids = ids[len(prompt):]
        return self._ids_to_text(ids)

    @property
    def _specials(self) -> frozenset[int]:
        return frozenset((self.pad_id, self.bos_id, self.eos_id, self.unk_id))

    @renamed_keyword('max_len', 'max_tokens', removal='0.3')
    def batch_encode(self, texts: Sequence[str],
                     max_tokens: int | None = None) -> tuple['Tensor', 'Tensor']:
        """Encode sentences and pad them to the longest of the batch.

        Args:
            texts: B sentences.
            max_tokens: As in :meth:`encode`.

        Returns:
            Ids (B, L) and mask (B, L), both int64; the mask is 1 on tokens and 0 on padding.

        Raises:
            ValueError: If there is no sentence, or ``max_tokens`` is too small.
        """
        import torch
        if not texts:
            raise ValueError('batch_encode got no sentence')
        rows = [self.encode(text, max_tokens) for text in texts]
        ids = torch.full((len(rows), max(map(len, rows))), self.pad_id, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, :len(row)] = torch.tensor(row)
            mask[index, :len(row)] = 1
        return ids, mask

    def __len__(self) -> int:
        return self.vocab_size


def _is_power_of_ten(count: int) -> bool:
    return str(count).rstrip('0') == '1'
