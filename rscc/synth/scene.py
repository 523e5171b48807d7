"""Layout of one scene: ground, roads, water, what stands beside them, and trees.

The order matters: roads and water come first, then (``changes.py``) whatever will change, and only
then the fixed houses, lots and trees, which take the room that is left. So a changed house stands
where any house could stand, and nothing but the comparison of the dates tells it from the others.
"""
from dataclasses import dataclass, field

import cv2
import numpy as np

from rscc.synth.drawing import MARGIN
from rscc.synth.objects import (
    FROM,
    SIDE,
    TO,
    Building,
    Drive,
    House,
    Lot,
    Pond,
    Road,
    Thing,
    Trees,
    bend,
    blob,
    oriented_box,
    walk,
)

BIOMES = ('meadow', 'bareland', 'desert', 'farmland', 'woods')
ROOFS = ((150, 84, 66), (128, 70, 56), (168, 110, 84), (120, 100, 84), (98, 94, 92),
         (78, 76, 78), (142, 136, 130), (176, 170, 162), (92, 110, 132), (200, 194, 184))
FLAT_ROOFS = ((196, 194, 188), (170, 166, 160), (216, 212, 204), (146, 144, 144), (188, 176, 156),
              (120, 136, 156), (228, 226, 222), (150, 110, 96))


class Occupancy:
    """Map of taken pixels, so that nothing is put on top of something else."""

    def __init__(self) -> None:
        self.taken = np.zeros((SIDE + 2 * MARGIN,) * 2, np.uint8)

    def _raster(self, polygons: list[np.ndarray], margin: float) -> np.ndarray:
        raster = np.zeros_like(self.taken)
        outlines = [np.round(polygon + MARGIN - 0.5).astype(np.int32) for polygon in polygons]
        for outline in outlines:
            cv2.fillPoly(raster, [outline], 1)
        if margin >= 1:
            cv2.polylines(raster, outlines, True, 1, round(2 * margin))
        return raster

    def free(self, polygons: list[np.ndarray], margin: float = 3) -> bool:
        """Tell whether the polygons, widened by ``margin`` pixels, touch nothing."""
        return not (self._raster(polygons, margin) & self.taken).any()

    def take(self, polygons: list[np.ndarray], margin: float = 0) -> None:
        """Mark the polygons, widened by ``margin`` pixels, as taken."""
        self.taken |= self._raster(polygons, margin)

    def free_points(self, points: np.ndarray, margin: int) -> np.ndarray:
        """Tell for each point (N, 2) whether it is ``margin`` pixels clear of everything."""
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1,) * 2)
        grown = cv2.dilate(self.taken, kernel)
        column, row = np.clip(np.round(points + MARGIN - 0.5).astype(int), 0,
                              len(grown) - 1).T
        return grown[row, column] == 0


@dataclass
class Slot:
    """Room for one house beside a road."""

    house: House
    road: int
    side: int
    along: float
    drive: Drive


@dataclass
class Scene:
    """One place: its ground, its objects and the room between them.

    ``resolution`` is in metres a pixel; ``lean`` tells for each date how far a view from aside
    moves the top of a thing, in pixels per pixel of height.
    """

    biome: str
    ground_seed: int
    things: list[Thing] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    room: Occupancy = field(default_factory=Occupancy)
    resolution: float = 0.5
    lean: dict[str, np.ndarray] = field(default_factory=lambda: {FROM: np.zeros(2),
                                                                 TO: np.zeros(2)})

    @property
    def roads(self) -> list[Road]:
        """Roads that were there from the start (a new one is not yet a place to build along)."""
        return [thing for thing in self.things if isinstance(thing, Road)]

    def add(self, thing: Thing, margin: float = 2) -> None:
        """Put an object down and take its room."""
        self.things.append(thing)
        self.room.take(thing.footprint(), margin)


def lay_out(rng: np.random.Generator) -> Scene:
    """Draw the ground, the roads, perhaps water, and the slots along the roads."""
    scene = Scene(str(rng.choice(BIOMES, p=[0.34, 0.2, 0.12, 0.14, 0.2])),
                  int(rng.integers(2 ** 31)))
    if rng.random() < 0.08:
        _river(scene, rng)
    _roads(scene, rng)
    for index, road in enumerate(scene.roads):
        scene.slots += slots_along(road, index, scene.room, rng)
    return scene


def line_across(rng: np.random.Generator, angle: float, through: np.ndarray,
                curviness: float) -> np.ndarray:
    """Return a polyline (33, 2) that crosses the whole image at about ``angle`` radians."""
    direction = np.array([np.cos(angle), np.sin(angle)])
    normal = np.array([-direction[1], direction[0]])
    start, end = through - direction * 230, through + direction * 230
    return bend(start, (start + end) / 2 + normal * rng.normal(0, curviness), end)


