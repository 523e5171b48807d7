"""Layout of the varied look: streets and quarters of many kinds.

A place is a street grid in metres, turned, bent and scaled into the image. Every area between
streets gets a kind (suburb, terraces, informal settlement, courtyards, slabs, halls, fields ...)
and is filled with plots, some of which stay vacant. What changes is chosen later
(``varied.py``), among the plots that stand here.
"""
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from rscc.synth.drawing import MARGIN
from rscc.synth.objects import (
    BOTH,
    FROM,
    SIDE,
    TO,
    Block,
    Dwelling,
    Lot,
    Pond,
    Road,
    Surface,
    Thing,
    bend,
    blob,
    oriented_box,
    ribbon,
)
from rscc.synth.roofs import FLAT, HALLS, SHEETS, SHINGLES, TILES, WALLS, wings
from rscc.synth.scene import Scene
from rscc.synth.view import draw_lean, seen_at

#: Metres a pixel; most pairs lie between 0.3 and 1.
FINEST, COARSEST = 0.2, 1.5
#: Kind of place -> depth and length of its areas (metres), width of its streets, share of dirt.
PLACES = {
    'suburb': ((50, 70), (80, 200), (7, 11), 0.1), 'terraces': ((44, 64), (60, 160), (6, 9), 0.0),
    'informal': ((26, 60), (40, 110), (3, 6), 0.6), 'courtyards': ((48, 90), (50, 120), (6, 12), 0),
    'slabs': ((80, 130), (90, 180), (8, 14), 0.0), 'halls': ((90, 180), (110, 240), (7, 13), 0.05),
    'village': ((40, 90), (60, 160), (4, 8), 0.4), 'country': ((110, 240), (140, 320), (4, 8), 0.5),
}
#: Kinds of open areas, by how often they lie between built ones.
OPEN = {'meadow': 0.24, 'field': 0.2, 'site': 0.14, 'wood': 0.16, 'wild': 0.14, 'sports': 0.07,
        'water': 0.05}
#: What lies on a plot without a building.
VACANT = {'lawn': 0.3, 'wild': 0.26, 'soil': 0.24, 'site': 0.16, 'rubble': 0.04}


@dataclass
class Plot:
    """Room for one building (pixels): its outline, the building, and what belongs to it."""

    outline: np.ndarray
    main: Block
    area: int
    side: int = 0
    extras: list[Thing] = field(default_factory=list)

    @property
    def visible(self) -> bool:
        """Whether the building's middle lies inside the image."""
        return bool((np.abs(self.main.centre - SIDE / 2) < SIDE / 2 - 4).all())


@dataclass
class Area:
    """Block between four streets: its sides in metres, and its kind."""

    index: int
    kind: str
    low: np.ndarray
    high: np.ndarray


