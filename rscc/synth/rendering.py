"""Rendering of one date of a scene as an aerial photograph.

Objects are drawn at twice the size and averaged down; texture, light, haze, the sensor's noise and
its sub-pixel misregistration are added on whole arrays. Nothing here knows about change: a date is
drawn from the objects that exist at it and from a ``Appearance``.
"""
from functools import lru_cache

import cv2
import numpy as np

from rscc.synth.drawing import (
    CANVAS,
    FRACTION_BITS,
    MARGIN,
    Appearance,
    crown_heights,
    draw_lots,
    draw_paths,
    draw_roads,
    draw_traffic,
    fill,
    stroke,
    to_canvas,
)
from rscc.synth.objects import SIDE, Building, Drive, House, Lot, Pond, Road, Trees, oriented_box
from rscc.synth.scene import Scene

EXTENT = SIDE + 2 * MARGIN
TILE = 1024
GROUND = {
    'summer': {'meadow': (98, 114, 66), 'bareland': (172, 150, 118), 'desert': (208, 184, 144)},
    'spring': {'meadow': (112, 134, 74), 'bareland': (160, 138, 108), 'desert': (204, 182, 146)},
    'autumn': {'meadow': (138, 126, 84), 'bareland': (168, 144, 112), 'desert': (204, 178, 138)},
    'winter': {'meadow': (146, 136, 106), 'bareland': (152, 136, 114), 'desert': (198, 178, 148)},
}
GROUND_OF = {'farmland': 'meadow', 'woods': 'meadow'}
CROPS = {
    'summer': ((84, 116, 58), (66, 96, 50), (176, 160, 92), (120, 136, 72)),
    'spring': ((104, 138, 66), (128, 148, 80), (124, 100, 78), (92, 122, 60)),
    'autumn': ((188, 166, 104), (128, 104, 80), (158, 142, 96), (110, 116, 66)),
    'winter': ((120, 102, 82), (150, 136, 108), (134, 118, 94), (108, 108, 74)),
}
LEAVES = {'summer': (56, 78, 42), 'spring': (74, 100, 50), 'autumn': (112, 90, 52),
          'winter': (92, 84, 68)}
EVERGREEN = (46, 68, 44)


def draw_appearance(rng: np.random.Generator) -> Appearance:
    """Draw season, sun and sensor of one date; the shift is left at zero."""
    azimuth = rng.uniform(0, 2 * np.pi)
    return Appearance(
        season=str(rng.choice(list(GROUND))),
        sun=np.array([np.cos(azimuth), np.sin(azimuth)]),
        shadow=rng.uniform(0.5, 1.5), gain=rng.uniform(0.75, 1.15) * rng.uniform(0.965, 1.035, 3),
        gamma=rng.uniform(0.85, 1.25), saturation=rng.uniform(0.6, 1.15),
        haze=max(rng.uniform(-0.15, 0.28), 0.0), blur=max(rng.uniform(-0.4, 0.7), 0.0),
        noise=rng.uniform(0.8, 3.5), shift=np.zeros(2), seed=int(rng.integers(2 ** 31)))


@lru_cache(maxsize=1)
def noise_tiles() -> dict[str, np.ndarray]:
    """Return periodic noise, each (TILE, TILE) float32 of about unit variance, made once.

    'coarse', 'middle' and 'fine' hold structures of roughly 60, 12 and 2 pixels; 'white' is the
    sensor's, three channels.
    """
    rng = np.random.default_rng(2)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(TILE), np.fft.rfftfreq(TILE),
                                      indexing='ij')) * TILE
    tiles = {}
    for name, low, high in (('coarse', 2, 26), ('middle', 24, 140), ('fine', 130, 420)):
        band = np.exp(-(frequency / high) ** 2) - np.exp(-(frequency / low) ** 2)
        spectrum = np.fft.rfft2(rng.normal(0, 1, (TILE, TILE)))
        tile = np.fft.irfft2(spectrum * band / np.maximum(frequency, 1) ** 0.8)
        tiles[name] = (tile / tile.std()).astype(np.float32)
    tiles['white'] = rng.normal(0, 1, (TILE, TILE, 3)).astype(np.float32)
    return tiles


