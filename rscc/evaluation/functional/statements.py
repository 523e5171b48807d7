"""Statements of a change caption: which thing, what happened to it, how many, and where.

"Some trees are removed to build two houses on the left" states that trees were removed and that
two houses appeared, and it names the left. A road along which houses are built is a place, no thing
that changed. The rules are few and made for captions of changes; they are no parser.
"""
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rscc.evaluation.functional.content import action_spans, object_spans
from rscc.text import normalise

#: Smallest and largest number that a sentence leaves open: "two" (2, 2), "several" (3, inf).
Count = tuple[float, float]
Place = frozenset[str]

OPPOSITE = {'appear': 'remove', 'remove': 'appear', '': ''}


@dataclass(frozen=True)
class Statement:
    """One thing that a caption says has changed.

    Attributes:
        thing: Its group, as in ``objects_named``: ``'building'``, ``'road'``, ...
        action: ``'appear'``, ``'remove'``, or ``''`` where the sentence does not say.
        count: Range of its number, None where nothing countable is said.
    """
    thing: str
    action: str
    count: Count | None = None


_NUMBERS = {'en': {word: number for number, word in enumerate(
                ('one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten',
                 'eleven', 'twelve'), 1)},
            'zh': {**{word: number for number, word in enumerate('一二三四五六七八九十', 1)},
                   '两': 2}}
_MANY = {'en': {'several': 3, 'many': 4, 'numerous': 4, 'some': 2, 'few': 2, 'multiple': 2,
                'dozens': 12, 'massive': 4, 'lots': 4, 'lot': 4, 'number': 3, 'row': 3, 'rows': 4,
                'line': 3, 'lines': 4, 'group': 3, 'groups': 4, 'both': 2, 'various': 3},
         'zh': {'几': 3, '数': 3, '多': 3, '许多': 4, '很多': 4, '大量': 4, '一些': 2, '若干': 2,
                '一排': 3, '成排': 3, '大片': 4, '众多': 4}}
# Words that may stand between a number, or a preposition, and its noun.
_BETWEEN = (r'(?:(?!(?:of|and|or|with|in|on|at|by|to|from|is|are|was|were|has|have|been|near|along|'
            r'beside|around|into|an?|the|replac\w+|becomes?|became|builds?|turns?)\b)'
            r'[a-z][\w-]*\s+){0,3}')
_COUNT_EN = re.compile(
    r'\b(?P<word>an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\d+|several|'
    r'many|numerous|some|few|multiple|massive|both|various|'
    rf'(?:dozens|lots?|number|rows?|lines?|groups?)(?=\s+of\b))\s+(?:of\s+)?{_BETWEEN}$')
_COUNT_ZH = re.compile(
    r'(?P<word>许多|很多|大量|一些|若干|一排|成排|大片|众多|[一二两三四五六七八九十]|\d+|[几数多])'
    r'(?P<unit>[栋座条个处棵幢块所间家排片]?)(?:[^，。；、了和被与]{0,4})$')
# The ground on which something changes: of "the meadow turns into a pond" the pond is the thing.
_GROUND = re.compile(r'grass(?:es|lands?)?|meadows?|lawns?|草')
_UNCOUNTED = r'(?:vegetation|grass|grassland|greenery|water|woods|woodland|forest|jungle|paving)\b'

# A noun behind one of these says where, and not what.
_ADJECTIVES = (r'(?:(?:the|an?|this|that|its|their|each|some|many|several|two|three|original|'
               r'existing|old|former|new|main|narrow|wide|straight|curved|long|large|small|big|dense|'
               r'sparse|green|bare|open|nearby|other|residential|wide|[a-z]+-shaped)\s+)*')
_LOCATED_EN = re.compile(
    r'\b(?:along(?:side)?|besides?|near|around|across|through|between|behind|among|amid|beyond|'
    r'in|on|over|at|onto|inside|within|under|from|outside|surrounding|connecting|joining|'
    r'(?:next|close|adjacent|connect(?:s|ed)?|parallel|leads?|leading|path|way|opposite)\s+to|'
    r'(?:sides?|edges?|ends?|front|middle|cent(?:er|re)|corners?|part|end|top|bottom)\s+of|'
    rf'(?<!replaced\s)(?<!occupied\s)by)\s+{_ADJECTIVES}$')
