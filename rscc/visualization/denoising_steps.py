"""What happens to a sentence on its way from noise, step by step, for pictures and reports."""
import math
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import NamedTuple

from rscc.visualization.fonts import has_cjk


class Run(NamedTuple):
    """Neighbouring words of one kind.

    Attributes:
        text: The words.
        final: Whether the finished sentence has them too, in this order.
        new: Whether they were not there one row before.
    """
    text: str
    final: bool
    new: bool


class Row(NamedTuple):
    """Steps during which the sentence stayed the same.

    Attributes:
        sigma: Noise level of the first.
        last_sigma: Noise level of the last, the same for a single step.
        steps: How many.
        noise: ``sigma`` on a logarithmic scale, 0 to 1, from the least noise of the strip to the
            most.
        runs: The sentence; none where it was empty.
    """
    sigma: float
    last_sigma: float
    steps: int
    noise: float
    runs: list[Run]

    @property
    def label(self) -> str:
        """The noise level, or the range of it, to three digits."""
        ends = dict.fromkeys(f'{sigma:.3g}' for sigma in (self.sigma, self.last_sigma))
        return ' – '.join(ends)


def denoising_rows(strip: Sequence[tuple[float, str]], final: str) -> list[Row]:
    """Lay out a denoising strip: one row for every sentence that differs from the one before.

    Args:
        strip: Noise level and sentence of every step, noisiest first.
        final: The finished sentence.

    Returns:
        Rows, noisiest first.
    """
    chinese = has_cjk(final) or any(has_cjk(text) for _, text in strip)
    target = _words(final, chinese)
    rows, before = [], None
    for text, group in groupby(strip, key=lambda step: step[1]):
        sigmas = [sigma for sigma, _ in group]
        words = _words(text, chinese)
        kept, fresh = _matched(words, target), set()
        if before is not None:
            fresh = set(range(len(words))) - _matched(words, before)
        runs = [Run(('' if chinese else ' ').join(words[i] for i in places), *kind)
                for kind, places in _kinds(len(words), kept, fresh)]
        rows.append(Row(sigmas[0], sigmas[-1], len(sigmas), _noise(sigmas[0], strip), runs))
        before = words
    return rows


def _words(text: str, chinese: bool) -> list[str]:
    """Split a sentence into what is compared; Chinese by characters, no blanks tell its words."""
    return list(text) if chinese else text.split()


def _matched(words: list[str], others: list[str]) -> set[int]:
    """Return the places of the words that both sentences have in the same order."""
    blocks = SequenceMatcher(None, words, others, autojunk=False).get_matching_blocks()
    return {place for start, _, size in blocks for place in range(start, start + size)}


def _kinds(count: int, kept: set[int], fresh: set[int]) -> list[tuple[tuple[bool, bool], list]]:
    """Group neighbouring places by (final, new)."""
    return [(kind, list(places)) for kind, places in
            groupby(range(count), key=lambda place: (place in kept, place in fresh))]


def _noise(sigma: float, strip: Sequence[tuple[float, str]]) -> float:
    levels = [level for level, _ in strip if level > 0]
    if sigma <= 0 or max(levels) == min(levels):
        return float(sigma > 0)
    return math.log(sigma / min(levels)) / math.log(max(levels) / min(levels))
