"""What a single rendered image shows, from the record in the annotation file."""
from collections.abc import Mapping
from dataclasses import dataclass

SOME_TREES, MANY_TREES = 8, 40  # crowns: fewer than 8 are not worth a word


@dataclass(frozen=True)
class SceneFacts:
    """The objects of one image.

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
    def of(cls, record: Mapping[str, str | int]) -> 'SceneFacts':
        """Read the record of one date (``scene_facts`` of the generator writes it)."""
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
