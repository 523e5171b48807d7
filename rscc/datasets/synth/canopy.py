"""Tree crowns as a height map: one stamp a tree, light and shadow computed for all at once."""
from functools import lru_cache

import cv2
import numpy as np

from rscc.datasets.synth.canvas import CANVAS, MARGIN, SCALE

VARIANTS = 12


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
