"""Rendering of the varied look: one date of a place, from aside, in its own light and season.

What differs between the dates and is no change is drawn here, strongly: season and crops, cars,
the sun's place and height, the angle of view, haze, exposure, colour casts, blur, and up to two
pixels of wrong registration. Ground and objects share one pass of texture, whose strength every
painter leaves in a map of its own (``rough``).
"""
from dataclasses import dataclass

import cv2
import numpy as np

from rscc.synth.drawing import (
    CANVAS,
    CARS,
    FRACTION_BITS,
    MARGIN,
    SCALE,
    Appearance,
    crown_heights,
    fill,
    to_canvas,
)
from rscc.synth.objects import (
    SIDE,
    Block,
    Lot,
    Pond,
    Road,
    Surface,
    Thing,
    Trees,
    oriented_box,
    ribbon,
    walk,
)
from rscc.synth.rendering import CROPS, EVERGREEN, EXTENT, GROUND, GROUND_OF, noise_tiles, patch
from rscc.synth.roofs import draw_block, shaded
from rscc.synth.scene import Scene

SOILS = ((172, 150, 118), (152, 112, 86), (142, 114, 88), (196, 172, 134), (126, 108, 90),
         (150, 132, 108), (170, 128, 98))
#: Kind of surface -> colour (None: it depends on place and season) and strength of its texture.
SURFACES = {
    'lawn': (None, 36), 'wild': (None, 70), 'soil': (None, 40), 'site': (None, 60),
    'field': (None, 34), 'path': (None, 30), 'rubble': ((150, 142, 132), 120),
    'gravel': ((158, 152, 142), 50), 'paving': ((172, 167, 160), 26),
    'concrete': ((190, 186, 176), 22), 'asphalt': ((104, 104, 107), 20),
    'pool': ((92, 176, 196), 8), 'court': ((70, 112, 92), 8), 'track': ((164, 92, 76), 12),
    'pitch': ((92, 128, 68), 22), 'fence': ((176, 164, 148), 0), 'rails': ((128, 118, 108), 60),
}
STREETS = {'asphalt': (106, 106, 109), 'concrete': (166, 162, 154)}
FOLIAGE = {'summer': (54, 76, 42), 'spring': (72, 98, 50), 'autumn': (104, 84, 50),
           'winter': (90, 82, 66)}


@dataclass
class View(Appearance):
    """Appearance of one date of the varied look.

    Attributes:
        contrast: Spread of brightness around the middle grey, 1 as drawn.
        sharpen: Strength of the sharpening that vendors apply, 0 none.
        slope: Brightness gained across the image (dx, dy).
        dry: How far plants are from green, 0 to 1.
    """

    contrast: float = 1.0
    sharpen: float = 0.0
    slope: tuple[float, float] = (0.0, 0.0)
    dry: float = 0.0


def draw_view(rng: np.random.Generator) -> View:
    """Draw season, sun and sensor of one date; the shift is left at zero."""
    azimuth = rng.uniform(0, 2 * np.pi)
    light = float(rng.choice([rng.uniform(0.58, 0.8), rng.uniform(0.8, 1.15),
                              rng.uniform(1.15, 1.6)], p=[0.3, 0.55, 0.15]))
    return View(
        season=str(rng.choice(list(GROUND), p=[0.25, 0.4, 0.2, 0.15])),
        sun=np.array([np.cos(azimuth), np.sin(azimuth)]),
        shadow=float(np.exp(rng.uniform(np.log(0.35), np.log(1.9)))),
        gain=light * np.clip(rng.normal(1, 0.045, 3), 0.86, 1.14),
        gamma=rng.uniform(0.85, 1.5), contrast=rng.uniform(0.95, 1.5),
        saturation=rng.uniform(0.4, 1.1), haze=max(rng.uniform(-0.5, 0.32), 0.0),
        blur=max(rng.uniform(-0.7, 1.0), 0.0), noise=rng.uniform(0.5, 4.0),
        shift=np.zeros(2), seed=int(rng.integers(2 ** 31)),
        sharpen=max(rng.uniform(-0.5, 1.4), 0.0), slope=tuple(rng.normal(0, 0.05, 2)),
        dry=float(rng.beta(1.2, 2.0)))


