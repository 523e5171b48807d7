"""One generated sentence."""
from typing import NamedTuple

from torch import Tensor


class ScoredCaption(NamedTuple):
    """A generated sentence and how likely the model finds it.

    Attributes:
        text: Detokenised sentence, lower case, words separated by one blank, no end mark.
        score: Mean log-probability per generated token (natural logarithm, <= 0); comparable
            between captions of different length.
    """
    text: str
    score: float


class AttendedCaption(ScoredCaption):
    """A sentence that knows where its decoder looked; otherwise a ``ScoredCaption``.

    Attributes:
        words: Its words (W), as the tokenizer splits it.
        attention: Weight of every place at every word (W, G, h, w), float32 on the CPU; G groups of
            the memory, dates for instance. Each word's weights sum to at most one (a class token
            has no place).
    """
    words: list[str]
    attention: Tensor

    @classmethod
    def of(cls, caption: ScoredCaption, words: list[str], attention: Tensor) -> 'AttendedCaption':
        """Add words and maps to a sentence."""
        attended = cls(*caption)
        attended.words, attended.attention = words, attention
        return attended