class Town:
    """One place while it is laid out.

    Args:
        rng: Source of all randomness.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        spread = rng.normal(np.log(0.52), 0.42)
        self.resolution = float(np.clip(np.exp(spread), FINEST, COARSEST))
        self.unit = 1 / self.resolution
        self.kind = str(rng.choice(list(PLACES), p=[.22, .09, .16, .11, .1, .12, .12, .08]))
        biomes = ('meadow', 'bareland', 'desert', 'farmland', 'woods')
        shares = {'country': [.2, .1, .05, .45, .2], 'informal': [.2, .45, .25, .05, .05]}
        biome = str(rng.choice(biomes, p=shares.get(self.kind, [.45, .25, .12, .08, .1])))
        self.scene = Scene(biome, int(rng.integers(2 ** 31)), resolution=self.resolution,
                           lean={FROM: draw_lean(rng), TO: draw_lean(rng)})
        self.angle = rng.uniform(0, np.pi)
        self.origin = rng.uniform(-40, 40, 2)
        self.waves = (rng.uniform(2, 14) * (rng.random() < 0.6), rng.uniform(0.006, 0.022, 2),
                      rng.uniform(0, 6.28, 2))
        self.vacancy = float(rng.beta(1.2, 5))
        self.vacant = [str(kind) for kind in rng.choice(
            list(VACANT), 2, p=list(VACANT.values()))]
        palettes = {'informal': SHEETS, 'halls': HALLS, 'slabs': FLAT}
        usual = (TILES, SHINGLES, SHEETS, FLAT)[rng.choice(4, p=[.42, .26, .17, .15])]
        self.palette = palettes.get(self.kind, usual)
        self.mixture = rng.beta(1, 3)  # share of roofs from any palette
        self.plots: list[Plot] = []
        self.areas: list[Area] = []
        self.groves: list[tuple[np.ndarray, float]] = []  # outlines and how much trees fill them

    def image(self, points: np.ndarray) -> np.ndarray:
        """Return points (..., 2) given in metres along the streets as image coordinates."""
        size, rate, phase = self.waves
        points = np.asarray(points, float)
        bent = points + size * np.sin(points[..., ::-1] * rate + phase)
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return bent @ np.array([[cos, sin], [-sin, cos]]) * self.unit + SIDE / 2 + self.origin

    def near(self, point: np.ndarray, reach: float) -> bool:
        """Tell whether something ``reach`` metres around a point touches the drawn canvas."""
        return bool((np.abs(self.image(point) - SIDE / 2)
                     < SIDE / 2 + MARGIN + reach * self.unit).all())

    def direction(self, point: np.ndarray) -> float:
        """Return the angle of the streets at a point given in metres."""
        ahead = self.image(np.add(point, (1.0, 0))) - self.image(point)
        return float(np.arctan2(ahead[1], ahead[0]))

    def box(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return the outline of a rectangle between two corners in metres, bent as the streets."""
        (a0, b0), (a1, b1) = low, high
        steps = np.linspace(0, 1, 5)[:, None]
        corners = np.array([[a0, b0], [a1, b0], [a1, b1], [a0, b1]])
        ring = [corners[i] + (corners[(i + 1) % 4] - corners[i]) * steps[:-1] for i in range(4)]
        if self.waves[0] == 0 or max(a1 - a0, b1 - b0) < 30:
            ring = [corners]
        return self.image(np.concatenate(ring))

    def block(self, centre: np.ndarray, size: tuple[float, float], height: float, roof: str,
              turn: float = 0.0, shape: str = 'I', large: bool = False,
              palette: tuple | None = None) -> Block:
        """Return a building: sizes in metres, ``shape`` I, L, T, U or O."""
        rng, angle = self.rng, self.direction(centre) + turn
        place = self.image(centre)
        cos, sin = np.cos(angle), np.sin(angle)
        axes = np.array([[cos, sin], [-sin, cos]]) * self.unit
        parts = [oriented_box(place + np.array(offset) @ axes, tuple(np.array(wing) * self.unit),
                              angle) for offset, wing in wings(shape, *size, rng)]
        if palette is None:
            palette = self.palette
            if rng.random() < self.mixture:
                palette = (TILES, SHINGLES, SHEETS, FLAT)[rng.integers(4)]
        colour = np.array(palette[rng.integers(len(palette))]) + rng.normal(0, 8) \
            + rng.normal(0, 3, 3)
        panels = str(rng.choice(['', 'both', 'from', 'to'], p=[.88, .06, .02, .04]))
        return (Block if large else Dwelling)(
            parts, roof, tuple(np.clip(colour, 10, 245).tolist()), WALLS[rng.integers(len(WALLS))],
            height * self.unit, self.unit, int(rng.integers(2 ** 31)), panels)

    def surface(self, outline: np.ndarray, kind: str, when: str = BOTH) -> Surface:
        """Put down a patch of ground and return it."""
        patch = Surface(outline, kind, self.angle + (np.pi / 2) * self.rng.integers(2),
                        int(self.rng.integers(2 ** 31)), when=when)
        self.scene.things.append(patch)
        return patch

    def take(self, things: list[Thing], margin: float) -> None:
        """Keep trees off things, on the ground and where the views show their tops."""
        self.scene.room.take(seen_at(things, self.scene.lean), margin)


