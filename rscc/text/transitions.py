"""Sentences of what became what: "farmland became buildings, 1.2 ha", in English and Chinese.

They are made of a table, not written by a model: how many pixels of one class became another.
"""
from collections.abc import Mapping, Sequence

from rscc.text.land_cover import called
from rscc.text.normalisation import check_language
from rscc.text.quantities import area_text, pixels_text

Transitions = Sequence[tuple[str, str, int]]


def transition_sentences(transitions: Transitions, language: str = 'en',
                         pixel_area: float | None = None, most: int = 3, least: float = 0.02,
                         words: Mapping[str, str] | None = None) -> list[str]:
    """Tell the largest transitions, one sentence each.

    Args:
        transitions: Names of the earlier and of the later class, and pixels; in any order.
        language: ``'en'`` or ``'zh'``.
        pixel_area: Ground that a pixel covers in m2; None tells pixels.
        most: Number of sentences at most.
        least: Share of all changed pixels, 0 to 1, below which a transition goes without saying.
        words: Class -> what sentences call it, for classes whose names will not do.

    Returns:
        Sentences without a full stop, the largest transition first; none where nothing changed.

    Raises:
        ValueError: If the language is unknown.
    """
    check_language(language)
    ordered = sorted(transitions, key=lambda row: -row[2])
    total = sum(pixels for *_, pixels in ordered)
    comma = '，' if language == 'zh' else ', '
    return [became(earlier, later, language, words) + comma + _amount(pixels, pixel_area, language)
            for earlier, later, pixels in ordered[:most] if pixels and pixels >= least * total]


def became(earlier: str, later: str, language: str = 'en', words: Mapping[str, str] | None = None
           ) -> str:
    """Say what became what: "farmland became buildings", "农田变为建筑物".

    Args:
        earlier: Class of the earlier date.
        later: Class of the later date; the same one for a change within it.
        language: ``'en'`` or ``'zh'``.
        words: Class -> what sentences call it, for classes whose names will not do.
    """
    before, after = called(earlier, language, words), called(later, language, words)
    if language == 'zh':
        return f'{before}有变化但类别未变' if earlier == later else f'{before}变为{after}'
    return f'{before} changed but stayed {after}' if earlier == later else (
        f'{before} became {after}')


def _amount(pixels: int, pixel_area: float | None, language: str) -> str:
    """Return an area with its unit; pixels where the area is not known."""
    return (pixels_text(pixels, language) if pixel_area is None else
            area_text(pixels * pixel_area, language))