def make_road(points: np.ndarray, rng: np.random.Generator, when: str = 'both') -> Road:
    """Return a road of random surface and width along ``points``."""
    surface = str(rng.choice(['asphalt', 'concrete', 'dirt'], p=[0.6, 0.25, 0.15]))
    width = rng.uniform(7, 9) if surface == 'dirt' else rng.uniform(10, 17)
    return Road(points, width, surface, when=when)


def _roads(scene: Scene, rng: np.random.Generator) -> None:
    pattern = rng.choice(['none', 'one', 'cross', 'tee', 'parallel'], p=[.1, .4, .2, .12, .18])
    if pattern == 'none':
        return
    quarter = rng.integers(2) * np.pi / 2
    angle = quarter + (rng.normal(0, 0.1) if rng.random() < 0.7 else rng.uniform(-0.8, 0.8))
    through = rng.uniform(70, 186, 2)
    curviness = 90.0 if pattern == 'one' and rng.random() < 0.5 else 8.0
    first = make_road(line_across(rng, angle, through, curviness), rng)
    roads = [first]
    side = np.array([-np.sin(angle), np.cos(angle)])
    if pattern == 'parallel':
        gap = rng.uniform(95, 130) * (1 if (through - SIDE / 2) @ side < 0 else -1)
        roads.append(make_road(line_across(rng, angle, through + gap * side, 4.0), rng))
    elif pattern in ('cross', 'tee'):
        crossing = walk(first.points, np.array([rng.uniform(190, 270)]))[0][0]
        other = line_across(rng, angle + np.pi / 2 + rng.normal(0, 0.1), crossing, 5.0)
        roads.append(make_road(other[16:] if pattern == 'tee' else other, rng))
    for road in roads:
        scene.add(road)


def _river(scene: Scene, rng: np.random.Generator) -> None:
    centre = line_across(rng, rng.uniform(0, np.pi), rng.uniform(60, 196, 2), 120.0)
    width = rng.uniform(16, 30) * (1 + 0.15 * np.sin(np.linspace(0, rng.uniform(4, 9), 33)))
    tangent = np.gradient(centre, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1) * width[:, None] / 2
    scene.add(Pond(np.concatenate([centre + normal, (centre - normal)[::-1]])), margin=4)


def make_house(centre: np.ndarray, angle: float, rng: np.random.Generator) -> House:
    """Return a house of 10-15 by 8.5-11 m, one in three with a wing."""
    size = (rng.uniform(22, 30), rng.uniform(17, 22))
    wing = None
    if rng.random() < 0.35:
        offset = np.array([rng.choice([-1, 1]) * (size[0] / 2 - 5.5), rng.choice([-1, 1]) * 8])
        cos, sin = np.cos(angle), np.sin(angle)
        place = centre + offset @ np.array([[cos, sin], [-sin, cos]])
        wing = oriented_box(place, (11, size[1] - 2), angle)
    colour = ROOFS[rng.integers(len(ROOFS))]
    roof = str(rng.choice(['gable', 'hip'], p=[0.55, 0.45]))
    return House(centre, size, angle, roof, colour, rng.uniform(7, 11), wing)


def slots_along(road: Road, index: int, room: Occupancy,
                rng: np.random.Generator) -> list[Slot]:
    """Return the places along a road where a house fits, road by road and side by side."""
    spacing, slots = rng.uniform(34, 42), []
    length = np.linalg.norm(np.diff(road.points, axis=0), axis=1).sum()
    stops = np.arange(rng.uniform(5, 30), length, spacing)
    at, tangent = walk(road.points, stops)
    for side in (-1, 1):
        setback = rng.uniform(8, 15)
        for stop, position, ahead in zip(stops, at, tangent, strict=True):
            outward = side * np.array([-ahead[1], ahead[0]])
            angle = float(np.arctan2(ahead[1], ahead[0]))
            house = make_house(np.zeros(2), angle, rng)
            away = road.width / 2 + setback + house.size[1] / 2 + (4 if house.wing is not None
                                                                   else 0)
            centre = position + outward * (away + rng.normal(0, 1))
            if not inside(centre, 16):
                continue
            house.centre = centre
            house.wing = None if house.wing is None else house.wing + centre
            if room.free(house.footprint(), 2):
                foot = centre + ahead * rng.uniform(-5, 5)
                reach = away - road.width / 2
                drive = Drive(oriented_box(foot - outward * reach / 2, (6, reach), angle))
                slots.append(Slot(house, index, side, float(stop), drive))
    return slots


def inside(point: np.ndarray, margin: float) -> bool:
    """Tell whether a point lies at least ``margin`` pixels inside the image."""
    return bool((point >= margin).all() and (point <= SIDE - margin).all())


