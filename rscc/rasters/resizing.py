"""Resizing of frames, masks and maps: one arithmetic for training, testing and exported models."""
from collections.abc import Callable

import cv2
import numpy as np

Size = tuple[int, int]
_MOST = 4  # channels that every function of OpenCV takes


def by_bands(change: Callable[[np.ndarray], np.ndarray], frame: np.ndarray) -> np.ndarray:
    """Apply a function of OpenCV to an image of any number of bands.

    Some of its functions refuse more than four channels, others then compute in another way.

    Args:
        change: Image -> image, each band by itself.
        frame: (H, W) or (H, W, B).

    Returns:
        What ``change`` makes of it, (h, w) or (h, w, B).
    """
    if frame.ndim == 2 or 1 < frame.shape[2] <= _MOST:
        return change(frame)
    parts = [change(np.ascontiguousarray(frame[..., first:first + _MOST]))
             for first in range(0, frame.shape[2], _MOST)]
    # Of a single band OpenCV drops the axis.
    return np.concatenate([part.reshape(*part.shape[:2], -1) for part in parts], 2)


def resize_frame(frame: np.ndarray, size: Size) -> np.ndarray:
    """Resize an image (H, W, B) to ``size`` (H, W): area average down, bicubic up."""
    if frame.shape[:2] == tuple(size):
        return frame
    shrinks = size[0] <= frame.shape[0] and size[1] <= frame.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return by_bands(lambda part: cv2.resize(part, (size[1], size[0]), interpolation=method), frame)


def resize_mask(mask: np.ndarray, size: Size) -> np.ndarray:
    """Resize a label map (H, W) to ``size`` (H, W) by the nearest pixel centre."""
    if mask.shape == tuple(size):
        return mask
    return cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)


def resize_scores(scores: np.ndarray, size: Size) -> np.ndarray:
    """Resize scores of classes (C, h, w), float32, to ``size`` (H, W), bilinear.

    Pixel centres keep their places and nothing is averaged, as torch's ``interpolate`` does it
    without aligned corners.
    """
    if scores.shape[1:] == tuple(size):
        return scores
    return np.stack([cv2.resize(np.ascontiguousarray(one), (size[1], size[0]),
                                interpolation=cv2.INTER_LINEAR) for one in scores])


def size_within(size: Size, height: int, width: int) -> Size:
    """Return the largest (H, W) within ``size`` of the proportions of height and width."""
    factor = min(size[0] / height, size[1] / width)
    return max(1, round(height * factor)), max(1, round(width * factor))
