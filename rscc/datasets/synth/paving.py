"""Drawing what is paved: roads, drives, parking lots and the cars on them."""
import numpy as np

from rscc.datasets.synth.canvas import MARGIN, fill, stroke
from rscc.datasets.synth.look import Look
from rscc.datasets.synth.objects import SIDE, Drive, Lot, Road, oriented_box, walk

ASPHALT = {'asphalt': (112, 112, 114), 'concrete': (172, 168, 160), 'dirt': (176, 152, 118)}
CARS = ((236, 236, 234), (40, 42, 46), (128, 132, 138), (168, 40, 36), (44, 74, 134),
        (196, 198, 202), (92, 90, 84))


def draw_paths(canvas: np.ndarray, drives: list[Drive]) -> None:
    """Draw the ways from houses to the road."""
    for drive in drives:
        fill(canvas, drive.footprint(), (186, 180, 170))


def draw_roads(canvas: np.ndarray, roads: list[Road]) -> None:
    """Draw kerbs, then surfaces, then markings, each for all roads, so that junctions are open."""
    paved = [road for road in roads if road.surface != 'dirt']
    for road in roads:
        if road.surface == 'dirt':
            stroke(canvas, road.points, road.width, ASPHALT['dirt'])
            stroke(canvas, road.points, road.width * 0.25, (158, 140, 104))
    for road in paved:
        fill(canvas, [_outline(road, 3.0)], (188, 184, 176))
    for road in paved:
        fill(canvas, [_outline(road, 0.0)], ASPHALT[road.surface])
    for road in paved:
        if road.width > 11:
            _draw_centre_line(canvas, road, [r for r in paved if r is not road])


def _outline(road: Road, extra: float) -> np.ndarray:
    return Road(road.points, road.width + extra, road.surface).footprint()[0]


def _draw_centre_line(canvas: np.ndarray, road: Road, others: list[Road]) -> None:
    """Dash the middle of a road, except on junctions."""
    length = np.linalg.norm(np.diff(road.points, axis=0), axis=1).sum()
    stops = np.arange(4, length - 8, 12.0)
    at, ahead = walk(road.points, stops)
    colour = (222, 206, 130) if road.surface == 'asphalt' else (222, 220, 214)
    for position, direction in zip(at, ahead, strict=True):
        near = any(np.linalg.norm(other.points - position, axis=1).min() < other.width / 2 + 10
                   for other in others)
        if not near and (np.abs(position - SIDE / 2) < SIDE / 2 + MARGIN).all():
            stroke(canvas, np.stack([position, position + direction * 6]), 0.5, colour)


def _draw_car(canvas: np.ndarray, centre: np.ndarray, angle: float, look: Look,
              rng: np.random.Generator) -> None:
    fill(canvas, [oriented_box(centre - look.sun * 1.2 * look.shadow, (9, 4.2), angle)],
         (58, 58, 62))
    fill(canvas, [oriented_box(centre, (9, 4.2), angle)], CARS[rng.integers(len(CARS))])
    fill(canvas, [oriented_box(centre, (3.2, 3.2), angle)], (60, 66, 74))


def draw_lots(canvas: np.ndarray, lots: list[Lot], look: Look, rng: np.random.Generator) -> None:
    """Draw paved lots with painted bays and this date's cars."""
    for lot in lots:
        fill(canvas, [oriented_box(lot.centre, (lot.size[0] + 3, lot.size[1] + 3), lot.angle)],
             (190, 186, 178))
        fill(canvas, lot.footprint(), (104, 104, 108))
        cos, sin = np.cos(lot.angle), np.sin(lot.angle)
        axes = np.array([[cos, sin], [-sin, cos]])
        half_x, half_y = np.array(lot.size) / 2
        busy = np.clip(lot.fill + rng.normal(0, 0.2), 0.05, 0.9)
        for row in np.arange(-half_y + 6.5, half_y - 5, 23.0 if half_y < 25 else 17.0):
            for x in np.arange(-half_x + 3, half_x - 5, 6.0):
                ends = lot.centre + np.array([[x, row - 5], [x, row + 5]]) @ axes
                stroke(canvas, ends, 0.5, (226, 226, 222))
                if rng.random() < busy:
                    _draw_car(canvas, lot.centre + np.array([x + 3, row]) @ axes,
                              lot.angle + np.pi / 2, look, rng)


def draw_traffic(canvas: np.ndarray, roads: list[Road], look: Look,
                  rng: np.random.Generator) -> None:
    """Put this date's cars on the roads, each on its lane."""
    for road in roads:
        length = np.linalg.norm(np.diff(road.points, axis=0), axis=1).sum()
        at, ahead = walk(road.points, rng.uniform(0, length, rng.integers(0, 5)))
        for position, direction in zip(at, ahead, strict=True):
            lane = np.array([-direction[1], direction[0]]) * road.width / 4
            lane = lane * rng.choice([-1, 1])
            _draw_car(canvas, position + lane, float(np.arctan2(direction[1], direction[0])),
                      look, rng)
