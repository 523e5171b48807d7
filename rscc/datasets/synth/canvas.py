"""The drawing surface: larger than the image by a margin, and finer, to be averaged down."""
import cv2
import numpy as np

from rscc.datasets.synth.objects import SIDE

MARGIN = 8  # pixels around the image that are laid out and drawn too, for shifts and shadows
SCALE = 2  # everything is drawn this much larger than it is shown
CANVAS = (SIDE + 2 * MARGIN) * SCALE
_FRACTION_BITS = 3


def to_canvas(points: np.ndarray) -> np.ndarray:
    """Return image coordinates as OpenCV's fixed-point canvas coordinates (int32)."""
    scaled = (np.asarray(points) + MARGIN) * SCALE - 0.5
    return np.round(scaled * 2 ** _FRACTION_BITS).astype(np.int32)


def fill(canvas: np.ndarray, outlines: list[np.ndarray], value: object,
         antialias: bool = True) -> None:
    """Fill polygons given in image coordinates on a canvas."""
    line = cv2.LINE_AA if antialias else cv2.LINE_8
    for outline in outlines:
        cv2.fillPoly(canvas, [to_canvas(outline)], value, line, _FRACTION_BITS)


def crop(canvas: np.ndarray) -> np.ndarray:
    """Return the image area of a canvas, one sample a pixel."""
    start = MARGIN * SCALE
    return canvas[start:start + SIDE * SCALE:SCALE, start:start + SIDE * SCALE:SCALE]


def stroke(canvas: np.ndarray, points: np.ndarray, width: float, colour: tuple) -> None:
    """Draw a line along points (N, 2) in scene pixels, ``width`` scene pixels wide."""
    cv2.polylines(canvas, [to_canvas(points)], False, colour, max(round(width * SCALE), 1),
                  cv2.LINE_AA, _FRACTION_BITS)
