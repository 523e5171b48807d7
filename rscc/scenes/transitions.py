"""What became what, as classes of one map: a number, a name and a colour for every transition.

A model of semantic change tells the classes of both dates. GIS wants one map with polygons that say
"farmland became buildings", so that each pair of classes is a class of ``change.tif``.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rscc.rasters.blending import decided_by_date
from rscc.text.land_cover import ARROW
from rscc.visualization.overlays import class_palette

#: 15 x 15 transitions and "unchanged" fit into a map of bytes, beside 255 for no data.
_MOST_CLASSES = 15


@dataclass(frozen=True)
class SemanticClasses:
    """The classes that a model tells of each date.

    Attributes:
        names: Of the K classes; class k + 1 of a map is ``names[k]``.
        palette: RGB of each; None for default colours.
        same_class: Whether a pixel may change within one class.

    Raises:
        ValueError: If there are fewer than two, or more than 15.
    """
    names: tuple[str, ...]
    palette: Sequence[Sequence[int]] | None = None
    same_class: bool = True

    def __post_init__(self) -> None:
        if not 2 <= len(self.names) <= _MOST_CLASSES:
            raise ValueError(f'{len(self.names)} classes a date: maps of what became what hold 2 '
                             f'to {_MOST_CLASSES}, so that every transition has a number below '
                             '255. Train with fewer classes (label_map of the dataset)')

    def decide(self, values: np.ndarray, changed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turn probabilities into the map of transitions and the class maps of both dates.

        Args:
            values: Probability of each class at each date (2, K, h, w).
            changed: Where something changed, 0 for unchanged (h, w).

        Returns:
            Transitions uint8 (h, w), 0 where nothing changed, and classes uint8 (2, h, w).
        """
        maps = decided_by_date(values, changed, self.same_class)
        numbers = (maps[0] - np.uint8(1)) * np.uint8(len(self.names)) + maps[1]
        return np.where(changed != 0, numbers, np.uint8(0)), maps

    def pair_of(self, number: int) -> tuple[str, str]:
        """Return the classes of both dates of a transition, by its number in the map from 1 on."""
        earlier, later = divmod(number - 1, len(self.names))
        return self.names[earlier], self.names[later]

    @property
    def transitions(self) -> tuple[str, ...]:
        """Name of every number of the map, ``'unchanged'`` first."""
        pairs = (self.pair_of(number) for number in range(1, len(self.names)**2 + 1))
        return 'unchanged', *(ARROW.join(pair) for pair in pairs)

    @property
    def colours(self) -> list[tuple[int, int, int]]:
        """RGB of every class of a date, no class first."""
        own = None if self.palette is None else [(0, 0, 0), *map(tuple, self.palette)]
        return class_palette(len(self.names) + 1, own)

    @property
    def transition_colours(self) -> list[tuple[int, int, int]]:
        """RGB of every number of the map: that of what a pixel became."""
        return [self.colours[0], *len(self.names) * self.colours[1:]]


def transition_rows(semantic: SemanticClasses | None, classes: Sequence[Mapping[str, Any]]
                    ) -> list[dict[str, Any]]:
    """Return the transition table of a scene.

    Args:
        semantic: Classes of the model; None of one that tells none.
        classes: Rows of ``classes`` of ``summary.json``.

    Returns:
        ``from``, ``to``, ``regions``, ``pixels`` and ``area_m2`` (of the whole map, small regions
        included) of each transition that occurs, in the same order.
    """
    if semantic is None:
        return []
    rows = []
    for row in classes:
        earlier, later = semantic.pair_of(row['value'])
        rows.append({'from': earlier, 'to': later, 'regions': row['regions'],
                     'pixels': row['map_pixels'], 'area_m2': row['map_area_m2']})
    return rows
