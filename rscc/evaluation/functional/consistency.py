"""Agreement of a sentence with a change map, with a probability of change, with other sentences.

No references are needed: what is compared are answers of one model about the same images. Every
disagreement is a number from 0 (none) to 1.
"""
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import cv2
import numpy as np

from rscc.evaluation.functional.content import actions_named, objects_named, says_no_change
from rscc.evaluation.functional.failures import count_gaps, failure_kinds, wrong_directions
from rscc.evaluation.functional.mask_content import groups_of, share_inside, where
from rscc.evaluation.functional.statements import changed_things, mentions, statements
from rscc.text.directions import sides_named

#: Share of changed pixels from which on a map says that something changed.
CHANGED_SHARE = 0.001
#: Share of changed pixels over which "no change" is as likely wrong as right.
_DENIED = 0.01
#: Regions of fewer pixels are no things that anybody would count.
_FEWEST_PIXELS = 12
_OPPOSITE = {'left': 'right', 'right': 'left', 'top': 'bottom', 'bottom': 'top'}


@dataclass(frozen=True)
class MapFacts:
    """What a change map tells that a sentence can be compared with.

    Attributes:
        classes: Names of the values that the map can have, 0 (unchanged) first; empty where
            nobody knows.
        shares: Name of a class -> share of all pixels, of the changed classes that occur.
        regions: Name of a class -> number of connected regions.
        places: Name of a class -> where its pixels lie, as ``mask_content.where`` tells.
    """
    classes: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    regions: Mapping[str, int] = field(default_factory=dict)
    places: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, mask: np.ndarray, classes: Sequence[str] = (), data: np.ndarray | None = None,
           pixels: int | None = None) -> Self:
        """Measure a map.

        Args:
            mask: Class numbers (H, W), 0 = unchanged.
            classes: Names of the numbers.
            data: Pixels that count, bool (H, W); None for all.
            pixels: What shares are of, the pixels of a window for a map of several; all of the
                map's that count unless given.
        """
        mask = np.where(data, mask, 0) if data is not None else np.asarray(mask)
        pixels = pixels or (mask.size if data is None else max(int(data.sum()), 1))
        shares, regions, places = {}, {}, {}
        for value in np.unique(mask[mask != 0]).tolist():
            name = classes[value] if value < len(classes) else f'class {value}'
            own = mask == value
            shares[name] = float(own.sum() / pixels)
            regions[name] = _count_regions(own)
            places[name] = where(own)
        return cls(tuple(classes), shares, regions, places)

    @property
    def changed(self) -> float:
        """Share of changed pixels, 0 to 1."""
        return float(sum(self.shares.values()))


def _count_regions(own: np.ndarray) -> int:
    """Count connected regions that are large enough to be things."""
    _, _, found, _ = cv2.connectedComponentsWithStats(own.astype(np.uint8), connectivity=8)
    return int((found[1:, cv2.CC_STAT_AREA] >= _FEWEST_PIXELS).sum())


def counts_named(sentence: str, language: str = 'en') -> dict[str, int]:
    """Return object group -> number of things that a sentence says changed, counted exactly.

    "Two houses", "a road", "三栋房屋"; not "some houses", "a row of villas", "beside a road". A
    group of which any number is left open ("a large building and some houses") has none.

    Args:
        sentence: A caption.
        language: ``'en'`` or ``'zh'``.
    """
    found: dict[str, int] = {}
    left_open = set()
    for mention in mentions(sentence, language, wide=True):
        least, most = mention.count or (0, 1)
        if least != most:
            left_open.add(mention.thing)
        else:
            found[mention.thing] = found.get(mention.thing, 0) + int(least)
    return {thing: number for thing, number in found.items() if thing not in left_open}


