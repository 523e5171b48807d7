"""Shapes, roofs and facades of the varied look: planes in their own light, and what lies on them.

A building is drawn from below: facades where the view leans, then one roof a wing, then details
whose places come from the building's own seed, so that they are the same at both dates. How much
is drawn depends on the resolution: a tile course or a chimney under a pixel is left out.
"""
import cv2
import numpy as np

from rscc.synth.drawing import FRACTION_BITS, SCALE, Appearance, fill, to_canvas
from rscc.synth.objects import Block

TILES = ((150, 84, 66), (134, 72, 56), (168, 104, 78), (178, 122, 92), (118, 72, 58),
         (190, 140, 104), (142, 98, 76))
SHINGLES = ((98, 92, 88), (78, 74, 74), (120, 108, 98), (140, 130, 120), (108, 88, 74),
            (66, 66, 72), (154, 146, 138))
SHEETS = ((168, 166, 164), (200, 200, 198), (226, 226, 224), (128, 92, 72), (108, 72, 56),
          (150, 66, 58), (60, 92, 150), (52, 110, 176), (140, 136, 130), (96, 120, 112),
          (178, 150, 126), (120, 112, 106), (184, 60, 60))
FLAT = ((196, 194, 188), (170, 166, 160), (216, 212, 204), (146, 144, 144), (188, 176, 156),
        (120, 122, 126), (228, 226, 222), (96, 96, 98), (160, 142, 122))
HALLS = ((206, 206, 202), (186, 188, 190), (228, 228, 226), (150, 154, 158), (120, 136, 156),
         (170, 160, 146), (112, 114, 118), (196, 176, 120), (104, 134, 124))
WALLS = ((206, 196, 180), (186, 176, 164), (170, 140, 118), (218, 214, 206), (150, 142, 136))
PANEL, GLASS, DARK = (34, 42, 66), (200, 214, 222), (58, 58, 62)
FINE, COARSE = 4.0, 2.4  # pixels per metre (canvas) from which small and middle details are drawn


def shaded(colour: np.ndarray, factor: float) -> tuple[float, ...]:
    """Return a colour made brighter or darker, within 0 to 255."""
    return tuple(float(channel) for channel in np.clip(np.asarray(colour) * factor, 0, 255))


def wings(shape: str, width: float, depth: float, rng: np.random.Generator
          ) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return (centre, size) of the wings of a building that fills ``width`` by ``depth``."""
    if shape == 'I' or min(width, depth) < 6:
        return [((0, 0), (width, depth))]
    thick = min(width, depth) * rng.uniform(0.35, 0.6)
    if shape == 'O':
        thick = min(width, depth) * rng.uniform(0.22, 0.32)
    main = ((0, (thick - depth) / 2), (width, thick))
    wing = rng.uniform(0.3, 0.5) * width if shape != 'O' else thick
    sides = {'L': (rng.choice([-1, 1]),), 'T': (rng.uniform(-0.3, 0.3),)}.get(shape, (-1, 1))
    found = [main, *(((side * (width - wing) / 2, 0), (wing, depth)) for side in sides)]
    if shape == 'U':
        found[1:] = [(place, (min(wing, 0.34 * width), size[1])) for place, size in found[1:]]
        found[1:] = [((np.sign(place[0]) * (width - size[0]) / 2, 0), size)
                     for place, size in found[1:]]
    if shape == 'O':
        found.append(((0, (depth - thick) / 2), (width, thick)))
    return found


def draw_block(canvas: np.ndarray, rough: np.ndarray, block: Block, appearance: Appearance,
               lean: np.ndarray, date: str, tone: float) -> None:
    """Draw one building.

    Args:
        canvas: RGB uint8 (CANVAS, CANVAS, 3), drawn on.
        rough: Strength of the texture, uint8 (CANVAS, CANVAS), drawn on.
        block: The building.
        appearance: Of the date.
        lean: Displacement (2,) of tops, pixels per pixel of height.
        date: 'from' or 'to'.
        tone: Brightness of the roof at this date against its own colour.
    """
    rng = np.random.default_rng(block.seed)
    lift = lean * block.height
    roofs = [part + lift for part in block.parts]
    if np.abs(lift).max() > 0.4:
        _facades(canvas, block, lift, appearance)
    colour = np.asarray(block.colour) * tone
    if block.roof in ('gable', 'hip'):
        for box in roofs[::-1]:
            _pitched(canvas, box, block, colour, appearance)
    else:
        _level(canvas, roofs, block, colour, appearance, rng)
    fill(rough, roofs, int(rng.integers(14, 44)), antialias=False)
    if block.unit * SCALE > COARSE:
        _details(canvas, roofs, block, colour, appearance, rng)
    if block.panels in ('both', date):
        _solar(canvas, roofs[0], block, rng)


def _facades(canvas: np.ndarray, block: Block, lift: np.ndarray, appearance: Appearance) -> None:
    """Fill what a leaning view shows of the walls, the sunny side bright."""
    facing = -lift / max(float(np.linalg.norm(lift)), 1e-6)
    colour = shaded(block.wall, 0.62 + 0.34 * float(facing @ appearance.sun))
    for part in block.parts:
        hull = cv2.convexHull(np.concatenate([part, part + lift]).astype(np.float32))[:, 0]
        fill(canvas, [hull], colour)
    storeys = int(block.height / (3.2 * block.unit))
    if storeys > 2 and block.unit * SCALE > COARSE:
        lines = [to_canvas(part + lift * k / storeys) for part in block.parts
                 for k in range(1, storeys)]
        cv2.polylines(canvas, lines, True, shaded(block.wall, 0.5), 1, cv2.LINE_AA, FRACTION_BITS)


def _lit(colour: np.ndarray, normal: np.ndarray, appearance: Appearance) -> tuple[float, ...]:
    """Return the colour of a plane that falls towards ``normal`` (2,): a low sun parts them."""
    steep = 0.16 + 0.2 * min(appearance.shadow, 1.6)
    return shaded(colour, 0.92 + steep * float(normal @ appearance.sun))


def along_ridge(box: np.ndarray) -> np.ndarray:
    """Return a box's corners so that its first edge is a long one."""
    if np.linalg.norm(box[1] - box[0]) < np.linalg.norm(box[2] - box[1]):
        return np.roll(box, -1, axis=0)
    return box


