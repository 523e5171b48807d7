"""Resizing."""
import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from rscc.registry import TRANSFORMS


def resize_frame(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an image (H, W, 3) to ``size`` (H, W): area average down, bicubic up."""
    if frame.shape[:2] == tuple(size):
        return frame
    shrinks = size[0] <= frame.shape[0] and size[1] <= frame.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(frame, (size[1], size[0]), interpolation=method)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a label map (H, W) to ``size`` (H, W) by the nearest pixel centre."""
    if mask.shape == tuple(size):
        return mask
    return cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)


@TRANSFORMS.register_module()
class FramesResize(BaseTransform):
    """Resize all dates and the mask to the same size.

    Frames by area average when they shrink and bicubic when they grow, the mask by nearest pixel
    centre, so no class is invented.

    Args:
        size: (H, W), or one number for both.
        keep_ratio: Whether the longer side becomes ``max(size)`` at most and the other follows.
    """

    def __init__(self, size: int | tuple[int, int], keep_ratio: bool = False):
        self.size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if min(self.size) < 1:
            raise ValueError(f'size={size} must be positive (H, W).')
        self.keep_ratio = keep_ratio

    def transform(self, results: dict) -> dict:
        """Resize ``frames`` and ``gt_sem_seg``; ``img_shape`` follows."""
        height, width = results['frames'][0].shape[:2]
        size = self.size
        if self.keep_ratio:
            factor = min(size[0] / height, size[1] / width)
            size = (max(1, round(height * factor)), max(1, round(width * factor)))
        results['frames'] = [resize_frame(frame, size) for frame in results['frames']]
        if 'gt_sem_seg' in results:
            results['gt_sem_seg'] = resize_mask(results['gt_sem_seg'], size)
        results['img_shape'] = size
        return results

    def __repr__(self) -> str:
        return f'FramesResize(size={self.size}, keep_ratio={self.keep_ratio})'
