"""What a geometric transform does to the captions of its sample."""
from rscc.text.directions import mentions_direction, swap
from rscc.utils import did_you_mean

MODES = ('swap', 'skip', 'drop')
CAPTION_KEYS = ('target_captions', 'gt_captions')


def check_mode(mode: str, modes: tuple[str, ...] = MODES) -> str:
    """Return ``mode`` or raise ValueError with the known ones."""
    if mode not in modes:
        raise ValueError(f"captions='{mode}' is unknown: use one of {list(modes)}."
                         f'{did_you_mean(mode, modes)}')
    return mode


def adapt_captions(results: dict, operation: str, mode: str) -> bool:
    """Make the captions fit a flip or turn of the images, or say that it must not be done.

    22 % of LEVIR-CC's changed captions name a direction; flipped images would make them wrong.

    Args:
        results: The sample; its captions are replaced where needed.
        operation: ``'hflip'``, ``'vflip'``, ``'rot90'``, ``'rot180'``, ``'rot270'`` (the latter
            three counter-clockwise) or ``'any'`` (a free angle).
        mode: ``'swap'``: exchange the direction words, and refuse where that cannot be done safely;
            ``'skip'``: refuse where any is mentioned; ``'drop'``: remove the captions (training of
            masks only).

    Returns:
        Whether the images may be transformed. Where one caption was picked for training, that one
        decides; references that cannot be rewritten are then left out.
    """
    if mode == 'drop':
        for key in CAPTION_KEYS:
            results.pop(key, None)
        return True
    present = [key for key in CAPTION_KEYS if results.get(key)]
    language = results.get('language', 'en')
    rewritten = {}
    for key in present:
        sentences = [_adapt(text, operation, mode, language) for text in results[key]]
        if None in sentences and key == present[0]:
            return False
        rewritten[key] = [sentence for sentence in sentences if sentence is not None]
    results.update(rewritten)
    return True


def _adapt(sentence: str, operation: str, mode: str, language: str) -> str | None:
    if mode == 'skip' or operation == 'any':
        return None if mentions_direction(sentence, language) else sentence
    return swap(sentence, operation, language)
