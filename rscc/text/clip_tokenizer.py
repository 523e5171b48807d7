"""CLIP's byte-pair tokens."""
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from rscc import compat
from rscc.registry import TOKENIZERS

if TYPE_CHECKING:
    from torch import Tensor


@TOKENIZERS.register_module()
class CLIPTokenizer:
    """Byte-pair tokens of CLIP (Radford et al., ICML 2021) for prompts, through open_clip.

    A text is repaired, unescaped and lower-cased as CLIP was trained; padding is 0. Nothing is ever
    cut: half a prompt is another prompt. Tokens of a text are worked out once per process.

    Args:
        context_length: Most tokens of a text, start and end included. ChangeCLIP's 64 leave room
            for 13 contexts among CLIP's 77 positions.

    Attributes:
        bos_id, eos_id, pad_id: 49406, 49407 and 0.
        vocab_size: 49408.
    """
    bos_id, eos_id, pad_id, vocab_size = 49406, 49407, 0, 49408

    def __init__(self, context_length: int = 64) -> None:
        self.context_length = context_length

    def encode(self, text: str) -> list[int]:
        """Return start token, words and end token.

        Raises:
            ValueError: If they are more than ``context_length``.
        """
        ids = [self.bos_id, *_word_ids(text), self.eos_id]
        if len(ids) > self.context_length:
            raise ValueError(
                f'a prompt of {len(ids)} tokens does not fit context_length={self.context_length}: '
                f"'{text}'. Shorten it: with fewer class names, or shorter ones")
        return ids

    def batch_encode(self, texts: Sequence[str]) -> 'Tensor':
        """Return the ids of B texts, (B, context_length) int64, padded with 0.

        Raises:
            TypeError: If ``texts`` is a single string.
            ValueError: If a text is too long.
        """
        import torch
        if isinstance(texts, str):
            raise TypeError(f"batch_encode takes a list of texts, found the single text '{texts}'")
        ids = torch.full((len(texts), self.context_length), self.pad_id)
        for row, text in zip(ids, texts, strict=True):
            tokens = self.encode(text)
            row[:len(tokens)] = torch.tensor(tokens)
        return ids

    def __repr__(self) -> str:
        return f'CLIPTokenizer(context_length={self.context_length})'


@lru_cache(maxsize=65536)
def _word_ids(text: str) -> tuple[int, ...]:
    return tuple(_byte_pairs().encode(text))


@cache
def _byte_pairs() -> Any:
    return compat.import_open_clip('tokenizer').SimpleTokenizer()
