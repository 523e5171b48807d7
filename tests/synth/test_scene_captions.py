"""English and Chinese captions of single scenes."""
import re
from itertools import product

import numpy as np
import pytest

from rscc.synth import captions_en, captions_zh
from rscc.synth.captioner import SceneMetadata
from rscc.synth.captions_en import EnglishSceneCaptioner
from rscc.synth.captions_zh import ChineseSceneCaptioner
from rscc.text import split_words
from rscc.text.directions import mentions_direction

KINDS_EN = {'houses': 'houses?|residential', 'buildings': 'buildings?', 'roads': 'roads?|path',
            'lots': 'parking lots?', 'water': 'water', 'trees': 'trees'}
KINDS_ZH = {'houses': '房屋|房子|住宅区', 'buildings': '大型', 'roads': '道路|公路',
            'lots': '停车场', 'water': '水域|水面', 'trees': '树木|几棵树'}
COUNTS = {'a house': 1, 'two houses': 2, 'three houses': 3, '一栋房': 1, '两栋房': 2, '三栋房': 3,
          '一座房': 1, '两座房': 2}


def every_scene():
    grounds = ('meadow', 'bareland', 'desert', 'farmland', 'woods')
    amounts = product((0, 1, 2, 3, 5, 12), (0, 1, 2, 3), (0, 1, 2, 3), (0, 1, 2), (False, True),
                      (0, 20, 200))
    scenes = [SceneMetadata(grounds[number % 5], *facts) for number, facts in enumerate(amounts)]
    return scenes + 4 * [SceneMetadata(ground) for ground in grounds]


@pytest.fixture(scope='module')
def english():
    rng = np.random.default_rng(0)
    return [(facts, EnglishSceneCaptioner(rng).captions(facts)) for facts in every_scene()]


@pytest.fixture(scope='module')
def chinese():
    rng = np.random.default_rng(0)
    return [(facts, ChineseSceneCaptioner(rng).captions(facts)) for facts in every_scene()]


def named(text, kinds):
    return {kind for kind, pattern in kinds.items() if re.search(pattern, text)}


def test_every_image_has_five_different_sentences(english, chinese):
    assert all(len(set(captions)) == 5 for _, captions in [*english, *chinese])


def test_captions_name_what_is_there_and_the_most_conspicuous_always(english, chinese):
    said = [(facts, text, named(text.replace('without any buildings', ''), KINDS_EN))
            for facts, captions in english for text in captions]
    said += [(facts, ''.join(words), named(''.join(words), KINDS_ZH))
             for facts, captions in chinese for words in captions]
    for facts, text, kinds in said:
        present = set(facts.kinds()) | ({'trees'} if facts.trees >= 40 else set())
        assert kinds <= present, (facts, text)
        assert not facts.kinds() or facts.kinds()[0] in kinds, (facts, text)


def test_numbers_are_those_of_the_facts(english, chinese):
    texts = [(facts, text) for facts, captions in english for text in captions]
    texts += [(facts, ''.join(words)) for facts, captions in chinese for words in captions]
    found = [(facts.houses, count) for facts, text in texts for phrase, count in COUNTS.items()
             if phrase in text]
    assert len(found) > 100 and all(there == said for there, said in found)


def test_verbs_agree(english):
    for _, captions in english:
        for text in captions:
            assert not re.search(r'^(a|some water) \S+( \S+)? are ', text) or ' and ' in text, text
            assert not re.search(r'(houses|buildings|roads|lots|trees) (is|goes)\b', text), text
            assert not re.search(r'there are a |there is (two|three|several|many|lots)', text), text


def test_no_word_lies_outside_the_vocabularies(english, chinese):
    used = {word for _, captions in english for text in captions for word in text.split()}
    assert used <= set(captions_en.SCENE_VOCABULARY)
    assert set(captions_en.SCENE_VOCABULARY) - used == set()
    used = {word for _, captions in chinese for words in captions for word in words}
    assert used == set(captions_zh.SCENE_VOCABULARY)


def test_chinese_words_are_cut_as_jieba_cuts_them(chinese):
    pytest.importorskip('jieba')
    for _, captions in chinese:
        for words in captions:
            assert split_words(''.join(words), 'zh') == list(words)


def test_no_caption_names_a_direction(english, chinese):
    assert not any(mentions_direction(text, 'en') for _, captions in english for text in captions)
    assert not any(mentions_direction(''.join(words), 'zh')
                   for _, captions in chinese for words in captions)


def test_a_record_becomes_facts():
    record = {'ground': 'desert', 'house': 3, 'parking lot': 1, 'pond': 2, 'trees': 7}
    facts = SceneMetadata.of(record)
    assert facts == SceneMetadata('desert', houses=3, lots=1, water=True, trees=7)
    assert facts.kinds() == ['houses', 'lots', 'water'] and not facts.wooded
    assert SceneMetadata('woods', trees=300).kinds() == []
