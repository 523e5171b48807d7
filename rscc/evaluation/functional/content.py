"""Content scores of captions: objects, appearing or removed, change flag, variety of words.

Words are looked up by group; the groups follow what LEVIR-CC's captions talk about (buildings in
88 % of the changed pairs, roads 84 %, vegetation 59 %, parking 11 %, water 4 %).
"""
import re
from collections.abc import Callable, Iterable, Sequence

from rscc.text import normalise

Words = Sequence[str]

_OBJECTS = {
    'en': {
        'building': r'\b(?:buildings?|houses?|villas?|homes?|apartments?|residen(?:ces?|tials?)|'
                    r'dwellings?|mansions?|cottages?|huts?|bungalows?|'
                    r'factor(?:y|ies)|warehouses?|sheds?)\b',
        'road': r'\b(?:roads?|streets?|paths?|lanes?|highways?|avenues?|tracks?|trails?|'
                r'crossroads?|intersections?|roundabouts?|t-junctions?|overpass(?:es)?|paving)\b',
        'tree': r'\b(?:trees?|forests?|woods?|woodlands?|jungles?|vegetation|plants?|grass(?:es)?|'
                r'grasslands?|meadows?|bush(?:es)?|shrubs?|lawns?|greenery)\b',
        'parking': r'\b(?:parking|car\s?parks?)\b',
        'water': r'\b(?:water|ponds?|lakes?|rivers?|pools?|streams?|reservoirs?|canals?|seas?)\b',
    },
    'zh': {
        'building': r'房|楼|建筑|别墅|住宅|厂|仓库',
        'road': r'路|街|车道',
        'tree': r'树|林|植被|植物|草|灌木',
        'parking': r'停车',
        'water': r'水(?!泥)|池|湖|河|塘',
    },
}
# Further things, and further words for the groups above, for judging a pair at a time. object_F1
# does without them: with them, its values could not be compared with earlier ones.
_MORE_OBJECTS = {
    'en': {
        'building': r'\b(?:constructions?(?!\ssites?)|structures?|storehouses?|malls?|'
                    r'schools?|hotels?|skyscrapers?|urbani[sz]ed|urbani[sz]ation)\b',
        'tree': r'\b(?:green\s(?:areas?|spaces?)|gardens?|(?<!car\s)parks?|green\sland)\b',
        'water': r'\b(?:coasts?|shores?|beach(?:es)?|harbou?rs?|wetlands?)\b',
        'bare land': r'\b(?:bare\s?lands?|bare\s(?:ground|soil|earth)|deserts?|wastelands?|soil|'
                     r'sand|open\s(?:space|ground|land)s?|empty\s(?:space|ground|land)s?|'
                     r'dirt(?!\s(?:roads?|paths?|tracks?|trails?)))\b',
        'farmland': r'\b(?:farm\s?lands?|crop\s?lands?|crops?|paddy|paddies|farms?|'
                    r'(?:green|agricultural)\sfields?|in\sthe\sfields?)\b',
        'sports ground': r'\b(?:play\s?grounds?|stadiums?|golf|'
                         r'(?:playing|sports?|football|soccer|baseball)\s'
                         r'(?:fields?|grounds?|venues?|courts?)|'
                         r'(?:tennis|basketball)\scourts?)\b',
    },
    'zh': {
        'building': r'学校|商场|城市化',
        'tree': r'绿地|绿化|公园|花园',
        'water': r'海岸|海滩|港|湿地',
        'bare land': r'裸地|裸土|空地|荒地|沙地|沙漠|荒漠|土地',
        'farmland': r'农田|耕地|田地|田里|庄稼|农场',
        'sports ground': r'操场|球场|运动场|体育场|高尔夫',
    },
}
# One thing in place of another: something appears and something is removed.
_BECOMES = (r'replac(?:e|es|ed|ing)|becomes?|became|'
            r'(?:turn|convert|transform)(?:s|ed)?\s(?:in)?to')
_ACTIONS = {
    'en': {
        'appear': r'\b(?:appear(?:s|ed|ing)?|(?:re)?(?:build|built)s?|(?:re)?construct(?:s|ed)?|'
                  r'erected|added|new(?:ly)?|emerge[sd]?|shows?\sup|showed\sup|develop(?:s|ed)?|'
                  r'laid|paved|planted|dug|created|formed|established|expanded|extended|'
                  rf'completed|{_BECOMES})\b',
        'remove': r'\b(?:disappear(?:s|ed|ing)?|remov(?:e|es|ed|ing)|demolish(?:es|ed)?|cleared|'
                  r'(?:cut|torn|pulled|knocked)\sdown|felled|destroyed|bulldozed|vanish(?:es|ed)?|'
                  rf'gone|razed|filled\sin|{_BECOMES})\b',
    },
    'zh': {
        'appear': r'出现|新建|新修|形成|建成|建造|修建|建了|建起|兴建|增加|新增|'
                  r'铺设|铺成|铺上|种植|种了|挖|添加|取代|替换|替代|代替|变成',
        'remove': r'消失|拆除|移除|清除|砍|铲|推平|填平|减少|不见|取代|替换|替代|代替|变成',
    },
}
# Further words of removal for judging one sentence by another; direction_accuracy does without.
_MORE_ACTIONS = {'en': {'remove': r'\bfilled(?!\s(?:in|with)\b)'}, 'zh': {}}
# Free-text "no change" (DUBAI-CC has about 16 of them): such a phrase, and no action beside it.
_NO_CHANGE = {
    'en': r'\b(?:no|nothing|not|none|without|hardly|little|never|any)\b.*\b(?:chang|differ|modif)'
          r'|\bthe same\b|\bidentical\b|\bunchanged\b|\bunaltered\b',
    'zh': r'(?:没有?|无|未|几乎没有?).{0,6}(?:变化|改变|差异|区别|不同)|相同|一样|一致|不变|未变',
}


