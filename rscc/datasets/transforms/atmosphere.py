"""Transforms that make dates differ as days and seasons do: haze, shadows, colour of plants."""
import cv2
import numpy as np

from rscc.datasets.transforms.color import FramesAppearance, span, within
from rscc.registry import TRANSFORMS

CELLS = 6  # most cells of a smooth pattern along each side of a frame
SHADOWS = 4  # most shadows of buildings in a frame
#: How much of a shadow's strength red, green and blue get: the blue sky still lights it.
SHADE = (1.0, 0.94, 0.8)
#: Change of red, green and blue for each grey value by which green exceeds the other two.
SEASONS = {'brown': (0.32, -0.28, -0.05), 'yellow': (0.5, 0.0, -0.15), 'pale': (0.3, -0.1, 0.25),
           'lush': (-0.18, 0.03, -0.06)}


def smooth_pattern(values: np.ndarray, cells: int, shape: tuple[int, ...],
                   least: float = 0.0) -> np.ndarray:
    """Return a smooth pattern over a frame, from its lowest hollow to its highest hill.

    Args:
        values: Random numbers, at least (cells, cells).
        cells: Hills and hollows along each side, 2 or more.
        shape: (H, W) or more of the frame.
        least: What the lowest hollow gets, 0 to 1; the highest hill gets 1.

    Returns:
        uint8 (H, W), 0 to 255.
    """
    grid = values[:cells, :cells] - values[:cells, :cells].min()
    grid = least + (1 - least) * grid / max(grid.max(), 1e-6)
    grid = np.round(255 * grid).astype(np.uint8)
    return cv2.resize(grid, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def darkened(frame: np.ndarray, shades: list[np.ndarray]) -> np.ndarray:
    """Return a frame (H, W, B) of which each band keeps ``shades`` / 255, uint8 (H, W) each."""
    kept = cv2.merge(shades).reshape(frame.shape)
    return cv2.multiply(frame, kept, scale=1 / 255).reshape(frame.shape)


@TRANSFORMS.register_module()
class FramesHaze(FramesAppearance):
    """Veil each date with its own bluish white haze, denser here than there.

    A pixel becomes ``(1 - t) * pixel + t * veil``, where t follows a smooth pattern. Haze lies on
    red, green and blue; further bands, which are mostly infrared, look through it and stay. Frames
    of one or two bands get it in all.

    Args:
        strength: Least and largest t where the haze is densest, 0 to 1.
        unevenness: How far t may fall elsewhere, as a share of the densest; 0 is an even veil.
        prob: Probability that a date (or the sample) is changed at all.
        per_date: Whether each date gets its own draw.
    """

    def __init__(self, strength: tuple[float, float] = (0.1, 0.5), unevenness: float = 0.7,
                 prob: float = 0.2, per_date: bool = True):
        self.strength = span('strength', strength, 0, 1)
        self.unevenness = within('unevenness', unevenness, 0, 1)
        super().__init__(prob, per_date)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> dict:
        """Draw density, pattern and the colour of the veil."""
        colour = rng.uniform(185, 235) + np.array([-10, 0, 10]) * rng.uniform(0, 1.5)
        return dict(strength=rng.uniform(*self.strength), colour=colour,
                    unevenness=self.unevenness * rng.random(),
                    cells=int(rng.integers(2, CELLS + 1)), values=rng.random((CELLS, CELLS)))

    def apply(self, frame: np.ndarray, strength: float, colour: np.ndarray, unevenness: float,
              cells: int, values: np.ndarray) -> np.ndarray:
        """Return the veiled frame; ``colour`` is red, green and blue of the veil."""
        bands = frame.shape[2]
        veiled = frame[..., :3] if bands >= 3 else frame
        colours = colour if bands >= 3 else [float(np.mean(colour))] * bands
        pattern = smooth_pattern(values, cells, frame.shape, 1 - unevenness)
        density = cv2.convertScaleAbs(pattern, alpha=strength)
        through = darkened(veiled, [cv2.bitwise_not(density)] * veiled.shape[2])
        veil = cv2.merge([cv2.convertScaleAbs(density, alpha=value / 255) for value in colours])
        veiled = cv2.add(through, veil.reshape(veiled.shape)).reshape(veiled.shape)
        return veiled if bands <= 3 else np.concatenate([veiled, frame[..., 3:]], 2)


@TRANSFORMS.register_module()
class FramesShadow(FramesAppearance):
    """Darken part of each date by its own shadow: a cloud's, soft and wide, or those of buildings.

    Shadows of buildings are up to four polygons, all cast in one direction, with a sharp edge. In a
    shadow only the sky gives light, so red loses most and blue least; further bands lose as much as
    red.

    Args:
        strength: Least and largest share of the light that is lost.
        cloud: Share of the changed dates that get the shadow of a cloud.
        prob: Probability that a date (or the sample) is changed at all.
        per_date: Whether each date gets its own draw.
    """

    def __init__(self, strength: tuple[float, float] = (0.25, 0.6), cloud: float = 0.5,
                 prob: float = 0.2, per_date: bool = True):
        self.strength, self.cloud = span('strength', strength, 0, 1), within('cloud', cloud, 0, 1)
        super().__init__(prob, per_date)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> dict:
        """Draw strength and form."""
        cloud, strength = rng.random() < self.cloud, rng.uniform(*self.strength)
        return dict(strength=strength, cells=int(rng.integers(3, CELLS)) if cloud else 0,
                    values=rng.random((CELLS, CELLS)))

    def apply(self, frame: np.ndarray, strength: float, cells: int,
              values: np.ndarray) -> np.ndarray:
        """Return the darkened frame.

        Args:
            frame: uint8 (H, W, B).
            strength: Share of the light that is lost.
            cells: Cells of a cloud's pattern, 0 for shadows of buildings.
            values: Numbers in [0, 1], (CELLS, CELLS), from which the form is made.
        """
        depth = (cloud_shadow(values, cells, frame.shape) if cells
                 else building_shadows(values, frame.shape))
        shares = [*SHADE, *[1.0] * frame.shape[2]][:frame.shape[2]]
        return darkened(frame, [cv2.bitwise_not(cv2.convertScaleAbs(depth, alpha=strength * share))
                                for share in shares])


def cloud_shadow(values: np.ndarray, cells: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return how deep the shadow of a cloud is at each pixel, uint8 (H, W)."""
    pattern = smooth_pattern(values, cells, shape)
    covered = 0.25 + 0.4 * values[-1, 0]  # share of the frame
    level = np.quantile(pattern[::8, ::8], 1 - covered)
    slope = 3 + 9 * values[-1, 1]  # the edge is a tenth to a third of a hill wide
    table = np.clip(127 + slope * (np.arange(256) - level), 0, 255)
    return cv2.LUT(pattern, table.astype(np.uint8))


def building_shadows(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the shadows that one to four blocks cast in one direction, uint8 (H, W), 255 inside.

    Each is the hull of a block's outline and of the same outline moved away from the sun.
    """
    height, width = shape[:2]
    depth = np.zeros((height, width), np.uint8)
    sun, axis = 2 * np.pi * values[0, 0], 0.5 * np.pi * values[0, 1]
    turn = np.array([[np.cos(axis), np.sin(axis)], [-np.sin(axis), np.cos(axis)]])
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    for x, y, long, deep, cast, _ in values[1:1 + int(np.ceil(SHADOWS * values[0, 2]))]:
        half = min(height, width) * np.array([0.04 + 0.16 * long, 0.03 + 0.06 * deep])
        block = (corners * half) @ turn + np.array([x * width, y * height])
        away = min(height, width) * (0.05 + 0.3 * cast) * np.array([np.cos(sun), np.sin(sun)])
        outline = cv2.convexHull(np.concatenate([block, block + away]).astype(np.float32))
        # Sixteenths of a pixel, so that edges are smooth.
        cv2.fillPoly(depth, [np.round(16 * outline).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(depth, (0, 0), 0.5 + values[0, 3])


@TRANSFORMS.register_module()
class FramesSeason(FramesAppearance):
    """Change the colour of plants at each date by its own draw: brown, yellow, pale, or lusher.

    The further green exceeds red and blue, the more a pixel changes; grey and blue things and red
    roofs stay. The change differs over the frame along a smooth pattern, since plants differ. Only
    red, green and blue change: which further band tells what of plants is not known here. Frames of
    less than three bands stay as they are.

    Args:
        strength: Least and largest strength; at 1, a meadow changes fully.
        lush: Share of the changed dates that turn greener instead of dry.
        prob: Probability that a date (or the sample) is changed at all.
        per_date: Whether each date gets its own draw.
    """

    def __init__(self, strength: tuple[float, float] = (0.3, 1.0), lush: float = 0.3,
                 prob: float = 0.3, per_date: bool = True):
        self.strength, self.lush = span('strength', strength, 0, 1), within('lush', lush, 0, 1)
        super().__init__(prob, per_date)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> dict:
        """Draw the season, its strength and its pattern."""
        lush, dry = rng.random() < self.lush, rng.choice(['brown', 'yellow', 'pale'])
        return dict(season='lush' if lush else str(dry), strength=rng.uniform(*self.strength),
                    cells=int(rng.integers(2, CELLS + 1)), values=rng.random((CELLS, CELLS)))

    def apply(self, frame: np.ndarray, season: str, strength: float, cells: int,
              values: np.ndarray) -> np.ndarray:
        """Return the frame in another season, one of ``SEASONS``."""
        if frame.shape[2] < 3:
            return frame
        colours = np.ascontiguousarray(frame[..., :3])
        # Olive and straw count as plants only where they are to become green.
        weights = [-2.0, 3.5, -1.5, -6.0] if season == 'lush' else [-1.0, 2.0, -1.0, -6.0]
        green = cv2.transform(colours, np.array([weights], np.float32))
        pattern = smooth_pattern(values, cells, frame.shape, 0.4)
        green = cv2.multiply(cv2.GaussianBlur(green, (0, 0), 0.8), pattern, scale=strength / 255)
        bands = [cv2.addWeighted(band, 1.0, green, change, 0.0)
                 for band, change in zip(cv2.split(colours), SEASONS[season], strict=True)]
        changed = cv2.merge(bands)
        return changed if frame.shape[2] == 3 else np.concatenate([changed, frame[..., 3:]], 2)
