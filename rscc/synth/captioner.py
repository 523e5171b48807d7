"""Base classes of the captioners, and the metadata of one image that they put into words."""
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rscc.synth.changes import Change

SOME_TREES, MANY_TREES = 8, 40  # crowns: fewer than 8 are not worth a word


@dataclass(frozen=True)
class SceneMetadata:
    """Objects of one image.

    Attributes:
        ground: ``'meadow'``, ``'bareland'``, ``'desert'``, ``'farmland'`` or ``'woods'``.
        houses, buildings, roads, lots: How many of each; buildings are the large flat-roofed ones.
        water: Whether there is a pond or a river.
        trees: Number of crowns.
    """
    ground: str
    houses: int = 0
    buildings: int = 0
    roads: int = 0
    lots: int = 0
    water: bool = False
    trees: int = 0

    @classmethod
    def of(cls, record: Mapping[str, str | int]) -> 'SceneMetadata':
        """Read the record of one date (``scene_metadata`` of the generator writes it)."""
        return cls(ground=str(record['ground']), houses=int(record.get('house', 0)),
                   buildings=int(record.get('building', 0)), roads=int(record.get('road', 0)),
                   lots=int(record.get('parking lot', 0)), water=bool(record.get('pond', 0)),
                   trees=int(record.get('trees', 0)))

    @property
    def wooded(self) -> bool:
        """Whether trees are a mass and not single ones."""
        return self.trees >= MANY_TREES

    def kinds(self) -> list[str]:
        """Return the kinds of objects worth naming, the most conspicuous first.

        A wood's trees are its ground.
        """
        present = {'buildings': self.buildings, 'houses': self.houses, 'lots': self.lots,
                   'water': self.water, 'roads': self.roads,
                   'trees': self.trees >= SOME_TREES and self.ground != 'woods'}
        return [kind for kind, there in present.items() if there]


class Captioner(ABC):
    """Base of all captioners; a subclass knows one language.

    Args:
        rng: Source of the choice of words.
    """

    NO_CHANGE: ClassVar[tuple] = ()

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def captions(self, metadata: Sequence[Change] | SceneMetadata, count: int = 5) -> list:
        """Return ``count`` sentences, different wherever possible; no final full stop.

        Args:
            metadata: The changes of a pair, none where it is unchanged, or the objects of an image.
            count: How many sentences.
        """
        if not metadata:
            return list(self.NO_CHANGE)
        found: list = []
        for _ in range(12 * count):
            sentence = self.sentence(metadata)
            if sentence not in found:
                found.append(sentence)
            if len(found) == count:
                return found
        return [found[i % len(found)] for i in range(count)]

    @abstractmethod
    def sentence(self, metadata: Sequence[Change] | SceneMetadata) -> str | tuple[str, ...]:
        """Return one sentence, the most conspicuous object or change always in it."""

    def chance(self, probability: float) -> bool:
        """Flip a biased coin."""
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence) -> object:
        """Return one of the options."""
        return options[self.rng.integers(len(options))]


MOST_NOUNS = 3  # annotators seldom name more


class SceneCaptioner(Captioner):
    """Base of the captioners of single images.

    A subclass writes the sentence patterns: ``_empty``, ``_area``, ``_surrounded``,
    ``_road_through``, ``_piece`` and ``_listing``.
    """

    def sentence(self, metadata: SceneMetadata) -> str | tuple[str, ...]:
        """Return one sentence; the most conspicuous object is always in it."""
        first, *others = metadata.kinds() or [None]
        if first is None:
            return self._empty(metadata)
        chosen = [first, *(kind for kind in others if self.chance(0.75))][:MOST_NOUNS]
        style = self.rng.random()
        if metadata.houses > 1 and style < 0.25:
            return self._area(metadata, [kind for kind in chosen if kind != 'houses'])
        if metadata.wooded and first != 'trees' and style < 0.45:
            return self._surrounded(metadata, [kind for kind in chosen if kind != 'trees'])
        if metadata.roads and first != 'roads' and style < 0.55:
            return self._road_through(metadata, first)
        return (self._piece if style < 0.75 else self._listing)(metadata, chosen)


def words_of(table: object) -> set[str]:
    """Return the words in the strings of a nested table (values only)."""
    if isinstance(table, str):
        return set(table.replace('{}', '').split())
    parts = table.values() if isinstance(table, dict) else table
    return set().union(*map(words_of, parts))
