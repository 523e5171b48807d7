"""Scales: which stored values become black and white, and which suit an image that came without."""
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rscc.utils import did_you_mean

#: ``(low, high)``, one such pair for each band, or ``'percentile'``.
Scale = Sequence[float] | Sequence[Sequence[float]] | str
# Upper ends of usual ranges of values.
_USUAL = (1, 255, 10000, 65535)
# Values that programs write where they know none, told in the header or not.
_STAND_INS, _NO_VALUE = (-9999, -32768, -32767, -99999), 1e30


def advised_scale(pixels: np.ndarray
                  ) -> tuple[tuple[float, float] | str, tuple[str, str] | None]:
    """Return a scale that fits the values of an image, and the least and largest of these.

    Values of zero at least get the first usual range that holds 98 of 100 (0 to 1, to 255, to
    10,000 as satellite products store reflectance, to 65,535), others the range that they have.

    Args:
        pixels: Of any depth but uint8, any shape. What is no finite number does not count, nor what
            usually stands for one.

    Returns:
        The scale, and both values as text; None where there is no data.
    """
    finite = pixels[np.isfinite(pixels) & ~np.isin(pixels, _STAND_INS)]
    finite = finite[np.abs(finite.astype(float)) < _NO_VALUE]
    if not finite.size:
        return 'percentile', None
    ends = _told(finite.min()), _told(finite.max())
    some = finite[::max(1, finite.size // 1_000_000)]
    low, high = map(float, np.percentile(some, [0 if finite.min() >= 0 else 2, 98]))
    usual = [limit for limit in _USUAL if limit >= high
             and (limit > 1 or np.issubdtype(pixels.dtype, np.inexact))]
    if low >= 0 and usual:
        return (0, usual[0]), ends
    low, high = _rounded(low, np.floor), _rounded(high, np.ceil)
    return (low, high if high > low else low + 1), ends


def _told(value: Any) -> str:
    """Write a value: whole numbers as they are, others with four digits."""
    return f'{int(value)}' if float(value).is_integer() and abs(value) < 1e9 else f'{value:.4g}'


def _rounded(value: float, to: Callable[[float], float]) -> float:
    """Return a value of two digits; whole numbers as such."""
    step = 10.0 ** (np.floor(np.log10(abs(value))) - 1) if value else 1.0
    shown = float(f'{to(value / step) * step:.6g}')
    return int(shown) if shown.is_integer() else shown


def scale_in_tuples(scale: Sequence | str | None) -> Scale | None:
    """Return a scale in tuples, whatever sequences it came in (lists out of JSON or a config)."""
    if scale is None or isinstance(scale, str):
        return scale
    return tuple(tuple(value) if isinstance(value, Sequence) else value for value in scale)


def check_scale(scale: Scale | None, bands: Sequence[int] | None = None) -> None:
    """Refuse a scale of unknown form.

    Args:
        scale: None, ``(low, high)``, one such pair for each band, or ``'percentile'``.
        bands: The bands, where they are known.

    Raises:
        ValueError: If it is none of these, a low value is not below its high one, or there are
            more or fewer pairs than bands.
    """
    if isinstance(scale, str) and scale != 'percentile':
        raise ValueError(f"scale='{scale}' is unknown: use (low, high), one such pair for each "
                         f"band, or 'percentile'.{did_you_mean(scale, ('percentile', ))}")
    if scale is None or isinstance(scale, str):
        return
    try:
        low, high = scale_limits(scale)
        fits = bool(np.isfinite([low, high]).all() and (low < high).all())
    except (TypeError, ValueError, IndexError):
        fits = False
    if not fits:
        raise ValueError(f'scale={scale!r} must be (low, high) with low < high, or one such pair '
                         'for each band.')
    if low.ndim and bands is not None and len(low) != len(bands):
        raise ValueError(f'scale={scale!r} has {len(low)} pairs for the {len(bands)} bands '
                         f'{tuple(bands)}: give one (low, high) for all, or one for each band.')


def scale_limits(scale: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Return the values that become 0 and 255, float32, each () for all bands or (B,).

    Args:
        scale: ``(low, high)``, or one such pair for each band.
    """
    pairs = np.asarray(scale, np.float32)
    if pairs.shape != (2, ) and (pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs)):
        raise ValueError(f'scale={scale!r} must be (low, high), or one such pair for each band.')
    return pairs[..., 0], pairs[..., 1]
