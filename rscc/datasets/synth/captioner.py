"""What all captioners share: different sentences from one source of choices."""
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from rscc.datasets.synth.changes import Change
from rscc.datasets.synth.scene_facts import SceneFacts


class Captioner(ABC):
    """Says what changed; a subclass knows one language.

    Args:
        rng: Source of the choice of words.
    """

    NO_CHANGE: ClassVar[tuple] = ()

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def captions(self, facts: Sequence[Change] | SceneFacts, count: int = 5) -> list:
        """Return ``count`` sentences, different wherever the facts allow; no final full stop.

        Args:
            facts: The changes of a pair, none where it is unchanged, or what a single image shows.
            count: How many sentences.
        """
        if not facts:
            return list(self.NO_CHANGE)
        found: list = []
        for _ in range(12 * count):
            sentence = self.sentence(facts)
            if sentence not in found:
                found.append(sentence)
            if len(found) == count:
                return found
        return [found[i % len(found)] for i in range(count)]

    @abstractmethod
    def sentence(self, facts: Sequence[Change] | SceneFacts) -> str | tuple[str, ...]:
        """Return one sentence on the facts, the most conspicuous always among them."""

    def chance(self, probability: float) -> bool:
        """Flip a biased coin."""
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence) -> object:
        """Return one of the options."""
        return options[self.rng.integers(len(options))]


def words_of(table: object) -> set[str]:
    """Return the words in the strings of a nested table (values only)."""
    if isinstance(table, str):
        return set(table.replace('{}', '').split())
    parts = table.values() if isinstance(table, dict) else table
    return set().union(*map(words_of, parts))
