"""Drawing on a canvas: appearance of a date, tree crowns, roads, parking lots and cars."""
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from rscc.synth.objects import SIDE, Drive, Lot, Road, oriented_box, walk

MARGIN = 8  # pixels around the image that are laid out and drawn too, for shifts and shadows
SCALE = 2  # everything is drawn this much larger than it is shown
CANVAS = (SIDE + 2 * MARGIN) * SCALE
FRACTION_BITS = 3  # of OpenCV's fixed-point coordinates
VARIANTS = 12  # shapes of crowns
ASPHALT = {'asphalt': (112, 112, 114), 'concrete': (172, 168, 160), 'dirt': (176, 152, 118)}
CARS = ((236, 236, 234), (40, 42, 46), (128, 132, 138), (168, 40, 36), (44, 74, 134),
        (196, 198, 202), (92, 90, 84))


@dataclass
class Appearance:
    """Appearance of one date: season, light and sensor.

    Attributes:
        season: 'spring', 'summer', 'autumn' or 'winter'.
        sun: Unit vector (2,) from the scene towards the sun, image axes.
        shadow: Shadow length per height.
        gain: Brightness factors per channel (3,).
        gamma: Tone curve.
        saturation: 1 keeps colours, 0 is grey.
        haze: 0 clear to 1 white.
        blur: Optical blur, sigma in pixels.
        noise: Sensor noise, sigma in grey levels.
        shift: Misregistration (dx, dy) in pixels.
        seed: For what differs between dates and is no change: cars, crops, noise.
    """

    season: str
    sun: np.ndarray
    shadow: float
    gain: np.ndarray
    gamma: float
    saturation: float
    haze: float
    blur: float
    noise: float
    shift: np.ndarray
    seed: int


def to_canvas(points: np.ndarray) -> np.ndarray:
    """Return image coordinates as OpenCV's fixed-point canvas coordinates (int32)."""
    scaled = (np.asarray(points) + MARGIN) * SCALE - 0.5
    return np.round(scaled * 2 ** FRACTION_BITS).astype(np.int32)


def fill(canvas: np.ndarray, outlines: list[np.ndarray], value: object,
         antialias: bool = True) -> None:
    """Fill polygons given in image coordinates on a canvas."""
    line = cv2.LINE_AA if antialias else cv2.LINE_8
    for outline in outlines:
        cv2.fillPoly(canvas, [to_canvas(outline)], value, line, FRACTION_BITS)


def crop(canvas: np.ndarray) -> np.ndarray:
    """Return the image area of a canvas, one sample a pixel."""
    start = MARGIN * SCALE
    return canvas[start:start + SIDE * SCALE:SCALE, start:start + SIDE * SCALE:SCALE]


def stroke(canvas: np.ndarray, points: np.ndarray, width: float, colour: tuple) -> None:
    """Draw a line along points (N, 2) in scene pixels, ``width`` scene pixels wide."""
    cv2.polylines(canvas, [to_canvas(points)], False, colour, max(round(width * SCALE), 1),
                  cv2.LINE_AA, FRACTION_BITS)


@lru_cache(maxsize=1024)
def crown(variant: int, reach: int) -> np.ndarray:
    """Return one crown's heights, float32 (2 reach + 1)^2, in canvas pixels, 0 outside it.

    A dome with an uneven rim and clumps of leaves; the variant fixes both.
    """
    rng = np.random.default_rng([variant, 20])
    axis = np.arange(-reach, reach + 1) / (reach - 0.5)
    x, y = np.meshgrid(axis, axis)
    angle = np.arctan2(y, x)
    rim = 0.9 + sum(rng.normal(0, 0.07) * np.cos(k * angle + rng.uniform(0, 6.28))
                    for k in (2, 3, 5, 7))
    distance = np.hypot(x, y) / rim
    dome = np.sqrt(np.clip(1 - distance ** 2, 0, 1))
    clumps = cv2.GaussianBlur(rng.normal(0, 1, x.shape).astype(np.float32), (0, 0), 1.3)
    height = reach * (0.45 + 0.75 * dome) * (1 + 0.5 * clumps)
    return np.where(distance < 1, np.maximum(height, 0.5), 0).astype(np.float32)


def crown_heights(crowns: np.ndarray) -> np.ndarray:
    """Return the height map (CANVAS, CANVAS) float32 of crowns (N, 4), in canvas pixels."""
    heights = np.zeros((CANVAS, CANVAS), np.float32)
    if not len(crowns):
        return heights
    reach = np.maximum(np.round(crowns[:, 2] * SCALE), 4).astype(int)
    at = np.round((crowns[:, :2] + MARGIN) * SCALE).astype(int)
    for (x, y), r, variant in zip(at.tolist(), reach.tolist(), crowns[:, 3].tolist(),
                                  strict=True):
        top, left = max(y - r, 0), max(x - r, 0)
        bottom, right = min(y + r + 1, CANVAS), min(x + r + 1, CANVAS)
        if top >= bottom or left >= right:
            continue
        stamp = crown(int(variant) % VARIANTS, r)
        stamp = stamp[top - y + r:bottom - y + r, left - x + r:right - x + r]
        window = heights[top:bottom, left:right]
        np.maximum(window, stamp, out=window)
    return heights


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


def _draw_car(canvas: np.ndarray, centre: np.ndarray, angle: float, appearance: Appearance,
              rng: np.random.Generator) -> None:
    fill(canvas, [oriented_box(centre - appearance.sun * 1.2 * appearance.shadow, (9, 4.2), angle)],
         (58, 58, 62))
    fill(canvas, [oriented_box(centre, (9, 4.2), angle)], CARS[rng.integers(len(CARS))])
    fill(canvas, [oriented_box(centre, (3.2, 3.2), angle)], (60, 66, 74))


def draw_lots(canvas: np.ndarray, lots: list[Lot], appearance: Appearance,
              rng: np.random.Generator) -> None:
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
                              lot.angle + np.pi / 2, appearance, rng)


def draw_traffic(canvas: np.ndarray, roads: list[Road], appearance: Appearance,
                  rng: np.random.Generator) -> None:
    """Put this date's cars on the roads, each on its lane."""
    for road in roads:
        length = np.linalg.norm(np.diff(road.points, axis=0), axis=1).sum()
        at, ahead = walk(road.points, rng.uniform(0, length, rng.integers(0, 5)))
        for position, direction in zip(at, ahead, strict=True):
            lane = np.array([-direction[1], direction[0]]) * road.width / 4
            lane = lane * rng.choice([-1, 1])
            _draw_car(canvas, position + lane, float(np.arctan2(direction[1], direction[0])),
                      appearance, rng)
