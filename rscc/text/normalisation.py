"""Normalisation of captions and their split into words, per language.

LEVIR-CC's ``raw`` sentences carry a leading blank and a trailing ``" ."``, DUBAI-CC's a capital,
Chinese sets end in ``。`` or ``.``; scores and vocabularies must not depend on such habits.
"""
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

from rscc.utils import did_you_mean

LANGUAGES = ('en', 'zh')

#: The five sentences that LEVIR-CC gives every unchanged pair, and their Chinese counterparts.
NO_CHANGE_CAPTIONS = {
    'en': ['there is no difference', 'the two scenes seem identical',
           'the scene is the same as before', 'no change has occurred',
           'almost nothing has changed'],
    'zh': ['没有差异', '两幅场景看起来完全相同', '场景和之前一样', '没有发生变化',
           '几乎没有任何变化'],
}

#: What people write for the two languages, published file names (``_cn``) among it.
_OTHER_NAMES = {'cn': 'zh', 'ch': 'zh', 'zh_cn': 'zh', 'zh-cn': 'zh', 'chinese': 'zh',
                'eng': 'en', 'english': 'en'}
_HASHES = re.compile(r'\s*#[\s#]*$')
_FINAL_MARKS = re.compile(r'[\s.。．!！;；,，]+$')
_BLANKS = re.compile(r'\s+')
_HAN = re.compile(r'[\u3400-\u9fff]')
_CJK = r'\u3400-\u9fff\uff00-\uffef\u3000-\u303f'
_BLANKS_IN_CHINESE = re.compile(rf'(?<=[{_CJK}])\s+|\s+(?=[{_CJK}])')
# A mark that clings to a word ("road, and") is a token of its own; inner hyphens, apostrophes and
# decimal points belong to their word ("t-shaped", "road's", "0.5").
_ENGLISH_TOKEN = re.compile(r'[,;:!?()"]|[^\s,;:!?()"]+')
_CHINESE_CHARACTER = re.compile(r'[A-Za-z0-9]+|\S')


def check_language(language: str) -> None:
    """Refuse a language that has no rules here.

    Raises:
        ValueError: If ``language`` is not in ``LANGUAGES``; the message lists them.
    """
    if language not in LANGUAGES:
        meant = _OTHER_NAMES.get(str(language).lower(), str(language))
        raise ValueError(f"unknown language '{language}': expected one of "
                         f"{', '.join(LANGUAGES)}.{did_you_mean(meant, LANGUAGES)}")


def language_of(sentence: str, languages: Sequence[str] = LANGUAGES) -> str:
    """Tell the language of a sentence by its script: one with a Han character is Chinese.

    Args:
        sentence: Any sentence.
        languages: Those that it may be in, at least one; the only one is the answer whatever the
            script, and so is the first of several none of which fits.
    """
    found = 'zh' if _HAN.search(sentence) else 'en'
    return found if len(languages) > 1 and found in languages else languages[0]


def stock_sentences(meta: Mapping[str, Any], language: str) -> tuple[str, ...]:
    """Return the sentences for unchanged pairs in a language.

    Args:
        meta: Metadata of a dataset, whose ``no_change_captions`` are in its ``language``.
        language: Of the sentences; where it is not the dataset's, they are those of
            ``NO_CHANGE_CAPTIONS``.
    """
    if language == (meta.get('language') or 'en'):
        return tuple(meta.get('no_change_captions') or ())
    return tuple(NO_CHANGE_CAPTIONS.get(language, ()))


def strip_hashes(sentence: str) -> str:
    """Cut off the ``###`` (and blanks) that a machine translation left behind some sentences."""
    return _HASHES.sub('', sentence)


def normalise(sentence: str, language: str = 'en', lower_case: bool = True) -> str:
    """Return the sentence without outer blanks, final full stop and doubled blanks.

    Args:
        sentence: Any sentence; an empty one stays empty.
        language: ``'en'`` or ``'zh'`` (blanks beside Chinese characters are dropped).
        lower_case: Lower the case; switch off for a vocabulary that keeps it (DUBAI-CC's).

    Raises:
        ValueError: If the language is unknown.
    """
    check_language(language)
    sentence = _BLANKS.sub(' ', _FINAL_MARKS.sub('', sentence)).strip()
    if language == 'zh':
        sentence = _BLANKS_IN_CHINESE.sub('', sentence)
    return sentence.lower() if lower_case else sentence


def split_words(sentence: str, language: str = 'en', lower_case: bool = True) -> list[str]:
    """Return the words of a sentence, normalised first.

    Args:
        sentence: Any sentence.
        language: ``'en'``: words and marks; ``'zh'``: words by jieba where it is installed,
            single characters otherwise (said once in the log, for scores differ).
        lower_case: As in :func:`normalise`.

    Raises:
        ValueError: If the language is unknown.
    """
    sentence = normalise(sentence, language, lower_case)
    if language == 'en':
        return _ENGLISH_TOKEN.findall(sentence)
    return list(_chinese_words(sentence))


def join_words(words: list[str], language: str = 'en') -> str:
    """Join words to a sentence, with blanks between English words and none in Chinese."""
    check_language(language)
    return normalise(' '.join(words), language, lower_case=False)


@lru_cache(maxsize=65536)
def _chinese_words(sentence: str) -> tuple[str, ...]:
    jieba = _jieba()
    if jieba is None:
        return tuple(_CHINESE_CHARACTER.findall(sentence))
    return tuple(word for word in jieba.lcut(sentence) if word.strip())


@cache
def _jieba() -> ModuleType | None:
    """Return jieba without its start-up messages, or None where it is not installed."""
    try:
        import jieba
    except ModuleNotFoundError:
        warn('Chinese is split into characters because jieba is not installed; vocabularies and '
             'scores by words need: pip install "rscc[zh]"')
        return None
    import logging
    jieba.setLogLevel(logging.WARNING)
    return jieba


def warn(message: str) -> None:
    """Write a warning to MMEngine's current log (rank 0 only)."""
    import logging

    from mmengine.logging import print_log
    print_log(message, logger='current', level=logging.WARNING)


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
