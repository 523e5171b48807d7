"""Colour transforms of frames, and the base class of all that change how a date looks."""
import inspect
from abc import abstractmethod
from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from rscc.registry import TRANSFORMS

#: ITU-R BT.601 luma of red, green, blue.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class FramesAppearance(BaseTransform):
    """Base class of transforms that change how each date looks by a draw of its own.

    A subclass says what is drawn (``draw``) and what the draw does to one frame (``apply``). No
    pixel moves and the mask stays as it is. All numbers come from the sample's ``rng``, as many of
    them whether a date is changed or not, so that the probability of one transform does not shift
    the draws of the next.

    Args:
        prob: Probability that a date (or the sample) is changed at all.
        per_date: Whether each date gets its own draw; else one draw serves all.
    """

    def __init__(self, prob: float, per_date: bool = True):
        self.prob, self.per_date = within('prob', prob, 0, 1), per_date

    @abstractmethod
    def draw(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> dict:
        """Return the keywords of ``apply`` for a frame of ``shape`` (H, W, B)."""

    @abstractmethod
    def apply(self, frame: np.ndarray, **drawn) -> np.ndarray:
        """Return the changed frame, uint8 (H, W, B), a new array."""

    def transform(self, results: dict) -> dict:
        """Replace ``frames``."""
        rng, frames = results['rng'], results['frames']
        draws = [(rng.random() < self.prob, self.draw(rng, frame.shape))
                 for frame in (frames if self.per_date else frames[:1])]
        draws = draws if self.per_date else draws * len(frames)
        results['frames'] = [self.apply(frame, **drawn) if used else frame
                             for frame, (used, drawn) in zip(frames, draws, strict=True)]
        return results

    def __repr__(self) -> str:
        names = inspect.signature(type(self)).parameters
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in names)})"


def within(name: str, value: float, low: float, high: float) -> float:
    """Return a setting that lies in [low, high].

    Raises:
        ValueError: If it does not.
    """
    if not low <= value <= high:
        raise ValueError(f'{name}={value} must be in [{low}, {high}].')
    return value


def span(name: str, value: Sequence[float], low: float, high: float) -> tuple[float, float]:
    """Return the two ends between which a setting is drawn.

    Raises:
        ValueError: If these are not two numbers in [low, high], the smaller first.
    """
    ends = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
    if len(ends) != 2 or not low <= ends[0] <= ends[1] <= high:
        raise ValueError(f'{name}={value} must be two numbers (least, most) in [{low}, {high}], '
                         'between which each draw lies.')
    return ends


@TRANSFORMS.register_module()
class FramesColorJitter(FramesAppearance):
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
        self.hue = hue
        super().__init__(prob, per_date)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> dict[str, float]:
        """Draw the factors and the angle."""
        factors = {name: 1 + strength * rng.uniform(-1, 1)
                   for name, strength in self.strengths.items()}
        return factors | ({'hue': self.hue * rng.uniform(-1, 1)} if self.hue else {})

    def apply(self, frame: np.ndarray, **drawn) -> np.ndarray:
        """Return the frame in other colours."""
        return jitter(frame, **drawn)

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


@TRANSFORMS.register_module()
class FramesTint(FramesAppearance):
    """Give every band of a date its own gain and offset, as white balance and other sensors do.

    Args:
        gain: Largest relative change of a band; 0.1 means factors 0.9 to 1.1.
        offset: Largest number of grey values added to or taken from a band.
        prob: Probability that a date (or the sample) is changed at all.
        per_date: Whether each date gets its own draw.
    """

    def __init__(self, gain: float = 0.07, offset: float = 5.0, prob: float = 0.5,
                 per_date: bool = True):
        self.gain, self.offset = within('gain', gain, 0, 1), within('offset', offset, 0, 255)
        super().__init__(prob, per_date)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> dict:
        """Draw one gain and one offset for each band."""
        gains, offsets = rng.uniform(-1, 1, (2, shape[2]))
        return dict(gains=1 + self.gain * gains, offsets=self.offset * offsets)

    def apply(self, frame: np.ndarray, gains: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Return the frame with every band stretched by itself."""
        values = np.arange(256)[:, None] * gains + offsets
        table = np.clip(np.round(values), 0, 255).astype(np.uint8)[None]
        return cv2.LUT(frame, table).reshape(frame.shape)


@TRANSFORMS.register_module()
class FramesExposure(FramesAppearance):
    """Over-expose a date, so that bright things turn white, or crush its shadows to black.

    An over-exposed date is brightened; what comes near white saturates, at once or along a soft
    shoulder as in film and in processed imagery. In an under-exposed one all that is darker than a
    black point is lost. One table serves all bands.

    Args:
        gain: Least and largest factor of an over-exposed date.
        black: Least and largest black point of an under-exposed date, as a share of white.
        over: Share of the changed dates that are over-exposed.
        prob: Probability that a date (or the sample) is changed at all.
        per_date: Whether each date gets its own draw.
    """

    def __init__(self, gain: tuple[float, float] = (1.15, 1.7),
                 black: tuple[float, float] = (0.04, 0.16), over: float = 0.6, prob: float = 0.3,
                 per_date: bool = True):
        self.gain, self.black = span('gain', gain, 1, 10), span('black', black, 0, 0.9)
        self.over = within('over', over, 0, 1)
        super().__init__(prob, per_date)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> dict:
        """Draw the kind, its strength and where the shoulder begins."""
        over, gain, black = rng.random() < self.over, rng.uniform(*self.gain), rng.uniform(
            *self.black)
        return dict(gain=gain if over else 1.0, black=0.0 if over else black,
                    knee=rng.uniform(0.7, 1.0))

    def apply(self, frame: np.ndarray, gain: float = 1.0, black: float = 0.0,
              knee: float = 1.0) -> np.ndarray:
        """Return the frame exposed anew; ``knee`` (0 to 1) is where highlights begin to bend."""
        light = gain * np.maximum(np.arange(256) / 255 - black, 0) / (1 - black)
        if gain > 1 and knee < 1:
            above = np.maximum(light - knee, 0) / (1 - knee)
            light = np.where(above > 0, knee + (1 - knee) * -np.expm1(-above), light)
        table = np.round(255 * np.minimum(light, 1)).astype(np.uint8)
        return cv2.LUT(frame, table).reshape(frame.shape)
