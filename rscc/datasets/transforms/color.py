"""Colour transforms of frames."""
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
    drawing per date teaches a model to look past that. Brightness, contrast and gamma go through
    one 256-entry table per frame, saturation and hue through one 3x3 matrix, so it costs a fraction
    of decoding. Of more than three bands all get the table, and red, green and blue alone the
    matrix: other bands have no hue.

    Args:
        brightness: Largest relative change of the values; 0.2 means factors 0.8 to 1.2.
        contrast: The same about the frame's mean.
        saturation: The same about grey.
        gamma: Largest change of the exponent, in the same way.
        hue: Largest turn of the hue in degrees, to either side, luma kept.
        prob: Probability that a date (or the sample) is changed at all.
        per_date: Whether each date gets its own draw.
    """

    def __init__(self, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.2,
                 gamma: float = 0.1, prob: float = 0.8, per_date: bool = True, *,
                 hue: float = 0.0):
        self.strengths = {'brightness': brightness, 'contrast': contrast, 'saturation': saturation,
                          'gamma': gamma}
        for name, strength in self.strengths.items():
            if not 0 <= strength < 1:
                raise ValueError(f'{name}={strength} must be in [0, 1).')
        if not 0 <= hue <= 180:
            raise ValueError(f'hue={hue} must be in [0, 180] degrees.')
        self.prob, self.per_date, self.hue = prob, per_date, hue

    def transform(self, results: dict) -> dict:
        """Replace ``frames``."""
        rng, frames = results['rng'], results['frames']
        draws = [self._draw(rng) for _ in (frames if self.per_date else frames[:1])]
        draws = draws if self.per_date else draws * len(frames)
        results['frames'] = [frame if draw is None else jitter(frame, **draw)
                             for frame, draw in zip(frames, draws, strict=True)]
        return results

    def _draw(self, rng: np.random.Generator) -> dict[str, float] | None:
        """Draw the factors and the angle; as many numbers whether they are used or not."""
        used = rng.random() < self.prob
        factors = {name: 1 + strength * rng.uniform(-1, 1)
                   for name, strength in self.strengths.items()}
        if self.hue:
            factors['hue'] = self.hue * rng.uniform(-1, 1)
        return factors if used else None

    def __repr__(self) -> str:
        settings = ', '.join(f'{name}={value}' for name, value in self.strengths.items())
        return (f'FramesColorJitter({settings}, prob={self.prob}, per_date={self.per_date}, '
                f'hue={self.hue})')


def jitter(frame: np.ndarray, brightness: float = 1.0, contrast: float = 1.0,
           saturation: float = 1.0, gamma: float = 1.0, hue: float = 0.0) -> np.ndarray:
    """Change brightness, contrast, gamma, saturation and hue of an image.

    The factors are unchanged at 1, the angle at 0.

    Args:
        frame: uint8 (H, W, B), the first three red, green and blue.
        brightness: Factor of all values.
        contrast: Factor of the distance from the mean.
        saturation: Factor of the distance from grey.
        gamma: Exponent of the values on the 0-1 scale.
        hue: Turn about the grey axis in degrees, counted from red towards green.

    Returns:
        uint8 (H, W, B), a new array. With fewer than three bands there is no colour to change.
    """
    values = np.arange(256, dtype=np.float32)
    centre = brightness * float(np.mean(_band_means(frame)))
    table = centre + contrast * (brightness * values - centre)
    table = 255 * (np.clip(table, 0, 255) / 255) ** gamma
    shape = frame.shape
    frame = cv2.LUT(frame, np.round(table).astype(np.uint8)).reshape(shape)
    if (saturation == 1 and hue == 0) or shape[2] < 3:
        return frame
    matrix = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * LUMA
    colours = cv2.transform(np.ascontiguousarray(frame[..., :3]),
                            (matrix @ hue_matrix(hue)).astype(np.float32))
    return colours if shape[2] == 3 else np.concatenate([colours, frame[..., 3:]], 2)


def _band_means(frame: np.ndarray) -> list[float]:
    """Return the mean of every band, four at a time, as OpenCV takes them."""
    means = []
    for first in range(0, frame.shape[2], 4):
        part = np.ascontiguousarray(frame[..., first:first + 4])
        means += cv2.mean(part)[:part.shape[2]]
    return means


def hue_matrix(degrees: float) -> np.ndarray:
    """Return the turn of the chroma by an angle: luma and greys stay.

    A rotation about the grey axis, then a shear along it that gives every colour its luma back.

    Returns:
        float64 (3, 3), for RGB columns.
    """
    angle, axis = np.deg2rad(degrees), np.full(3, 3 ** -0.5)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) * 3 ** -0.5
    turn = (np.cos(angle) * np.eye(3) + np.sin(angle) * cross
            + (1 - np.cos(angle)) * np.outer(axis, axis))
    return turn + np.outer(np.ones(3), LUMA - LUMA @ turn)
