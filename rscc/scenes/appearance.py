"""Checks of how dates look: types of values, bands, light, and hints of clouds and haze.

Limits were chosen on rendered pairs whose dates differ in season, sun, light and haze: such pairs
rarely exceed them, so that a warning means more than another day.
"""
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from rscc.rasters.scales import scale_limits
from rscc.scenes.contracts import CheckFinding, ModelFacts
from rscc.scenes.reading import PairReader
from rscc.text.pair_findings import Share, Told, joined, tell

#: Share of a band's pixels that a scale turns black or white, from which on it does not fit the
#: values: ``percentile`` does so with 4 % by its definition, and this is five times as much.
CLIPPED = 0.2
#: Gap between the medians of a band, in grey levels: of 500 rendered pairs 95 % differ by less.
GAP = 64
#: Ratio of the spreads of a band: of 500 rendered pairs 95 % differ by less.
CONTRAST = 2.5
#: Share of bright, colourless, even ground that one date has and the other has not: of 1000
#: rendered images, all without clouds, 1 % have more.
CLOUDS = 0.03
#: Grey levels by which the dark parts of one date are lighter, while its contrast is lower. Of 400
#: rendered pairs without haze 3.5 % exceed it; of those with strong haze at one date (a share of
#: 0.4 of the light) 91 % do, with haze of 0.25 two thirds.
HAZE = 30
# A cloud, in grey levels of 255: darkest band, difference of the bands over the brightest one,
# standard deviation within 7 x 7 pixels; and the side of the smallest one in a reduced image.
_BRIGHT, _COLOUR, _EVEN, _SIDE = 190, 0.15, 12, 7


def check_depth(reader: PairReader, frames: Sequence[np.ndarray], masks: Sequence[np.ndarray],
                facts: ModelFacts) -> CheckFinding:
    """Look at the type of the stored values and how they become 0 to 255.

    Args:
        reader: The dates.
        frames, masks: Of each date reduced, see :meth:`PairReader.read_each`.
        facts: Of the model.
    """
    kinds, scales = [date.dtype for date in reader.dates], [date.scale for date in reader.dates]
    told = joined(kinds)
    shown = [_range(scale) for scale in scales if scale is not None]
    if shown:
        told += tell('depth_range', ranges=joined(shown))
    worries = []
    if len(set(kinds)) > 1:
        worries.append(tell('depth_types'))
    clipped = [clipped_share(frame, mask) if scale is not None else 0.0
               for frame, mask, scale in zip(frames, masks, scales, strict=True)]
    if max(clipped) > CLIPPED:
        worries.append(tell('depth_clipped', share=Share(max(clipped))))
    given = rounded_scale(reader.dates[0].reading.scale)
    if None not in (facts.scale, given) and given != rounded_scale(facts.scale):
        worries.append(tell('depth_trained', trained=_words(facts.scale)))
    value = dict(dtypes=kinds, scales=[rounded_scale(scale) for scale in scales],
                 clipped=[round(share, 4) for share in clipped])
    return CheckFinding.of('depth', 'warn' if worries else 'ok', value,
                           joined([told, *worries], 'also'))


def clipped_share(frame: np.ndarray, mask: np.ndarray) -> float:
    """Return the share of black and white pixels in the band that has most of them, 0 to 1.

    Args:
        frame: uint8 (h, w, B).
        mask: Where it holds data, bool (h, w).
    """
    pixels = frame[mask]
    return float(((pixels == 0) | (pixels == 255)).mean(0).max()) if len(pixels) else 0.0


def rounded_scale(scale: Any) -> Any:
    """Return a scale as JSON values, of four decimals."""
    if scale is None or isinstance(scale, str):
        return scale
    return [np.round(np.asarray(value, float), 4).tolist() for value in scale]


def _words(scale: Any) -> str:
    """Return a scale as the command line takes it."""
    return scale if isinstance(scale, str) else ' '.join(
        f'{number:g}' for number in np.ravel(rounded_scale(scale)))


def _range(scale: Any) -> Told:
    if isinstance(scale, str):
        return tell('range_percentile')
    low, high = ('/'.join(f'{number:.6g}' for number in np.atleast_1d(value))
                 for value in scale_limits(scale))
    return tell('range', low=low, high=high)


