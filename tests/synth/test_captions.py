"""Captions say what the metadata say, in closed vocabularies."""
import re

import numpy as np
import pytest

from rscc.synth import captions_en, captions_zh
from rscc.synth.generator import plan_pair

KIND_WORDS = {'house': {'house', 'houses', 'villa', 'villas'},
              'building': {'building', 'buildings'}, 'road': {'road'},
              'pond': {'pond', 'lake', 'pool'}, 'parking lot': {'parking'},
              'trees': {'trees', 'plants'}}
NUMBERS = {'two': 2, 'three': 3, 'four': 4}
BUILT_WORDS = {'built', 'constructed', 'appear', 'appears', 'appeared', 'planted', 'added', 'dug',
               'formed', 'show', 'shows'}
REMOVED_WORDS = {'removed', 'demolished', 'disappear', 'disappears', 'disappeared', 'cut', 'filled'}
# Phrases that name a place and not what changed.
BACKGROUND = re.compile('(along|beside|near|alongside|next to|on both sides of) the road|'
                        'among the trees')
SIDES_ZH = {'top': '[上顶]', 'bottom': '[下底]', 'left': '左', 'right': '右'}


@pytest.fixture(scope='module')
def plans():
    """Two hundred changed pairs, not drawn."""
    found = (plan_pair(3, 'train', index) for index in range(400))
    return [plan for plan in found if plan.changes]


@pytest.fixture(scope='module')
def english(plans):
    rng = np.random.default_rng(0)
    return [(plan.changes, captions_en.EnglishCaptioner(rng).captions(plan.changes))
            for plan in plans]


@pytest.fixture(scope='module')
def chinese(plans):
    rng = np.random.default_rng(0)
    return [(plan.changes, captions_zh.ChineseCaptioner(rng).captions(plan.changes))
            for plan in plans]


def test_unchanged_pairs_carry_the_five_standard_sentences():
    rng = np.random.default_rng(0)
    assert captions_en.EnglishCaptioner(rng).captions([]) == list(captions_en.NO_CHANGE)
    assert captions_zh.ChineseCaptioner(rng).captions([]) == list(captions_zh.NO_CHANGE)


def test_every_caption_names_a_changed_kind_and_no_other(english):
    for changes, captions in english:
        changed = {change.kind for change in changes}
        for caption in captions:
            words = set(BACKGROUND.sub('', caption).split())
            named = {kind for kind, names in KIND_WORDS.items() if words & names}
            assert named and named <= changed, (changed, caption)


def test_actions_in_captions_are_those_of_the_facts(english):
    for changes, captions in english:
        actions = {change.action for change in changes}
        words = set(' '.join(captions).split())
        assert not words & BUILT_WORDS or 'built' in actions, captions
        # 'removed to build' and 'removed and ... built' speak of the removed part of a mixed pair
        assert not words & REMOVED_WORDS or 'removed' in actions, captions
        assert words & (BUILT_WORDS | REMOVED_WORDS | {'replace', 'replaces', 'replaced', 'turns'})


def test_numbers_in_captions_are_those_of_the_facts(english):
    seen = set()
    for changes, captions in english:
        counts = {change.count for change in changes}
        for word in ' '.join(captions).split():
            if word in NUMBERS:
                assert NUMBERS[word] in counts, (changes, captions)
                seen.add(word)
    assert seen == set(NUMBERS)


def test_places_in_captions_are_those_of_the_facts(english):
    for changes, captions in english:
        places = set(' '.join(change.where for change in changes).split())
        for caption in captions:
            text = caption.replace('both sides', '')
            named = set(re.findall(r'\b(top|bottom|left|right)\b', text))
            assert named <= places, (changes, caption)
            if re.search(r'\b(center|middle)\b', text):
                assert 'center' in places, (changes, caption)


def test_relations_are_named_only_where_houses_lie_so(english):
    for changes, captions in english:
        relations = {change.relation for change in changes}
        text = ' / '.join(captions)
        assert 'both sides' not in text or 'both sides' in relations
        assert not re.search('a (row|line) of', text) or 'row' in relations


def test_articles_and_verbs_agree(english):
    for _, captions in english:
        for caption in captions:
            assert not re.search(r'\ba (\w+ )?(houses|villas|buildings|trees|plants)\b', caption)
            subject = re.sub(r'a (row|line) of [\w ]*?(houses|villas)|with [\w ]*(houses|villas)',
                             'row', BACKGROUND.sub('', caption))
            assert not re.search(r'\b(houses|villas|buildings|trees|plants) (is|has|appears)\b',
                                 subject), caption
            assert not re.search(r'^a (row|line) of \w+ (are|have|appear)\b', caption), caption
            assert '  ' not in caption and caption == caption.strip().lower()


def test_the_five_captions_differ(english, chinese):
    for captions in (english, chinese):
        distinct = [len(set(five)) for _, five in captions]
        assert np.mean(np.array(distinct) == 5) > 0.98


def test_english_vocabulary_is_closed_and_small(english):
    words = {word for _, captions in [*english, ((), captions_en.NO_CHANGE)]
             for caption in captions for word in caption.split()}
    assert words <= set(captions_en.VOCABULARY)
    assert 100 <= len(captions_en.VOCABULARY) <= 200
    assert len(words) > 0.9 * len(captions_en.VOCABULARY)


def test_chinese_vocabulary_is_closed_and_small(chinese):
    words = {word for _, captions in chinese for caption in captions for word in caption}
    assert words <= set(captions_zh.VOCABULARY)
    assert 80 <= len(captions_zh.VOCABULARY) <= 200


def test_chinese_captions_agree_with_the_facts(chinese):
    for changes, captions in chinese:
        text = '/'.join(''.join(tokens) for tokens in captions)
        actions = {change.action for change in changes}
        assert not re.search('拆除|消失|移除|砍伐|清除|填平', text) or 'removed' in actions, text
        assert not re.search('新建|修建|建造|建成|建起|种植|开挖', text) or 'built' in actions, text
        for number, count in (('两', 2), ('三', 3), ('四', 4)):
            text_ = re.sub('两[侧旁]', '', text)
            assert number not in text_ or count in {c.count for c in changes}, text
        places = ' '.join(change.where for change in changes)
        for side, pattern in SIDES_ZH.items():
            plain = re.sub('[草空裸沙]地上|草坪上|沙漠中|一侧|两侧', '', text)
            assert not re.search(pattern, plain) or side in places, (places, text)
        assert not re.search('的的|，，|的，|^的', text), text