def _pitched(canvas: np.ndarray, box: np.ndarray, block: Block, colour: np.ndarray,
             appearance: Appearance) -> None:
    """Draw a gabled or hipped roof with its courses of tiles, ridge and eaves."""
    box = along_ridge(box)
    along, across = box[1] - box[0], box[3] - box[0]
    ends = np.stack([(box[0] + box[3]) / 2, (box[1] + box[2]) / 2])
    out = along / np.linalg.norm(along)
    down = across / np.linalg.norm(across)
    if block.roof == 'hip':
        inset = out * min(np.linalg.norm(across) / 2, np.linalg.norm(along) * 0.46)
        ends = ends + np.stack([inset, -inset])
    for corners, normal in ((box[[0, 1]], -down), (box[[3, 2]], down)):
        plane = np.stack([*corners, ends[1], ends[0]])
        lit = _lit(colour, normal, appearance)
        fill(canvas, [plane], lit)
        _courses(canvas, plane, block, shaded(lit, 0.9))
    if block.roof == 'hip':
        fill(canvas, [np.stack([box[0], ends[0], box[3]])], _lit(colour, -out, appearance))
        fill(canvas, [np.stack([box[1], ends[1], box[2]])], _lit(colour, out, appearance))
    if block.unit * SCALE > COARSE:
        ridge = shaded(colour, (1.22, 0.8, 1.1)[block.seed % 3])
        cv2.polylines(canvas, [to_canvas(ends)], False, ridge,
                      max(round(0.3 * block.unit * SCALE), 1), cv2.LINE_AA, FRACTION_BITS)


def _courses(canvas: np.ndarray, plane: np.ndarray, block: Block, colour: tuple) -> None:
    """Draw lines parallel to the ridge, as courses of tiles or seams of sheets."""
    spacing = 0.9 * block.unit * SCALE
    if spacing < 3.2 or block.seed % 4 == 0:
        return
    count = int(np.linalg.norm(plane[3] - plane[0]) * SCALE / spacing)
    shares = (np.arange(1, count) / max(count, 1))[:, None, None]
    lines = plane[None, :2] * (1 - shares) + plane[None, [3, 2]] * shares
    cv2.polylines(canvas, list(to_canvas(lines)), False, colour, 1, cv2.LINE_AA, FRACTION_BITS)


def _level(canvas: np.ndarray, roofs: list[np.ndarray], block: Block, colour: np.ndarray,
           appearance: Appearance, rng: np.random.Generator) -> None:
    """Draw a flat roof with a parapet, a single-pitch one, or a hall with ribs or saw teeth."""
    normal = np.array([np.cos(block.seed), np.sin(block.seed)])
    base = np.asarray(_lit(colour, normal * (0.5 if block.roof == 'shed' else 0), appearance))
    fill(canvas, roofs, shaded(base, (0.78, 1.12)[block.seed % 2] if block.roof == 'flat' else 0.9))
    rim = 0.5 * block.unit
    for box in roofs:
        middle = box.mean(0)
        reach = np.linalg.norm(box - middle, axis=1).mean()
        fill(canvas, [middle + (box - middle) * max(1 - rim / max(reach, 1), 0.5)], base)
    if block.roof == 'hall':
        for box in roofs:
            _ribs(canvas, along_ridge(box), block, base, rng)
    elif block.roof == 'shed':
        for box in roofs:
            _courses(canvas, along_ridge(box), block, shaded(base, 0.86))


