"""Captions rewritten for exchanged dates."""
import numpy as np
import pytest

from rscc.synth import captions_en, captions_zh
from rscc.synth.changes import BUILT, REMOVED, Change
from rscc.synth.mask_changes import sentences
from rscc.text import split_words
from rscc.text.directions import places_named
from rscc.text.mirroring import mirror


@pytest.mark.parametrize(('sentence', 'expected'), [
    ('A new house is built on the left .', 'a house is removed on the left'),
    ('two houses have been built', 'two houses have been removed'),
    ('some trees are removed to build a road', 'some trees replace a road'),
    ('some trees replace a road', 'some trees are replaced by a road'),
    ('the bareland turns into a lake', 'the bareland replaces a lake'),
    ('a pond is filled', 'a pond appears'),
    ('trees are cut down and a new villa appears', 'trees appear and a villa disappears'),
    ('a new apartment shows up', 'an apartment disappears'),
    ('the old house has been demolished', 'the old house has appeared')])
def test_english_verbs_turn_round(sentence, expected):
    assert mirror(sentence) == expected


@pytest.mark.parametrize(('sentence', 'expected'), [
    ('道路两侧新建了几栋房屋。', '道路两侧拆除了几栋房屋'),
    ('左侧的两栋房屋被拆除了', '左侧的两栋房屋出现了'),
    ('树木被砍伐，新建了一条道路', '树木出现了，拆除了一条道路'),
    ('下方的裸地变成了池塘', '下方的裸地取代了原来的池塘'),
    ('房屋取代了原来的树木', '房屋变成了树木'),
    ('草地上种植了大量树木', '草地上移除了大量树木'),
    ('左上角出现了一个池塘', '左上角填平了一个池塘')])
def test_chinese_verbs_turn_round(sentence, expected):
    assert mirror(sentence, 'zh') == expected


@pytest.mark.parametrize(('sentence', 'language'), [
    ('many houses are scattered around the road', 'en'),
    ('a road appears with houses replacing the trees', 'en'),
    ('the house makes room for a road that is built', 'en'),
    ('a house is built where trees were before', 'en'),
    ('the bareland has been filled with houses', 'en'),
    ('a new road', 'en'),
    ('一条道路出现在草地上', 'zh'),
    ('房屋更密集', 'zh')])
def test_what_cannot_be_turned_safely_is_refused(sentence, language):
    assert mirror(sentence, language) is None


@pytest.mark.parametrize(('language', 'vocabulary'), [
    ('en', captions_en.VOCABULARY), ('zh', captions_zh.VOCABULARY)])
def test_captions_of_rendered_changes_keep_places_and_vocabulary(language, vocabulary):
    known, kept = set(''.join(vocabulary) if language == 'zh' else vocabulary), 0
    for kind in ('house', 'building', 'road', 'pond', 'parking lot'):
        for action in (BUILT, REMOVED):
            change = Change(kind, action, [np.zeros(4)], ground='meadow', where='top left')
            for sentence in sentences([change], language, np.random.default_rng(1), 12):
                mirrored = mirror(sentence, language)
                if mirrored is None:
                    continue
                words = set(mirrored) if language == 'zh' else set(split_words(mirrored))
                assert words <= known, mirrored
                assert places_named(mirrored, language) == places_named(sentence, language)
                assert mirrored != sentence
                kept += 1
    assert kept > 100


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="unknown language 'fr'"):
        mirror('une maison', 'fr')