def render_varied(scene: Scene, date: str, view: View) -> np.ndarray:
    """Draw a varied scene as it is at ``date``.

    Args:
        scene: The place.
        date: 'from' or 'to'.
        view: Season, sun and sensor; the lean of the date is the scene's.

    Returns:
        RGB image, uint8 (256, 256, 3).
    """
    rng = np.random.default_rng(view.seed)
    unit = 1 / scene.resolution
    things = [thing for thing in scene.things if thing.exists(date)]
    canvas, rough = _ground(scene, view, rng)
    _surfaces(canvas, rough, [t for t in things if isinstance(t, Surface)], scene, view, rng)
    _water(canvas, rough, [t for t in things if isinstance(t, Pond)], unit, rng)
    roads = [t for t in things if isinstance(t, Road)]
    _streets(canvas, rough, roads, scene, unit, rng)
    _lots(canvas, rough, [t for t in things if isinstance(t, Lot)], view, unit, rng)
    _traffic(canvas, roads, view, unit, rng)
    groups = [t for t in things if isinstance(t, Trees)]
    heights = [crown_heights(group.crowns) for group in groups]
    blocks = sorted((t for t in things if isinstance(t, Block)), key=lambda block: block.height)
    if unit * SCALE > 2:
        _clutter(canvas, blocks, unit, rng)
    canvas = _shadows(canvas, blocks, heights, view)
    for block in blocks:
        draw_block(canvas, rough, block, view, scene.lean[date], date,
                   1 + float(np.clip(rng.normal(0, 0.05), -0.12, 0.12)))
    canvas = _textured(canvas, rough, scene, unit)
    for group, height in zip(groups, heights, strict=True):
        _crowns(canvas, height, group, view, scene.ground_seed)
    return _photograph(canvas, scene, view, rng)


def _green(view: View) -> np.ndarray:
    """Return the colour of grass at a date (3,), from lush to dry."""
    fresh = np.array(GROUND[view.season]['meadow'], np.float32) * 0.88
    return fresh * (1 - 0.6 * view.dry) + np.array((164, 148, 106)) * 0.6 * view.dry


