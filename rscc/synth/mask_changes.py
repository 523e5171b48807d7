"""Changes of real buildings, read from the masks of both dates, in the grammar of the captions.

The built-in dataset knows its objects; a pair made of real tiles has masks alone. Patches of the
masks are the objects: how many, how large, where, and at which date. What the ground is made of
nobody knows, so sentences leave it out.
"""
from collections.abc import Sequence

import cv2
import numpy as np

from rscc.synth import captions_en, captions_zh
from rscc.synth.changes import BUILT, REMOVED, Change
from rscc.synth.mask import place_of

#: Square metres of a roof from which it is a large building and no house. The houses of the
#: built-in dataset have up to 165, with a wing 250, its buildings 430 and more.
LARGE = 350.0
#: Square metres that can be seen to have changed.
VISIBLE = 12.0


def building_changes(earlier: np.ndarray, later: np.ndarray, resolution: float) -> list[Change]:
    """Return what was built and removed between the masks of two dates.

    Args:
        earlier: True on buildings that only the earlier date shows, bool (H, W).
        later: The same of the later date.
        resolution: Metres that a pixel covers.

    Returns:
        One change for each kind ('building' before 'house') and action that occurs, the larger
        first among those of one action; empty where nothing can be seen.
    """
    found = [change for region, action in ((later, BUILT), (earlier, REMOVED))
             for change in _of_date(region, action, resolution)]
    # Few small ones beside large ones go without saying.
    largest = max((change.pixels for change in found), default=0)
    return sorted((change for change in found if change.pixels > 0.08 * largest),
                  key=lambda change: -change.pixels)


def _of_date(region: np.ndarray, action: str, resolution: float) -> list[Change]:
    """Return the changes of one date, houses and large buildings apart."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8),
                                                                     connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA] * resolution ** 2
    changes = []
    for kind, low, high in (('building', LARGE, np.inf), ('house', VISIBLE, LARGE)):
        chosen = [index for index in range(1, count) if low <= areas[index] < high]
        if chosen:
            shown = np.isin(labels, chosen)
            changes.append(Change(
                kind, action, [stats[index, :4] for index in chosen],
                ground='', where=place_of(shown), pixels=int(shown.sum())))
    return changes


def sentences(changes: Sequence[Change], language: str, rng: np.random.Generator,
              count: int = 5) -> list[str]:
    """Put changes into words as the built-in dataset does.

    Args:
        changes: Of a pair; none where it is unchanged.
        language: ``'en'`` or ``'zh'``.
        rng: Source of the choice of words.
        count: How many sentences.
    """
    if language == 'zh':
        return [''.join(words) for words in captions_zh.ChineseCaptioner(rng).captions(
            changes, count)]
    return captions_en.EnglishCaptioner(rng).captions(changes, count)
