"""Transforms that make dates differ as pictures of other sensors do: blur, noise, JPEG, and all."""
import functools

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from rscc.datasets.transforms.atmosphere import FramesHaze, FramesSeason, FramesShadow
from rscc.datasets.transforms.color import (
    FramesAppearance,
    FramesColorJitter,
    FramesExposure,
    FramesTint,
    span,
    within,
)
from rscc.datasets.transforms.geometry import FramesMisalign
from rscc.rasters.resizing import by_bands
from rscc.registry import TRANSFORMS
from rscc.utils import check_choice

PERIOD = 512  # rows and columns after which the stored noise repeats
UNIT = 1024  # stored noise of deviation 1, as a whole number
FINE = 64  # parts of a grey value in which the deviation of noise is given
BLOCK = 8  # side of the blocks in which JPEG compresses


@TRANSFORMS.register_module()
class FramesBlur(FramesAppearance):
    """Blur each date by its own draw, as coarser or resampled imagery is.

    Either with a Gaussian whose widths along rows and columns are drawn apart (optics and scanning
    blur unequally), or by shrinking the frame and enlarging it again. All bands alike.

    Args:
        sigma: Least and largest standard deviation of the Gaussian in pixels.
        factor: Least and largest factor by which a frame is shrunk before it is enlarged.
        resample: Share of the changed dates that are shrunk and enlarged instead.
        prob: Probability that a date (or the sample) is changed at all.
        per_date: Whether each date gets its own draw.
    """

    def __init__(self, sigma: tuple[float, float] = (0.3, 1.5),
                 factor: tuple[float, float] = (1.2, 2.5), resample: float = 0.3,
                 prob: float = 0.4, per_date: bool = True):
        self.sigma, self.factor = span('sigma', sigma, 0, 20), span('factor', factor, 1, 16)
        self.resample = within('resample', resample, 0, 1)
        super().__init__(prob, per_date)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> dict:
        """Draw the kind of blur and its widths."""
        resampled, sigmas = rng.random() < self.resample, rng.uniform(*self.sigma, 2)
        factor = rng.uniform(*self.factor)
        return dict(sigmas=tuple(sigmas), factor=factor if resampled else None)

    def apply(self, frame: np.ndarray, sigmas: tuple[float, float] = (0.0, 0.0),
              factor: float | None = None) -> np.ndarray:
        """Return the blurred frame; with a ``factor`` it is resampled."""
        height, width = frame.shape[:2]
        if factor is not None:
            small = max(1, round(width / factor)), max(1, round(height / factor))
            return by_bands(lambda part: cv2.resize(
                cv2.resize(part, small, interpolation=cv2.INTER_AREA), (width, height),
                interpolation=cv2.INTER_CUBIC), frame)
        # OpenCV takes a width of 0 for "like the other one".
        along, across = (max(sigma, 0.01) for sigma in sigmas)
        return by_bands(lambda part: cv2.GaussianBlur(
            part, (0, 0), along, sigmaY=across, borderType=cv2.BORDER_REFLECT_101), frame)