def lay_out_town(town: Town) -> None:
    """Draw the streets and fill the areas between them."""
    rng, scene = town.rng, town.scene
    (depths, lengths, widths, dirt) = PLACES[town.kind]
    reach = SIDE * 0.9 / town.unit
    built = rng.uniform(0.5, 1.0) if town.kind != 'country' else 0.2
    b, main = -reach - rng.uniform(*depths), int(rng.integers(3))
    row = 0
    while b < reach:
        depth, street = rng.uniform(*depths), rng.uniform(*widths)
        street *= 1.6 if row % 4 == main and rng.random() < 0.4 else 1.0
        _street(town, (-reach * 1.2, b), (reach * 1.2, b), street, dirt, 0.94)
        a = -reach - rng.uniform(0, lengths[1])
        while a < reach:
            length, lane = rng.uniform(*lengths), rng.uniform(*widths)
            low = np.array([a + lane / 2, b + street / 2 + 2.5])
            high = np.array([a + length - lane / 2, b + depth - street / 2 - 2.5])
            if town.near((low + high) / 2, max(length, depth) / 1.5):
                _street(town, (a, b), (a, b + depth), lane, dirt, 0.75)
                kind = town.kind if rng.random() < built else str(
                    rng.choice(list(OPEN), p=list(OPEN.values())))
                town.areas.append(Area(len(town.areas), kind, low, high))
            a += length
        if rng.random() < 0.02:
            course = np.array([-reach * 1.2, b]) + np.linspace(0, 1, 17)[:, None] * (reach * 2.4, 0)
            town.surface(ribbon(town.image(course), rng.uniform(5, 9) * town.unit), 'rails')
        b, row = b + depth, row + 1
    for area in town.areas:
        FILL[area.kind](town, area)
    for plot in town.plots:
        scene.things += [*plot.extras, plot.main]
        town.take([plot.main], 1)


def _street(town: Town, start: tuple, stop: tuple, width: float, dirt: float,
            chance: float) -> None:
    if town.rng.random() > chance:
        return
    ends = np.array([start, stop], float)
    points = town.image(ends[0] + (ends[1] - ends[0]) * np.linspace(0, 1, 17)[:, None])
    if not (np.abs(points - SIDE / 2) < SIDE / 2 + MARGIN).all(1).any():
        return
    surface = 'dirt' if town.rng.random() < dirt else str(
        town.rng.choice(['asphalt', 'concrete'], p=[0.8, 0.2]))
    town.scene.add(Road(points, max(width * town.unit, 2.0), surface), 1)


def _put(town: Town, area: Area, low: np.ndarray, high: np.ndarray, main: Block,
         side: int = 0) -> Plot | None:
    """Add a plot with its building, unless the plot stays vacant."""
    outline = town.box(low, high)
    if town.rng.random() < town.vacancy:
        if town.rng.random() < 0.6:
            town.surface(outline, town.vacant[town.rng.integers(2)])
        return None
    plot = Plot(outline, main, area.index, side)
    town.plots.append(plot)
    return plot


def _rows(town: Town, area: Area, widths: tuple[float, float],
          make: Callable[[Town, Area, np.ndarray, np.ndarray, int], None]) -> None:
    """Divide an area into plots back to back, one row along each of its two streets."""
    (a0, b0), (a1, b1) = area.low, area.high
    middle = (b0 + b1) / 2
    for side, (near, far) in ((-1, (b0, middle)), (1, (middle, b1))):
        a = a0
        while a + widths[0] < a1:
            width = min(town.rng.uniform(*widths), a1 - a)
            low, high = np.array([a, near]), np.array([a + width, far])
            if town.near((low + high) / 2, max(high - low) / 1.4):
                make(town, area, low, high, side)
            a += width


