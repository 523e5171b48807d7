"""Colour."""
import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from rscc.registry import TRANSFORMS

#: ITU-R BT.601 luma of red, green, blue.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@TRANSFORMS.register_module()
class FramesColorJitter(BaseTransform):
    """Change the colours of each date by its own draw (one draw for all if asked); mask untouched.

    Two dates of one place differ in light, season and sensor without any change on the ground;
    drawing per date teaches a model to look past that. Everything but saturation goes through one
    256-entry table per frame, so it costs a fraction of decoding.

    Args:
        brightness: Largest relative change of the values; 0.2 means factors 0.8 to 1.2.
        contrast: The same about the frame's mean.
        saturation: The same about grey.
        gamma: Largest change of the exponent, in the same way.
        prob: Probability that a date (or the sample) is changed at all.
        per_date: Whether each date gets its own draw.
    """

    def __init__(self, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.2,
                 gamma: float = 0.1, prob: float = 0.8, per_date: bool = True):
        self.strengths = {'brightness': brightness, 'contrast': contrast, 'saturation': saturation,
                          'gamma': gamma}
        for name, strength in self.strengths.items():
            if not 0 <= strength < 1:
                raise ValueError(f'{name}={strength} must be in [0, 1).')
        self.prob, self.per_date = prob, per_date

    def transform(self, results: dict) -> dict:
        """Replace ``frames``."""
        rng, frames = results['rng'], results['frames']
        draws = [self._draw(rng) for _ in (frames if self.per_date else frames[:1])]
        draws = draws if self.per_date else draws * len(frames)
        results['frames'] = [frame if draw is None else jitter(frame, **draw)
                             for frame, draw in zip(frames, draws, strict=True)]
        return results

    def _draw(self, rng: np.random.Generator) -> dict[str, float] | None:
        """Draw the factors; always as many numbers, whether they are used or not."""
        used = rng.random() < self.prob
        factors = {name: 1 + strength * rng.uniform(-1, 1)
                   for name, strength in self.strengths.items()}
        return factors if used else None

    def __repr__(self) -> str:
        settings = ', '.join(f'{name}={value}' for name, value in self.strengths.items())
        return f'FramesColorJitter({settings}, prob={self.prob}, per_date={self.per_date})'


def jitter(frame: np.ndarray, brightness: float = 1.0, contrast: float = 1.0,
           saturation: float = 1.0, gamma: float = 1.0) -> np.ndarray:
    """Change brightness, contrast, gamma and saturation of an image by factors (1 = unchanged).

    Args:
        frame: uint8 RGB (H, W, 3).
        brightness: Factor of all values.
        contrast: Factor of the distance from the mean.
        saturation: Factor of the distance from grey.
        gamma: Exponent of the values on the 0-1 scale.

    Returns:
        uint8 (H, W, 3), a new array.
    """
    values = np.arange(256, dtype=np.float32)
    centre = brightness * float(np.mean(cv2.mean(frame)[:3]))
    table = centre + contrast * (brightness * values - centre)
    table = 255 * (np.clip(table, 0, 255) / 255) ** gamma
    frame = cv2.LUT(frame, np.round(table).astype(np.uint8))
    if saturation == 1:
        return frame
    matrix = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * LUMA
    return cv2.transform(frame, matrix.astype(np.float32))
