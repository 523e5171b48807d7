"""English direction words: recognising them, telling idioms apart, and moving them.

The rules were read off the 25,190 changed captions of LEVIR-CC.
"""
import re
from collections.abc import Mapping

# Words of one family replace each other: "upper" becomes "lower", never "bottom".
_FAMILIES = (
    {'top': 'top', 'bottom': 'bottom', 'left': 'left', 'right': 'right'},
    {'top': 'upper', 'bottom': 'lower', 'left': 'left', 'right': 'right'},
    {'top': 'north', 'bottom': 'south', 'left': 'west', 'right': 'east'},
    {'top': 'above', 'bottom': 'below'},
)
_FAMILY_OF = {word: family for family in reversed(_FAMILIES) for word in family.values()}
_SIDE_OF = {word: side for family in _FAMILIES for side, word in family.items()}

_UP_DOWN = r'(?:top|bottom|upper|lower|north|south)'
_SIDEWAYS = r'(?:left|right|east|west)'
_ENDING = r'(?:most|ern|erly|wards?|bound)?'
_UNIT = re.compile(
    r'(?<![\w-])(?P<article>an?\s+)?(?:'
    rf'(?P<first>{_UP_DOWN})(?P<link>\s*-\s*|\s+|)(?P<second>{_SIDEWAYS})'
    rf'|(?P<early>{_SIDEWAYS})(?P<gap>\s*-\s*|\s+)(?P<late>{_UP_DOWN})'
    rf'|(?P<single>{_UP_DOWN}|{_SIDEWAYS}|above|below))(?P<ending>{_ENDING})(?![a-z])', re.I)

# Before a real "left" or "right" (in a compound, the up-down word is before it).
_LEADS = (r'(?:the|its|their|a|an|in|on|at|to|from|or|middle|center|central|far|most|higher|upper|'
          r'lower|top|bottom|left|right|turn|turns|turned|turning|towards?|of|,)')
_PAIRED = (r'(?:left|right|top|bottom|upper|lower|center|middle)(?:[\s-]+(?:hand|side|part|half|'
           r'corner|edge|area))?\s*(?:,\s*)?(?:and|or)')
_LEAD = re.compile(rf'(?:^|(?:(?<![a-z]){_LEADS}|{_PAIRED})[\s-]+)$')
_SIDE_WORD = re.compile(r'(?<![a-z])(?:left|right)(?![a-z])')
_NOT_A_PLACE = re.compile(
    r'\bleft\s+(?:behind|over|alone|out|unchanged|untouched|empty|bare|blank|undeveloped)\b'
    r'|\bright[\s-]+angle[ds]?\b|\bright\s+(?:away|now|here|there)\b'
    # "on top of a road" is a relation; "on top right corner", "on top side" are places.
    r'|\bon\s+top\b(?!\s*-?\s*(?:left|right|corner|side|edge|part|area))'
    r'|\b(?:top|bottom)s?\s+of\s+(?:an?\s+|the\s+|another\s+|this\s+)?(?:\w+\s+)?'
    r'(?:houses?|buildings?|roofs?|hills?|mountains?|villas?|factor(?:y|ies)|plants?|pools?|it|'
    r'them)\b'
    r'|\b(?:flat|pointed|hip|gable|red|white|grey|gray|blue|black|brown)[\s-]tops?\b'
    r'|\blower\s+than\b|\bover\s*-?\s*top\b')
# "Above the road", "to the left of the house": beside another thing, anywhere in the picture.
_RELATION = re.compile(
    r'\b(?:above|below)\b|\b(?:top|bottom|left|right|north|south|east|west)(?:\s+(?:side|part|end))?'
    r'\s+of\s+(?:the\s+|an?\s+)?(?!the\b|an?\b)'
    r'(?!(?:whole\s+)?(?:scene|image|picture|photo|map|area|region|view)s?\b)\w+')
_ORIENTATION = re.compile(r'\b(?:vertical|horizontal|diagonal)(?:ly)?\b')
_ALONE = ''.join(rf'(?<!\b{word}[ -])' for word in ('upper', 'lower', 'top', 'bottom'))
# A quarter turn of these reads badly: "to the bottom of the house", "turn bottom".
_QUARTER_CLUMSY = re.compile(
    r'(?<!\bleft )(?<!\bright )\bto\s+the\s+(?:left|right)\b'
    r'(?!\s+(?:side|corner|edge|part|area|half))'
    r'|\bturn(?:s|ed|ing)?\s+(?:to\s+the\s+)?(?:left|right)\b|\b(?:left|right)\s+turns?\b'
    r'|\b(?:above|below)\b|\bhigher\s+(?:left|right)\b'
    rf'|{_ALONE}\b(?:left|right)[\s-]hand')
