"""How one date of a scene was photographed."""
from dataclasses import dataclass

import numpy as np


@dataclass
class Look:
    """How one date was photographed.

    Attributes:
        season: 'spring', 'summer', 'autumn' or 'winter'.
        sun: Unit vector (2,) from the scene towards the sun, image axes.
        shadow: Shadow length per height.
        gain: Brightness factors per channel (3,).
        gamma: Tone curve.
        saturation: 1 keeps colours, 0 is grey.
        haze: 0 clear to 1 white.
        blur: Optical blur, sigma in pixels.
        noise: Sensor noise, sigma in grey levels.
        shift: Misregistration (dx, dy) in pixels.
        seed: For what differs between dates and is no change: cars, crops, noise.
    """

    season: str
    sun: np.ndarray
    shadow: float
    gain: np.ndarray
    gamma: float
    saturation: float
    haze: float
    blur: float
    noise: float
    shift: np.ndarray
    seed: int
