"""Masks drawn over images, with a soft fill and an antialiased outline in class colours."""
import colorsys
from collections.abc import Sequence

import cv2
import numpy as np

from rscc.rasters.image_files import as_rgb

IGNORE = 255
#: Colours of classes without a palette: the built-in dataset's first, then evenly spread hues.
BASE_PALETTE = ((0, 0, 0), (230, 60, 50), (245, 200, 60), (70, 170, 80), (60, 120, 220),
                (150, 100, 200))
#: What :func:`error_mask` returns, in order. The colours stay apart for colour-blind readers.
ERROR_CLASSES = ('right', 'found', 'false alarm', 'missed', 'wrong class')
ERROR_PALETTE = ((0, 0, 0), (0, 170, 125), (225, 85, 0), (70, 165, 245), (215, 95, 175))

_SUPERSAMPLING = 2
_GREY = 24  # channels closer together than this are no colour


def class_palette(num_classes: int, palette: Sequence | None = None) -> list[tuple[int, int, int]]:
    """Return one RGB colour per class, extending ``palette`` where it is too short.

    Args:
        num_classes: How many colours are needed.
        palette: RGB triples, 0 to 255, or None.

    Raises:
        ValueError: If an entry is not an RGB triple of 0 to 255.
    """
    colours = [tuple(int(value) for value in colour) for colour in (palette or BASE_PALETTE)]
    for index, colour in enumerate(colours):
        if len(colour) != 3 or not all(0 <= value <= 255 for value in colour):
            raise ValueError(f'palette entry {index} is {list(palette[index])}; '
                             'expected three integers from 0 to 255 (R, G, B)')
    while len(colours) < num_classes:
        # Steps of the golden ratio never repeat a hue and keep neighbours far apart.
        hue = (0.11 + 0.618034 * len(colours)) % 1
        colours.append(tuple(round(255 * v) for v in colorsys.hsv_to_rgb(hue, 0.65, 0.9)))
    return colours[:max(num_classes, 1)]


def tint_palette(num_classes: int, palette: Sequence | None = None) -> list[tuple[int, int, int]]:
    """Return :func:`class_palette` with colours that can be seen over an image.

    The usual palette of a binary mask is black and white, and a white tint is lost on bright
    roofs: from class 1 on, greys give way to the default colour of their class.
    """
    colours, defaults = class_palette(num_classes, palette), class_palette(num_classes)
    return [colour if index == 0 or max(colour) - min(colour) >= _GREY else defaults[index]
            for index, colour in enumerate(colours)]


def check_mask(mask: np.ndarray, name: str = 'mask') -> np.ndarray:
    """Return ``mask`` as an integer (H, W) array.

    Raises:
        ValueError: If it is not two-dimensional (a leading axis of one is dropped).
    """
    mask = np.asarray(mask)
    if mask.ndim == 3 and mask.shape[0] == 1:
        mask = mask[0]
    if mask.ndim != 2:
        raise ValueError(f'{name} has shape {mask.shape}; expected (H, W) with one class number '
                         'per pixel. A palette or RGB image must be mapped to classes first.')
    return mask.astype(np.int64)


def overlay_mask(image: np.ndarray,
                 mask: np.ndarray,
                 palette: Sequence | None = None,
                 alpha: float = 0.45,
                 outline: bool = True) -> np.ndarray:
    """Tint the classes of a mask over an image; class 0 and 255 (ignore) stay clear.

    The mask may be smaller or larger than the image: edges are interpolated, not stepped.

    Args:
        image: uint8 (H, W, B), of which the first three bands are shown.
        mask: Class numbers (h, w).
        palette: RGB per class, class 0 first; None takes the default colours, which also stand in
            for greys (:func:`tint_palette`).
        alpha: Opacity of the fill, 0 to 1.
        outline: Whether to trace each region's edge.

    Returns:
        A new uint8 RGB array (H, W, 3).
    """
    image = as_rgb(image)
    layer = mask_layer(mask, image.shape[:2], palette, alpha, outline).astype(np.float32)
    opacity = layer[..., 3:] / 255
    blended = image.astype(np.float32) * (1 - opacity) + layer[..., :3] * opacity
    return np.rint(blended).astype(np.uint8)


