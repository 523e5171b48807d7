"""Examination of captions: one sample's, the words of all, and what they say of a change."""
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

from rscc.doctor.details import detail, joined
from rscc.evaluation.functional.content import says_no_change
from rscc.text.caption_files import holds_word
from rscc.text.normalisation import normalise, split_words, strip_hashes

#: A word is frequent from so many occurrences on, and rare ones near it are looked at.
FREQUENT = 20
#: Words of fewer letters have too many true neighbours (lake, lane; road, load).
SHORTEST = 5
#: Share of the captions from which on a sentence is a stock sentence, and the fewest of them.
STOCK_SHARE, STOCK_COUNT = 0.01, 25

# What decoding UTF-8 as Latin-1 makes of accents and quotes, the mark of undecodable bytes,
# control characters, and entities of HTML.
_GARBLED = re.compile('[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|Ã[\x80-\xbf]|â€|'
                      '&(?:amp|quot|lt|gt|nbsp|#[0-9]+);')
_HAN = re.compile('[\u3400-\u9fff]')
# Single letters are shapes and names ("T 形"); two and more in a row are a word.
_LATIN = re.compile('[A-Za-z]{2,}')
_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*")
# Endings that make another form of a word, not another spelling.
_ENDINGS = ('s', 'd', 'n', 'r', 'y', 'e')


def examine(captions: Sequence[str], language: str, stock: Iterable[str] = (),
            flag: bool | None = None, changed: float | None = None,
            tokens_of: Callable[[str], int] | None = None, max_tokens: int | None = None,
            pair: bool = True) -> dict[str, str]:
    """Return what is odd about the captions of one sample.

    Args:
        captions: As written.
        language: ``'en'`` or ``'zh'``.
        stock: Sentences that deny a change.
        flag: Whether the sample is flagged changed, None where nothing says so.
        changed: Share of changed pixels of its mask, None without one.
        tokens_of: Tokens of a sentence; None counts none.
        max_tokens: Most that a head learns.
        pair: Whether the captions tell of a change at all; those of single images do not.

    Returns:
        Kind of finding -> detail.
    """
    found: dict[str, list[str]] = {}
    for text in captions:
        for kind, odd in _of_caption(text, language):
            found.setdefault(kind, []).append(odd)
        if tokens_of is not None and max_tokens and (count := tokens_of(text)) > max_tokens:
            found.setdefault('truncated', []).append(detail(
                'too_long', count=count, most=max_tokens, text=_short(text)))
    texts = [text for text in _normalised(captions, language) if holds_word(text)]
    if not texts:
        return {'no_captions': '; '.join(map(repr, captions[:3]))}
    repeated = sorted({text for text in texts if texts.count(text) > 1})
    if repeated:
        found['repeated_caption'] = [_short(text) for text in repeated]
    if pair:
        found |= _of_change(texts, stock, language, flag, changed)
    return {kind: joined(dict.fromkeys(details)) for kind, details in found.items()}


def _of_change(texts: Sequence[str], stock: Iterable[str], language: str, flag: bool | None,
               changed: float | None) -> dict[str, list[str]]:
    stock = list(stock)
    told = verdict(texts, stock, language)
    found = {kind: [why] for kind, why in against(flag, told, changed)}
    if told is None:
        denials = [text for text in texts if says_no_change(text, stock, language)]
        found['captions_disagree'] = [detail('denials', count=len(denials), total=len(texts),
                                             text=_short(denials[0]))]
    return found


def _of_caption(text: str, language: str) -> Iterable[tuple[str, str]]:
    if not holds_word(text):
        yield 'empty_caption', repr(text)
        return
    if strip_hashes(text) != text:
        yield 'hashes', _short(text[-40:])
    garbled = _GARBLED.search(text)
    if garbled:
        yield 'garbled', detail('inside', found=repr(garbled.group()), text=_short(text))
    strange = strange_letters(text, language)
    if strange:
        yield 'mixed_script', detail('inside', found=f"'{strange}'", text=_short(text))


def strange_letters(text: str, language: str) -> str:
    """Return the first letters of a caption that are of another script than its language's."""
    if language == 'zh':
        latin = _LATIN.search(text)
        return latin.group() if latin else ''
    return next((letter for letter in text if ord(letter) > 127 and letter.isalpha()
                 and not unicodedata.name(letter, '').startswith('LATIN')), '')