def map_disagreements(sentence: str, facts: MapFacts, language: str = 'en',
                      no_change_captions: Iterable[str] = (), places: bool = True
                      ) -> dict[str, float]:
    """Compare a sentence with the map of the same answer.

    Args:
        sentence: A caption about a pair.
        facts: Of its map.
        language: ``'en'`` or ``'zh'``.
        no_change_captions: The dataset's sentences for unchanged pairs.
        places: Whether counts and places are those of the whole map; not where the sentence was
            put together from several windows.

    Returns:
        ``denied``: "no change" over a changed map; ``unseen``: a change that the map does not show;
        ``absent``: all that is named are classes that the map knows and lacks; ``extra``: some
        of what is said to have changed is; ``silent``: the class of most changed pixels is not
        named; ``count`` and ``place``: another number of regions, another half of the picture.
        Each from 0 to 1; what does not apply is left out.
    """
    changed = facts.changed
    if says_no_change(sentence, no_change_captions, language):
        return {'denied': changed / (changed + _DENIED) if changed >= CHANGED_SHARE else 0.0}
    found = {'unseen': 0.0 if changed >= CHANGED_SHARE else 1 - changed / CHANGED_SHARE / 2}
    if changed < CHANGED_SHARE:
        return found
    known = groups_of(facts.classes[1:])
    there = _there(facts)
    named = objects_named(sentence, language, True) & set(known)
    if named and len(known) > 1:
        found['absent'] = float(not named & set(there))
        found['silent'] = _unnamed_share(named, there, facts)
        if not found['absent']:
            told = changed_things(sentence, language, wide=True) & set(known)
            found['extra'] = len(told - set(there)) / max(len(told), 1)
    if places:
        found |= _place(sentence, facts, named & set(there), there, language)
        off = [1 - min(said, seen) / max(said, seen)
               for said, seen, _ in numbers_beside_map(sentence, facts, language)]
        found |= {'count': max(off)} if off else {}
    return found


def things_lacking(sentence: str, facts: MapFacts, language: str = 'en') -> list[str]:
    """Return the classes that a sentence says changed, and of which the map shows nothing.

    Args:
        sentence: A caption about a pair.
        facts: Of its map, which must know a class to lack it.
        language: ``'en'`` or ``'zh'``.
    """
    known, there = groups_of(facts.classes[1:]), _there(facts)
    told = changed_things(sentence, language, wide=True) & set(known)
    return sorted(min(known[group]) for group in told - set(there))


def numbers_beside_map(sentence: str, facts: MapFacts, language: str = 'en'
                       ) -> list[tuple[int, int, str]]:
    """Return the number that a sentence gives, that of the map's regions, and of which class.

    Args:
        sentence: A caption about a pair.
        facts: Of its map.
        language: ``'en'`` or ``'zh'``.
    """
    there = _there(facts)
    found = [(said, sum(facts.regions[name] for name in there.get(group, ())),
              min(there.get(group, [''])))
             for group, said in counts_named(sentence, language).items()]
    return [(said, seen, name) for said, seen, name in found if said and seen]


def _there(facts: MapFacts) -> dict[str, set[str]]:
    """Return thing -> names of its classes that the map shows."""
    return groups_of(name for name, share in facts.shares.items() if share >= CHANGED_SHARE)


def _unnamed_share(named: set[str], there: Mapping[str, set[str]], facts: MapFacts) -> float:
    """Return the share of changed pixels in the largest class that the sentence leaves out."""
    rest = [sum(facts.shares[name] for name in names) for group, names in there.items()
            if group not in named]
    return min(1.0, max(rest, default=0.0) / facts.changed)


def _place(sentence: str, facts: MapFacts, named: set[str], there: Mapping[str, set[str]],
           language: str) -> dict[str, float]:
    """Return how much of what changed lies outside the half that is named."""
    sides = sides_named(sentence, language)
    sides = {side for side in sides if _OPPOSITE[side] not in sides}
    if not sides:
        return {}
    classes = set().union(*(there[group] for group in named)) or set(facts.shares)
    total = sum(facts.shares[name] for name in classes)
    inside = min(sum(facts.shares[name] * share_inside(facts.places[name], side)
                     for name in classes) / total for side in sides)
    return {'place': float(np.clip(1 - inside, 0, 1))}


