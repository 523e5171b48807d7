"""Areas, shares, counts and scores as text, English and Chinese: one rule for every page.

An area stands in square metres below one hectare, in hectares (one decimal) below 100, and in
square kilometres (two decimals, fewer of large ones) from there on.
"""
from collections.abc import Mapping
from typing import Any

from rscc.utils import counted

#: Square metres of a unit, smallest first, and the decimals it is written with.
_UNITS = ((1, 0), (10_000, 1), (1_000_000, 2))
_UNIT_NAMES = {'en': ('m²', 'ha', 'km²'), 'zh': ('平方米', '公顷', '平方公里')}


def area_text(square_metres: float, language: str = 'en', like: float | None = None) -> str:
    """Write an area in the unit that suits its size.

    Args:
        square_metres: At least 0.
        language: ``'en'`` or ``'zh'``.
        like: Another area whose unit is taken, unless too little of it would be left to see.
    """
    unit = _unit(square_metres)
    if like is not None and square_metres >= 0.1 * _UNITS[_unit(like)][0]:
        unit = _unit(like)
    size, decimals = _UNITS[unit]
    value = square_metres / size
    if unit == 0 and value < 10:
        return f'{value:.2g} {_UNIT_NAMES[language][unit]}'
    if unit == 2 and value >= 10:
        decimals = 1 if value < 1000 else 0
    return f'{value:,.{decimals}f} {_UNIT_NAMES[language][unit]}'


def _unit(square_metres: float) -> int:
    """Return the place of the unit, by the number as it will be rounded."""
    if round(square_metres) < 10_000:
        return 0
    return 1 if round(square_metres / 10_000, 1) < 100 else 2


def pixels_text(pixels: int, language: str = 'en') -> str:
    """Write a number of pixels."""
    return f'{pixels:,} 像素' if language == 'zh' else counted(pixels, 'pixel')


def share_text(share: float, language: str = 'en') -> str:
    """Write a share of 0 to 1 in percent; only nothing is 0 and only all is 100."""
    mark = '%' if language == 'zh' else ' %'
    percent = 100 * share
    if 0 < percent < 0.01:
        return ('不足 0.01' if language == 'zh' else 'less than 0.01') + mark
    if 99.9 < percent < 100:
        percent = 99.9
    if percent in (0, 100):
        return f'{percent:.0f}{mark}'
    return f'{percent:.{1 if percent >= 0.1 else 2}f}{mark}'


def percent_text(share: float, language: str = 'en') -> str:
    """Write a chance or a rough share of 0 to 1 in whole percent; near 0 and 1 as a bound."""
    mark = '%' if language == 'zh' else ' %'
    if 0 < share < 0.005:
        return ('不足 1' if language == 'zh' else 'under 1') + mark
    if 0.995 <= share < 1:
        return ('超过 99' if language == 'zh' else 'over 99') + mark
    return f'{round(100 * share)}{mark}'


def decimal_text(value: float, decimals: int = 3) -> str:
    """Write a score with fixed decimals; what is rounded to nothing has no sign.

    Args:
        value: A score, such as the mean log-probability of a word.
        decimals: After the point.
    """
    return f'{round(float(value), decimals) + 0.0:.{decimals}f}'


def defined_scores(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return flat scores without CIDEr, and the mean with it, where all references are alike.

    CIDEr weighs words by how rare they are among the references of a group. Where these are all the
    same ("nothing has changed") it is 0 whatever the sentences say: no score of theirs.

    Args:
        metrics: ``caption/unchanged/CIDEr`` and others, of which those with slashes matter.
    """
    alike = {place for key, value in metrics.items() for place, _, name in [key.rpartition('/')]
             if name == 'CIDEr' and value == 0 and metrics.get(f'{place}/Bleu_1', 0) > 0}
    return {key: value for key, value in metrics.items()
            if key.rpartition('/')[0] not in alike
            or not key.rpartition('/')[2].startswith(('CIDEr', 'Sm'))}
