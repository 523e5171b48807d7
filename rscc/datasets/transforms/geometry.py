"""Geometric transforms: all frames resized, cropped, flipped or rotated alike, or one moved."""
import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from rscc.datasets.transforms.captions import MODES, adapt_captions
from rscc.datasets.transforms.color import within
from rscc.rasters.labels import shows_change
from rscc.rasters.resizing import by_bands, resize_frame, resize_mask, size_within
from rscc.registry import TRANSFORMS
from rscc.structures import change_maps
from rscc.utils import check_choice

TRIALS = 10  # windows drawn by a crop that must keep changed pixels
AXES = {'horizontal': ('hflip', 1), 'vertical': ('vflip', 0)}
BORDERS = {'reflect': cv2.BORDER_REFLECT_101, 'black': cv2.BORDER_CONSTANT}
Box = tuple[int, int]


@TRANSFORMS.register_module()
class FramesResize(BaseTransform):
    """Resize all dates and the label maps to the same size.

    Frames by area average when they shrink and bicubic when they grow, label maps by nearest pixel
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
        """Resize ``frames`` and label maps; ``img_shape`` follows."""
        height, width = results['frames'][0].shape[:2]
        size = self.size
        if self.keep_ratio:
            size = size_within(size, height, width)
        results['frames'] = [resize_frame(frame, size) for frame in results['frames']]
        change_maps(results, lambda labels, _: resize_mask(labels, size))
        results['img_shape'] = size
        return results

    def __repr__(self) -> str:
        return f'FramesResize(size={self.size}, keep_ratio={self.keep_ratio})'


@TRANSFORMS.register_module()
class FramesRandomCrop(BaseTransform):
    """Crop all dates and the label maps to one window, drawn once.

    A crop can cut away what the captions tell. For captioned training either crop little, or give
    ``keep_change`` where masks exist; captions are never rewritten.

    Args:
        size: (H, W) of the window, or one number.
        keep_change: Share of the changed pixels (0 to 1) that the window must hold. Of ten draws
            the first that does is taken, else the best. Without a mask it is an error.
        zoom: Least and largest factor by which the window is enlarged to ``size`` (drawn
            log-uniformly): at 2 it shows a quarter of the area, twice as large.
    """

    def __init__(self, size: int | tuple[int, int], keep_change: float | None = None,
                 zoom: tuple[float, float] = (1.0, 1.0)):
        self.size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if keep_change is not None and not 0 < keep_change <= 1:
            raise ValueError(f'keep_change={keep_change} must be a share in (0, 1].')
        if not 1 <= zoom[0] <= zoom[1]:
            raise ValueError(f'zoom={zoom} must be (least, largest) factors of 1 and more.')
        self.keep_change, self.zoom = keep_change, tuple(zoom)

    def transform(self, results: dict) -> dict:
        """Crop ``frames`` and label maps; ``img_shape`` follows.

        Raises:
            ValueError: If the frames are smaller than the window, or the mask is needed and absent.
        """
        height, width = results['frames'][0].shape[:2]
        if height < self.size[0] or width < self.size[1]:
            raise ValueError(f"sample '{results.get('sample_id')}' is {(height, width)} (H, W), "
                             f'smaller than the crop {self.size}. Resize it first: FramesResize.')
        # Nothing is drawn without a zoom: seeded trainings stay what they were.
        factor = 1.0 if self.zoom == (1, 1) else np.exp(results['rng'].uniform(*np.log(self.zoom)))
        window = tuple(max(1, round(side / factor)) for side in self.size)
        top, left = self._corner_of(results, (height, width), window)
        rows, columns = slice(top, top + window[0]), slice(left, left + window[1])
        results['frames'] = [resize_frame(frame[rows, columns], self.size)
                             for frame in results['frames']]
        change_maps(results, lambda labels, _: resize_mask(labels[rows, columns], self.size))
        results['img_shape'] = self.size
        return results

    def _corner_of(self, results: dict, shape: Box, window: Box) -> Box:
        """Draw the upper left corner of a window in frames of a shape, all (H, W)."""
        rng, room = results['rng'], (shape[0] - window[0], shape[1] - window[1])
        if self.keep_change is None:
            return _corner(rng, room)
        if 'gt_sem_seg' not in results:
            raise ValueError(f"FramesRandomCrop(keep_change=...) needs a mask; sample "
                             f"'{results.get('sample_id')}' has none.")
        changed = shows_change(results['gt_sem_seg'])
        wanted = self.keep_change * changed.sum()
        best, most = (0, 0), -1
        for _ in range(TRIALS):
            top, left = _corner(rng, room)
            held = int(changed[top:top + window[0], left:left + window[1]].sum())
            if held > most:
                best, most = (top, left), held
            if held >= wanted:
                break
        return best

    def __repr__(self) -> str:
        return (f'FramesRandomCrop(size={self.size}, keep_change={self.keep_change}, '
                f'zoom={self.zoom})')


def _corner(rng: np.random.Generator, room: Box) -> Box:
    return int(rng.integers(room[0] + 1)), int(rng.integers(room[1] + 1))


@TRANSFORMS.register_module()
class FramesRandomFlip(BaseTransform):
    """Flip all dates and the label maps by one draw, and the captions with them.

    Args:
        prob: Probability of the flip.
        direction: ``'horizontal'`` (left and right exchange) or ``'vertical'``; both by two
            transforms.
        captions: ``'swap'`` exchanges "left" and "right" in the captions and skips the flip where
            that is not safe; ``'skip'`` skips it wherever a direction is mentioned; ``'drop'``
            removes the captions (training of masks only).
    """

    def __init__(self, prob: float = 0.5, direction: str = 'horizontal', captions: str = 'swap'):
        check_choice('direction', direction, AXES)
        check_choice('captions', captions, MODES)
        self.prob, self.direction, self.captions = prob, direction, captions

    def transform(self, results: dict) -> dict:
        """Flip ``frames`` and label maps, or leave the sample as it is."""
        operation, axis = AXES[self.direction]
        if results['rng'].random() >= self.prob:
            return results
        if not adapt_captions(results, operation, self.captions):
            return results
        results['frames'] = [cv2.flip(frame, axis).reshape(frame.shape)
                             for frame in results['frames']]
        change_maps(results, lambda labels, _: cv2.flip(labels, axis))
        results['flip'] = [*results.get('flip', []), self.direction]
        return results

    def __repr__(self) -> str:
        return (f"FramesRandomFlip(prob={self.prob}, direction='{self.direction}', "
                f"captions='{self.captions}')")


@TRANSFORMS.register_module()
class FramesRandomRotate90(BaseTransform):
    """Turn all dates and the label maps by 90, 180 or 270 degrees, captions with them.

    Args:
        prob: Probability of a turn.
        captions: ``'swap'`` turns the direction words ("top" becomes "left" by a quarter turn
            counter-clockwise) and skips the turn where that is not safe; ``'skip'`` skips it
            wherever a direction is mentioned; ``'drop'`` removes the captions (masks only).
    """

    def __init__(self, prob: float = 0.75, captions: str = 'swap'):
        check_choice('captions', captions, MODES)
        self.prob, self.captions = prob, captions

    def transform(self, results: dict) -> dict:
        """Turn ``frames`` and label maps counter-clockwise; ``img_shape`` follows."""
        rng = results['rng']
        turned, quarters = rng.random() < self.prob, int(rng.integers(1, 4))
        if not turned or not adapt_captions(results, f'rot{90 * quarters}', self.captions):
            return results
        results['frames'] = [_turn(frame, quarters) for frame in results['frames']]
        change_maps(results, lambda labels, _: _turn(labels, quarters))
        results['img_shape'] = results['frames'][0].shape[:2]
        return results

    def __repr__(self) -> str:
        return f"FramesRandomRotate90(prob={self.prob}, captions='{self.captions}')"


def _turn(array: np.ndarray, quarters: int) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(array, quarters))


@TRANSFORMS.register_module()
class FramesRandomRotate(BaseTransform):
    """Rotate all dates and the label maps by one free angle about the centre.

    The corners that turn in are ignored: 255 in the mask, 0 in the class maps of the dates.
    Direction words cannot follow a free angle, so samples that mention one are left as they are.

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
        check_choice('captions', captions, ('skip', 'drop'))
        check_choice('border', border, BORDERS)
        self.max_angle, self.prob, self.captions, self.border = max_angle, prob, captions, border

    def transform(self, results: dict) -> dict:
        """Rotate ``frames`` (bilinear) and label maps (nearest)."""
        rng = results['rng']
        rotated, angle = rng.random() < self.prob, rng.uniform(-self.max_angle, self.max_angle)
        if not rotated or not adapt_captions(results, 'any', self.captions):
            return results
        height, width = results['frames'][0].shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)

        def rotate(image: np.ndarray) -> np.ndarray:
            return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR,
                                  borderMode=BORDERS[self.border])

        results['frames'] = [by_bands(rotate, frame) for frame in results['frames']]
        change_maps(results, lambda labels, unknown: cv2.warpAffine(
            labels, matrix, (width, height), flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT, borderValue=unknown))
        return results

    def __repr__(self) -> str:
        return (f'FramesRandomRotate(max_angle={self.max_angle}, prob={self.prob}, '
                f"captions='{self.captions}', border='{self.border}')")