def patch(tile: np.ndarray, rng: np.random.Generator, side: int = EXTENT) -> np.ndarray:
    """Return a random square view of a noise tile."""
    row, column = rng.integers(TILE - side, size=2)
    return tile[row:row + side, column:column + side]


def render(scene: Scene, date: str, appearance: Appearance) -> np.ndarray:
    """Draw a scene as it is at ``date``.

    Args:
        scene: The place.
        date: 'from' or 'to'.
        appearance: Season, sun and sensor.

    Returns:
        RGB image, uint8 (256, 256, 3).
    """
    canvas, _, rng = draw(scene, date, appearance)
    return photograph(canvas, scene, appearance, rng)


def draw(scene: Scene, date: str, appearance: Appearance
         ) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Draw a scene before it is photographed.

    Args:
        scene, date, appearance: See :func:`render`.

    Returns:
        The canvas, RGB uint8 (CANVAS, CANVAS, 3); the share of the bare ground that plants cover,
        float32 (EXTENT, EXTENT) 0-1; and the generator, for the photograph.
    """
    rng = np.random.default_rng(appearance.seed)
    things = [thing for thing in scene.things if thing.exists(date)]
    ground, plants = _ground(scene, date, appearance, rng)
    canvas = cv2.resize(ground, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR)
    _draw_water(canvas, [t for t in things if isinstance(t, Pond)], appearance, rng)
    draw_paths(canvas, [t for t in things if isinstance(t, Drive)])
    roads = [t for t in things if isinstance(t, Road)]
    draw_roads(canvas, roads)
    draw_lots(canvas, [t for t in things if isinstance(t, Lot)], appearance, rng)
    draw_traffic(canvas, roads, appearance, rng)
    groups = [t for t in things if isinstance(t, Trees)]
    heights = [crown_heights(group.crowns) for group in groups]
    raised = [t for t in things if isinstance(t, House | Building)]
    canvas = _cast_shadows(canvas, raised, heights, appearance)
    for thing in raised:
        (_draw_house if isinstance(thing, House) else _draw_building)(canvas, thing, appearance)
    for group, height in zip(groups, heights, strict=True):
        leaves = EVERGREEN if group.evergreen else LEAVES[appearance.season]
        _draw_crowns(canvas, height, leaves, appearance, scene.ground_seed)
    return canvas, plants, rng


def plant_share(colour: tuple[int, int, int]) -> float:
    """Return how much living plants cover of what has a colour of the tables, 0 to 1: its green."""
    red, green, blue = map(float, colour)
    return float(np.clip((2 * green - red - blue) / (red + green + blue) / 0.24, 0, 1))


def _ground(scene: Scene, date: str, appearance: Appearance,
            rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the bare ground: two colours mixed, three noise scales.

    Returns:
        uint8 (EXTENT, EXTENT, 3), and the share that plants cover, float32 (EXTENT, EXTENT) 0-1.
    """
    place = np.random.default_rng(scene.ground_seed)
    tiles, colours = noise_tiles(), GROUND[appearance.season]
    kind = GROUND_OF.get(scene.biome, scene.biome)
    second = {'meadow': 'bareland'}.get(kind, 'meadow')
    main, other = ((np.array(colours[name]) + place.normal(0, 9) + place.normal(0, 3, 3)
                    + rng.normal(0, 2, 3)).astype(np.float32) for name in (kind, second))
    coarse, middle = patch(tiles['coarse'], place), patch(tiles['middle'], place)
    fine = patch(tiles['fine'], place)
    share = place.choice([0.0, 0.12, 0.35], p=[0.3, 0.4, 0.3])
    mix = np.clip((coarse + 0.35 * middle - 1.5) * 0.8 + 2.2 * float(share), 0, 1) * 0.85
    weights = place.uniform((0.02, 0.01, 0.03), (0.08, 0.055, 0.08)).tolist()
    shade = 1 + weights[0] * coarse + weights[1] * middle + weights[2] * fine
    planted, bare = plant_share(colours[kind]), plant_share(colours[second])
    if scene.biome == 'farmland':
        (main, planted), mix = _fields(place, rng, appearance), mix * 0.4
    plants = planted + (bare - planted) * mix
    image = main + (other - main) * mix[..., None]
    yards = _yards(scene, date)
    if yards is not None:
        soil = np.array(colours['bareland' if kind == 'meadow' else 'meadow'], np.float32)
        worn = yards * float(place.uniform(0.1, 0.45))
        image += (soil - image) * worn[..., None]
        plants = plants + (plant_share(soil) - plants) * worn
    return (np.clip(image * shade[..., None], 0, 255).astype(np.uint8),
            np.clip(plants, 0, 1).astype(np.float32))


