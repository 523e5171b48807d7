"""Captions of the single images of a rendered folder, made from its facts when they are asked for.

The annotation file says of every pair what stands in the scene at each date. That settles the
captions, so folders that were rendered before there were any have them too.
"""
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from rscc.datasets.synth.objects import FROM, TO
from rscc.datasets.synth.scene_captions_en import VOCABULARY as WORDS_EN
from rscc.datasets.synth.scene_captions_en import EnglishSceneCaptioner
from rscc.datasets.synth.scene_captions_zh import VOCABULARY as WORDS_ZH
from rscc.datasets.synth.scene_captions_zh import ChineseSceneCaptioner
from rscc.datasets.synth.scene_facts import SceneFacts

#: Date -> folder of its images.
FOLDERS = {FROM: 'A', TO: 'B'}
#: Language -> file beside the annotations with the words of scene captions, most frequent first.
SCENE_VOCABULARIES = {'en': 'vocab_scene_en.json', 'zh': 'vocab_scene_zh.json'}
_CLOSED = {'en': WORDS_EN, 'zh': WORDS_ZH}


def scene_words(image: Mapping, date: str, language: str = 'en') -> list[tuple[str, ...]]:
    """Return five captions of one date of a pair as words, the same every time.

    Args:
        image: The pair's entry in the annotation file.
        date: ``'from'`` or ``'to'``.
        language: ``'en'`` or ``'zh'``.
    """
    # crc32 is the same on every machine and in every process, which Python's hash is not.
    seed = [zlib.crc32(image['filename'].encode()), list(FOLDERS).index(date)]
    rng, facts = np.random.default_rng(seed), SceneFacts.of(image['scene'][date])
    if language == 'zh':
        return ChineseSceneCaptioner(rng).captions(facts)
    return [tuple(text.split()) for text in EnglishSceneCaptioner(rng).captions(facts)]


def scene_captions(image: Mapping, date: str, language: str = 'en') -> list[str]:
    """Return what :func:`scene_words` does as sentences."""
    blank = '' if language == 'zh' else ' '
    return [blank.join(words) for words in scene_words(image, date, language)]


def scene_vocabulary(images: Sequence[Mapping], language: str) -> list[str]:
    """Return the grammar's words, those of the training images first, most frequent first."""
    counts = Counter(word for image in images if image['split'] == 'train' for date in FOLDERS
                     for words in scene_words(image, date, language) for word in words)
    return sorted(_CLOSED[language], key=lambda word: (-counts[word], word))
