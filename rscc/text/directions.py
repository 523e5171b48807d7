"""Direction words in captions, changed along with flips and turns of the image.

22 % of LEVIR-CC's changed captions name a direction. A flipped pair with its old caption teaches
the opposite; so a geometric transform asks :func:`swap` for the new sentence and skips the
operation where none can be given safely. The top of the picture is north.
"""
from rscc.text import directions_en, directions_zh
from rscc.text.normalisation import check_language
from rscc.utils import check_choice

#: Where each side of the picture lands. ``rot90`` is counter-clockwise, as ``numpy.rot90`` (k=1).
SIDES = {
    'hflip': {'left': 'right', 'right': 'left', 'top': 'top', 'bottom': 'bottom'},
    'vflip': {'left': 'left', 'right': 'right', 'top': 'bottom', 'bottom': 'top'},
    'rot90': {'top': 'left', 'left': 'bottom', 'bottom': 'right', 'right': 'top'},
    'rot180': {'left': 'right', 'right': 'left', 'top': 'bottom', 'bottom': 'top'},
    'rot270': {'top': 'right', 'right': 'bottom', 'bottom': 'left', 'left': 'top'},
}
OPERATIONS = (*SIDES, 'any')

_RULES = {'en': directions_en, 'zh': directions_zh}


def mentions_direction(sentence: str, language: str = 'en') -> bool:
    """Return whether a sentence says where in the picture something is.

    "left", "top", "north", "above", compounds of them; not "two houses are left", "a right angle".

    Raises:
        ValueError: If the language is unknown.
    """
    check_language(language)
    return _RULES[language].mentions_direction(sentence)


def places_named(sentence: str, language: str = 'en') -> list[frozenset[str]]:
    """Return the places in the picture that a sentence names, in reading order.

    Args:
        sentence: A caption.
        language: ``'en'`` or ``'zh'``.

    Returns:
        One set for each place: ``{'top', 'left'}`` of a corner, ``{'left'}`` of a side,
        ``{'center'}``. North is the top. What names two sides at once (both sides of a road) is
        no place.

    Raises:
        ValueError: If the language is unknown.
    """
    check_language(language)
    return _RULES[language].places_named(sentence)


def sides_named(sentence: str, language: str = 'en') -> set[str]:
    """Return the sides of the picture that a sentence names, a corner two; see ``places_named``."""
    return set().union(*places_named(sentence, language)) - {'center'}


def swap(sentence: str, operation: str, language: str = 'en') -> str | None:
    """Return the sentence that describes the transformed picture.

    Flips and the half turn are their own inverse, on pictures and on sentences alike.

    Args:
        sentence: A caption.
        operation: ``'hflip'``, ``'vflip'``, ``'rot90'`` (counter-clockwise), ``'rot180'``,
            ``'rot270'``, or ``'any'`` for a transform whose effect on words is unknown (a free
            rotation).
        language: ``'en'`` or ``'zh'``.

    Returns:
        The new sentence (the old one where no direction is named), or None where the words do not
        translate safely: the transform then leaves the picture as it is.

    Raises:
        ValueError: If the operation or the language is unknown.
    """
    check_language(language)
    check_choice('operation', operation, OPERATIONS)
    rules = _RULES[language]
    if rules.is_unsafe(sentence, operation):
        return None
    if operation == 'any':
        return None if rules.mentions_direction(sentence) else sentence
    return rules.move(sentence, SIDES[operation])