@TRANSFORMS.register_module()
class FramesMisalign(BaseTransform):
    """Move one date, drawn at random, by up to a few pixels; the other dates and label maps stay.

    Two dates are never registered perfectly, and a model that has only seen perfect pairs reports
    the edges of everything as change. The moved date is resampled bicubically, so that it is hardly
    softer than the other. What moves in at the border is mirrored image content.

    Args:
        max_shift: Largest shift in pixels, in any direction.
        max_angle: Largest rotation about the centre in degrees, to either side.
        max_scale: Largest relative change of scale about the centre; 0.01 moves the edge of a frame
            of 256 pixels by 1.3.
        prob: Probability that a date is moved at all.
    """

    def __init__(self, max_shift: float = 2.0, max_angle: float = 0.0, max_scale: float = 0.0,
                 prob: float = 0.5):
        self.max_shift = within('max_shift', max_shift, 0, 64)
        self.max_angle = within('max_angle', max_angle, 0, 10)
        self.max_scale = within('max_scale', max_scale, 0, 0.2)
        self.prob = within('prob', prob, 0, 1)

    def transform(self, results: dict) -> dict:
        """Replace one of ``frames``.

        Raises:
            ValueError: If the sample has one date only, which its mask would no longer fit.
        """
        rng, frames = results['rng'], list(results['frames'])
        if len(frames) < 2:
            raise ValueError("FramesMisalign needs two dates or more; sample "
                             f"'{results.get('sample_id')}' has {len(frames)} frame(s).")
        used, date = rng.random() < self.prob, int(rng.integers(len(frames)))
        matrix = self.draw(rng, frames[date].shape)
        if used:
            size = frames[date].shape[1::-1]
            frames[date] = by_bands(lambda part: cv2.warpAffine(
                part, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101),
                frames[date])
        results['frames'] = frames
        return results

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draw where pixels go: float64 (2, 3), to be applied to columns (x, y, 1)."""
        height, width = shape[:2]
        # The root makes shifts uniform over the disc.
        length, towards = self.max_shift * rng.random() ** 0.5, 2 * np.pi * rng.random()
        angle, scale = rng.uniform(-1, 1, 2) * (self.max_angle, self.max_scale)
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1 + scale)
        matrix[:, 2] += length * np.cos(towards), length * np.sin(towards)
        return matrix

    def __repr__(self) -> str:
        return (f'FramesMisalign(max_shift={self.max_shift}, max_angle={self.max_angle}, '
                f'max_scale={self.max_scale}, prob={self.prob})')
