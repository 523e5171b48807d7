"""Sentences of what became what: "farmland became buildings, 1.2 ha", in English and Chinese.

They are made of a table, not written by a model: how many pixels of one class became another.
"""
from collections.abc import Mapping, Sequence

from rscc.text.class_names import class_names
from rscc.text.normalisation import check_language

#: Class -> what a sentence calls it in English and in Chinese, where its name alone will not do:
#: things are told in the plural, and adjectives need a noun.
_WORDS = {
    'agricultural': ('agricultural land', '农业用地'),
    'artificial': ('artificial surfaces', '人造地表'),
    'building': ('buildings', '建筑物'),
    'desert': ('desert', '沙漠'),
    'grassland': ('grassland', '草地'),
    'ground': ('bare ground', '裸露地面'),
    'low vegetation': ('low vegetation', '低矮植被'),
    'parking lot': ('parking lots', '停车场'),
    'pavement': ('pavement', '铺装地面'),
    'playground': ('playgrounds', '运动场'),
    'road': ('roads', '道路'),
    'sports field': ('sports fields', '运动场'),
    'tree': ('trees', '树木'),
    'water': ('water', '水体'),
}
#: From this area on hectares are told, below it square metres.
_HECTARES_FROM = 1000.0  # m2
_HECTARE = 10_000.0  # m2

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
    return [_sentence(_called(earlier, language, words), _called(later, language, words),
                      _amount(pixels, pixel_area, language), language)
            for earlier, later, pixels in ordered[:most] if pixels and pixels >= least * total]


def _sentence(earlier: str, later: str, amount: str, language: str) -> str:
    if language == 'zh':
        told = f'{earlier}有变化但类别未变' if earlier == later else f'{earlier}变为{later}'
        return f'{told}，{amount}'
    told = (f'{earlier} changed but stayed {later}' if earlier == later else
            f'{earlier} became {later}')
    return f'{told}, {amount}'


def _called(name: str, language: str, words: Mapping[str, str] | None) -> str:
    """Return what a sentence calls a class; its own name where nothing better is known."""
    if words and name in words:
        return words[name]
    known = _WORDS.get(name.lower())
    if known is not None:
        return known[language == 'zh']
    if language == 'zh':
        names = 'remote_sensing_56'
        return dict(zip(class_names(names), class_names(names, 'zh'), strict=True)).get(
            name.lower(), name)
    return name


def _amount(pixels: int, pixel_area: float | None, language: str) -> str:
    """Return an area with its unit, two digits of it; pixels where the area is not known."""
    if pixel_area is None:
        if language == 'zh':
            return f'{pixels} 像素'
        return f'{pixels:,} pixel' + ('' if pixels == 1 else 's')
    area = pixels * pixel_area
    if area >= _HECTARES_FROM:
        return f'{_rounded(area / _HECTARE)} ' + ('公顷' if language == 'zh' else 'ha')
    return f'{_rounded(area)} ' + ('平方米' if language == 'zh' else 'm²')


def _rounded(value: float) -> str:
    """Return a number with two digits, and all those before the point: 0.12, 1.2, 12, 123."""
    digits = f'{value:.2g}'
    return f'{value:,.0f}' if 'e' in digits or value >= 10 else digits
