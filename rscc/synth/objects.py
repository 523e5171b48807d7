"""Objects of a rendered scene: plain geometry in image pixels, no drawing.

A pixel is 0.5 m; in the varied look its size is the scene's.

Every object knows the dates it exists at (``when``), its footprint, and the names under which
masks and captions speak of it. Coordinates are continuous: pixel (i, j) covers x in [j, j+1) and
y in [i, i+1).
"""
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

SIDE = 256
CLASSES = ('unchanged', 'building', 'road', 'vegetation', 'water', 'parking lot')
PALETTE = ([0, 0, 0], [230, 60, 50], [245, 200, 60], [70, 170, 80], [60, 120, 220],
           [150, 100, 200])
BOTH, FROM, TO = 'both', 'from', 'to'


def oriented_box(centre: np.ndarray, size: tuple[float, float], angle: float) -> np.ndarray:
    """Return the corners (4, 2) of a rectangle turned by ``angle`` radians.

    Corner order is (-,-), (+,-), (+,+), (-,+) in the rectangle's own axes, so that edges 0-1 and
    3-2 run along its first axis.
    """
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.asarray(size) / 2
    cos, sin = np.cos(angle), np.sin(angle)
    return half @ np.array([[cos, sin], [-sin, cos]]) + centre


def blob(rng: np.random.Generator, centre: np.ndarray, radius: float,
         roughness: float = 0.16) -> np.ndarray:
    """Return a smooth closed outline (40, 2) around ``centre``: an ellipse with a few harmonics."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    wave = sum(rng.normal(0, roughness / k) * np.cos(k * turn + rng.uniform(0, 6.28))
               for k in (2, 3, 4, 5))
    reach = radius * np.clip(1 + wave, 0.55, 1.5)
    stretch, angle = rng.uniform(0.7, 1.0), rng.uniform(0, np.pi)
    local = np.stack([reach * np.cos(turn), stretch * reach * np.sin(turn)], 1)
    cos, sin = np.cos(angle), np.sin(angle)
    return local @ np.array([[cos, sin], [-sin, cos]]) + centre


def bend(start: np.ndarray, middle: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return a quadratic Bezier curve (33, 2) from ``start`` to ``end``."""
    t = np.linspace(0, 1, 33)[:, None]
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t ** 2 * end