def _house_plot(town: Town, area: Area, low: np.ndarray, high: np.ndarray, side: int) -> None:
    """Lay out a detached house with garden, drive, perhaps pool, shed and fence."""
    rng = town.rng
    width, depth = high - low
    if depth < 9 or width < 9:
        return
    size = (width * rng.uniform(0.5, 0.82), min(depth * rng.uniform(0.34, 0.6), 17))
    front = low[1] if side < 0 else high[1]
    setback = min(rng.uniform(2, 8), depth - size[1] - 1)
    centre = np.array([(low[0] + high[0]) / 2 + rng.uniform(-0.08, 0.08) * width,
                       front - side * (setback + size[1] / 2)])
    flat = town.palette is FLAT
    roof = str(rng.choice(['gable', 'hip', 'flat', 'shed'],
                          p=[.05, .05, .75, .15] if flat else [.4, .5, .04, .06]))
    loose = 0.25 if area.kind == 'village' else 0.03
    turn = (np.pi if side > 0 else 0.0) + rng.normal(0, loose)
    main = town.block(centre, size, rng.uniform(4, 8), roof, turn,
                      str(rng.choice(list('ILTU'), p=[.4, .35, .17, .08])))
    plot = _put(town, area, low, high, main, side)
    if plot is None:
        return
    if rng.random() < 0.6:
        plot.extras.append(Surface(town.box(low + 0.4, high - 0.4), 'lawn' if rng.random() < 0.7
                                   else 'soil', town.angle, int(rng.integers(2 ** 31))))
    drive = np.array([centre[0] + rng.uniform(-0.3, 0.3) * size[0], front])
    ends = np.array([drive - [1.8, 0], np.add(drive, (1.8, -side * setback * 1.1))])
    plot.extras.append(Surface(town.box(ends.min(0), ends.max(0)), 'concrete', 0,
                               int(rng.integers(2 ** 31))))
    yard = np.array([rng.uniform(low[0] + 3, high[0] - 3),
                     front - side * (depth - rng.uniform(2.5, 5))])
    room = depth - setback - size[1]
    if room > 8 and rng.random() < 0.25:
        pool = blob(rng, town.image(yard), rng.uniform(2, 3.6) * town.unit, 0.08)
        plot.extras.append(Surface(pool, 'pool', 0, int(rng.integers(2 ** 31))))
    elif room > 7 and rng.random() < 0.3:
        shed = town.block(yard, (rng.uniform(2.5, 4.5), rng.uniform(2, 4)), 2.5, 'shed')
        town.scene.things.append(shed)
        town.take([shed], 1)
    if town.unit * 2 > 3 and rng.random() < 0.4:
        ring = town.box(low, high)
        town.surface(np.concatenate([ring, ring[:1]]), 'fence')


def _terrace(town: Town, area: Area, low: np.ndarray, high: np.ndarray, side: int) -> None:
    """Lay out one house of a row: wall to wall with the next, a narrow garden behind."""
    width, depth = high - low
    house = min(9.0 + 1.5 * np.sin(area.index), depth - 2)
    front = low[1] if side < 0 else high[1]
    centre = np.array([(low[0] + high[0]) / 2, front - side * (3 + house / 2)])
    roof = 'flat' if town.palette is FLAT else 'gable'
    main = town.block(centre, (width * 0.98, house), 6 + 2 * np.sin(area.index), roof)
    # Roofs of one row are of one make; a few owners have replaced theirs.
    row = np.random.default_rng([area.index, side + 1, town.scene.ground_seed])
    if town.rng.random() < 0.8:
        tone = np.array(town.palette[row.integers(len(town.palette))]) + town.rng.normal(0, 5)
        main.colour = tuple(np.clip(tone, 10, 245).tolist())
    plot = _put(town, area, low, high, main, side)
    if plot is not None:
        kind = ('lawn', 'soil', 'paving')[town.rng.choice(3, p=[.6, .15, .25])]
        plot.extras.append(Surface(town.box(low, high), kind, town.angle,
                                   int(town.rng.integers(2 ** 31))))


