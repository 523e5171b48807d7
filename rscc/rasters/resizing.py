"""Resizing of frames, masks and maps: one arithmetic for training, testing and exported models."""
import cv2
import numpy as np

Size = tuple[int, int]


def resize_frame(frame: np.ndarray, size: Size) -> np.ndarray:
    """Resize an image (H, W, 3) to ``size`` (H, W): area average down, bicubic up."""
    if frame.shape[:2] == tuple(size):
        return frame
    shrinks = size[0] <= frame.shape[0] and size[1] <= frame.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(frame, (size[1], size[0]), interpolation=method)


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