def flag_disagreement(sentence: str, probability: float, language: str = 'en',
                      no_change_captions: Iterable[str] = ()) -> float:
    """Return the probability, by the flag, that a sentence is wrong about whether anything changed.

    Args:
        sentence: A caption about a pair.
        probability: Of any change, 0 to 1.
        language: ``'en'`` or ``'zh'``.
        no_change_captions: The dataset's sentences for unchanged pairs.
    """
    unchanged = says_no_change(sentence, no_change_captions, language)
    return probability if unchanged else 1 - probability


@dataclass(frozen=True)
class Said:
    """A sentence and its language.

    Attributes:
        text: The sentence.
        language: ``'en'`` or ``'zh'``.
        no_change_captions: The dataset's sentences for unchanged pairs in that language.
    """
    text: str
    language: str = 'en'
    no_change_captions: tuple[str, ...] = ()

    def content(self) -> tuple[bool, set[str], set[str]]:
        """Return whether it says that nothing changed, the objects, and what became of them."""
        return (says_no_change(self.text, self.no_change_captions, self.language),
                objects_named(self.text, self.language, True),
                actions_named(self.text, self.language))


#: How much of a contradiction each kind of failure is, the other sentence taken for a reference.
_CONTRADICTS = {'missed_change': 1.0, 'invented_change': 1.0, 'wrong_object': 1.0,
                'wrong_direction': 1.0, 'wrong_count': 0.5, 'wrong_place': 0.5}


def contradiction(best: Said, others: Sequence[Said], pairs: bool = True) -> float | None:
    """Return how much a model's other sentences contradict the best one, 0 to 1.

    Another answer to whether anything changed, nothing in common of what is named, and the opposite
    direction (appeared, removed) are whole contradictions; another number or place is half of one.

    Args:
        best: The sentence that is the answer.
        others: The other sentences of an n-best list or a sample, those of other languages too.
        pairs: Whether sentences are about changes.

    Returns:
        The mean over those in the same language, or what the sentence in another language, which
        is an answer itself, contradicts, if that is more; None where there are none.
    """
    alike = [_contradicts(best, other, pairs) for other in others
             if other.language == best.language]
    across = [_contradicts(best, other, pairs) for other in others
              if other.language != best.language]
    return max([*([float(np.mean(alike))] if alike else []), *across], default=None)


def _contradicts(best: Said, other: Said, pairs: bool) -> float:
    """Return how much one other sentence contradicts the best one."""
    if pairs and best.language == other.language:
        kinds = failure_kinds(best.text, [other.text], None, best.language,
                              best.no_change_captions)
        # A sentence that names nothing denies nothing but a change.
        silent = kinds == ['wrong_object'] and not objects_named(other.text, other.language, True)
        return 0.0 if silent else max((_CONTRADICTS[kind] for kind in kinds), default=0.0)
    unchanged, objects, actions = best.content()
    same, named, told = other.content()
    if pairs and (unchanged or same):
        return float(unchanged != same)
    if objects and named and not objects & named:
        return _CONTRADICTS['wrong_object']
    if not pairs:
        return 0.0
    opposed = actions and told and not actions & told
    return _CONTRADICTS['wrong_direction'] if opposed else _differ(best, other)


def _differ(best: Said, other: Said) -> float:
    """Return how much two sentences differ in direction, number or place, whatever their words."""
    said, known = (statements(one.text, one.language, wide=True) for one in (best, other))
    if wrong_directions(said, [known]):
        return _CONTRADICTS['wrong_direction']
    if any(gap > 0 for gap in count_gaps(said, [known])):
        return _CONTRADICTS['wrong_count']
    sides, others = (sides_named(one.text, one.language) for one in (best, other))
    return _CONTRADICTS['wrong_place'] if sides and others and not sides & others else 0.0