def walk(points: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and unit tangents, both (N, 2), at arc lengths along a polyline."""
    steps = np.diff(points, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    reached = np.concatenate([[0], np.cumsum(lengths)])
    at = np.stack([np.interp(distances, reached, points[:, axis]) for axis in (0, 1)], 1)
    leg = np.clip(np.searchsorted(reached, distances, 'right') - 1, 0, len(steps) - 1)
    return at, steps[leg] / lengths[leg, None]


def ribbon(points: np.ndarray, width: float) -> np.ndarray:
    """Return the outline (2N, 2) of a polyline drawn ``width`` pixels wide with flat ends."""
    tangent = np.gradient(points, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1) * width / 2
    return np.concatenate([points + normal, (points - normal)[::-1]])


@dataclass(eq=False)
class Thing(ABC):
    """Base class of everything on the ground, with its name in captions and value in masks."""

    when: str = field(default=BOTH, kw_only=True)
    name: ClassVar[str] = ''
    label: ClassVar[int] = 0

    def exists(self, date: str) -> bool:
        """Tell whether the object is there at ``date`` (``'from'`` or ``'to'``)."""
        return self.when in (BOTH, date)

    @abstractmethod
    def footprint(self) -> list[np.ndarray]:
        """Return outlines (N, 2) that together cover the object."""

    def seen(self, lean: np.ndarray) -> list[np.ndarray]:
        """Return the outlines that masks show; a view from aside moves what stands high.

        Args:
            lean: Displacement (2,) of the top of things, pixels per pixel of height.
        """
        return self.footprint()


@dataclass(eq=False)
class House(Thing):
    """A detached house; an optional wing makes it L-shaped."""

    centre: np.ndarray
    size: tuple[float, float]
    angle: float
    roof: str
    colour: tuple[int, int, int]
    height: float
    wing: np.ndarray | None = None
    name: ClassVar[str] = 'house'
    label: ClassVar[int] = 1

    def footprint(self) -> list[np.ndarray]:
        """Return the main box and, for an L-shape, the wing."""
        main = oriented_box(self.centre, self.size, self.angle)
        return [main] if self.wing is None else [main, self.wing]


@dataclass(eq=False)
class Building(Thing):
    """A large flat-roofed building with units on its roof.

    ``units`` are (u, v, w, h) in the building's own axes, pixels from its centre.
    """

    centre: np.ndarray
    size: tuple[float, float]
    angle: float
    colour: tuple[int, int, int]
    height: float
    units: np.ndarray
    ribs: float = 0.0
    name: ClassVar[str] = 'building'
    label: ClassVar[int] = 1

    def footprint(self) -> list[np.ndarray]:
        """Return the one box."""
        return [oriented_box(self.centre, self.size, self.angle)]


@dataclass(eq=False)
class Road(Thing):
    """A road along a polyline; ``surface`` is 'asphalt', 'concrete' or 'dirt'."""

    points: np.ndarray
    width: float
    surface: str
    name: ClassVar[str] = 'road'
    label: ClassVar[int] = 2

    def footprint(self) -> list[np.ndarray]:
        """Return the carriageway's outline."""
        return [ribbon(self.points, self.width)]


@dataclass(eq=False)
class Trees(Thing):
    """A group of crowns: (N, 4) of x, y, radius, variant; ``evergreen`` keeps its colour."""

    crowns: np.ndarray
    evergreen: bool = False
    name: ClassVar[str] = 'trees'
    label: ClassVar[int] = 3

    def footprint(self) -> list[np.ndarray]:
        """Return one octagon a crown."""
        turn = np.arange(8) * np.pi / 4
        ring = np.stack([np.cos(turn), np.sin(turn)], 1)
        return [crown[:2] + crown[2] * ring for crown in self.crowns]


@dataclass(eq=False)
class Pond(Thing):
    """Standing water, or a river where the outline leaves the image."""

    outline: np.ndarray
    name: ClassVar[str] = 'pond'
    label: ClassVar[int] = 4

    def footprint(self) -> list[np.ndarray]:
        """Return the waterline."""
        return [self.outline]


@dataclass(eq=False)
class Lot(Thing):
    """A paved parking lot; ``bays`` rows run along its first axis."""

    centre: np.ndarray
    size: tuple[float, float]
    angle: float
    fill: float
    name: ClassVar[str] = 'parking lot'
    label: ClassVar[int] = 5

    def footprint(self) -> list[np.ndarray]:
        """Return the one box."""
        return [oriented_box(self.centre, self.size, self.angle)]


@dataclass(eq=False)
class Drive(Thing):
    """A driveway or path that belongs to a plot and never changes."""

    outline: np.ndarray

    def footprint(self) -> list[np.ndarray]:
        """Return the outline."""
        return [self.outline]


@dataclass(eq=False)
class Block(Thing):
    """A building of one or more wings under a roof of any kind (varied look only).

    Attributes:
        parts: A box (4, 2) a wing.
        roof: 'gable', 'hip', 'flat', 'shed' or 'hall'.
        colour, wall: RGB of the roof and of the facades.
        height: In pixels.
        unit: Pixels per metre.
        seed: Of details: chimneys, dormers, patches, units.
        panels: Dates with solar panels: '', 'both', 'from' or 'to'. They are no change.
    """

    parts: list[np.ndarray]
    roof: str
    colour: tuple[int, int, int]
    wall: tuple[int, int, int]
    height: float
    unit: float
    seed: int
    panels: str = ''
    name: ClassVar[str] = 'building'
    label: ClassVar[int] = 1

    @property
    def centre(self) -> np.ndarray:
        """Middle (2,) of the corners of all wings."""
        return np.concatenate(self.parts).mean(0)

    def footprint(self) -> list[np.ndarray]:
        """Return the wings on the ground."""
        return self.parts

    def seen(self, lean: np.ndarray) -> list[np.ndarray]:
        """Return the roof where a leaning view shows it."""
        return [part + lean * self.height for part in self.parts]


@dataclass(eq=False)
class Dwelling(Block):
    """A small building, which captions call a house."""

    name: ClassVar[str] = 'house'


@dataclass(eq=False)
class Surface(Thing):
    """A patch of ground without a class: lawn, soil, field, court, pool ... (varied look only).

    What becomes of it between the dates is never a change. ``kind`` is a key of
    ``view.SURFACES``; ``angle`` is the direction of furrows and markings.
    """

    outline: np.ndarray
    kind: str
    angle: float = 0.0
    seed: int = 0

    def footprint(self) -> list[np.ndarray]:
        """Return the outline."""
        return [self.outline]
