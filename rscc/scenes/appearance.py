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
    text = ' and '.join(dict.fromkeys(kinds))
    shown = dict.fromkeys(_range(scale) for scale in scales if scale is not None)
    if shown:
        text += f", of which {' and '.join(shown)} become 0 to 255"
    worries = []
    if len(set(kinds)) > 1:
        worries.append('the dates are of different types: equal values may mean different light. '
                       "Convert one, or say --scale percentile, which takes each date's own range")
    clipped = [clipped_share(frame, mask) if scale is not None else 0.0
               for frame, mask, scale in zip(frames, masks, scales, strict=True)]
    if max(clipped) > CLIPPED:
        worries.append(f'{percent(max(clipped))} of a band become black or white: try other '
                       'values for --scale, or percentile')
    given = rounded_scale(reader.dates[0].reading.scale)
    if None not in (facts.scale, given) and given != rounded_scale(facts.scale):
        worries.append(f'the weights were trained with --scale {_words(facts.scale)}')
    value = dict(dtypes=kinds, scales=[rounded_scale(scale) for scale in scales],
                 clipped=[round(share, 4) for share in clipped])
    return CheckFinding('depth', 'warn' if worries else 'ok', value, '; '.join([text, *worries]))


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


def _range(scale: Any) -> str:
    if isinstance(scale, str):
        return '2 to 98 % of each band'
    low, high = ('/'.join(f'{number:.6g}' for number in np.atleast_1d(value))
                 for value in scale_limits(scale))
    return f'{low} to {high}'


def check_bands(reader: PairReader, frames: Sequence[np.ndarray], masks: Sequence[np.ndarray],
                facts: ModelFacts) -> CheckFinding:
    """Look whether the dates have the same bands, and those that the weights know.

    Args:
        reader, frames, masks, facts: See :func:`check_depth`.
    """
    counts, given = [date.count for date in reader.dates], reader.dates[0].reading.bands
    text = ' and '.join(map(str, dict.fromkeys(counts))) + (' band' if set(counts) == {1}
                                                            else ' bands')
    if given is not None:
        shown = ' '.join(map(str, given[:3] if len(given) > 2 else given[:1]))
        colours = 'red, green and blue' if len(given) > 2 else 'grey'
        text += f", of which {shown} {'are' if len(given) > 2 else 'is'} shown as {colours}"
        text += f" and {' '.join(map(str, given))} are read by the model" if len(given) != 3 else ''
    # A palette is one band too, and may have colours.
    grey = [count == 1 and bool((frame[mask] == frame[mask][:, :1]).all())
            for count, frame, mask in zip(counts, frames, masks, strict=True)]
    status = 'ok'
    if len(set(grey)) > 1:
        status, text = 'refuse', (
            f'{text}: one date is grey and the other has colours, so that every pixel would seem '
            'to have changed. Convert both to grey, or get the colours of the other')
    elif len(set(counts)) > 1:
        status, text = 'warn', (f'{text}: make sure that bands of the same number show the same '
                                'light at both dates')
    elif None not in (facts.bands, given) and tuple(given) != tuple(facts.bands):
        status, text = 'warn', (f'{text}; the weights were trained with --bands '
                                f"{' '.join(map(str, facts.bands))}")
    return CheckFinding('bands', status, counts, text)


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
    text = (f'the later date differs by {_signed(gap)} grey levels (red/green/blue), its contrast '
            f"is {'/'.join(f'{number:.2g}' for number in ratio)} times the earlier one's")
    if np.abs(gap).max() <= GAP and np.abs(np.log(ratio)).max() <= np.log(CONTRAST):
        return CheckFinding('light', 'ok', value, text)
    return CheckFinding('light', 'warn', value, f'{text}: --match-histogram brings it to the '
                        'values of the earlier date')


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
        return CheckFinding('clouds', 'ok', value, 'no hint of them')
    date = 'earlier' if shares[0] > shares[1] else 'later'
    return CheckFinding('clouds', 'warn', value, f'a hint only: {percent(max(shares))} of the '
                        f'{date} date are bright, colourless and even, and are not so at the other '
                        'one. Look at it; clouds and their shadows look like changes')


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
        return CheckFinding('haze', 'ok', dark, 'no hint of it')
    return CheckFinding('haze', 'warn', dark, f"a hint only: the darkest parts of the "
                        f"{('earlier', 'later')[hazy]} date are {abs(dark[1] - dark[0]):.0f} grey "
                        'levels lighter than those of the other, and its contrast is lower. Haze '
                        'and thin cloud do that; --match-histogram takes off what is even')


def percent(share: float) -> str:
    """Return a share for people: whole per cents, more exact near 0 and 100."""
    number = 100 * share
    if 0 < number < 0.1 or 99.9 < number < 100:
        return '< 0.1 %' if number < 1 else '> 99.9 %'
    return f'{number:.0f} %' if number in (0, 100) or 1 <= number <= 99 else f'{number:.1f} %'