def _ribs(canvas: np.ndarray, box: np.ndarray, block: Block, colour: np.ndarray,
          rng: np.random.Generator) -> None:
    """Draw seams across a hall, rows of skylights, and a ridge that parts two tones."""
    length = float(np.linalg.norm(box[1] - box[0]))
    if rng.random() < 0.6:
        ends = (box[[0, 1]] + box[[3, 2]]) / 2
        fill(canvas, [np.stack([box[0], box[1], ends[1], ends[0]])],
             shaded(colour, rng.uniform(0.88, 1.1)))
    spacing = max(float(rng.choice([1.5, 3, 6])) * block.unit, 2.0)
    shares = np.arange(spacing / length, 1, spacing / length)[:, None]
    starts, stops = (a + (b - a) * shares for a, b in ((box[0], box[1]), (box[3], box[2])))
    cv2.polylines(canvas, list(to_canvas(np.stack([starts, stops], 1))), False,
                  shaded(colour, rng.uniform(0.84, 0.96)), 1, cv2.LINE_AA, FRACTION_BITS)
    if rng.random() < 0.45:
        places = np.stack(np.meshgrid(np.arange(0.1, 0.95, max(9 * block.unit / length, 0.06)),
                                      rng.choice([0.25, 0.5, 0.75], rng.integers(1, 3), False)),
                          -1).reshape(-1, 2)
        size = np.array([0.9 * block.unit, rng.uniform(2, 5) * block.unit])
        light = rng.random() < 0.6
        fill(canvas, [_on(box, place, size) for place in places],
             GLASS if light else shaded(colour, 0.7))


def _on(box: np.ndarray, place: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return a small box (4, 2) at a place (0 to 1 along both edges) of a roof, size in pixels."""
    along, across = box[1] - box[0], box[3] - box[0]
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size / 2
    axes = np.stack([along / np.linalg.norm(along), across / np.linalg.norm(across)])
    return box[0] + along * place[0] + across * place[1] + half @ axes


def _details(canvas: np.ndarray, roofs: list[np.ndarray], block: Block, colour: np.ndarray,
             appearance: Appearance, rng: np.random.Generator) -> None:
    """Draw stains, and chimneys, dormers or roof units with their shadows."""
    unit = block.unit
    box = along_ridge(roofs[0])
    area = np.linalg.norm(box[1] - box[0]) * np.linalg.norm(box[3] - box[0]) / unit ** 2
    level = block.roof not in ('gable', 'hip')
    for _ in range(rng.poisson(min(area / 160, 6) if level else 0.35)):
        stain = _on(box, rng.uniform(0.15, 0.85, 2), rng.uniform(1, min(8, area ** 0.5 / 2), 2)
                    * unit)
        fill(canvas, [stain], shaded(colour * rng.uniform(0.94, 1.06, 3), rng.uniform(0.8, 1.15)))
    if unit * SCALE < FINE and area < 300:
        return
    count = rng.poisson(min(area / 110, 10)) if level else rng.integers(0, 4)
    for _ in range(count):
        side = rng.uniform(0.22, 0.36) * rng.choice([1, -1])
        place = rng.uniform(0.1, 0.9, 2) if level else np.array([rng.uniform(0.15, 0.85),
                                                                0.5 + side])
        size = rng.uniform(0.8, 3.2 if level else 1.8, 2) * unit
        unit_box = _on(box, place, size)
        fill(canvas, [unit_box - appearance.sun * min(appearance.shadow, 2) * 1.2 * unit],
             shaded(colour, 0.5))
        fill(canvas, [unit_box], shaded(colour * 0.5 + 100, rng.uniform(0.7, 1.25)))


def _solar(canvas: np.ndarray, box: np.ndarray, block: Block, rng: np.random.Generator) -> None:
    """Lay a field of solar panels on one side of a roof."""
    box = along_ridge(box)
    size = np.array([np.linalg.norm(box[1] - box[0]) * rng.uniform(0.3, 0.75),
                     np.linalg.norm(box[3] - box[0]) * rng.uniform(0.2, 0.36)])
    field = _on(box, np.array([rng.uniform(0.42, 0.58), rng.choice([0.26, 0.74])]), size)
    fill(canvas, [field], PANEL)
    step = 1.7 * block.unit
    if step * SCALE > 3:
        shares = np.arange(step / size[0], 1, step / size[0])[:, None]
        starts, stops = (a + (b - a) * shares for a, b in ((field[0], field[1]),
                                                           (field[3], field[2])))
        cv2.polylines(canvas, list(to_canvas(np.stack([starts, stops], 1))), False, (84, 94, 120),
                      1, cv2.LINE_AA, FRACTION_BITS)
