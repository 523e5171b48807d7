"""Rotations."""
import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from rscc.datasets.image_files import IGNORE
from rscc.datasets.transforms.directions import adapt_captions, check_mode
from rscc.registry import TRANSFORMS
from rscc.utils import did_you_mean

BORDERS = {'reflect': cv2.BORDER_REFLECT_101, 'black': cv2.BORDER_CONSTANT}


@TRANSFORMS.register_module()
class FramesRandomRotate90(BaseTransform):
    """Turn all dates and the mask by one draw of 90, 180 or 270 degrees, captions with them.

    Args:
        prob: Probability of a turn.
        captions: ``'swap'`` turns the direction words ("top" becomes "left" by a quarter turn
            counter-clockwise) and skips the turn where that is not safe; ``'skip'`` skips it
            wherever a direction is mentioned; ``'drop'`` removes the captions (masks only).
    """

    def __init__(self, prob: float = 0.75, captions: str = 'swap'):
        self.prob, self.captions = prob, check_mode(captions)

    def transform(self, results: dict) -> dict:
        """Turn ``frames`` and ``gt_sem_seg`` counter-clockwise; ``img_shape`` follows."""
        rng = results['rng']
        turned, quarters = rng.random() < self.prob, int(rng.integers(1, 4))
        if not turned or not adapt_captions(results, f'rot{90 * quarters}', self.captions):
            return results
        results['frames'] = [_turn(frame, quarters) for frame in results['frames']]
        if 'gt_sem_seg' in results:
            results['gt_sem_seg'] = _turn(results['gt_sem_seg'], quarters)
        results['img_shape'] = results['frames'][0].shape[:2]
        return results

    def __repr__(self) -> str:
        return f"FramesRandomRotate90(prob={self.prob}, captions='{self.captions}')"


def _turn(array: np.ndarray, quarters: int) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(array, quarters))


@TRANSFORMS.register_module()
class FramesRandomRotate(BaseTransform):
    """Rotate all dates and the mask by one free angle about the centre.

    The corners that turn in are ignored in the mask (255). Direction words cannot follow a free
    angle, so samples that mention one are left as they are.

    Args:
        max_angle: Largest angle in degrees, to either side.
        prob: Probability of a rotation.
        captions: ``'skip'`` or ``'drop'`` (removes the captions: training of masks only).
        border: What fills the corners: ``'reflect'``, mirrored image content, or ``'black'``, which
            no image holds (ChangeCLIP's).
    """

    def __init__(self, max_angle: float = 15.0, prob: float = 0.5, captions: str = 'skip',
                 border: str = 'reflect'):
        if not 0 < max_angle <= 180:
            raise ValueError(f'max_angle={max_angle} must be in (0, 180] degrees.')
        self.max_angle, self.prob = max_angle, prob
        self.captions = check_mode(captions, ('skip', 'drop'))
        if border not in BORDERS:
            raise ValueError(f"border='{border}' is unknown: use one of {list(BORDERS)}."
                             f'{did_you_mean(border, BORDERS)}')
        self.border = border

    def transform(self, results: dict) -> dict:
        """Rotate ``frames`` (bilinear) and ``gt_sem_seg`` (nearest)."""
        rng = results['rng']
        rotated, angle = rng.random() < self.prob, rng.uniform(-self.max_angle, self.max_angle)
        if not rotated or not adapt_captions(results, 'any', self.captions):
            return results
        height, width = results['frames'][0].shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
        results['frames'] = [
            cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_LINEAR,
                           borderMode=BORDERS[self.border]) for frame in results['frames']]
        if 'gt_sem_seg' in results:
            results['gt_sem_seg'] = cv2.warpAffine(
                results['gt_sem_seg'], matrix, (width, height), flags=cv2.INTER_NEAREST,
                borderMode=cv2.BORDER_CONSTANT, borderValue=IGNORE)
        return results

    def __repr__(self) -> str:
        return (f'FramesRandomRotate(max_angle={self.max_angle}, prob={self.prob}, '
                f"captions='{self.captions}', border='{self.border}')")
