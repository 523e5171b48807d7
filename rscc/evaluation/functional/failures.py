"""Kinds of failure of a change caption, told from the references of its pair."""
from collections.abc import Sequence

from rscc.evaluation.functional.content import objects_named, says_no_change
from rscc.evaluation.functional.statements import (
    Statement,
    count_gap,
    same_place,
    statements,
)
from rscc.text.directions import places_named

#: All kinds, in the order in which they are reported.
KINDS = ('missed_change', 'invented_change', 'wrong_object', 'wrong_direction', 'wrong_count',
         'wrong_place')


def failure_kinds(prediction: str, references: Sequence[str], changed: bool | None = None,
                  language: str = 'en', no_change_captions: Sequence[str] = ()) -> list[str]:
    """Return in which ways a caption fails beside the references of its pair.

    References are generous: what one of them says is right, and only what at least half of them
    say is asked for.

    Args:
        prediction: The sentence to judge; an empty one misses every change.
        references: Sentences of people on the same pair; none gives no cause for complaint beyond
            that of ``changed``.
        changed: Whether the pair changed; by default what the references say: it did unless all of
            them say that nothing did.
        language: ``'en'`` or ``'zh'``, of all sentences.
        no_change_captions: The dataset's stock sentences for unchanged pairs.

    Returns:
        Kinds of ``KINDS``, in that order; empty for a caption without a failure.

        * ``missed_change``: It says that nothing changed, and something did. Nothing else is asked.
        * ``invented_change``: The reverse. Nothing else is asked.
        * ``wrong_object``: Something changed in it that no reference names, or it names nothing of
            what at least half of them say has changed.
        * ``wrong_direction``: It says of a thing that it appeared where all references that tell
            what became of it say that it was removed, or the reverse.
        * ``wrong_count``: It gives a thing a number that no reference allows ("two", "several").
        * ``wrong_place``: It names places, and none of them is one that a reference names.
    """
    references = [text for text in references if text.strip()]
    if changed is None:
        changed = not references or not all(
            says_no_change(text, no_change_captions, language) for text in references)
    silent = not prediction.strip() or says_no_change(prediction, no_change_captions, language)
    if silent or not changed:
        missed, invented = changed and silent, not changed and not silent
        return [kind for kind, found in (('missed_change', missed), ('invented_change', invented))
                if found]
    told = [text for text in references if not says_no_change(text, no_change_captions, language)]
    said = statements(prediction, language)
    known = [statements(text, language) for text in told]
    found = {'wrong_object': _wrong_object(said, known, told, language),
             'wrong_direction': wrong_directions(said, known),
             'wrong_count': any(gap > 0 for gap in count_gaps(said, known)),
             'wrong_place': place_right(prediction, told, language) is False}
    return [kind for kind in KINDS if found.get(kind)]


def _wrong_object(said: Sequence[Statement], known: Sequence[Sequence[Statement]],
                  references: Sequence[str], language: str) -> bool:
    """Return whether a thing is invented, or nothing that the references agree on is named."""
    if not references:
        return False
    things = {one.thing for one in said}
    # A thing that a reference names in any role, as a place even, is none that was invented.
    anyone = set().union(*(objects_named(text, language, wide=True) for text in references))
    each = [{one.thing for one in statement} for statement in known]
    most = {thing for thing in set().union(*each)
            if 2 * sum(thing in one for one in each) >= len(each)}
    return bool(things - anyone) or bool(most and not things & most)


def wrong_directions(said: Sequence[Statement], known: Sequence[Sequence[Statement]]) -> bool:
    """Return whether a thing is said to appear that all references see removed, or the reverse.

    Args:
        said: Statements of the prediction.
        known: Statements of every reference.
    """
    for statement in said:
        right = {one.action for each in known for one in each
                 if one.thing == statement.thing and one.action}
        if statement.action and right and statement.action not in right:
            return True
    return False


def count_gaps(said: Sequence[Statement], known: Sequence[Sequence[Statement]]) -> list[float]:
    """Return, of every thing both sides count, how far its number is from the nearest reference.

    Args:
        said: Statements of the prediction.
        known: Statements of every reference.
    """
    gaps = []
    for statement in said:
        # A thing that was built is not counted against one that was removed.
        right = [one.count for each in known for one in each
                 if one.count and one.thing == statement.thing
                 and (one.action == statement.action or not (one.action and statement.action))]
        if statement.count and right:
            gaps.append(min(count_gap(statement.count, count) for count in right))
    return gaps


def place_right(prediction: str, references: Sequence[str], language: str = 'en') -> bool | None:
    """Return whether a caption names a place that a reference names, None where one side has none.

    A side and its corners are not told apart: "on the left" suits "in the top left corner".
    """
    said = places_named(prediction, language)
    known = [place for text in references for place in places_named(text, language)]
    if not said or not known:
        return None
    return any(same_place(one, other) for one in said for other in known)