def check_bands(reader: PairReader, frames: Sequence[np.ndarray], masks: Sequence[np.ndarray],
                facts: ModelFacts) -> CheckFinding:
    """Look whether the dates have the same bands, and those that the weights know.

    Args:
        reader, frames, masks, facts: See :func:`check_depth`.
    """
    counts, given = [date.count for date in reader.dates], reader.dates[0].reading.bands
    told = tell('bands_one' if set(counts) == {1} else 'bands', counts=joined(counts))
    if given is not None:
        told += _bands_in_use(given)
    # A palette is one band too, and may have colours.
    grey = [count == 1 and bool((frame[mask] == frame[mask][:, :1]).all())
            for count, frame, mask in zip(counts, frames, masks, strict=True)]
    status = 'ok'
    if len(set(grey)) > 1:
        status, told = 'refuse', told + tell('bands_grey')
    elif len(set(counts)) > 1:
        status, told = 'warn', told + tell('bands_differ')
    elif None not in (facts.bands, given) and tuple(given) != tuple(facts.bands):
        status, told = 'warn', told + tell('bands_trained', trained=' '.join(map(str, facts.bands)))
    return CheckFinding.of('bands', status, counts, told)


def _bands_in_use(given: Sequence[int]) -> Told:
    """Return which bands are shown, and which the model reads where these are others."""
    colours = len(given) > 2
    told = tell('bands_colours' if colours else 'bands_single',
                shown=' '.join(map(str, given[:3] if colours else given[:1])))
    return told if len(given) == 3 else told + tell('bands_read', read=' '.join(map(str, given)))


def compare_light(frames: Sequence[np.ndarray], valid: np.ndarray) -> CheckFinding:
    """Compare brightness and contrast of two dates, band by band.

    Args:
        frames: RGB uint8 (h, w, 3), reduced, one a date.
        valid: Where both hold data, bool (h, w).
    """
    levels, spreads = zip(*(_light(frame[valid]) for frame in frames), strict=True)
    gap = levels[1] - levels[0]
    # Even ground has no spread; a grey level is what rounding leaves.
    ratio = np.maximum(spreads[1], 1) / np.maximum(spreads[0], 1)
    value = dict(medians=[level.tolist() for level in levels],
                 spreads=[spread.round(1).tolist() for spread in spreads])
    told = tell('light', gap=_signed(gap), ratio='/'.join(f'{number:.2g}' for number in ratio))
    if np.abs(gap).max() <= GAP and np.abs(np.log(ratio)).max() <= np.log(CONTRAST):
        return CheckFinding.of('light', 'ok', value, told)
    return CheckFinding.of('light', 'warn', value, told + tell('light_far'))


def _light(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return median and spread of each band; neither minds a few clouds or changes.

    The spread is half of what lies between the 16th and the 84th percentile: of a bell curve, its
    standard deviation.
    """
    low, middle, high = np.percentile(pixels, [16, 50, 84], axis=0)
    return middle, (high - low) / 2


def _signed(numbers: np.ndarray) -> str:
    return '/'.join(f'{number:+.0f}' for number in numbers)


def hint_clouds(frames: Sequence[np.ndarray], valid: np.ndarray) -> CheckFinding:
    """Look for bright, colourless, even areas that one date has and the other has not.

    Args:
        frames, valid: See :func:`compare_light`.
    """
    found = [_cloudy(frame) & valid for frame in frames]
    shares = [float((here & ~there).sum() / valid.sum()) for here, there in (found, found[::-1])]
    value = [round(share, 4) for share in shares]
    if max(shares) <= CLOUDS:
        return CheckFinding.of('clouds', 'ok', value, tell('clouds_none'))
    date = 'earlier' if shares[0] > shares[1] else 'later'
    return CheckFinding.of('clouds', 'warn', value,
                           tell(f'clouds_{date}', share=Share(max(shares))))


def _cloudy(frame: np.ndarray) -> np.ndarray:
    """Return where an image could show clouds, bool (h, w)."""
    lightest, darkest = frame.max(2).astype(np.float32), frame.min(2)
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.blur(grey, (_SIDE, _SIDE))
    deviation = np.sqrt(np.maximum(cv2.blur(grey * grey, (_SIDE, _SIDE)) - mean * mean, 0))
    cloudy = ((darkest >= _BRIGHT) & (lightest - darkest <= _COLOUR * lightest)
              & (deviation < _EVEN)).astype(np.uint8)
    return cv2.morphologyEx(cloudy, cv2.MORPH_OPEN, np.ones((_SIDE, _SIDE), np.uint8)) > 0


def hint_haze(frames: Sequence[np.ndarray], valid: np.ndarray) -> CheckFinding:
    """Look whether one date has no dark parts any more, and less contrast.

    Args:
        frames, valid: See :func:`compare_light`.
    """
    dark = [float(np.percentile(frame[valid].min(1), 2)) for frame in frames]
    spreads = [float(_light(frame[valid])[1].mean()) for frame in frames]
    hazy = int(dark[1] > dark[0])
    if abs(dark[1] - dark[0]) <= HAZE or spreads[hazy] >= spreads[1 - hazy]:
        return CheckFinding.of('haze', 'ok', dark, tell('haze_none'))
    date = ('earlier', 'later')[hazy]
    return CheckFinding.of('haze', 'warn', dark,
                           tell(f'haze_{date}', levels=abs(dark[1] - dark[0])))
