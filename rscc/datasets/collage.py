"""Image operations that make a second date out of one: erase, paste, and look at it otherwise.

Everything works on uint8 images (H, W, 3) beside masks (H, W) that are 1 on objects, and draws from
a generator that is given. What is drawn into a picture leaves traces (seams, repeated ground), so
whoever makes changes this way also makes *distractors*: the same operations where nothing changes,
or a model would learn the traces.
"""
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from rscc.datasets.tile_pool import View

#: Objects smaller than this many pixels are left alone: nobody would see them change.
LEAST_PIXELS = 40
#: Places tried for ground that looks like the surroundings of what is erased.
_TRIES = 24


def objects_in(mask: np.ndarray, least: int = LEAST_PIXELS) -> list[np.ndarray]:
    """Return the objects of a mask apart, each bool (H, W): patches that touch are one."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask == 1).astype(np.uint8),
                                                               connectivity=4)
    return [labels == index for index in range(1, count)
            if stats[index, cv2.CC_STAT_AREA] >= least]


def _grown(region: np.ndarray, pixels: int) -> np.ndarray:
    """Return a region widened by some pixels, bool (H, W)."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1,) * 2)
    return cv2.dilate(region.astype(np.uint8), kernel) > 0


def _box(region: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Return the bounding box of a region, widened within the image."""
    left, top, width, height = cv2.boundingRect(region.astype(np.uint8))
    return (slice(max(top - margin, 0), top + height + margin),
            slice(max(left - margin, 0), left + width + margin))


def _blend(image: np.ndarray, patch: np.ndarray, region: np.ndarray, soft: float) -> np.ndarray:
    """Lay a patch over an image inside a region with a soft edge, all of one size."""
    weight = cv2.GaussianBlur(region.astype(np.float32), (0, 0), soft)[..., None]
    return (image + weight * (patch.astype(np.float32) - image) + 0.5).astype(np.uint8)


def erase(view: View, regions: Sequence[np.ndarray], spare: View, rng: np.random.Generator
          ) -> None:
    """Cover objects by ground from elsewhere in the view, with their shadows, in place.

    Each is covered by the patch, of several that show no object, whose colour is nearest to what
    surrounds it; where there is none, by one of another place; where that has none either, by
    inpainting (Telea, Journal of Graphics Tools 2004).

    Args:
        view: What is edited; the mask too.
        regions: Objects of the view, bool (H, W).
        spare: Another place of the same size, best without objects.
        rng: Source of the patches.
    """
    for region in regions:
        hole = _grown(region, int(rng.integers(2, 6)))
        # A shadow falls to one side: the hole is drawn out that way.
        step = rng.integers(-5, 6, 2)
        hole |= np.roll(hole, step, (0, 1))
        box = _box(hole, 3)
        own, ring = hole[box], _grown(hole[box], 3) & ~hole[box]
        ring &= view.mask[box] != 1
        around = view.image[box][ring].mean(0) if ring.any() else None
        patch = _ground(view, own, around, rng)
        if patch is None:
            patch = _ground(spare, own, around, rng)
        if patch is None:
            patch = cv2.inpaint(view.image[box], own.astype(np.uint8), 3, cv2.INPAINT_TELEA)
        view.image[box] = _blend(view.image[box], patch, own, 1.2)
        view.mask[region] = 0


def _ground(source: View, hole: np.ndarray, around: np.ndarray | None, rng: np.random.Generator
            ) -> np.ndarray | None:
    """Return a patch of a view without objects, or None where there is no room for one.

    Args:
        source: Where it is taken from.
        hole: What it shall cover, bool (h, w), which is its size.
        around: Colour (3,) of what surrounds the hole, or None.
        rng: Source of the places that are tried.
    """
    rows, columns = hole.shape
    height, width = source.mask.shape
    best, least = None, np.inf
    taken = cv2.integral((source.mask == 1).astype(np.uint8))
    for _ in range(_TRIES):
        top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
        objects = (taken[top + rows, left + columns] - taken[top, left + columns]
                   - taken[top + rows, left] + taken[top, left])
        if objects:
            continue
        patch = source.image[top:top + rows, left:left + columns]
        distance = 0 if around is None else np.abs(patch[hole].mean(0) - around).sum()
        if distance < least:
            best, least = patch, distance
    if best is None or around is None:
        return best
    # Part of the way to the surroundings: ground is never quite one colour.
    shift = rng.uniform(0.3, 0.9) * (around - best[hole].mean(0))
    return np.clip(best + shift, 0, 255).astype(np.uint8)


@dataclass
class Cutout:
    """One object cut out with what surrounds it: image (h, w, 3), mask and soft edge (h, w)."""
    image: np.ndarray
    mask: np.ndarray
    edge: np.ndarray


def cutouts(view: View, onto: View, rng: np.random.Generator, most: int) -> list[Cutout]:
    """Cut some objects of a view out that lie whole in it, in light like that of another one.

    Args:
        view: Where they stand.
        onto: Where they will stand; their colours go part of the way to its mean and spread.
        rng: Source of the choice.
        most: How many, at most.
    """
    whole = [region for region in objects_in(view.mask, 2 * LEAST_PIXELS)
             if not (region[0].any() or region[-1].any() or region[:, 0].any()
                     or region[:, -1].any()) and region.sum() < region.size / 5]
    chosen = rng.permutation(len(whole))[:most]
    image = _in_light(view.image, onto.image, rng.uniform(0, 0.9)) if len(chosen) else None
    found = []
    for region in (whole[index] for index in chosen):
        box = _box(region, 6)
        edge = _grown(region[box], int(rng.integers(1, 5)))
        found.append(Cutout(image[box], region[box], edge))
    return found


def _in_light(image: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """Return an image whose channels go part of the way to the mean and spread of another's."""
    (mean, spread), (wanted, wide) = ((part.ravel() for part in cv2.meanStdDev(one))
                                      for one in (image, other))
    gain = 1 + share * (np.clip(wide / np.maximum(spread, 1), 0.5, 2) - 1)
    table = (np.arange(256)[:, None] - mean) * gain + mean + share * (wanted - mean)
    return cv2.LUT(image, np.clip(np.round(table), 0, 255).astype(np.uint8)[:, None])


def paste(view: View, piece: Cutout, rng: np.random.Generator) -> bool:
    """Lay an object onto a place of the view without objects, in place.

    Args:
        view: What is edited; the mask too.
        piece: The object; it is turned and mirrored at random.
        rng: Source of the place.

    Returns:
        Whether there was room.
    """
    turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
    image, mask, edge = (np.rot90(part[:, ::-1] if mirrored else part, turns)
                         for part in (piece.image, piece.mask, piece.edge))
    rows, columns = mask.shape
    height, width = view.mask.shape
    if rows > height or columns > width:
        return False
    for _ in range(_TRIES // 2):
        top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
        box = (slice(top, top + rows), slice(left, left + columns))
        if (view.mask[box][edge] == 0).all():
            view.image[box] = _blend(view.image[box], image, edge, 0.8)
            view.mask[box][mask] = 1
            return True
    return False


def distract(view: View, source: View, rng: np.random.Generator, count: int) -> None:
    """Lay patches without objects onto ground without objects, in place; the mask stays.

    They have the shapes and seams of what :func:`erase` and :func:`paste` leave, so that a seam
    alone tells nothing.

    Args:
        view: What is edited.
        source: Where patches are taken from, of the same size.
        rng: Source of shapes and places.
        count: How many.
    """
    height, width = view.mask.shape
    for _ in range(count):
        drawn = np.exp(rng.uniform(np.log(10), np.log(90), 2))
        rows, columns = (int(min(side, room - 1)) for side, room
                         in zip(drawn, (height, width), strict=True))
        shape = np.zeros((rows, columns), np.uint8)
        corners = cv2.boxPoints((((columns - 1) / 2, (rows - 1) / 2),
                                 (columns * rng.uniform(0.6, 0.9), rows * rng.uniform(0.6, 0.9)),
                                 float(rng.uniform(-20, 20))))
        cv2.fillPoly(shape, [np.round(corners).astype(np.int32)], 1)
        here, there = (rng.integers((height - rows, width - columns)) for _ in range(2))
        box = (slice(here[0], here[0] + rows), slice(here[1], here[1] + columns))
        other = (slice(there[0], there[0] + rows), slice(there[1], there[1] + columns))
        inside = shape > 0
        if (view.mask[box][inside] == 1).any() or (source.mask[other][inside] == 1).any():
            continue
        view.image[box] = _blend(view.image[box], source.image[other], inside, 1.0)


def lean(view: View, rng: np.random.Generator, most: float = 4.0) -> np.ndarray:
    """Return the image with its objects moved a little, as seen from another angle.

    Roofs lie above the ground: from another viewing angle they are seen elsewhere, by their height
    times the tangent of the difference. The mask stays where the footprints are.

    Args:
        view: The view.
        rng: Source of direction and amount.
        most: Largest displacement in pixels.
    """
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(1, most)
    # Full displacement on objects, falling off within some pixels around them.
    high = cv2.GaussianBlur((view.mask == 1).astype(np.float32), (0, 0), 1.5)
    rows, columns = np.indices(high.shape, dtype=np.float32)
    return cv2.remap(view.image, columns + high * np.float32(reach * np.cos(angle)),
                     rows + high * np.float32(reach * np.sin(angle)), cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_REFLECT_101)

