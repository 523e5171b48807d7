import subprocess
import sys

import pytest

from rscc.text import join_words, normalise, split_words
from rscc.text import normalisation as module
from rscc.text.normalisation import (
    NO_CHANGE_CAPTIONS,
    frequent_caption,
    language_of,
    stock_sentences,
)


@pytest.mark.parametrize('raw', [
    ' the scene is the same as before .', 'The scene is the same as before.',
    'the  scene is the same\tas before', 'the scene is the same as before . '])
def test_english_habits_of_writing_come_out_the_same(raw):
    assert normalise(raw) == 'the scene is the same as before'


def test_case_can_be_kept_and_empty_stays_empty():
    assert normalise('A House .', lower_case=False) == 'A House'
    assert normalise('') == '' and split_words(' . ') == []


def test_marks_are_words_of_their_own_and_inner_ones_stay():
    assert split_words("A t-shaped road, and the road's end (0.5 m).") == [
        'a', 't-shaped', 'road', ',', 'and', 'the', "road's", 'end', '(', '0.5', 'm', ')']


def test_splitting_is_idempotent_on_annotated_tokens():
    tokens = ['some', 'houses', ',', 'roads', ';', 'and', 'trees']
    assert split_words(' '.join(tokens)) == tokens


def test_chinese_loses_its_final_mark_and_inner_blanks():
    assert normalise('两幅 场景 看起来完全相同。', 'zh') == '两幅场景看起来完全相同'
    assert normalise('新建了 2 座房屋 .', 'zh') == '新建了2座房屋'


def test_chinese_words_by_jieba_spell_the_sentence():
    pytest.importorskip('jieba')
    words = split_words('右上角建成了两座房屋。', 'zh')
    assert ''.join(words) == '右上角建成了两座房屋'
    assert '房屋' in words
    assert join_words(words, 'zh') == '右上角建成了两座房屋'


def test_chinese_falls_back_to_characters_and_says_so(monkeypatch):
    said = []
    monkeypatch.setitem(sys.modules, 'jieba', None)
    monkeypatch.setattr(module, 'warn', said.append)
    module._jieba.cache_clear()
    module._chinese_words.cache_clear()
    try:
        assert split_words('建了12座房屋', 'zh') == ['建', '了', '12', '座', '房', '屋']
        split_words('道路', 'zh')
    finally:
        module._jieba.cache_clear()
        module._chinese_words.cache_clear()
    assert len(said) == 1 and 'rscc[zh]' in said[0]


@pytest.mark.parametrize('call', [normalise, split_words])
def test_unknown_language_names_the_known_ones(call):
    with pytest.raises(ValueError, match=r"unknown language 'enn': expected one of en, zh.*'en'"):
        call('a house', 'enn')


def test_importing_the_package_brings_neither_torch_nor_transformers(repo):
    code = ('import sys, rscc.text; rscc.text.split_words("a b");'
            'assert not {"torch", "transformers"} & set(sys.modules)')
    subprocess.run([sys.executable, '-c', code], check=True, cwd=repo)


def test_spellings_of_one_sentence_count_together():
    captions = ['A road .', 'a road', ' a road . ', 'A road .', 'the sea .', 'the sea .',
                'the sea .']
    assert frequent_caption(captions) == 'A road .'
    assert frequent_caption(['一条路.###', '一条路。', '海', '海'], 'zh') == '一条路.###'


def test_among_equals_the_alphabet_decides():
    assert frequent_caption(['b', 'a', 'c', 'b', 'a']) == 'a'
    assert frequent_caption(iter(['a road', 'A road'])) == 'A road'


def test_no_words_are_no_caption():
    assert frequent_caption([]) is None
    assert frequent_caption(['', ' .']) is None


def test_the_script_tells_the_language_of_a_sentence():
    assert language_of('a house 房') == 'zh' and language_of('a house, 3') == 'en'
    assert language_of('房屋', ('en', )) == 'en' and language_of('a', ('zh', )) == 'zh'
    assert language_of('a', ('zh', 'en')) == 'en'


def test_stock_sentences_are_the_datasets_own_in_its_language():
    meta = dict(language='en', no_change_captions=['nothing'])
    assert stock_sentences(meta, 'en') == ('nothing', )
    assert stock_sentences(meta, 'zh') == tuple(NO_CHANGE_CAPTIONS['zh'])
    assert stock_sentences({}, 'en') == ()