def _split(rng: np.random.Generator, low: np.ndarray, high: np.ndarray, least: float
           ) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut a rectangle again and again, unevenly, until no side is worth cutting."""
    size = high - low
    axis = int(size[1] > size[0])
    if size[axis] < least * rng.uniform(1.7, 2.6):
        return [(low, high)]
    cut = low[axis] + size[axis] * rng.uniform(0.36, 0.64)
    first, second = high.copy(), low.copy()
    first[axis] = second[axis] = cut
    return _split(rng, low, first, least) + _split(rng, second, high, least)


def _informal(town: Town, area: Area) -> None:
    """Fill an area with small houses close together, sheets of all colours on most."""
    rng = town.rng
    if rng.random() < 0.8:
        town.surface(town.box(area.low, area.high), ('soil', 'gravel')[rng.integers(2)])
    town.groves.append((town.box(area.low, area.high), 0.08))
    for low, high in _split(rng, area.low, area.high, rng.uniform(6.5, 9.5)):
        size = (high - low) * rng.uniform(0.72, 0.97, 2)
        middle = (low + high) / 2
        if not town.near(middle, 6) or min(size) < 3:
            continue
        turn = rng.normal(0, 0.06) + (np.pi / 2 if rng.random() < 0.5 else 0)
        size = size if abs(turn) < 0.8 else size[::-1]
        main = town.block(middle, tuple(size), rng.uniform(2.5, 4.5), str(rng.choice(
            ['shed', 'gable', 'flat', 'hip'], p=[.4, .34, .18, .08])), turn,
            'L' if rng.random() < 0.12 else 'I')
        _put(town, area, low, high, main)


def _courtyards(town: Town, area: Area) -> None:
    """Line an area with houses wall to wall around a yard with low annexes."""
    rng = town.rng
    thick = min(rng.uniform(9, 14), (area.high - area.low).min() / 2.6)
    (a0, b0), (a1, b1) = area.low, area.high
    height = rng.uniform(8, 18)
    sides = ((np.array([a0, b0]), np.array([a1, b0 + thick])),
             (np.array([a0, b1 - thick]), np.array([a1, b1])),
             (np.array([a0, b0 + thick]), np.array([a0 + thick, b1 - thick])),
             (np.array([a1 - thick, b0 + thick]), np.array([a1, b1 - thick])))
    town.surface(town.box(area.low + thick, area.high - thick),
                 str(rng.choice(['paving', 'lawn', 'soil', 'concrete'])))
    roof = 'flat' if town.palette is FLAT else 'gable'
    for side, (low, high) in enumerate(sides):
        axis = int(side > 1)
        at, end = low[axis], high[axis]
        while at < end - 4:
            width = min(rng.uniform(9, 24), end - at)
            one, two = low.copy(), high.copy()
            one[axis], two[axis] = at, at + width
            at += width
            size = (two - one) * 0.99
            if not town.near((one + two) / 2, 15):
                continue
            turned = np.pi / 2 if axis else 0.0
            main = town.block((one + two) / 2, tuple(size[::-1] if axis else size),
                              height + rng.uniform(-3, 3), roof, turned,
                              large=bool(size[0] * size[1] > 260))
            _put(town, area, one, two, main, side + 2)
    town.groves.append((town.box(area.low + thick, area.high - thick), 0.15))
    for low, high in _split(rng, area.low + thick + 1, area.high - thick - 1, 9):
        if rng.random() < 0.35 and min(high - low) > 3 and town.near((low + high) / 2, 9):
            main = town.block((low + high) / 2, tuple((high - low) * rng.uniform(0.6, 1, 2)), 3.5,
                              'flat')
            _put(town, area, low, high, main)


def _large(town: Town, area: Area, least: float, ground: tuple[str, ...],
           make: Callable[[np.ndarray, np.ndarray], Block]) -> None:
    """Fill an area with large buildings and lots, one a cell of at least ``least`` metres."""
    rng = town.rng
    outline = town.box(area.low, area.high)
    town.surface(outline, ground[rng.integers(len(ground))])
    town.groves.append((outline, 0.05))
    for low, high in _split(rng, area.low, area.high, least):
        size, middle = high - low, (low + high) / 2
        if not town.near(middle, max(size)):
            continue
        if rng.random() < 0.14 and min(size) > 20:
            lot = Lot(town.image(middle), tuple(size * 0.85 * town.unit), town.direction(middle),
                      rng.uniform(0.1, 0.85))
            town.scene.add(lot, 1)
            continue
        _put(town, area, low, high, make(middle, size))


def _slabs(town: Town, area: Area) -> None:
    """Put up blocks of flats on lawns."""
    rng = town.rng

    def make(middle: np.ndarray, size: np.ndarray) -> Block:
        turned = size[1] > size[0]
        long, short = (size * rng.uniform(0.6, 0.88, 2))[::-1 if turned else 1]
        shape = str(rng.choice(list('ILUTO'), p=[.62, .16, .1, .06, .06]))
        depth = min(short, rng.uniform(11, 16)) if shape == 'I' else short
        return town.block(middle, (long, depth), rng.uniform(9, 32),
                          'flat' if rng.random() < 0.8 else 'hip', np.pi / 2 * turned, shape, True)

    _large(town, area, rng.uniform(24, 36), ('lawn', 'lawn', 'paving', 'wild'), make)


def _halls(town: Town, area: Area) -> None:
    """Put up halls on paved or gravelled yards, with containers and heaps beside them."""
    rng = town.rng

    def make(middle: np.ndarray, size: np.ndarray) -> Block:
        turned = rng.random() < 0.3
        width, depth = (size * rng.uniform(0.55, 0.92, 2))[::-1 if turned else 1]
        return town.block(middle, (width, depth), rng.uniform(6, 13), str(rng.choice(
            ['hall', 'flat', 'gable'], p=[.62, .28, .1])), np.pi / 2 * turned,
            str(rng.choice(list('ILTU'), p=[.74, .14, .08, .04])), True)

    _large(town, area, float(np.exp(rng.uniform(np.log(22), np.log(75)))),
           ('concrete', 'gravel', 'asphalt', 'soil', 'lawn'), make)


def _open(town: Town, area: Area) -> None:
    """Leave an area unbuilt; its ground may look otherwise at the other date: no change."""
    rng, outline = town.rng, town.box(area.low, area.high)
    kind = {'meadow': 'lawn', 'wood': 'wild'}.get(area.kind, area.kind)
    for index, (low, high) in enumerate(_split(rng, area.low, area.high, 70)
                                        if kind == 'field' else [(area.low, area.high)]):
        part = town.box(low, high)
        if rng.random() < 0.35:
            town.surface(part, kind, FROM)
            town.surface(part, str(rng.choice(['soil', 'site', 'lawn', 'wild', kind])), TO)
            if rng.random() < 0.5:  # either order
                first, second = town.scene.things[-2:]
                first.when, second.when = TO, FROM
        elif kind != 'lawn' or index or rng.random() < 0.7:
            town.surface(part, kind)
    for _ in range(rng.poisson(0.8)):  # trodden paths
        ends = rng.uniform(area.low, area.high, (3, 2))
        course = bend(*ends)[::4]
        town.surface(ribbon(town.image(course), rng.uniform(0.8, 2.5) * town.unit), 'path')
    density = {'wood': 0.9, 'wild': rng.uniform(0, 0.3), 'meadow': rng.uniform(0, 0.2)}
    town.groves.append((outline, float(density.get(area.kind, 0.02))))


def _sports(town: Town, area: Area) -> None:
    """Lay out pitches, courts, and a running track around one where there is room."""
    rng, middle = town.rng, (area.low + area.high) / 2
    town.surface(town.box(area.low, area.high), 'lawn')
    half = np.minimum((area.high - area.low) * 0.44, (52, 34))
    if min(half) > 24 and rng.random() < 0.5:
        turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        ring = np.sign(np.cos(turn))[:, None] * (half[0] - half[1], 0) * 0.9 \
            + np.stack([np.cos(turn), np.sin(turn)], 1) * half[1]
        town.surface(town.image(middle + ring), 'track')
        half = half * (0.72, 0.7)
        town.surface(town.image(middle + ring * 0.78), 'pitch')
    kind = 'pitch' if min(half) > 18 else 'court'
    town.surface(town.box(middle - half, middle + half), kind)
    town.scene.room.take([town.box(middle - half, middle + half)], 2)


def _pond_area(town: Town, area: Area) -> None:
    """Fill an area with a pond, or with a canal that follows the streets."""
    rng, middle = town.rng, (area.low + area.high) / 2
    size = area.high - area.low
    if rng.random() < 0.6:
        outline = blob(rng, town.image(middle), min(min(size) * 0.5, 60) * town.unit * 0.9)
    else:
        course = middle + np.linspace(-1, 1, 17)[:, None] * (max(size) * 3, 0)
        outline = ribbon(town.image(course), min(size[1] * 0.6, 25) * town.unit)
    if town.scene.room.free([outline], 0):
        town.scene.add(Pond(outline), 2)


FILL: dict[str, Callable[[Town, Area], None]] = {
    'suburb': lambda town, area: _rows(town, area, (14, 24), _house_plot),
    'village': lambda town, area: _rows(town, area, (11, 32), _house_plot),
    'country': lambda town, area: _rows(town, area, (28, 60), _house_plot),
    'terraces': lambda town, area: _rows(town, area, (5, 8.5), _terrace),
    'informal': _informal, 'courtyards': _courtyards, 'slabs': _slabs, 'halls': _halls,
    'meadow': _open, 'field': _open, 'site': _open, 'wood': _open, 'wild': _open,
    'sports': _sports, 'water': _pond_area,
}