def objects_named(sentence: str, language: str = 'en', wide: bool = False) -> set[str]:
    """Return the object groups a sentence names: building, road, tree, parking, water.

    Args:
        sentence: A caption.
        language: ``'en'`` or ``'zh'``; the names of the groups are the same in both.
        wide: Know bare land, farmland and sports grounds too, and more words for the other groups.
    """
    found = _groups(sentence, _OBJECTS[language], language)
    return found | _groups(sentence, _MORE_OBJECTS[language], language) if wide else found


def actions_named(sentence: str, language: str = 'en') -> set[str]:
    """Return the kinds of change a sentence tells of: ``'appear'``, ``'remove'``, or both."""
    return _groups(sentence, _ACTIONS[language], language)


def object_spans(sentence: str, language: str = 'en', wide: bool = False
                 ) -> list[tuple[int, int, str]]:
    """Return where a normalised sentence names objects: (start, end, group), in reading order.

    Args:
        sentence: A caption as :func:`rscc.text.normalise` returns it.
        language: ``'en'`` or ``'zh'``.
        wide: As in :func:`objects_named`.
    """
    tables = (_OBJECTS[language], *([_MORE_OBJECTS[language]] if wide else ()))
    return _spans(sentence, tables)


def action_spans(sentence: str, language: str = 'en') -> list[tuple[int, int, str]]:
    """Return where a normalised sentence tells of appearing and removing, as ``object_spans``.

    Words that tell of both ("replaced by") are there twice, once with each action.
    """
    return _spans(sentence, (_ACTIONS[language], _MORE_ACTIONS[language]))


def _spans(sentence: str, tables: Iterable[dict[str, str]]) -> list[tuple[int, int, str]]:
    """Return (start, end, group) of every word of some tables, in reading order."""
    return sorted((found.start(), found.end(), group) for table in tables
                  for group, words in table.items() for found in re.finditer(words, sentence))


def _groups(sentence: str, groups: dict[str, str], language: str) -> set[str]:
    sentence = normalise(sentence, language)
    return {name for name, words in groups.items() if re.search(words, sentence)}


def says_no_change(sentence: str, no_change_captions: Iterable[str] = (),
                   language: str = 'en') -> bool:
    """Return whether a sentence says that nothing changed.

    True for each of the dataset's stock sentences, and for free text with a no-change phrase ("no
    change", "nothing ... changed", "the same", "identical", "unchanged") that tells of nothing
    appearing or removed. An empty sentence says nothing and counts as "changed".

    Args:
        sentence: A caption.
        no_change_captions: The stock sentences, normalised here.
        language: ``'en'`` or ``'zh'``.
    """
    sentence = normalise(sentence, language)
    if sentence in {normalise(stock, language) for stock in no_change_captions}:
        return True
    # "The area appears the same" tells of nothing that appears.
    rest = re.sub(r'\bappear(?:s|ed)?(?= (?:the same|identical|unchanged|unaltered))', '', sentence)
    return bool(re.search(_NO_CHANGE[language], rest)) and not actions_named(rest, language)


def flag_scores(predicted: Sequence[bool], actual: Sequence[bool]) -> dict[str, float]:
    """Return accuracy and F1 (of "changed") of the change flag, 0 to 1.

    Args:
        predicted: Whether each of N captions tells of a change.
        actual: Whether each of N samples changed.

    Returns:
        ``flag_accuracy``, and ``flag_F1`` unless "changed" occurs on neither side; nothing for no
        samples.
    """
    if not len(actual):
        return {}
    # "Changed" is the positive class.
    pairs = list(zip(predicted, actual, strict=True))
    scores = {'flag_accuracy': sum(p == a for p, a in pairs) / len(pairs)}
    # F1 = 2 TP / (2 TP + FP + FN); the denominator is all that either side calls changed.
    both, either = sum(p and a for p, a in pairs), sum(bool(p) + bool(a) for p, a in pairs)
    return scores if not either else {**scores, 'flag_F1': 2 * both / either}