def _ground(scene: Scene, view: View, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the open ground, uint8 (CANVAS, CANVAS, 3), and the strength of its texture."""
    place = np.random.default_rng(scene.ground_seed)
    soil = np.array(SOILS[place.integers(len(SOILS))]) + place.normal(0, 8) + rng.normal(0, 5, 3)
    grass = _green(view) + place.normal(0, 6) + rng.normal(0, 4, 3)
    tiles = noise_tiles()
    coarse, middle = patch(tiles['coarse'], place), patch(tiles['middle'], place)
    bare = {'meadow': -1.1, 'woods': -1.5}.get(GROUND_OF.get(scene.biome, scene.biome), 1.2)
    share = bare + float(place.normal(0, 0.4)) + float(rng.normal(0, 0.3))
    mix = np.clip(0.5 + 0.45 * (share + coarse + 0.4 * middle), 0, 1)[..., None]
    image = grass + (soil - grass) * mix.astype(np.float32)
    image = np.clip(image * (1 + 0.05 * coarse[..., None]), 0, 255).astype(np.uint8)
    return (cv2.resize(image, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR),
            np.full((CANVAS, CANVAS), place.integers(24, 80), np.uint8))


def _surfaces(canvas: np.ndarray, rough: np.ndarray, surfaces: list[Surface], scene: Scene,
              view: View, rng: np.random.Generator) -> None:
    """Fill patches of ground, each kind in a tone of this date."""
    place = np.random.default_rng(scene.ground_seed)
    soil = np.array(SOILS[place.integers(len(SOILS))], np.float32)
    grass = _green(view)
    crops = np.array(CROPS[view.season], np.float32)
    for surface in surfaces:
        own = np.random.default_rng(surface.seed)
        colour, strength = SURFACES[surface.kind]
        if surface.kind == 'field':
            colour = crops[rng.integers(len(crops))] * 0.8 + 0.2 * (grass, soil)[rng.integers(2)]
        elif colour is None:
            share = {'lawn': 0.0, 'wild': 0.4, 'soil': 0.92}.get(surface.kind, 1.0)
            share = np.clip(share + own.normal(0, 0.1) + rng.normal(0, 0.08), 0, 1)
            colour = grass + (soil * (1.1 if surface.kind == 'site' else 1.0) - grass) * share
        colour = np.asarray(colour) * own.uniform(0.88, 1.1) + rng.normal(0, 5)
        colour = colour + own.normal(0, 4, 3)
        if surface.kind == 'fence':
            cv2.polylines(canvas, [to_canvas(surface.outline)], False, shaded(colour, 1.0), 1,
                          cv2.LINE_AA, FRACTION_BITS)
            continue
        fill(canvas, [surface.outline], shaded(colour, 1.0))
        fill(rough, [surface.outline], int(strength * own.uniform(0.6, 1.3)),
             antialias=False)
        if surface.kind in _MARKS:
            _MARKS[surface.kind](canvas, surface, colour, own, 1 / scene.resolution)


def _furrows(canvas: np.ndarray, surface: Surface, colour: np.ndarray, rng: np.random.Generator,
             unit: float) -> None:
    """Draw the rows of a field, inside its outline only."""
    corners = to_canvas(surface.outline) >> FRACTION_BITS
    left, top = np.clip(corners.min(0), 0, CANVAS).tolist()
    right, bottom = np.clip(corners.max(0) + 1, 0, CANVAS).tolist()
    if right - left < 8 or bottom - top < 8:
        return
    window = canvas[top:bottom, left:right]
    inside = np.zeros(window.shape[:2], np.uint8)
    cv2.fillPoly(inside, [(corners - (left, top)).astype(np.int32)], 1)
    spacing = max(rng.uniform(1.0, 6.0) * unit * SCALE, 4.0)
    x, y = np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32)
    cos, sin = float(np.cos(surface.angle)), float(np.sin(surface.angle))
    across = (x * -sin)[None] + (y * cos)[:, None]
    rows = np.sin(across * np.float32(2 * np.pi / spacing)) * np.float32(rng.uniform(0.03, 0.14))
    shade = np.clip((1 + rows * inside) * 128, 0, 255).astype(np.uint8)
    cv2.multiply(window, cv2.merge([shade] * 3), dst=window, scale=1 / 128)


def _tracks(canvas: np.ndarray, surface: Surface, colour: np.ndarray, rng: np.random.Generator,
            unit: float) -> None:
    """Draw wheel tracks and heaps on a building site."""
    centre = surface.outline.mean(0)
    reach = np.linalg.norm(surface.outline - centre, axis=1).mean() * 0.6
    for _ in range(rng.integers(2, 6)):
        start, stop = centre + rng.normal(0, 0.6, (2, 2)) * reach
        bow = rng.normal(0, 0.3 * reach, 2)
        t = np.linspace(0, 1, 9)[:, None]
        curve = start + (stop - start) * t + bow * (4 * t * (1 - t))
        lines = [to_canvas(curve + side * unit * 0.9) for side in (-1, 1)]
        cv2.polylines(canvas, lines, False, shaded(colour, rng.uniform(0.78, 1.15)),
                      max(round(0.5 * unit * SCALE), 1), cv2.LINE_AA, FRACTION_BITS)
    for _ in range(rng.integers(0, 6)):
        heap = oriented_box(centre + rng.normal(0, 0.5, 2) * reach, tuple(rng.uniform(1, 6, 2)
                            * unit), rng.uniform(0, 3))
        tone = (rng.uniform(0.7, 1.2), 1.4)[rng.integers(2)]
        fill(canvas, [heap], shaded(colour, tone))


def _lines(canvas: np.ndarray, surface: Surface, colour: np.ndarray, rng: np.random.Generator,
           unit: float) -> None:
    """Paint the lines of a pitch or a court: border, middle and a circle."""
    box, middle = surface.outline, surface.outline.mean(0)
    if len(box) != 4:
        return
    inner = middle + (box - middle) * 0.92
    half = np.stack([inner[[0, 1]].mean(0), inner[[2, 3]].mean(0)])
    turn = np.linspace(0, 2 * np.pi, 20)
    circle = middle + np.stack([np.cos(turn), np.sin(turn)], 1) \
        * np.linalg.norm(inner[3] - inner[0]) * 0.14
    pale = shaded(colour, 1.0 + 0.5 * rng.random())
    cv2.polylines(canvas, [to_canvas(inner)], True, pale, 1, cv2.LINE_AA, FRACTION_BITS)
    cv2.polylines(canvas, [to_canvas(half), to_canvas(circle)], False, pale, 1, cv2.LINE_AA,
                  FRACTION_BITS)


def _sleepers(canvas: np.ndarray, surface: Surface, colour: np.ndarray,
              rng: np.random.Generator, unit: float) -> None:
    """Draw the rails of a track bed, whose outline is a ribbon."""
    half = len(surface.outline) // 2
    near, far = surface.outline[:half], surface.outline[half:][::-1]
    lines = [to_canvas(near + (far - near) * share) for share in (0.2, 0.38, 0.62, 0.8)]
    cv2.polylines(canvas, lines, False, shaded(colour, 0.62), 1, cv2.LINE_AA, FRACTION_BITS)


_MARKS = {'field': _furrows, 'site': _tracks, 'pitch': _lines, 'court': _lines,
          'rails': _sleepers}


def _water(canvas: np.ndarray, rough: np.ndarray, ponds: list[Pond], unit: float,
           rng: np.random.Generator) -> None:
    """Fill waters with a bank and one tone: clear, green, muddy, or bright where the sun glints."""
    tones = ((46, 66, 74), (58, 80, 70), (96, 98, 78), (40, 62, 88), (120, 112, 92), (34, 48, 46))
    deep = np.array(tones[rng.integers(len(tones))]) + rng.normal(0, 8)
    for pond in ponds:
        cv2.polylines(canvas, [to_canvas(pond.outline)], True, (158, 144, 114),
                      max(round(3 * unit * SCALE), 1), cv2.LINE_AA, FRACTION_BITS)
        fill(canvas, [pond.outline], shaded(deep, 1.0))
        fill(rough, [pond.outline], int(rng.integers(6, 30)), antialias=False)


def _streets(canvas: np.ndarray, rough: np.ndarray, roads: list[Road], scene: Scene, unit: float,
             rng: np.random.Generator) -> None:
    """Draw pavements, carriageways and markings, each for all roads: junctions stay open."""
    place = np.random.default_rng(scene.ground_seed)
    soil = np.array(SOILS[place.integers(len(SOILS))])
    age, kerb = place.uniform(0.72, 1.3), place.uniform(0, 2.6) * unit
    wet = rng.uniform(0.88, 1.1)
    paved = [road for road in roads if road.surface != 'dirt']
    for road in roads:
        if road.surface == 'dirt':
            fill(canvas, road.footprint(), shaded(soil, 1.1 * wet))
            fill(canvas, [ribbon(road.points, road.width * 0.3)], shaded(soil, 0.98 * wet))
    if kerb > 0.5:
        fill(canvas, [ribbon(road.points, road.width + 2 * kerb) for road in paved],
             shaded((184, 178, 168), place.uniform(0.8, 1.1)))
    for road in paved:
        fill(canvas, road.footprint(), shaded(STREETS[road.surface], age * wet))
        fill(rough, road.footprint(), 18, antialias=False)
    if unit * SCALE < 2:
        return
    marked = [road for road in paved if place.random() < 0.6 and road.width > 7 * unit]
    lines = [line for road in marked for line in _dashes(road, unit)]
    if lines:
        worn = shaded((214, 208, 190), place.uniform(0.68, 1.0))
        cv2.polylines(canvas, lines, False, worn, 1, cv2.LINE_AA, FRACTION_BITS)


def _dashes(road: Road, unit: float) -> list[np.ndarray]:
    """Return a road's marks: the middle of a street, the lanes of a wide one."""
    length = np.linalg.norm(np.diff(road.points, axis=0), axis=1).sum()
    at, ahead = walk(road.points, np.arange(2, length - 4 * unit, 7 * unit))
    side = np.stack([-ahead[:, 1], ahead[:, 0]], 1)
    lanes = (0.0,) if road.width < 13 * unit else (-0.25, 0.0, 0.25)
    return [line for lane in lanes for line in to_canvas(np.stack(
        [at + side * lane * road.width, at + side * lane * road.width + ahead * 3 * unit], 1))]


def _car(canvas: np.ndarray, centre: np.ndarray, angle: float, view: View, unit: float,
         rng: np.random.Generator) -> None:
    """Draw a car of 4.5 by 1.9 m, or a van or lorry."""
    size = np.array([4.5, 1.9]) if rng.random() < 0.9 else np.array([rng.uniform(6, 12), 2.5])
    colour = CARS[rng.integers(len(CARS))]
    if unit * SCALE > 2:
        fill(canvas, [oriented_box(centre - view.sun * 0.7 * unit * min(view.shadow, 1.5),
                                   tuple(size * unit), angle)], (52, 52, 56))
    fill(canvas, [oriented_box(centre, tuple(size * unit), angle)], colour)
    if unit * SCALE > 4:
        fill(canvas, [oriented_box(centre, (1.7 * unit, 1.5 * unit), angle)], (58, 64, 72))


def _lots(canvas: np.ndarray, rough: np.ndarray, lots: list[Lot], view: View, unit: float,
          rng: np.random.Generator) -> None:
    """Draw paved lots with painted bays and this date's cars."""
    for lot in lots:
        tone = np.random.default_rng(int(abs(lot.centre[0]) * 64)).uniform(0.8, 1.4)
        fill(canvas, lot.footprint(), shaded((106, 106, 110), tone * rng.uniform(0.92, 1.06)))
        fill(rough, lot.footprint(), 22, antialias=False)
        cos, sin = np.cos(lot.angle), np.sin(lot.angle)
        axes = np.array([[cos, sin], [-sin, cos]])
        half_x, half_y = np.array(lot.size) / 2
        busy = np.clip(lot.fill + rng.normal(0, 0.25), 0.03, 0.95)
        rows = np.arange(-half_y + 3.2 * unit, half_y - 2.5 * unit, 8.5 * unit)
        bays = np.arange(-half_x + unit, half_x - 2.4 * unit, 2.6 * unit)
        for row in rows:
            if unit * SCALE > 2.4:
                ends = np.array([[[x, row - 2.4 * unit], [x, row + 2.4 * unit]] for x in bays])
                cv2.polylines(canvas, list(to_canvas(lot.centre + ends @ axes)), False,
                              (206, 206, 202), 1, cv2.LINE_AA, FRACTION_BITS)
            for x in bays[rng.random(len(bays)) < busy]:
                _car(canvas, lot.centre + np.array([x + 1.3 * unit, row]) @ axes,
                     lot.angle + np.pi / 2, view, unit, rng)


def _traffic(canvas: np.ndarray, roads: list[Road], view: View, unit: float,
             rng: np.random.Generator) -> None:
    """Put this date's cars on the roads, most of them parked at the sides."""
    density = rng.uniform(0.005, 0.035)
    for road in roads:
        length = np.linalg.norm(np.diff(road.points, axis=0), axis=1).sum()
        count = min(rng.poisson(length / unit * density), 40)
        at, ahead = walk(road.points, rng.uniform(0, length, count))
        inside = (np.abs(at - SIDE / 2) < SIDE / 2 + MARGIN).all(1)
        for position, direction in zip(at[inside], ahead[inside], strict=True):
            away = rng.choice([-1, 1]) * (0.25 if rng.random() < 0.4 else 0.38) * road.width
            _car(canvas, position + np.array([-direction[1], direction[0]]) * away,
                 float(np.arctan2(direction[1], direction[0])), view, unit, rng)


def _clutter(canvas: np.ndarray, blocks: list[Block], unit: float,
             rng: np.random.Generator) -> None:
    """Strew sheds, bins, tarpaulins, heaps and shrubs around buildings; a third differ by date."""
    for block in blocks:
        own = np.random.default_rng(block.seed + 1)
        for _ in range(own.integers(0, 5)):
            corner = block.parts[0][own.integers(4)]
            place = block.centre + (corner - block.centre) * own.uniform(1.1, 1.9) \
                + own.normal(0, 2 * unit, 2)
            size, turn = own.uniform(0.5, 2.8, 2) * unit, own.uniform(0, 3)
            green = own.random() < 0.4
            colour = np.array((62, 76, 48) if green else CARS[own.integers(len(CARS))])
            if rng.random() < 0.67:
                fill(canvas, [oriented_box(place, tuple(size), turn)],
                     shaded(colour * 0.7 + 30, own.uniform(0.7, 1.2)))


def _shadows(canvas: np.ndarray, blocks: list[Block], heights: list[np.ndarray],
             view: View) -> np.ndarray:
    """Darken the ground in the shadow of buildings and trees, bluish as under clear sky."""
    shadow = np.zeros((CANVAS, CANVAS), np.uint8)
    for block in blocks:
        throw = -view.sun * view.shadow * block.height
        hulls = [cv2.convexHull(np.concatenate([part, part + throw]).astype(np.float32))[:, 0]
                 for part in block.parts]
        fill(shadow, hulls, 255)
    tops = np.maximum.reduce(heights) if heights else np.zeros_like(shadow, np.float32)
    for level in (2.0, 6.0, 12.0, 20.0) if heights else ():
        part = cv2.compare(tops, level, cv2.CMP_GT)
        across, down = np.round(-view.sun * min(view.shadow, 1.6) * level * 0.75).astype(int)
        here, there = (slice(max(-d, 0), CANVAS - max(d, 0)) for d in (down, across))
        onto = tuple(slice(max(d, 0), CANVAS - max(-d, 0)) for d in (down, across))
        shadow[onto] |= part[here, there]
    depth = 0.3 + 0.3 * (1 - view.haze)
    light = [cv2.convertScaleAbs(255 - shadow, alpha=depth * f, beta=255 * (1 - depth * f))
             for f in (1.05, 1.0, 0.9)]
    return cv2.multiply(canvas, cv2.merge(light), scale=1 / 255)


def _textured(canvas: np.ndarray, rough: np.ndarray, scene: Scene, unit: float) -> np.ndarray:
    """Apply the place's texture, as strong as ``rough`` says (255: about half the brightness)."""
    place = np.random.default_rng(scene.ground_seed + 3)
    tiles = noise_tiles()
    grain = 0.65 * patch(tiles['fine'], place) + 0.2 * patch(tiles['middle'], place)
    grain += 0.25 * patch(tiles['coarse'], place)
    grain = cv2.resize(grain, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR)
    shade = cv2.multiply(grain, rough, scale=0.5 * 128 / 255, dtype=cv2.CV_32F)
    shade = cv2.convertScaleAbs(cv2.max(shade, -120), alpha=1, beta=128)
    return cv2.multiply(canvas, cv2.merge([shade] * 3), scale=1 / 128)


def _crowns(canvas: np.ndarray, height: np.ndarray, group: Trees, view: View,
            ground_seed: int) -> None:
    """Colour crowns by the slope of their height map against the sun."""
    inside = height > 0
    slopes = [cv2.Sobel(height, cv2.CV_32F, *axis, ksize=3, scale=0.125)[inside]
              for axis in ((1, 0), (0, 1))]
    facing = np.float32(-view.sun[0]) * slopes[0] + np.float32(-view.sun[1]) * slopes[1]
    place = np.random.default_rng(ground_seed + 1)
    tone = patch(noise_tiles()['middle'], place, CANVAS)[inside]
    leaves = np.array(EVERGREEN if group.evergreen else FOLIAGE[view.season], np.float32)
    leaves = leaves * (1 - 0.25 * view.dry) + np.array((110, 98, 60)) * 0.25 * view.dry
    leaves = leaves * place.uniform(0.85, 1.25)
    shade = np.clip(np.clip(facing, -1.2, 1.5) * 0.4 + tone * 0.12 + 0.92, 0.25, 1.8)[:, None]
    canvas[inside] = np.minimum(shade * leaves.astype(np.float32), 255)


def _photograph(canvas: np.ndarray, scene: Scene, view: View,
                rng: np.random.Generator) -> np.ndarray:
    """Take the picture: optics, sharpening, uneven light, colours, tone, haze, noise."""
    image = cv2.resize(canvas, (EXTENT, EXTENT), interpolation=cv2.INTER_AREA).astype(np.float32)
    move = np.array([[1, 0, view.shift[0] - MARGIN], [0, 1, view.shift[1] - MARGIN]])
    image = cv2.warpAffine(image, move, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    if view.blur > 0.25:
        image = cv2.GaussianBlur(image, (0, 0), view.blur)
    if view.sharpen > 0.1:
        soft = cv2.GaussianBlur(image, (0, 0), 1.2)
        image = cv2.addWeighted(image, 1 + view.sharpen, soft, -view.sharpen, 0)
    weights = np.array([0.299, 0.587, 0.114])
    mix = view.saturation * np.eye(3) + (1 - view.saturation) * weights
    image = cv2.transform(image, np.diag(view.gain) @ mix)
    axis = np.linspace(-1, 1, SIDE, dtype=np.float32)
    uneven = 1 + np.float32(view.slope[0]) * axis[None] + np.float32(view.slope[1]) * axis[:, None]
    spread = np.float32(view.contrast) * uneven[..., None]
    image = np.clip(image * spread + np.float32(80 * (1 - view.contrast)), 0, 255)
    image = cv2.pow(image * np.float32(1 / 255), view.gamma)
    haze = np.float32(view.haze) * np.clip(
        1 + 0.3 * patch(noise_tiles()['coarse'], rng, SIDE), 0, 1.6)[..., None]
    image = image * (255 * (1 - haze)) + np.array([192, 200, 208], np.float32) * haze
    image += np.float32(view.noise) * patch(noise_tiles()['white'], rng, SIDE)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def draw_lean(rng: np.random.Generator) -> np.ndarray:
    """Draw how far a date's angle of view moves the top of things (2,), pixels per pixel height."""
    azimuth = rng.uniform(0, 2 * np.pi)
    tangent = float(np.clip(np.abs(rng.normal(0, 0.22)), 0, 0.6))
    return np.array([np.cos(azimuth), np.sin(azimuth)]) * tangent


def seen_at(things: list[Thing], lean: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Return the outlines of things on the ground and where either date's view moves them."""
    return [outline for thing in things for date in lean for outline in
            (*thing.footprint(), *thing.seen(lean[date]))]