# "top and bottom left corners" and "top left and right": one word is left unsaid.
_PLAIN = r'(?:top|bottom|upper|lower|left|right)'
_COMPOUND = r'(?:top|bottom|upper|lower)[\s-]+(?:left|right)'
_UNSAID = re.compile(
    rf'{_ALONE}\b{_PLAIN}\s*(?:,|and|or|to)\s+(?:the\s+)?{_COMPOUND}\b'
    rf'|\b{_COMPOUND}\s*(?:,|and|or|to)\s+(?:the\s+)?{_PLAIN}\b(?![\s-]+(?:left|right))')

# The middle of the picture, not that of a road or of some houses.
_CENTER = re.compile(r'\b(?:in|at|to|near|around)\s+the\s+(?:very\s+)?(?:center|centre|middle)\b'
                     r'(?!\s+of\s+(?!the\s+(?:scene|image|picture|area|photo)\b))'
                     r'|\bcentral\s+(?:part|area|region)\b')


def mentions_direction(sentence: str) -> bool:
    """Return whether a sentence names a direction, idioms such as "on top of" aside."""
    text = _NOT_A_PLACE.sub(' ', sentence.lower())
    for match in _UNIT.finditer(text):
        if match['single'] not in ('left', 'right') or _names_side(text, match.start('single')):
            return True
    return False


def places_named(sentence: str) -> list[frozenset[str]]:
    """Return the sides of every place a sentence names, idioms aside; see ``directions``."""
    text = _RELATION.sub(' ', _NOT_A_PLACE.sub(' ', sentence.lower()))
    found = [(match.start(), frozenset({'center'})) for match in _CENTER.finditer(text)]
    for match in _UNIT.finditer(text):
        words = [match[name] for name in ('first', 'second', 'early', 'late', 'single')
                 if match[name]]
        alone = match['single'] in ('left', 'right')
        if not alone or _names_side(text, match.start('single')):
            found.append((match.start(), frozenset(_SIDE_OF[word] for word in words)))
    return [sides for _, sides in sorted(found, key=lambda place: place[0])]


def is_unsafe(sentence: str, operation: str) -> bool:
    """Return whether a sentence has words that ``operation`` cannot change safely."""
    text = sentence.lower()
    words = _SIDE_WORD.finditer(text)
    if _NOT_A_PLACE.search(text) or not all(_names_side(text, word.start()) for word in words):
        return True
    if operation in ('vflip', 'rot180') and re.search(r'\bhigher[\s-]+(?:left|right)\b', text):
        return True  # its opposite, "lower left", would come back as "upper left"
    if operation in ('rot90', 'rot270', 'any') and _ORIENTATION.search(text):
        return True
    return operation in ('rot90', 'rot270') and bool(
        _QUARTER_CLUMSY.search(text) or _UNSAID.search(text))


def move(sentence: str, sides: Mapping[str, str]) -> str:
    """Return the sentence with every direction word moved.

    Args:
        sentence: A caption for which :func:`is_unsafe` is False.
        sides: Where each side of the picture lands.
    """
    return _UNIT.sub(lambda match: _moved(match, sides), sentence)


def _names_side(text: str, start: int) -> bool:
    """Return whether the "left" or "right" at ``start`` names a side, by the words before it.

    "the left", "left and right" do; "two houses are left", "right next to" do not.
    """
    return bool(_LEAD.search(text[:start]))


def _moved(match: re.Match, sides: Mapping[str, str]) -> str:
    if match['single']:
        words = _word(match['single'], sides)
    else:
        first, link, second = ((match['first'], match['link'], match['second'])
                               if match['first'] else
                               (match['early'], match['gap'], match['late']))
        family = _FAMILY_OF[(match['first'] or match['late']).lower()]
        words = _compound(first, second, family, sides, link)
    return _article(match['article'], words) + words + match['ending']


def _word(word: str, sides: Mapping[str, str]) -> str:
    side = _SIDE_OF[word.lower()]
    family = _FAMILY_OF[word.lower()]
    # "upper" has no sideways form of its own; a quarter turn gives "left", and that gives "top".
    moved = family[sides[side]]
    return moved.capitalize() if word[0].isupper() else moved


def _compound(first: str, second: str, family: Mapping[str, str], sides: Mapping[str, str],
              link: str) -> str:
    """Move both sides of a corner and keep the order "up-down, sideways" as it was written."""
    landed = {sides[_SIDE_OF[first.lower()]], sides[_SIDE_OF[second.lower()]]}
    slots = [('top', 'bottom'), ('left', 'right')]
    if _SIDE_OF[first.lower()] in ('left', 'right'):
        slots.reverse()
    words = [family[next(side for side in slot if side in landed)] for slot in slots]
    if first[0].isupper():
        words[0] = words[0].capitalize()
    return link.join(words)


def _article(article: str | None, words: str) -> str:
    """Return "a " or "an " to suit the first word, or "" where no article was."""
    if not article:
        return ''
    blank = article.lstrip('aAnN')
    return article[0] + ('n' if words[0].lower() in 'aeiou' else '') + blank