def object_f1(predictions: Sequence[str], references: Sequence[Sequence[str]],
              language: str = 'en') -> float | None:
    """Return the micro F1 (0 to 1) of the object groups named.

    A group a prediction names is right if any reference names it; a group is missed if at least
    half of the references name it and the prediction does not.

    Args:
        predictions: N sentences.
        references: N lists of sentences.
        language: ``'en'`` or ``'zh'``.

    Returns:
        The F1, or None where nobody names any object.
    """
    # Micro F1: counts of all samples are added before the ratio is taken.
    counts = [object_counts(prediction, sentences, language)
              for prediction, sentences in zip(predictions, references, strict=True)]
    hits, wrong, missed = (sum(one[name] for one in counts) for name in ('hits', 'wrong', 'missed'))
    total = 2 * hits + wrong + missed
    return 2 * hits / total if total else None


def object_counts(prediction: str, references: Sequence[str], language: str = 'en'
                  ) -> dict[str, int]:
    """Count the object groups that a caption names beside those its references name.

    Returns:
        ``hits``: named, and by a reference too; ``wrong``: named by no reference (hallucinated);
        ``missed``: named by at least half of the references and not by the caption; ``agreed``: by
        at least half of the references.
    """
    named = objects_named(prediction, language)
    anyone, most = _agreed(references, lambda text: objects_named(text, language))
    # One reference is enough to make a group right, half of them to make it missed.
    return dict(hits=len(named & anyone), wrong=len(named - anyone), missed=len(most - named),
                agreed=len(most))


def direction_accuracy(predictions: Sequence[str], references: Sequence[Sequence[str]],
                       language: str = 'en') -> float | None:
    """Return the share of captions that say rightly whether something appears or is removed.

    Counted are samples for which at least half of the references tell of one of the two. Right
    is a caption that tells of everything most references tell of and of nothing that none does.

    Args:
        predictions: N sentences.
        references: N lists of sentences.
        language: ``'en'`` or ``'zh'``.

    Returns:
        A share, 0 to 1, or None where no references tell of either.
    """
    right = []
    for prediction, sentences in zip(predictions, references, strict=True):
        anyone, most = _agreed(sentences, lambda text: actions_named(text, language))
        # Everything that most references tell of, and nothing that none of them does.
        if most:
            right.append(most <= actions_named(prediction, language) <= anyone)
    return sum(right) / len(right) if right else None


def caption_hits(prediction: str, references: Sequence[str], language: str = 'en',
                 reference_language: str = 'en', no_change_captions: Iterable[str] = ()
                 ) -> dict[str, bool | None]:
    """Judge one sentence beside the references of its pair, in the same language or another.

    A handful of pairs is too few for BLEU or CIDEr; what a sentence gets right can be counted.

    Args:
        prediction: The sentence to judge.
        references: Sentences of people on the same pair.
        language: Of the prediction, ``'en'`` or ``'zh'``.
        reference_language: Of the references.
        no_change_captions: The dataset's stock sentences for unchanged pairs, in both languages.

    Returns:
        None for what the references give no cause to ask; else

        * ``object``: The prediction names an object (of the wide groups) that any reference names.
        * ``direction``: It tells of something appearing or removed, and of neither that no
            reference tells of.
        * ``whole_direction``: It tells, besides, of all that at least half of the references tell
            of, as in :func:`direction_accuracy`.
        * ``change``: It says that something changed; asked where not all references say that
            nothing did.
        * ``no_change``: It says that nothing changed; asked where all references say so.
    """
    stock = list(no_change_captions)
    unchanged = all(says_no_change(text, stock, reference_language) for text in references)
    said = bool(prediction.strip()) and says_no_change(prediction, stock, language)
    hits: dict[str, bool | None] = dict.fromkeys(
        ('object', 'direction', 'whole_direction', 'change', 'no_change'))
    if unchanged:
        return hits | {'no_change': said}
    objects, _ = _agreed(references, lambda text: objects_named(text, reference_language, True))
    anyone, most = _agreed(references, lambda text: actions_named(text, reference_language))
    # "The scene is the same" names no object that changed, whatever its words are.
    named = set() if said else objects_named(prediction, language, True)
    told = set() if said else actions_named(prediction, language)
    right = bool(told) and told <= anyone
    return hits | {'object': bool(named & objects) if objects else None,
                   'direction': right if anyone else None,
                   'whole_direction': right and most <= told if anyone else None,
                   'change': bool(prediction.strip()) and not said}


def _agreed(sentences: Sequence[str],
            name: Callable[[str], set[str]]) -> tuple[set[str], set[str]]:
    """Return the groups that any sentence names, and those that at least half of them name."""
    named = [name(sentence) for sentence in sentences]
    anyone = set().union(*named)
    return anyone, {x for x in anyone if 2 * sum(x in one for one in named) >= len(named)}


def distinct(predictions: Sequence[Words], n: int) -> float | None:
    """Return distinct-n (Li et al., NAACL 2016): different n-grams over all n-grams, 0 to 1.

    Args:
        predictions: Sentences, each a list of words.
        n: Words per n-gram.

    Returns:
        The share, or None where no sentence has n words.
    """
    # All sentences together: a model that says the same of every image has few different n-grams.
    grams = [tuple(words[i:i + n]) for words in predictions for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else None
