"""What the captioners of all languages share: different sentences from one source of choices."""
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from rscc.datasets.synth.changes import Change


class Captioner(ABC):
    """Says what changed; a subclass knows one language.

    Args:
        rng: Source of the choice of words.
    """

    NO_CHANGE: ClassVar[tuple] = ()

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def captions(self, changes: Sequence[Change], count: int = 5) -> list:
        """Return ``count`` sentences, different wherever the facts allow; no final full stop."""
        if not changes:
            return list(self.NO_CHANGE)
        found: list = []
        for _ in range(12 * count):
            sentence = self.sentence(changes)
            if sentence not in found:
                found.append(sentence)
            if len(found) == count:
                return found
        return [found[i % len(found)] for i in range(count)]

    @abstractmethod
    def sentence(self, changes: Sequence[Change]) -> str | tuple[str, ...]:
        """Return one sentence on a pair's changes, the most conspicuous always among them."""

    def chance(self, probability: float) -> bool:
        """Flip a biased coin."""
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence) -> object:
        """Return one of the options."""
        return options[self.rng.integers(len(options))]