def make_building(centre: np.ndarray, angle: float, rng: np.random.Generator) -> Building:
    """Return a flat-roofed building of 24-46 by 18-30 m with units on its roof."""
    size = (rng.uniform(48, 92), rng.uniform(36, 60))
    count = rng.integers(3, 9)
    spread = np.array(size) / 2 - 8
    units = np.concatenate([rng.uniform(-spread, spread, (count, 2)),
                            rng.uniform(4, 9, (count, 2))], 1)
    ribs = float(rng.choice([0, 0, 5, 8]))
    return Building(centre, size, angle, FLAT_ROOFS[rng.integers(len(FLAT_ROOFS))],
                    rng.uniform(10, 20), units, ribs)


def make_lot(centre: np.ndarray, angle: float, rng: np.random.Generator) -> Lot:
    """Return a parking lot of 25-45 by 18-31 m."""
    return Lot(centre, (rng.uniform(50, 90), float(rng.choice([36, 62]))), angle,
               rng.uniform(0.15, 0.8))


def make_pond(centre: np.ndarray, rng: np.random.Generator) -> Pond:
    """Return a pond of 10-23 m radius."""
    return Pond(blob(rng, centre, rng.uniform(20, 46)))


def street_angle(scene: Scene, rng: np.random.Generator) -> float:
    """Return the direction buildings follow: that of the first road, else any."""
    if not scene.roads:
        return float(rng.uniform(0, np.pi))
    first, last = scene.roads[0].points[[0, -1]]
    return float(np.arctan2(*(last - first)[::-1]) + rng.integers(2) * np.pi / 2)


def furnish(scene: Scene, rng: np.random.Generator) -> None:
    """Add what never changes: houses, large buildings, lots, ponds and, last, trees."""
    for chance, make in ((0.16, make_building), (0.12, make_lot)):
        if rng.random() < chance:
            try_place(scene, lambda at, make=make: make(at, street_angle(scene, rng), rng), rng)
    if rng.random() < 0.16:
        try_place(scene, lambda at: make_pond(at, rng), rng)
    fill = rng.choice([0.0, 0.25, 0.75], p=[0.35, 0.35, 0.3])
    drives = rng.random() < 0.6
    for slot in scene.slots:
        free = scene.room.free(slot.house.footprint(), 3)
        if free and rng.random() < fill:
            scene.add(slot.house, 3)
            if drives and scene.room.free([slot.drive.outline], 0):
                scene.add(slot.drive, 0)
    plant(scene, rng)


def try_place(scene: Scene, make: object, rng: np.random.Generator, tries: int = 12,
              margin: float = 4) -> Thing | None:
    """Make objects at random centres until one fits; add and return it, or return None."""
    for _ in range(tries):
        thing = make(rng.uniform(30, SIDE - 30, 2))
        if scene.room.free(thing.footprint(), margin):
            scene.add(thing, margin)
            return thing
    return None


def scatter(rng: np.random.Generator, spacing: float) -> np.ndarray:
    """Return crowns (N, 4) on a jittered grid over the image: x, y, radius, variant."""
    grid = np.arange(-MARGIN, SIDE + MARGIN, spacing)
    points = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    points = points + rng.uniform(-0.45, 0.45, points.shape) * spacing
    radius = np.clip(rng.normal(0.6 * spacing, 0.13 * spacing, len(points)), 3.5, 10)
    return np.concatenate([points, radius[:, None],
                           rng.integers(0, 12, (len(points), 1))], 1)


def within(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Tell for each point (N, 2) whether it lies inside a closed outline."""
    contour = outline.astype(np.float32).reshape(-1, 1, 2)
    return np.array([cv2.pointPolygonTest(contour, (float(x), float(y)), False) >= 0
                     for x, y in points], bool)


def plant(scene: Scene, rng: np.random.Generator) -> None:
    """Add fixed trees where there is room: a wood, groves, and single ones."""
    crowns = scatter(rng, rng.uniform(9.5, 12.5))
    keep = rng.random(len(crowns)) < {'woods': 0.0, 'desert': 0.006}.get(scene.biome, 0.02)
    if scene.biome == 'woods':
        keep = _thickets(crowns, rng)
    elif rng.random() < (0.2 if scene.biome == 'desert' else 0.6):
        for _ in range(rng.integers(1, 4)):
            keep |= within(crowns[:, :2], blob(rng, rng.uniform(0, SIDE, 2),
                                               rng.uniform(18, 55)))
    keep &= scene.room.free_points(crowns[:, :2], 5)
    if keep.any():
        scene.add(Trees(crowns[keep], bool(rng.random() < 0.5)), 0)


def _thickets(crowns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return which crowns a wood keeps: all but a few clearings that slow waves cut out."""
    waves = rng.normal(0, 0.035, (3, 2))
    phase = rng.uniform(0, 6.28, 3)
    field_ = np.cos(crowns[:, :2] @ waves.T + phase).sum(1)
    return field_ + rng.normal(0, 0.25, len(crowns)) > rng.uniform(-1.6, -0.4)