@TRANSFORMS.register_module()
class FramesNoise(FramesAppearance):
    """Add sensor noise to each date: more of it where the picture is bright, and grain on request.

    The standard deviation of a pixel of value v is ``sqrt(read ** 2 + shot ** 2 * v / 255)``, each
    band by itself. Grain is noise about three pixels wide that all bands share, as sharpened,
    resampled and compressed products have it. Numbers of a normal distribution are stored once and
    windows of them drawn, which costs a tenth of drawing each pixel's.

    Args:
        shot: Least and largest noise of the light in a white pixel, in grey values.
        read: Least and largest noise of the electronics, in grey values.
        grain: Least and largest standard deviation of the grain, in grey values.
        prob: Probability that a date (or the sample) is changed at all.
        per_date: Whether each date gets its own draw.
    """

    def __init__(self, shot: tuple[float, float] = (0.0, 8.0),
                 read: tuple[float, float] = (0.0, 4.0), grain: tuple[float, float] = (0.0, 4.0),
                 prob: float = 0.4, per_date: bool = True):
        self.shot, self.read = span('shot', shot, 0, 255), span('read', read, 0, 255)
        self.grain = span('grain', grain, 0, 255)
        super().__init__(prob, per_date)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> dict:
        """Draw the strengths, and where in the stored noise each band's begins."""
        shot, read, grain = (rng.uniform(*ends) for ends in (self.shot, self.read, self.grain))
        return dict(shot=shot, read=read, grain=grain,
                    corners=rng.integers(PERIOD, size=(shape[2] + 1, 2)))

    def apply(self, frame: np.ndarray, shot: float, read: float, grain: float,
              corners: np.ndarray) -> np.ndarray:
        """Return the noisy frame; ``corners`` (B + 1, 2) are rows and columns in the noise."""
        height, width, bands = frame.shape
        white, wide = _stored_noise(-(-max(height, width) // PERIOD) * PERIOD)
        *own, shared = [stored[top:top + height, left:left + width] for stored, (top, left)
                        in zip([*[white] * bands, wide], corners, strict=True)]
        spread = np.sqrt(read ** 2 + shot ** 2 * np.arange(256) / 255)
        spread = np.round(FINE * spread).astype(np.int16)
        # Whole numbers of 16 bits, a band at a time: in floats it takes up to eight times as long.
        shared = cv2.addWeighted(shared, grain / UNIT, shared, 0.0, 0.0)
        noisy = []
        for band, window in zip(cv2.split(frame), own, strict=True):
            noise = cv2.LUT(band, spread)
            cv2.multiply(noise, window, dst=noise, scale=1 / (FINE * UNIT))
            cv2.add(noise, shared, dst=noise)
            noisy.append(cv2.add(band, noise, dtype=cv2.CV_8U))
        return cv2.merge(noisy).reshape(frame.shape)


@functools.lru_cache(maxsize=2)
def _stored_noise(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return white and wide noise of deviation ``UNIT``, int16 (PERIOD + side, PERIOD + side).

    Either repeats after ``PERIOD`` rows and columns without a seam, so that a window of up to
    ``side`` pixels may begin anywhere in the first period.
    """
    white = np.random.default_rng(0).standard_normal((PERIOD, PERIOD), dtype=np.float32)
    around = cv2.copyMakeBorder(white, 8, 8, 8, 8, cv2.BORDER_WRAP)
    wide = cv2.GaussianBlur(around, (0, 0), 1.2)[8:-8, 8:-8]
    return tuple(cv2.copyMakeBorder(np.round(UNIT * one / one.std()).astype(np.int16),
                                    0, side, 0, side, cv2.BORDER_WRAP) for one in (white, wide))


@TRANSFORMS.register_module()
class FramesJPEG(FramesAppearance):
    """Compress each date as JPEG and decode it again, each at its own quality.

    The blocks begin at a drawn pixel, since those of published tiles seldom begin at their corner.
    Red, green and blue are compressed together, as JPEG does (fine colour is lost first); further
    bands, and frames of one or two bands, each as a grey picture.

    Args:
        quality: Least and largest quality, 1 to 100; blocks show below about 50.
        prob: Probability that a date (or the sample) is changed at all.
        per_date: Whether each date gets its own draw.
    """

    def __init__(self, quality: tuple[int, int] = (30, 90), prob: float = 0.4,
                 per_date: bool = True):
        self.quality = span('quality', quality, 1, 100)
        super().__init__(prob, per_date)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> dict:
        """Draw the quality and the corner of the first block."""
        low, high = self.quality
        return dict(quality=int(rng.integers(low, high + 1)),
                    corner=tuple(int(number) for number in rng.integers(BLOCK, size=2)))

    def apply(self, frame: np.ndarray, quality: int,
              corner: tuple[int, int] = (0, 0)) -> np.ndarray:
        """Return the frame as it comes out of a JPEG file."""
        top, left = corner
        bands = frame.shape[2]
        around = [cv2.copyMakeBorder(part, top, 0, left, 0, cv2.BORDER_REFLECT_101)
                  for part in ([frame[..., :3]] if bands >= 3 else [])
                  + [frame[..., band] for band in range(3 if bands >= 3 else 0, bands)]]
        coded = [_through_jpeg(part, quality)[top:, left:] for part in around]
        return coded[0] if bands == 3 else np.dstack(coded)


def _through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Encode and decode an RGB (H, W, 3) or grey (H, W) image."""
    colours = image.ndim == 3
    image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if colours else image
    code = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    image = cv2.imdecode(code, cv2.IMREAD_COLOR if colours else cv2.IMREAD_GRAYSCALE)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if colours else image


@TRANSFORMS.register_module()
class SensorChange(BaseTransform):
    """Let the dates of a sample differ as those of two sensors, seasons and days do, in one line.

    The transforms of this package one after the other, in the order in which light, air, optics,
    electronics and processing change a picture, each date by its own draws: season, shadow, haze,
    misalignment (pairs only), blur, exposure, noise, tint, colour jitter, JPEG. Most dates get two
    to five of them. For other settings write the list of transforms yourself; ``steps`` shows it.

    Args:
        strength: Factor of all amplitudes, in (0, 2]; the probabilities stay.
        without: Names of transforms to leave out, such as ``['FramesMisalign']``.
    """

    def __init__(self, strength: float = 1.0, without: tuple[str, ...] = ()):
        if not 0 < strength <= 2:
            raise ValueError(f'strength={strength} must be in (0, 2]; to change nothing leave '
                             'SensorChange out of the pipeline.')
        steps = steps_of(strength)
        names = [type(step).__name__ for step in steps]
        for name in without:
            check_choice('without', name, names)
        self.strength, self.without = strength, tuple(without)
        self.steps = [step for step, name in zip(steps, names, strict=True) if name not in without]

    def transform(self, results: dict) -> dict:
        """Replace ``frames`` by what all steps make of them."""
        for step in self.steps:
            if len(results['frames']) > 1 or not isinstance(step, FramesMisalign):
                results = step(results)
        return results

    def __repr__(self) -> str:
        return f'SensorChange(strength={self.strength}, without={self.without})'


def steps_of(strength: float) -> list[BaseTransform]:
    """Return the transforms of ``SensorChange``, with amplitudes for a strength in (0, 2]."""
    return [
        FramesSeason(strength=(0.0, min(1.0, 0.9 * strength)), prob=0.25),
        FramesShadow(strength=(0.0, min(0.9, 0.55 * strength)), prob=0.15),
        FramesHaze(strength=(0.0, min(0.9, 0.45 * strength)), prob=0.2),
        FramesMisalign(max_shift=1.5 * strength, max_angle=0.3 * strength, prob=0.5),
        FramesBlur(sigma=(0.0, 1.3 * strength), factor=(1.0, 1 + strength), prob=0.4),
        FramesExposure(gain=(1.0, 1 + 0.6 * strength), black=(0.0, 0.12 * strength), prob=0.2),
        FramesNoise(shot=(0.0, 7 * strength), read=(0.0, 3 * strength),
                    grain=(0.0, 3 * strength), prob=0.4),
        FramesTint(gain=0.07 * strength, offset=5 * strength, prob=0.5),
        FramesColorJitter(brightness=0.2 * strength, contrast=0.2 * strength,
                          saturation=0.25 * strength, gamma=0.2 * strength, hue=6 * strength,
                          prob=0.8),
        FramesJPEG(quality=(round(95 - 35 * strength), 95), prob=0.4),
    ]
