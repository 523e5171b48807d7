import pytest

from rscc.doctor.sentences import against, examine, misspelt, strange_letters, verdict

STOCK = ('there is no difference', 'no change has occurred')


def test_ordinary_captions_are_not_remarked_upon():
    assert examine(['a house is built .', 'One villa appears.'], 'en', STOCK, True, 0.1) == {}
    assert examine(['左边出现一栋房子。', '新建了 T 形道路'], 'zh') == {}


@pytest.mark.parametrize(('captions', 'language', 'kind', 'detail'), [
    ([], 'en', 'no_captions', ''),
    (['', ' . '], 'en', 'no_captions', "''; ' . '"),
    (['a house', ' .'], 'en', 'empty_caption', "' .'"),
    (['住宅区.###', '机场'], 'zh', 'hashes', "'住宅区.###'"),
    (['the roof\ufffd is red', 'a b'], 'en', 'garbled', "'\ufffd' in 'the roof\ufffd is red'"),
    (['fish &amp; chips', 'a b'], 'en', 'garbled', "'&amp;' in 'fish &amp; chips'"),
    (['a hоuse', 'a b'], 'en', 'mixed_script', "'о' in 'a hоuse'"),
    (['一个 parking 停车场', '机场'], 'zh', 'mixed_script', "'parking' in '一个 parking 停车场'"),
    (['A house', 'a house .'], 'en', 'repeated_caption', "'a house'"),
    (['there is no difference', 'a house is built'], 'en', 'captions_disagree',
     "1 of 2 deny a change: 'there is no difference'")])
def test_each_oddity_has_its_kind_and_detail(captions, language, kind, detail):
    assert examine(captions, language, STOCK) == {kind: detail}


def test_captions_of_single_images_deny_nothing():
    assert examine(['two planes of the same kind', 'two planes'], 'en', pair=False) == {}


def test_long_captions_are_counted_in_the_tokens_of_the_head():
    found = examine(['a b c d', 'a b'], 'en', tokens_of=lambda text: len(text.split()),
                    max_tokens=3)
    assert found == {'truncated': "4 tokens of at most 3: 'a b c d'"}


def test_letters_of_other_scripts_are_named():
    assert strange_letters('café façade', 'en') == '' and strange_letters('道路', 'en') == '道'
    assert strange_letters('A区', 'zh') == '' and strange_letters('two 条路', 'zh') == 'two'


def test_the_verdict_of_captions_needs_all_of_them():
    assert verdict(['no change has occurred', 'nothing has changed'], STOCK, 'en') is False
    assert verdict(['a house is built'], STOCK, 'en') is True
    assert verdict(['a house is built', STOCK[0]], STOCK, 'en') is None
    assert verdict([], STOCK, 'en') is None


@pytest.mark.parametrize(('flag', 'told', 'changed', 'expected'), [
    (True, True, 0.1, []), (False, False, 0.0, []), (None, None, 0.1, []), (True, True, None, []),
    (True, False, 0.1, [('flag_denied', 'mask: 10 % changed')]),
    (False, True, None, [('flag_gainsaid', '')]),
    (False, False, 0.1, [('unchanged_over_mask', 'flag and captions; mask: 10 % changed')]),
    (True, None, 0.0, [('changed_without_mask', 'flag; mask: 0 % changed')]),
    (None, True, 0.0, [('changed_without_mask', 'captions; mask: 0 % changed')])])
def test_flag_captions_and_mask_are_compared_once(flag, told, changed, expected):
    assert list(against(flag, told, changed)) == expected


@pytest.mark.parametrize(('word', 'meant'), [
    ('hoses', 'houses'), ('hosues', 'houses'), ('bulding', 'building'), ('treess', 'trees'),
    ('rosd', None), ('builds', None), ('buildong', 'building'), ('built', None),
    ('house', None), ('h0uses', None), ('airport', None)])
def test_misspelt_words_are_one_letter_from_a_frequent_one(word, meant):
    frequent = dict.fromkeys(('houses', 'building', 'build', 'trees', 'road'), 50)
    found = misspelt({**frequent, word: frequent.get(word, 1), 'rare': 3})
    assert found == ({} if meant is None else {word: meant})


def test_a_word_seen_twice_is_no_misspelling():
    assert misspelt({'houses': 50, 'hoses': 2}) == {}