_LOCATED_ZH = re.compile(
    r'[路场地坪木林]?的?(?:两侧|两旁|两边|旁边?|边缘?|一侧|沿线|附近|周围|之间|尽头|上|中(?!央)|里|内|下)')
_AND = re.compile(rf'^\s*(?:,|and|or|、|和|与)\s*{_ADJECTIVES}$')

# Words of exchange, by what becomes of the thing before them; the thing behind fares opposite.
_GIVES_WAY = re.compile(
    r'(?:(?:is|are|was|were|been|being)\s+replaced|replaced(?=\s+(?:by|with)\b)|become|became|'
    r'(?:turn|convert|transform)|(?:give|gave|make|made)s?\s+(?:way|room))|变成|变为|'
    r'被[^，。；]*?(?:取代|替换|替代|代替)')
_WAY = re.compile(r'\b(?:gives?|gave|given|makes?|made|making)\s+(?:way|room)\b')
_TRANSITIVE_EN = re.compile(r'\b(?:builds?|adds?|forms?|creates?|constructs?|removing|removes?|'
                            r'demolish(?:es)?|clear(?:s|ing)?|replac(?:e|es|ing)|building)$')
_PASSIVE_ZH = re.compile(r'被[^，。；]{0,8}$')
_INTRANSITIVE_ZH = ('消失', '不见', '减少')
_BEFORE = re.compile(r'\b(?:before|previously|originally|formerly|used\sto)\b|原来|以前|原本|曾经')
_AFTER = re.compile(r'\b(?:now|after|afterwards|later|currently)\b|现在|如今|后来')


def statements(sentence: str, language: str = 'en', wide: bool = False) -> list[Statement]:
    """Return what a caption states, in reading order, each statement once.

    Args:
        sentence: A caption.
        language: ``'en'`` or ``'zh'``.
        wide: Know more things and words, as in ``objects_named``.
    """
    return list(dict.fromkeys(mentions(sentence, language, wide)))


def mentions(sentence: str, language: str = 'en', wide: bool = False) -> list[Statement]:
    """Return a statement for each thing that a caption says has changed, equal ones too.

    "A large building and a house are built" mentions a building twice. Places are left out, and
    grass or bare land where any other thing has changed on it.

    Args:
        sentence: A caption.
        language: ``'en'`` or ``'zh'``.
        wide: Know more things and words, as in ``objects_named``.
    """
    text = normalise(sentence, language)
    actions = _actions(text, language)
    found, grounds, placed = [], [], -1
    for start, end, thing in object_spans(text, language, wide):
        if _is_place(text, start, end, language, placed, actions):
            placed = end
            continue
        ground = _GROUND.fullmatch(text[start:end]) or thing == 'bare land'
        (grounds if ground else found).append(
            Statement(thing, _action_of(text, start, end, actions, language),
                      _count_of(text, start, end, language)))
    return found or grounds


def changed_things(sentence: str, language: str = 'en', wide: bool = False) -> set[str]:
    """Return the groups of the things that a caption says have changed, those of places aside."""
    return {statement.thing for statement in statements(sentence, language, wide)}


@dataclass(frozen=True)
class _Action:
    start: int
    end: int
    before: str  # what becomes of a thing before the word
    behind: str  # and of one behind it


def _actions(text: str, language: str) -> list[_Action]:
    """Return the words of change in reading order; "new" counts only where no verb is there."""
    spans: dict[tuple[int, int], set[str]] = {}
    for start, end, action in action_spans(text, language):
        spans.setdefault((start, end), set()).add(action)
    for found in _WAY.finditer(text):
        spans[found.span()] = {'appear', 'remove'}
    found = []
    for (start, end), kinds in sorted(spans.items()):
        before = behind = next(iter(kinds))
        if len(kinds) == 2:
            gone = any(match.start() <= end and match.end() >= start
                       for match in _GIVES_WAY.finditer(text))
            before, behind = ('remove', 'appear') if gone else ('appear', 'remove')
        found.append(_Action(start, end, before, behind))
    verbs = [one for one in found if text[one.start:one.end] not in ('new', 'newly')]
    return verbs or found


