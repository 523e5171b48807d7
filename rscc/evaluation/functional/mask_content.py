"""Content of a change mask: which things changed, how much of the picture, and in which part of it.

A caption says things that its references may have left out, and the mask shows them; so captions
are judged by the mask of their pair too, where its classes have names.
"""
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rscc.evaluation.functional.content import objects_named
from rscc.evaluation.functional.statements import changed_things
from rscc.rasters.labels import shows_change
from rscc.text.directions import places_named

#: The entry for all changed pixels together.
ANY = 'any'
#: A thing smaller than this share of the largest one goes without saying.
LEAST = 0.1

Shown = Mapping[str, Mapping[str, float] | None]


def mask_content(mask: np.ndarray, classes: Sequence[str] | None = None
                 ) -> dict[str, dict[str, float] | None]:
    """Return what a mask shows, in numbers that a file can hold.

    Args:
        mask: Classes (H, W), 0 unchanged; labels that tell of no change do not count.
        classes: Their names in English or Chinese, class 0 first; names of no known thing
            ("changed") are left out.

    Returns:
        Thing (a group of ``objects_named``) -> None where it has no pixel, else its ``share`` of
        the picture and the shares of its pixels in the ``top`` half, the ``left`` half and the
        ``center`` (the middle half of both directions); and the same for ``'any'`` change.
    """
    names = list(classes or ())
    regions = {ANY: shows_change(mask)}
    for thing, own in groups_of(names[1:]).items():
        regions[thing] = np.isin(mask, [value for value, name in enumerate(names) if name in own])
    measured = {thing: where(region) for thing, region in regions.items()}
    return {thing: found and {name: round(value, 4) for name, value in found.items()}
            for thing, found in measured.items()}


def groups_of(classes: Iterable[str]) -> dict[str, set[str]]:
    """Return thing -> names of the classes of its kind; classes of no known thing are left out.

    Names are looked up in English and in Chinese.
    """
    found: dict[str, set[str]] = {}
    for name in classes:
        text = re.sub(r'[_-]+', ' ', name)
        for group in objects_named(text, 'en', True) | objects_named(text, 'zh', True):
            found.setdefault(group, set()).add(name)
    return found


def where(region: np.ndarray) -> dict[str, float] | None:
    """Return where in the picture a region lies; None where it has no pixel.

    Args:
        region: Its pixels, bool (H, W).

    Returns:
        ``share``, its part of the picture; and the shares of its pixels in the ``top`` half, the
        ``left`` half and the ``center`` (the middle half of both directions), 0 to 1.
    """
    total = int(region.sum())
    if not total:
        return None
    (height, width), (rows, columns) = region.shape, np.nonzero(region)
    # Centres of pixels, 0 to 1 from the top and from the left.
    down, right = (rows + 0.5) / height, (columns + 0.5) / width
    middle = (abs(down - 0.5) < 0.25) & (abs(right - 0.5) < 0.25)
    return {'share': total / region.size, 'top': float((down < 0.5).mean()),
            'left': float((right < 0.5).mean()), 'center': float(middle.mean())}


def share_inside(region: Mapping[str, float], side: str) -> float:
    """Return how much of a region, measured by :func:`where`, lies on a side of the picture."""
    opposite = {'bottom': 'top', 'right': 'left'}.get(side)
    return region[side] if opposite is None else 1 - region[opposite]


def things_against_mask(prediction: str, shown: Shown, language: str = 'en'
                        ) -> tuple[set[str], set[str], set[str], set[str]]:
    """Compare the things that a caption says have changed with those that the mask shows.

    Args:
        prediction: A caption.
        shown: From :func:`mask_content`.
        language: Of the caption.

    Returns:
        Things named that the mask has a class for; of these the hallucinated ones, which have no
        pixel; things that the mask shows plainly; of these the missed ones.
    """
    known = {thing: where for thing, where in shown.items() if thing != ANY}
    named = changed_things(prediction, language, wide=True) & set(known)
    largest = max((where['share'] for where in known.values() if where), default=0.0)
    plain = {thing for thing, where in known.items() if where
             and where['share'] >= LEAST * largest}
    return named, {thing for thing in named if not known[thing]}, plain, plain - named


def place_on_mask(prediction: str, shown: Shown, language: str = 'en') -> bool | None:
    """Return whether a place that a caption names is where the mask shows a change.

    It is where at least half of the pixels, of any change or of a thing that the caption names, lie
    in the named half of the picture: in both halves for a corner, in the middle for the center.

    Returns:
        None where the caption names no place or the mask is empty.
    """
    places = places_named(prediction, language)
    things = {ANY} | changed_things(prediction, language, wide=True)
    regions = [shown[thing] for thing in things if shown.get(thing)]
    if not places or not regions:
        return None
    return any(_lies(region, place) for region in regions for place in places)


def _lies(region: Mapping[str, float], place: frozenset[str]) -> bool:
    return all(share_inside(region, side) >= 0.5 for side in place)