def mask_layer(mask: np.ndarray,
               size: tuple[int, int],
               palette: Sequence | None = None,
               alpha: float = 0.45,
               outline: bool = True,
               edge_width: float | None = None) -> np.ndarray:
    """Draw a mask as a transparent layer.

    Args:
        mask: Class numbers (h, w).
        size: (H, W) of the layer.
        palette: RGB per class, class 0 first; None takes the default colours, which also stand in
            for greys (:func:`tint_palette`).
        alpha: Opacity of the fill, 0 to 1.
        outline: Whether to trace each region's edge.
        edge_width: Of the edges, in pixels of the layer; None takes 1/170 of its shorter side.

    Returns:
        uint8 RGBA (H, W, 4), not premultiplied.
    """
    mask = check_mask(mask)
    classes = [int(value) for value in np.unique(mask) if value not in (0, IGNORE)]
    colours = tint_palette(max(classes, default=0) + 1, palette)
    colour = np.zeros((*size, 3), np.float32)
    opacity = np.zeros(size, np.float32)
    for index in classes:
        fill, edge = _coverage(mask == index, size, edge_width)
        strength = fill * alpha
        if outline:
            strength = np.maximum(strength, edge * 0.95)
        # Weighted by opacity, so that where two classes meet neither hides the other.
        colour += strength[..., None] * np.float32(colours[index])
        opacity += strength
    colour /= np.maximum(opacity, 1e-6)[..., None]
    layer = np.dstack([colour, np.minimum(opacity, 1) * 255])
    return np.rint(layer).clip(0, 255).astype(np.uint8)


def _coverage(region: np.ndarray, size: tuple[int, int], edge_width: float | None
              ) -> tuple[np.ndarray, np.ndarray]:
    """Return how much of each output pixel the region fills and its edge covers, 0 to 1."""
    fine = (size[1] * _SUPERSAMPLING, size[0] * _SUPERSAMPLING)
    inside = cv2.resize(region.astype(np.float32), fine, interpolation=cv2.INTER_LINEAR) >= 0.5
    inside = inside.astype(np.uint8)
    # Regions go on beyond the image: its border is no edge of theirs.
    padded = np.pad(inside, 1, mode='edge')
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    width = (edge_width or max(1.5, min(size) / 170)) * _SUPERSAMPLING
    edge = np.clip(width + 0.5 - depth, 0, 1) * inside
    output = (size[1], size[0])
    return (cv2.resize(inside.astype(np.float32), output, interpolation=cv2.INTER_AREA),
            cv2.resize(edge.astype(np.float32), output, interpolation=cv2.INTER_AREA))


def error_mask(pred_mask: np.ndarray, gt_mask: np.ndarray) -> np.ndarray:
    """Compare two masks pixel by pixel.

    Args:
        pred_mask: Predicted classes (H, W), 0 = unchanged.
        gt_mask: Reference classes (H, W), 255 = not judged.

    Returns:
        uint8 (H, W) with the numbers of :data:`ERROR_CLASSES`: 0 rightly unchanged or not judged,
        1 change found with its class, 2 false alarm, 3 missed, 4 change found but wrong class.

    Raises:
        ValueError: If the sizes differ.
    """
    pred, gt = check_mask(pred_mask, 'pred_mask'), check_mask(gt_mask, 'gt_mask')
    if pred.shape != gt.shape:
        raise ValueError(f'mask sizes differ: predicted {pred.shape}, reference {gt.shape}. '
                         'Resize the prediction to the reference first.')
    result = np.zeros(pred.shape, np.uint8)
    result[(pred != 0) & (gt == pred)] = 1
    result[(pred != 0) & (gt == 0)] = 2
    result[(pred == 0) & (gt != 0)] = 3
    result[(pred != 0) & (gt != 0) & (gt != pred)] = 4
    result[gt == IGNORE] = 0
    return result