def _action_of(text: str, start: int, end: int, actions: Sequence[_Action], language: str) -> str:
    before = [one for one in actions if one.end <= start]
    behind = [one for one in actions if one.start >= end]
    if language == 'zh':
        # A clause has its own verb; of two clauses, the thing goes with that of its own.
        left, right = _clause(text, start)
        own_before = [one for one in before if one.start >= left]
        own_behind = [one for one in behind if one.end <= right]
        if own_before and _takes_object(text, own_before[-1]):
            return own_before[-1].behind
        # 树木被房屋取代: what stands between 被 and the verb of exchange comes in place of it.
        if own_behind and own_behind[0].before != own_behind[0].behind and '被' in text[left:start]:
            return own_behind[0].behind
        before, behind = own_before or before, own_behind or ([] if own_before else behind)
    elif before and _takes_object_en(text, before[-1], start):
        return before[-1].behind
    if behind:
        return behind[0].before
    if before:
        return before[-1].behind
    return 'remove' if _BEFORE.search(text) and not _AFTER.search(text) else \
        'appear' if _AFTER.search(text) and not _BEFORE.search(text) else ''


def _clause(text: str, place: int) -> tuple[int, int]:
    marks = [found.start() for found in re.finditer('[，。；,;]', text)]
    return (max((mark for mark in marks if mark < place), default=-1) + 1,
            min((mark for mark in marks if mark >= place), default=len(text)))


def _takes_object(text: str, action: _Action) -> bool:
    """Return whether a Chinese verb's thing stands behind it: 新建了房屋, not 房屋被拆除."""
    word = text[action.start:action.end]
    return action.before != action.behind or not (
        word in _INTRANSITIVE_ZH or _PASSIVE_ZH.search(text[:action.start]))


def _takes_object_en(text: str, action: _Action, start: int) -> bool:
    """Return whether a thing directly behind an English verb is its object: "to build a road"."""
    link = (rf'\s+(?:by\s+|with\s+|into\s+|to\s+|for\s+)?(?:the\s+|an?\s+)?{_BETWEEN}'
            r'(?:(?:rows?|lines?|lots?)\s+of\s+)?')
    verb = action.before != action.behind or _TRANSITIVE_EN.search(text[:action.end])
    return bool(verb and re.fullmatch(link, text[action.end:start]))


def _is_place(text: str, start: int, end: int, language: str, placed: int,
              actions: Iterable[_Action]) -> bool:
    if language == 'zh':
        return bool(_LOCATED_ZH.match(text[end:]))
    if _LOCATED_EN.search(text[:start]):
        return True
    # "along the road and the woods": the second is a place too, unless something happens to it.
    return placed >= 0 and bool(_AND.match(text[placed:start])) and not any(
        one.start >= end for one in actions)


def _count_of(text: str, start: int, end: int, language: str) -> Count | None:
    if language == 'zh':
        found = _COUNT_ZH.search(text[:start])
        if not found or found['unit'] == '片':
            return None
        word = found['word']
        return _range(word, language)
    noun = text[start:end]
    if re.match(_UNCOUNTED, noun):
        return None
    found = _COUNT_EN.search(text[:start])
    plural = noun.endswith('s') or bool(re.match(r'\s+(?:lots|spaces|areas)\b', text[end:]))
    if found and (found['word'] not in ('a', 'an') or not plural):
        return _range(found['word'], language)
    return (2, math.inf) if plural else None


def _range(word: str, language: str) -> Count:
    if word in _MANY[language]:
        return _MANY[language][word], math.inf
    number = 1 if word in ('a', 'an') else _NUMBERS[language].get(word) or int(word)
    return number, number


def count_gap(one: Count, other: Count) -> float:
    """Return how far two ranges of numbers are apart, 0 where they have a number in common."""
    return float(max(one[0] - other[1], other[0] - one[1], 0))


def same_place(one: Place, other: Place) -> bool:
    """Return whether two places may be one: a side and its corners are, two sides are not."""
    return one <= other or other <= one
