"""What captions say, in both languages."""
import gzip
import json

import pytest

from rscc.evaluation.functional import content

STOCK = {'en': ['there is no difference', 'the two scenes seem identical',
                'the scene is the same as before', 'no change has occurred',
                'almost nothing has changed'],
         'zh': ['没有差异', '两幅场景看起来完全相同', '场景和之前一样', '没有发生变化',
                '几乎没有任何变化']}


def test_objects_are_found_by_group():
    named = content.objects_named('Some villas and a parking lot replace the woods by a pond.')
    assert named == {'building', 'parking', 'tree', 'water'}
    assert content.objects_named('停车场和房屋建在道路旁的草地上', 'zh') == {
        'parking', 'building', 'road', 'tree'}
    assert content.objects_named('水泥地面', 'zh') == set()


def test_actions_tell_appearing_from_removing():
    assert content.actions_named('two houses are built') == {'appear'}
    assert content.actions_named('trees have been cut down') == {'remove'}
    assert content.actions_named('houses replace the trees') == {'appear', 'remove'}
    assert content.actions_named('房屋被拆除', 'zh') == {'remove'}
    assert content.actions_named('新建了一条道路', 'zh') == {'appear'}


@pytest.mark.parametrize('language', ['en', 'zh'])
def test_every_stock_sentence_is_known_with_and_without_the_list(language):
    for sentence in STOCK[language]:
        assert content.says_no_change(sentence, STOCK[language], language)
        assert content.says_no_change(sentence, (), language)


@pytest.mark.parametrize(('sentence', 'expected'), [
    ('Nothing has changed in this area.', True), ('All remained the same.', True),
    ('There is no change to mention.', True), ('The area appears the same.', True),
    ('No difference in this area.', True), ('', False),
    ('a house is built and nothing else changed', False),
    ('the scene is the same except that trees are removed', False),
    ('the park has changed and a new road was built', False)])
def test_free_text_says_no_change_only_without_an_action(sentence, expected):
    assert content.says_no_change(sentence) is expected


def test_flags_are_counted():
    scores = content.flag_scores([True, True, False, False], [True, False, False, False])
    assert scores == pytest.approx({'flag_accuracy': 0.75, 'flag_F1': 2 / 3})
    assert content.flag_scores([False], [False]) == {'flag_accuracy': 1.0}
    assert content.flag_scores([], []) == {}


def test_object_f1_counts_wrong_and_missed_groups():
    references = [['a house and a road', 'a house'], ['no change', 'nothing changed']]
    # Sample 0: house right, pond wrong (half of the references name a road: missed).
    # Sample 1: a tree where nobody names one.
    f1 = content.object_f1(['a house and a pond', 'a tree'], references)
    assert f1 == pytest.approx(2 * 1 / (2 * 1 + 2 + 1))
    assert content.object_f1(['no change'], references[1:]) is None


def test_direction_must_tell_what_most_tell_and_nothing_nobody_tells():
    references = [['a house is built', 'a house appears', 'a house']] * 3
    accuracy = content.direction_accuracy(
        ['a road is built', 'a house is removed', 'a house is built and trees are removed'],
        references)
    assert accuracy == pytest.approx(1 / 3)
    assert content.direction_accuracy(['a'], [['no change']]) is None


def test_distinct_n_by_hand():
    sentences = [['a', 'b', 'a'], ['a', 'b']]
    assert content.distinct(sentences, 1) == pytest.approx(2 / 5)
    assert content.distinct(sentences, 2) == pytest.approx(2 / 3)
    assert content.distinct([['a']], 2) is None


def test_no_real_changed_caption_says_no_change(samples):
    path = samples / 'levir_cc_captions' / 'LevirCCcaptions_rebuilt.json.gz'
    if not path.is_file():
        pytest.skip(f'no {path}')
    images = json.loads(gzip.decompress(path.read_bytes()))['images']
    for image in images:
        for sentence in image['sentences']:
            assert content.says_no_change(sentence['raw']) is not bool(image['changeflag'])


def test_the_free_no_change_sentences_of_dubai_are_recognised(samples):
    path = samples / 'dubai_cc_captions' / 'Test_Dubai_CC.json'
    if not path.is_file():
        pytest.skip(f'no {path}')
    sentences = {s['raw'] for image in json.loads(path.read_text())['images']
                 for s in image['sentences']}
    said = {text for text in sentences if content.says_no_change(text)}
    assert {'Everything remains the same.', 'No change was made.', 'All is the same.',
            'The area appears the same.'} <= said
    assert len(said) == 24


@pytest.mark.parametrize(('sentence', 'language', 'added'), [
    ('many sports venues are built on open spaces', 'en', {'sports ground', 'bare land'}),
    ('the dirt road below becomes a cement road', 'en', set()),
    ('a green area appeared below the crossroads', 'en', {'tree'}),
    ('a park is present', 'en', {'tree'}), ('a car park is built', 'en', set()),
    ('some large constructions on the bareland', 'en', {'building', 'bare land'}),
    ('a house in the field', 'en', {'farmland'}),
    ('a playground and a playing field', 'en', {'sports ground'}),
    ('空地上出现了球场', 'zh', {'bare land', 'sports ground'}), ('农田里', 'zh', {'farmland'})])
def test_the_wide_groups_know_more_and_leave_the_published_ones_as_they_are(sentence, language,
                                                                            added):
    narrow = content.objects_named(sentence, language)
    assert content.objects_named(sentence, language, wide=True) - narrow == added
    assert narrow <= {'building', 'road', 'tree', 'parking', 'water'}


REFERENCES = ['some villas replace the trees', 'houses are built', 'trees are removed',
              'a row of houses appears']


@pytest.mark.parametrize(('sentence', 'object', 'direction', 'whole'), [
    ('a building is built', True, True, False),  # half of the references tell of removal, too
    ('houses replace the trees', True, True, True),
    ('a pond is removed', False, True, False),
    ('a house by the road', True, False, False),
    ('the scene is the same as before', False, False, False), ('', False, False, False)])
def test_a_sentence_is_judged_beside_its_references(sentence, object, direction, whole):
    hits = content.caption_hits(sentence, REFERENCES)
    assert (hits['object'], hits['direction'], hits['whole_direction']) == (
        object, direction, whole)
    assert hits['change'] is (sentence not in ('', STOCK['en'][2])) and hits['no_change'] is None


def test_a_direction_that_no_reference_tells_is_wrong():
    hits = content.caption_hits('trees are removed to build a house', ['a house is built'])
    assert hits['object'] and hits['direction'] is False and hits['whole_direction'] is False
    assert content.caption_hits('a house is built', ['urbanized'])['direction'] is None
    assert content.caption_hits('a house is built', ['things differ'])['object'] is None


def test_chinese_sentences_are_judged_beside_english_references():
    hits = content.caption_hits('新建了几栋房屋', REFERENCES, 'zh', 'en')
    assert hits['object'] and hits['direction'] and hits['change']
    assert content.caption_hits('没有发生变化', STOCK['en'], 'zh', 'en', STOCK['zh']) == {
        'object': None, 'direction': None, 'whole_direction': None, 'change': None,
        'no_change': True}
    assert content.caption_hits('新建了房屋', STOCK['en'], 'zh')['no_change'] is False
    assert content.caption_hits('', STOCK['en'])['no_change'] is False
