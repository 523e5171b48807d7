"""Flips."""
import cv2
from mmcv.transforms import BaseTransform

from rscc.datasets.transforms.directions import adapt_captions, check_mode
from rscc.registry import TRANSFORMS
from rscc.utils import did_you_mean

AXES = {'horizontal': ('hflip', 1), 'vertical': ('vflip', 0)}


@TRANSFORMS.register_module()
class FramesRandomFlip(BaseTransform):
    """Flip all dates and the mask by one draw, and the captions with them.

    Args:
        prob: Probability of the flip.
        direction: ``'horizontal'`` (left and right exchange) or ``'vertical'``; both by two
            transforms.
        captions: ``'swap'`` exchanges "left" and "right" in the captions and skips the flip where
            that is not safe; ``'skip'`` skips it wherever a direction is mentioned; ``'drop'``
            removes the captions (training of masks only).
    """

    def __init__(self, prob: float = 0.5, direction: str = 'horizontal', captions: str = 'swap'):
        if direction not in AXES:
            raise ValueError(f"direction='{direction}' is unknown: use one of {list(AXES)}."
                             f'{did_you_mean(direction, AXES)}')
        self.prob, self.direction, self.captions = prob, direction, check_mode(captions)

    def transform(self, results: dict) -> dict:
        """Flip ``frames`` and ``gt_sem_seg``, or leave the sample as it is."""
        operation, axis = AXES[self.direction]
        if results['rng'].random() >= self.prob:
            return results
        if not adapt_captions(results, operation, self.captions):
            return results
        results['frames'] = [cv2.flip(frame, axis) for frame in results['frames']]
        if 'gt_sem_seg' in results:
            results['gt_sem_seg'] = cv2.flip(results['gt_sem_seg'], axis)
        results['flip'] = [*results.get('flip', []), self.direction]
        return results

    def __repr__(self) -> str:
        return (f"FramesRandomFlip(prob={self.prob}, direction='{self.direction}', "
                f"captions='{self.captions}')")