def _yards(scene: Scene, date: str) -> np.ndarray | None:
    """Return how worn the ground is around houses, float32 (EXTENT, EXTENT) 0-1, None if nowhere.

    A soft mark around every house, old or new; it is no object and no change.
    """
    houses = [t for t in scene.things if isinstance(t, House) and t.exists(date)]
    if not houses:
        return None
    worn = np.zeros((EXTENT // 4, EXTENT // 4), np.float32)
    for house in houses:
        x, y = ((house.centre + MARGIN) / 4).round().astype(int).tolist()
        cv2.circle(worn, (x, y), 4, 1.0, -1)
    worn = cv2.GaussianBlur(worn, (0, 0), 1.6)
    return cv2.resize(worn, (EXTENT, EXTENT), interpolation=cv2.INTER_CUBIC)


def _fields(place: np.random.Generator, rng: np.random.Generator,
            appearance: Appearance) -> tuple[np.ndarray, np.ndarray]:
    """Return crops of a rotated patchwork, which differ by date.

    Returns:
        Their colours (EXTENT, EXTENT, 3), and the share that plants cover (EXTENT, EXTENT).
    """
    angle = place.uniform(0, np.pi)
    axis = np.arange(EXTENT, dtype=np.float32)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    across = axis[None] * cos + axis[:, None] * sin
    along = axis[:, None] * cos - axis[None] * sin
    column = np.floor(across / float(place.uniform(60, 130)) + 8).astype(int)
    row = np.floor((along + 37 * (column % 3)) / float(place.uniform(90, 180)) + 8).astype(int)
    plot = (column * 7 + row * 13) % 32
    crops = np.array(CROPS[appearance.season], np.float32)
    sown = rng.integers(len(crops), size=32)
    palette = (crops[sown] + rng.normal(0, 6, (32, 3))).astype(np.float32)
    planted = np.array([plant_share(colour) for colour in crops], np.float32)[sown]
    rows = 1 + 0.035 * np.sin(across * float(place.uniform(1.0, 2.0)))
    return palette[plot] * rows[..., None], planted[plot]


def _draw_water(canvas: np.ndarray, ponds: list[Pond], appearance: Appearance,
                rng: np.random.Generator) -> None:
    """Fill ponds with a bank, shallows and deep water."""
    deep = np.array([(46, 66, 74), (58, 80, 70), (84, 92, 76), (40, 62, 88)][rng.integers(4)])
    for pond in ponds:
        cv2.polylines(canvas, [to_canvas(pond.outline)], True, (168, 150, 116), 7, cv2.LINE_AA,
                      FRACTION_BITS)
        fill(canvas, [pond.outline], (deep + 22).tolist())
        middle = pond.outline.mean(0)
        for factor, lift in ((0.9, 10), (0.78, 0)):
            if np.abs(pond.outline - SIDE / 2).max() < 160:
                fill(canvas, [middle + (pond.outline - middle) * factor], (deep + lift).tolist())


def _cast_shadows(canvas: np.ndarray, raised: list[House | Building], heights: list[np.ndarray],
                  appearance: Appearance) -> np.ndarray:
    """Darken what lies in the shadow of houses, buildings and trees, bluish as under clear sky."""
    shadow = np.zeros((CANVAS, CANVAS), np.uint8)
    for thing in raised:
        throw = -appearance.sun * appearance.shadow * thing.height
        for outline in thing.footprint():
            hull = cv2.convexHull(np.concatenate([outline, outline + throw]).astype(np.float32))
            fill(shadow, [hull[:, 0]], 255)
    for height in heights:
        for level in (2.0, 6.0, 10.0, 14.0):
            move = -appearance.sun * appearance.shadow * level * 0.75
            part = cv2.threshold(height, level, 255, cv2.THRESH_BINARY)[1].astype(np.uint8)
            shadow |= cv2.warpAffine(part, np.array([[1, 0, move[0]], [0, 1, move[1]]]),
                                     (CANVAS, CANVAS), flags=cv2.INTER_NEAREST)
    depth = 0.5 + 0.1 * min(appearance.shadow, 1.0)
    light = [cv2.convertScaleAbs(255 - shadow, alpha=depth * f, beta=255 * (1 - depth * f))
             for f in (1.0, 0.97, 0.88)]
    return cv2.multiply(canvas, cv2.merge(light), scale=1 / 255)


def _lit(colour: tuple[int, int, int], normal: np.ndarray, appearance: Appearance) -> tuple:
    """Return a roof plane's colour: bright where its outward ``normal`` (2,) meets the sun."""
    factor = 0.86 + 0.3 * float(normal @ appearance.sun)
    return tuple(min(channel * factor, 255.0) for channel in colour)


def _draw_house(canvas: np.ndarray, house: House, appearance: Appearance) -> None:
    """Draw wing and main roof, each plane in its own light."""
    boxes = house.footprint()
    for box in boxes[::-1]:
        _draw_roof(canvas, box, house.roof, house.colour, appearance)


def _draw_roof(canvas: np.ndarray, box: np.ndarray, kind: str, colour: tuple[int, int, int],
               appearance: Appearance) -> None:
    """Draw a gabled or hipped roof over a box whose ridge runs along its longer axis."""
    if np.linalg.norm(box[1] - box[0]) < np.linalg.norm(box[2] - box[1]):
        box = np.roll(box, -1, axis=0)
    along, across = box[1] - box[0], box[3] - box[0]
    ends = np.stack([(box[0] + box[3]) / 2, (box[1] + box[2]) / 2])
    if kind == 'hip':
        inset = along / np.linalg.norm(along) * np.linalg.norm(across) / 2
        ends = ends + np.stack([inset, -inset]) * 0.95
    down = across / np.linalg.norm(across)
    fill(canvas, [np.stack([box[0], box[1], ends[1], ends[0]])], _lit(colour, -down, appearance))
    fill(canvas, [np.stack([box[3], box[2], ends[1], ends[0]])], _lit(colour, down, appearance))
    if kind == 'hip':
        out = along / np.linalg.norm(along)
        fill(canvas, [np.stack([box[0], ends[0], box[3]])], _lit(colour, -out, appearance))
        fill(canvas, [np.stack([box[1], ends[1], box[2]])], _lit(colour, out, appearance))
    stroke(canvas, ends, 0.5, tuple(min(c * 1.2 + 8, 255) for c in colour))


def _draw_building(canvas: np.ndarray, building: Building, appearance: Appearance) -> None:
    """Draw a flat roof with a parapet, seams and units that cast shadows."""
    outline = building.footprint()[0]
    fill(canvas, [outline], tuple(c * 0.8 for c in building.colour))
    inner = building.centre + (outline - building.centre) * 0.95
    fill(canvas, [inner], building.colour)
    cos, sin = np.cos(building.angle), np.sin(building.angle)
    axes = np.array([[cos, sin], [-sin, cos]])
    half_x, half_y = np.array(building.size) / 2 - 2
    if building.ribs:
        for x in np.arange(-half_x + building.ribs, half_x, building.ribs):
            stroke(canvas, building.centre + np.array([[x, -half_y], [x, half_y]]) @ axes, 0.5,
                    tuple(c * 0.92 for c in building.colour))
    for u, v, w, h in building.units:
        centre = building.centre + np.array([u, v]) @ axes
        throw = appearance.sun * 2.5 * appearance.shadow
        shade = oriented_box(centre - throw, (w, h), building.angle)
        fill(canvas, [shade], tuple(c * 0.55 for c in building.colour))
        fill(canvas, [oriented_box(centre, (w, h), building.angle)],
             tuple(min(c * 1.1 + 6, 255) for c in building.colour))


def _draw_crowns(canvas: np.ndarray, height: np.ndarray, colour: tuple[int, int, int],
                 appearance: Appearance, ground_seed: int) -> None:
    """Colour crowns by the slope of their height map against the sun."""
    inside = height > 0
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    # The surface faces the sun where it rises away from it, hence the minus.
    facing = cv2.addWeighted(slope_x, -appearance.sun[0], slope_y, -appearance.sun[1], 0)[inside]
    tone = patch(noise_tiles()['middle'], np.random.default_rng(ground_seed + 1), CANVAS)
    shade = np.clip(facing, -1.2, 1.5) * 0.42 + tone[inside] * 0.08 + 0.92
    shade = np.clip(shade, 0.3, 1.7)[:, None]
    canvas[inside] = np.minimum(shade * np.array(colour, np.float32), 255)


def through_optics(canvas: np.ndarray, scene: Scene, appearance: Appearance) -> np.ndarray:
    """Average down, add fine texture, shift and blur.

    Args:
        canvas: (CANVAS, CANVAS) or (CANVAS, CANVAS, 3).
        scene, appearance: See :func:`render`.

    Returns:
        float32 (256, 256) or (256, 256, 3).
    """
    image = cv2.resize(canvas, (EXTENT, EXTENT), interpolation=cv2.INTER_AREA).astype(np.float32)
    grain = patch(noise_tiles()['fine'], np.random.default_rng(scene.ground_seed + 2))
    image *= (1 + 0.03 * grain)[(..., *[None] * (image.ndim - 2))]
    move = np.array([[1, 0, appearance.shift[0] - MARGIN], [0, 1, appearance.shift[1] - MARGIN]])
    image = cv2.warpAffine(image, move, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    if appearance.blur > 0.25:
        image = cv2.GaussianBlur(image, (0, 0), appearance.blur)
    return image


def photograph(canvas: np.ndarray, scene: Scene, appearance: Appearance,
               rng: np.random.Generator) -> np.ndarray:
    """Take the picture of a canvas: optics, colours, tone, haze and noise, uint8 (256, 256, 3)."""
    image = through_optics(canvas, scene, appearance)
    weights = np.array([0.299, 0.587, 0.114])
    mix = appearance.saturation * np.eye(3) + (1 - appearance.saturation) * weights
    image = np.clip(cv2.transform(image, np.diag(appearance.gain) @ mix), 0, 255)
    # Tone curve, then haze: a convex mix with the colour of lit air.
    image = cv2.pow(image * np.float32(1 / 255), appearance.gamma)
    image *= np.float32(255 * (1 - appearance.haze))
    image += np.array([196, 202, 208], np.float32) * np.float32(appearance.haze)
    image += np.float32(appearance.noise) * patch(noise_tiles()['white'], rng, SIDE)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
