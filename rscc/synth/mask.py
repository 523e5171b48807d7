"""Change masks: drawing, place names of changes, palette PNGs."""
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from rscc.synth.changes import Change
from rscc.synth.drawing import CANVAS, crop, crown_heights, fill
from rscc.synth.objects import BOTH, CLASSES, FROM, TO, Road, Thing, Trees
from rscc.synth.scene import Scene

BUILDING = CLASSES.index('building')
#: Class of a change -> its place in the order of drawing: where two lie on each other, the one
#: drawn later counts.
ORDER = {3: 0, 4: 1, 2: 2, 5: 4, 1: 5}


def cover(canvas: np.ndarray, thing: Thing, value: int, scene: Scene) -> None:
    """Give a thing's pixels a value, as the date sees it that has it (the later of two)."""
    if isinstance(thing, Trees):
        canvas[crown_heights(thing.crowns) > 0] = value
    else:
        lean = scene.lean[FROM if thing.when == FROM else TO]
        fill(canvas, thing.seen(lean), value, antialias=False)


def draw_mask(scene: Scene) -> np.ndarray:
    """Return the classes of what changed, uint8 (256, 256), 0 where nothing did.

    Shadows and cars never count. Where a new object stands on removed trees the object wins; an
    older road keeps its crossing with a new one, and a crown that was always there hides what is
    under it. A building counts where its roof is seen: in a view from aside that is not where its
    walls stand. Things without a class (bare soil, fields, pools) never count.
    """
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    changed = sorted((thing for thing in scene.things if thing.when != BOTH and thing.label),
                     key=lambda thing: ORDER[thing.label])
    older_roads = [thing for thing in scene.roads if thing.when == BOTH]
    for thing in changed:
        cover(canvas, thing, thing.label, scene)
        if isinstance(thing, Road):
            for road in older_roads:
                cover(canvas, road, 0, scene)
    if changed:
        for thing in scene.things:
            if isinstance(thing, Trees) and thing.when == BOTH:
                cover(canvas, thing, 0, scene)
    return crop(canvas).copy()


def draw_buildings(scene: Scene) -> np.ndarray:
    """Return where buildings stand at the later date, changed or not: 1 there, uint8 (256, 256).

    A crown hides what is under it, as in the masks of changes.
    """
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    there = [thing for thing in scene.things if thing.exists(TO)]
    for thing in there:
        if thing.label == BUILDING:
            cover(canvas, thing, 1, scene)
    for thing in there:
        if isinstance(thing, Trees):
            cover(canvas, thing, 0, scene)
    return crop(canvas).copy()


def locate(changes: list[Change], mask: np.ndarray, scene: Scene) -> None:
    """Fill in ``where`` and ``pixels`` of each change from the mask it shares with the others."""
    for change in changes:
        canvas = np.zeros((CANVAS, CANVAS), np.uint8)
        for thing in change.things:
            cover(canvas, thing, 1, scene)
        region = (crop(canvas) > 0) & (mask == change.things[0].label)
        change.pixels = int(region.sum())
        change.where = place_of(region) if change.pixels else ''


def place_of(region: np.ndarray) -> str:
    """Name the part of the image a region lies in.

    Returns:
        'top left' and the like, 'top', 'bottom', 'left', 'right', 'center', or 'scene' for a
        region spread over the image.
    """
    rows, columns = np.nonzero(region)
    words = []
    for values, side, low, high in ((rows, region.shape[0], 'top', 'bottom'),
                                    (columns, region.shape[1], 'left', 'right')):
        middle, spread = values.mean() / side, values.std() / side
        words.append('' if spread > 0.2 else low if middle < 0.4 else high if middle > 0.6 else
                     'center')
    sides = [word for word in words if word not in ('', 'center')]
    if sides:
        return ' '.join(sides)
    return 'center' if words == ['center', 'center'] else 'scene'


def write_palette_png(mask: np.ndarray, palette: Sequence[Sequence[int]], path: Path) -> None:
    """Save a mask (H, W) uint8 of values below ``len(palette)`` as a mode-P PNG."""
    image = Image.fromarray(mask, mode='P')
    image.putpalette([channel for colour in palette for channel in colour])
    image.save(path, compress_level=1)
