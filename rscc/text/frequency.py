"""The sentence that is written most often: what a captioner says that has seen no image."""
from collections import Counter
from collections.abc import Iterable

from rscc.text.normalisation import normalise, strip_hashes


def frequent_caption(captions: Iterable[str], language: str = 'en') -> str | None:
    """Return the sentence that occurs most often, the first of the alphabet among equals.

    Args:
        captions: Sentences; spellings that differ in case, blanks or final marks are one sentence.
        language: ``'en'`` or ``'zh'``.

    Returns:
        It, as it is most often written, or None where there are no captions.
    """
    kinds: dict[str, Counter] = {}
    # A sentence that is written a thousand times is normalised once.
    for caption, count in Counter(captions).items():
        kinds.setdefault(normalise(strip_hashes(caption), language), Counter())[caption] += count
    kinds.pop('', None)
    if not kinds:
        return None
    _, spellings = min(kinds.items(), key=lambda kind: (-kind[1].total(), kind[0]))
    return min(spellings, key=lambda text: (-spellings[text], text))
