"""Captions of changes rewritten for the pair with its dates exchanged.

"A house is built" becomes "a house is removed", "the trees are replaced by a road" becomes "the
trees replace a road": verbs change and things stay where they are, so that places and numbers
stay right. Sentences whose verbs are not among those below are refused, not guessed.
"""
import re
from collections.abc import Callable, Sequence

from rscc.text.normalisation import check_language, normalise

_BUILT = (r'(?:re)?built|(?:re)?constructed|erected|added(?! to)|planted|dug|laid|paved|'
          r'created|formed|established|completed')
_GONE = (r'removed|demolished|cleared|felled|destroyed|bulldozed|razed|filled(?! with)(?: in)?|'
         r'(?:cut|torn|pulled|knocked) down')
_BE, _HAVE = r'(?P<be>is|are|was|were)', r'(?P<have>has|have) '
_APPEARED = {'is': 'appears', 'are': 'appear', 'was': 'appeared', 'were': 'appeared'}
_REPLACES = {'is': 'replaces', 'are': 'replace', 'was': 'replaced', 'were': 'replaced'}

Rule = tuple[re.Pattern, Callable[[re.Match], str]]


def _rules(rows: Sequence[tuple[str, str | Callable[[re.Match], str]]]) -> list[Rule]:
    return [(re.compile(pattern),
             new if callable(new) else lambda match, new=new: match.expand(new))
            for pattern, new in rows]


# The first rule that fits at a place wins; longer words stand before shorter ones.
_ENGLISH = _rules([
    # One thing in place of another: the things stay, the verb turns round.
    (rf'\b{_BE} (?:{_GONE}) to build\b', lambda m: _REPLACES[m['be']]),
    (rf'\b{_BE} replaced by\b', lambda m: _REPLACES[m['be']]),
    (rf'\b{_HAVE}been replaced by\b', r'\g<have> replaced'),
    (rf'\b{_HAVE}replaced\b', r'\g<have> been replaced by'),
    (r'\breplaces\b', 'is replaced by'), (r'\breplace\b', 'are replaced by'),
    (r'\b(?:becomes|(?:turns|converts|transforms) into)\b', 'replaces'),
    (r'\b(?:become|(?:turn|convert|transform) into)\b', 'replace'),
    # What was built is removed, and the reverse.
    (rf'\b{_BE} (?:newly )?(?:{_BUILT})\b', r'\g<be> removed'),
    (rf'\b{_HAVE}been (?:newly )?(?:{_BUILT})\b', r'\g<have> been removed'),
    (r'\b(?P<have>has|have) formed\b', r'\g<have> disappeared'),
    (rf'\b{_BE} (?:{_GONE})\b', lambda m: _APPEARED[m['be']]),
    (rf'\b{_HAVE}been (?:{_GONE})\b', r'\g<have> appeared'),
    # What appears disappears, and the reverse.
    (r'\bdisappear', 'appear'), (r'\bvanishes\b', 'appears'), (r'\bvanished\b', 'appeared'),
    (r'\bvanish\b', 'appear'), (r'\bappear', 'disappear'),
    (r'\bshows up\b', 'disappears'), (r'\bshow up\b', 'disappear'),
    (r'\bshowed up\b', 'disappeared'), (r'\bemerge(?P<e>[sd])\b', lambda m: (
        'disappears' if m['e'] == 's' else 'disappeared')),
    # What was new is not any more.
    (r'\b(?P<a>an?) new(?:ly built)? (?P<next>\w)', lambda m: (
        f"{'an' if m['next'] in 'aeio' else 'a'} {m['next']}")),
    (r'\bnew(?:ly built)? ', ''),
])
# Verbs in the middle of a sentence that no rule turned, and words that say when.
_LEFT_EN = re.compile(rf'\b(?:{_BUILT}|{_GONE}|build|develop\w*|expand\w*|extend\w*|before|'
                      r'after|now|previous\w*|original\w*|former\w*|later|remain\w*|still|became|turned|'
                      r'gone|instead|newly|way|room|widened|replac\w*|added|filled)\b')
_CHINESE = _rules([
    (r'取代了(?:原来的)?', '变成了'), (r'(?:变成|变为)了?', '取代了原来的'),
    # 房屋被拆除了 -> 房屋出现了; 新建了房屋 -> 拆除了房屋.
    (r'(?:被|已)?(?:拆除|移除|清除|填平|砍伐|铲除|推平|砍掉)了?$', '出现了'),
    (r'(?:被|已)?(?:拆除|移除|清除|填平|砍伐|铲除|推平|砍掉)了?(?=[，；])', '出现了'),
    (r'(?:消失|不见)了?(?=$|[，；])', '出现了'),
    (r'(?:新?建造?|新?修建?|建起|建成|兴建|修建|建造|出现|开挖|挖|形成|新增|增加|添加|铺设)了'
     r'(?=[^，。；]*(?:树|植被|植物|草))', '移除了'),
    (r'(?:种植|栽种|种)了', '移除了'),
    (r'(?:新建|新修|兴建|修建|建造|建成|建起|建|出现|开挖|挖|形成|新增|增加|添加|铺设)了'
     r'(?=[^，。；]*(?:池|湖|塘|水))', '填平了'),
    (r'(?:新建|新修|兴建|修建|建造|建成|建起|建|出现|开挖|挖|形成|新增|增加|添加|铺设)了'
     r'(?=[^，。；])', '拆除了'),
    (r'(?:拆除|移除|清除|填平|砍伐)了(?=[^，。；])', '新建了'),
])
_LEFT_ZH = re.compile(r'之前|以前|之后|现在|如今|仍|出现在|原有|新的|被|扩|已')


def mirror(sentence: str, language: str = 'en') -> str | None:
    """Return the sentence for the same pair with its dates exchanged.

    Args:
        sentence: A caption of a changed pair.
        language: ``'en'`` or ``'zh'``.

    Returns:
        The normalised new sentence; None where no verb of change is found, or one of them, or a
        word such as "before", cannot be turned safely.

    Raises:
        ValueError: If the language is unknown.
    """
    check_language(language)
    text = normalise(sentence, language)
    rules, left = (_ENGLISH, _LEFT_EN) if language == 'en' else (_CHINESE, _LEFT_ZH)
    pieces, place, turned = [], 0, 0
    while place < len(text):
        found = [(match.start(), order, match) for order, (pattern, _) in enumerate(rules)
                 if (match := pattern.search(text, place))]
        if not found:
            break
        start, order, match = min(found, key=lambda one: one[:2])
        between = text[place:start]
        if left.search(between):
            return None
        new = rules[order][1](match)
        # A word such as "new" alone is no verb.
        turned += 'new' not in match.group() or ' new' not in f' {match.group()}'
        pieces += [between, new]
        place = match.end()
    rest = text[place:]
    if not turned or left.search(rest):
        return None
    return ''.join([*pieces, rest]).strip()