def _short(text: str, most: int = 100) -> str:
    text = ' '.join(text.split())
    return f"'{text}'" if len(text) <= most else f"'{text[:most]}...'"


def _normalised(captions: Iterable[str], language: str) -> list[str]:
    return [normalise(strip_hashes(text), language) for text in captions]


# ---- what is said of a change ----------------------------------------------------------------


def verdict(captions: Sequence[str], stock: Iterable[str], language: str) -> bool | None:
    """Return whether captions tell of a change; None where they disagree, or there are none.

    Args:
        captions: Normalised sentences.
        stock: Sentences that deny a change.
        language: ``'en'`` or ``'zh'``.
    """
    stock = list(stock)
    denials = [says_no_change(text, stock, language) for text in captions]
    return None if not denials or len(set(denials)) > 1 else not denials[0]


def against(flag: bool | None, told: bool | None, changed: float | None
            ) -> Iterable[tuple[str, str]]:
    """Compare flag, captions and mask of a sample, each contradiction once.

    Where flag and captions differ, that is the finding, and its detail says what the mask holds.

    Args:
        flag: Whether it is flagged changed, None where nothing says so.
        told: What its captions say, see :func:`verdict`.
        changed: Share of changed pixels of its mask, None without one.

    Yields:
        Kind and detail.
    """
    mask = '' if changed is None else detail('mask', percent=100 * float(changed))
    if None not in (flag, told) and flag != told:
        yield 'flag_denied' if flag else 'flag_gainsaid', mask
        return
    said = told if flag is None else flag
    if said is None or changed is None or said == (changed > 0):
        return
    who = 'captions' if flag is None else 'flag' if told is None else 'both'
    yield ('changed_without_mask' if said else 'unchanged_over_mask',
           joined([detail('who', who=who), mask]))


# ---- words -----------------------------------------------------------------------------------


def words_of(caption: str, language: str) -> list[str]:
    """Return the words of a caption, without marks."""
    words = split_words(strip_hashes(caption), language)
    return [word for word in words if any(map(str.isalnum, word))]


def misspelt(counts: Mapping[str, int]) -> dict[str, str]:
    """Return words seen once that are one letter from a frequent one, and which.

    One letter more, less, another, or two neighbours exchanged. Other forms of the frequent word
    (``houses`` of ``house``) are none. English only: a Chinese word is too short for this.

    Args:
        counts: Occurrences of every word.
    """
    frequent: dict[str, list[str]] = {}
    for word, count in counts.items():
        if count >= FREQUENT and len(word) >= SHORTEST - 1 and _WORD.fullmatch(word):
            for variant in _shortened(word):
                frequent.setdefault(variant, []).append(word)
    found = {}
    for word, count in counts.items():
        if count == 1 and len(word) >= SHORTEST and _WORD.fullmatch(word):
            near = {other for variant in _shortened(word) for other in frequent.get(variant, ())
                    if _one_letter_apart(word, other) and not _same_word(word, other)}
            if near:
                found[word] = max(near, key=lambda other: (counts[other], other))
    return found


def _shortened(word: str) -> set[str]:
    """Return the word and all that lack one of its letters; words one letter apart share one."""
    return {word, *(word[:place] + word[place + 1:] for place in range(len(word)))}


def _one_letter_apart(one: str, other: str) -> bool:
    if abs(len(one) - len(other)) > 1 or one == other:
        return False
    start = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
                 min(len(one), len(other)))
    rest, beside = one[start:], other[start:]
    return (rest[1:] == beside or rest == beside[1:] or rest[1:] == beside[1:]
            or (rest[:2] == beside[:2][::-1] and rest[2:] == beside[2:]))


def _same_word(one: str, other: str) -> bool:
    """Return whether two words are forms of one: an ending more, or "-" and "'" apart."""
    short, long = sorted((one, other), key=len)
    if short == long.replace('-', '').replace("'", ''):
        return True
    # build, built: the last letter alone differs
    return long in {short + ending for ending in _ENDINGS if ending != short[-1]} or (
        one[:-1] == other[:-1] and {one[-1], other[-1]} <= set('dtsr'))
