import json
import random

import pytest

from rscc.registry import TOKENIZERS
from rscc.text import BilingualWordTokenizer, WordTokenizer
from rscc.text import tokenizer as base
from rscc.text.detokenizer import Detokenizer

ENGLISH = ['a', 'house', 'is', 'built', '3', ',']
CHINESE = ['房屋', '新建', '了', '3', 'a']
SPECIALS = ['<pad>', '<unk>', '<start>', '<end>']
ENTRIES = [*SPECIALS, '<en>', *ENGLISH, '<zh>', *CHINESE]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Vocabularies below the folder of all datasets, one of them with ids of its own."""
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    (tmp_path / 'synth').mkdir()
    (tmp_path / 'synth/en.json').write_text(json.dumps(ENGLISH))
    ids = {word: number for number, word in enumerate(
        [*CHINESE, '<PAD>', '<UNK>', '<START>', '<END>'])}
    (tmp_path / 'synth/zh.json').write_text(json.dumps(ids, ensure_ascii=False))
    return dict(en='synth/en.json', zh='synth/zh.json')


@pytest.fixture
def tokenizer():
    return BilingualWordTokenizer(words=ENTRIES)


def test_files_of_any_form_become_one_vocabulary_in_a_fixed_order(files):
    tokenizer = TOKENIZERS.build(dict(type='BilingualWordTokenizer', vocab_files=files))
    assert tokenizer.vocabulary() == ENTRIES and len(tokenizer) == len(ENTRIES)
    assert (tokenizer.language, tokenizer.languages) == ('en', ('en', 'zh'))
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2, 3)
    turned = BilingualWordTokenizer(vocab_files=dict(zh=files['zh'], en=files['en']))
    assert turned.language == 'zh' and turned.vocabulary()[4] == '<zh>'


def test_start_marker_words_end_and_the_language_by_script(tokenizer):
    assert tokenizer.encode('A house is built.') == [2, 4, 5, 6, 7, 8, 3]
    assert tokenizer.encode('新建了房屋。') == [2, 11, 13, 14, 12, 3]
    assert tokenizer.encode('a house is built', max_tokens=2) == [2, 4, 5, 6, 3]
    assert tokenizer.start_ids == [2, 4]
    assert tokenizer.prompt_in() == tokenizer.prompt_in('en') == [4]
    assert tokenizer.prompt_in('zh') == [11]


def test_no_word_is_looked_up_in_the_other_language(tokenizer):
    assert tokenizer.encode('3 a')[2:-1] == [9, 5]  # no Han character: English
    assert tokenizer.encode('3新建a')[2:-1] == [15, 13, 16]
    assert tokenizer.encode('新建house')[2:-1] == [13, tokenizer.unk_id]


def test_words_are_joined_by_the_rules_of_their_language(tokenizer):
    assert tokenizer.decode(tokenizer.encode('a house is built')) == 'a house is built'
    assert tokenizer.decode(tokenizer.encode('新建了房屋')) == '新建了房屋'
    assert tokenizer.decode([13, 14, 12, 3, 5]) == '新建了房屋'
    assert tokenizer.decode([5, 6, 13, 14]) == 'a house 新建了'
    assert tokenizer.decode([15, 16]) == '3 a' and tokenizer.decode([11, 4, 1]) == ''


def test_the_vocabulary_rebuilds_it_alone(tokenizer):
    again = BilingualWordTokenizer(words=json.loads(json.dumps(tokenizer.vocabulary())))
    assert again.vocabulary() == ENTRIES and again.languages == ('en', 'zh')
    for text in ('a house , built', '新建了3a'):
        assert again.encode(text) == tokenizer.encode(text)


def test_words_of_other_languages_and_markers_are_foreign(tokenizer):
    english, chinese = set(range(5, 11)), set(range(12, 17))
    assert set(tokenizer.foreign_ids()) == set(tokenizer.foreign_ids('en')) == chinese | {4, 11}
    assert set(tokenizer.foreign_ids('zh')) == english | {4, 11}
    assert tokenizer.special_ids == {0, 1, 2, 3, 4, 11}


def test_a_language_that_it_does_not_know_is_refused_by_name(tokenizer):
    for ask in (tokenizer.choose, tokenizer.prompt_in, tokenizer.foreign_ids):
        with pytest.raises(ValueError, match=r"unknown language 'cn'.*Did you mean 'zh'"):
            ask('cn')
    one = WordTokenizer(words=ENGLISH)
    assert one.choose('en') == one.choose(None) == 'en'
    assert (one.languages, one.foreign_ids('en')) == (('en', ), [])
    with pytest.raises(ValueError, match="language='zh': this caption head writes 'en' only"):
        one.prompt_in('zh')


def test_the_table_of_an_export_decodes_as_it_does(tokenizer):
    stored = json.loads(json.dumps(tokenizer.detokenizer().to_dict()))
    own, draw = Detokenizer.from_dict(stored, 'x'), random.Random(0)
    drawn = [[draw.randrange(len(ENTRIES)) for _ in range(draw.randrange(9))] for _ in range(300)]
    assert [own.decode(ids) for ids in drawn] == [tokenizer.decode(ids) for ids in drawn]
    assert own.decode([2, 11, 13, 14, 3]) == '新建了'


def test_tables_of_earlier_exports_are_read():
    stored = WordTokenizer(words=ENGLISH).detokenizer().to_dict()
    del stored['languages']
    assert Detokenizer.from_dict(stored, 'x').decode([4, 5]) == 'a house'


def test_unknown_words_are_told_with_the_language_they_were_looked_up_in(tokenizer, monkeypatch):
    said = []
    monkeypatch.setattr(base, 'warn', said.append)
    assert tokenizer.encode('码头') == [2, 11, 1, 3]
    assert "(language 'zh')" in said[0]


@pytest.mark.parametrize(('arguments', 'message'), [
    ({}, 'takes either vocab_files or words, and got neither'),
    (dict(words=ENTRIES, vocab_files={}), 'and got both'),
    (dict(vocab_files=dict(en='a.json')), r"names \['en'\]: expected two of \['en', 'zh'\]"),
    (dict(vocab_files=dict(en='a.json', cn='b.json')), "unknown language 'cn'.*mean 'zh'"),
    (dict(words=ENGLISH), 'names no language: expected two'),
    (dict(words=['<en>', 'a', '<zh>', '路']), 'then the marker of a language with its words')])
def test_wrong_words_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BilingualWordTokenizer(**arguments)


def test_absent_files_say_what_writes_them(tmp_path):
    files = dict(en=tmp_path / 'en.json', zh=tmp_path / 'zh.json')
    with pytest.raises(FileNotFoundError, match=r'synth\.py those of the built-in one'):
        BilingualWordTokenizer(vocab_files=files)


def test_a_tokenizer_of_one_language_does_not_take_words_of_several():
    with pytest.raises(ValueError, match=r'words holds <en>.*take BilingualWordTokenizer'):
        WordTokenizer(words=ENTRIES)
