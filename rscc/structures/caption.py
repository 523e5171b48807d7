"""One generated sentence."""
from typing import NamedTuple


class ScoredCaption(NamedTuple):
    """A generated sentence and how likely the model finds it.

    Attributes:
        text: Detokenised sentence, lower case, words separated by one blank, no end mark.
        score: Mean log-probability per generated token (natural logarithm, <= 0); comparable
            between captions of different length.
    """
    text: str
    score: float
