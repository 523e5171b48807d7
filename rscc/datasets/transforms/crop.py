"""Cropping."""
import numpy as np
from mmcv.transforms import BaseTransform

from rscc.registry import TRANSFORMS

Box = tuple[int, int]
TRIALS = 10


@TRANSFORMS.register_module()
class FramesRandomCrop(BaseTransform):
    """Crop all dates and the mask to one window, drawn once.

    A crop can cut away what the captions tell. For captioned training either crop little, or give
    ``keep_change`` where masks exist; captions are never rewritten.

    Args:
        size: (H, W) of the window, or one number.
        keep_change: Share of the changed pixels (0 to 1) that the window must hold. Of ten draws
            the first that does is taken, else the best. Without a mask it is an error.
    """

    def __init__(self, size: int | tuple[int, int], keep_change: float | None = None):
        self.size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if keep_change is not None and not 0 < keep_change <= 1:
            raise ValueError(f'keep_change={keep_change} must be a share in (0, 1].')
        self.keep_change = keep_change

    def transform(self, results: dict) -> dict:
        """Crop ``frames`` and ``gt_sem_seg``; ``img_shape`` follows.

        Raises:
            ValueError: If the frames are smaller than the window, or the mask is needed and absent.
        """
        height, width = results['frames'][0].shape[:2]
        if height < self.size[0] or width < self.size[1]:
            raise ValueError(f"sample '{results.get('sample_id')}' is {(height, width)} (H, W), "
                             f'smaller than the crop {self.size}. Resize it first: FramesResize.')
        top, left = self._window(results, (height - self.size[0], width - self.size[1]))
        rows, columns = slice(top, top + self.size[0]), slice(left, left + self.size[1])
        results['frames'] = [frame[rows, columns] for frame in results['frames']]
        if 'gt_sem_seg' in results:
            results['gt_sem_seg'] = results['gt_sem_seg'][rows, columns]
        results['img_shape'] = self.size
        return results

    def _window(self, results: dict, room: Box) -> Box:
        """Draw the upper left corner."""
        rng = results['rng']
        if self.keep_change is None:
            return _corner(rng, room)
        if 'gt_sem_seg' not in results:
            raise ValueError(f"FramesRandomCrop(keep_change=...) needs a mask; sample "
                             f"'{results.get('sample_id')}' has none.")
        changed = (results['gt_sem_seg'] > 0) & (results['gt_sem_seg'] != 255)
        wanted = self.keep_change * changed.sum()
        best, most = (0, 0), -1
        for _ in range(TRIALS):
            top, left = _corner(rng, room)
            held = int(changed[top:top + self.size[0], left:left + self.size[1]].sum())
            if held > most:
                best, most = (top, left), held
            if held >= wanted:
                break
        return best

    def __repr__(self) -> str:
        return f'FramesRandomCrop(size={self.size}, keep_change={self.keep_change})'


def _corner(rng: np.random.Generator, room: Box) -> Box:
    return int(rng.integers(room[0] + 1)), int(rng.integers(room[1] + 1))
