import gzip
import json

import numpy as np
import pytest
import torch

from rscc.registry import TOKENIZERS
from rscc.text import WordTokenizer
from rscc.text import tokenizer as base
from rscc.text.word_tokenizer import read_word_vectors
from rscc.utils import write_json

WORDS = ['a', 'road', 'is', 'built', 't-shaped', ',']


def test_specials_come_first_and_sentences_survive_the_round_trip():
    tokenizer = TOKENIZERS.build(dict(type='WordTokenizer', words=WORDS))
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2, 3)
    assert tokenizer.vocab_size == len(tokenizer) == 10
    assert tokenizer.encode(' A t-shaped road is built .') == [2, 4, 8, 5, 6, 7, 3]
    assert tokenizer.decode(tokenizer.encode('a t-shaped road, built')) == 'a t-shaped road , built'


def test_decoding_stops_at_the_first_end_and_drops_specials():
    tokenizer = WordTokenizer(words=WORDS)
    assert tokenizer.decode(torch.tensor([2, 4, 1, 5, 3, 6, 3, 0, 0])) == 'a road'
    assert tokenizer.decode([]) == ''


def test_batches_are_padded_to_their_longest_row():
    tokenizer = WordTokenizer(words=WORDS)
    ids, mask = tokenizer.batch_encode(['a road', 'a road is built'])
    assert ids.tolist() == [[2, 4, 5, 3, 0, 0], [2, 4, 5, 6, 7, 3]]
    assert mask.tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]
    assert ids.dtype == mask.dtype == torch.int64
    with pytest.raises(ValueError, match='got no sentence'):
        tokenizer.batch_encode([])


def test_cut_captions_keep_their_end_are_counted_and_shown_once(monkeypatch):
    said = []
    monkeypatch.setattr(base, 'warn', said.append)
    tokenizer = WordTokenizer(words=WORDS)
    assert tokenizer.encode('a road is built', max_tokens=2) == [2, 4, 5, 3]
    assert tokenizer.encode('a road is built', max_tokens=4)[-2:] == [7, 3]
    tokenizer.batch_encode(['a a a a a', 'a'], max_tokens=3)
    assert tokenizer.cut == 2
    assert said == ["caption cut from 4 to 2 tokens: 'a road is built'. Raise max_tokens to "
                    'keep it whole; later cuts are counted.']
    tokenizer.batch_encode(['a road is built'] * 8, max_tokens=3)
    assert said[1:] == ['10 times a caption was cut to max_tokens=3 so far, last from 4: '
                        "'a road is built'"]
    with pytest.raises(ValueError, match=r'max_tokens=0 leaves no room for a word: use at least 1'):
        tokenizer.encode('a road', max_tokens=0)


def test_the_old_name_of_the_limit_counts_start_and_end():
    tokenizer = WordTokenizer(words=WORDS)
    assert tokenizer.encode('a road is built', max_len=4) == [2, 4, 5, 3]
    assert tokenizer.batch_encode(['a road is built'], max_len=4)[0].tolist() == [[2, 4, 5, 3]]


def test_a_vocabulary_of_another_language_is_noticed(monkeypatch):
    said = []
    monkeypatch.setattr(base, 'warn', said.append)
    tokenizer = WordTokenizer(words=WORDS)
    assert tokenizer.encode('zwei neue Häuser') == [2, 1, 1, 1, 3]
    tokenizer.encode('noch eins')
    assert len(said) == 1 and "no word of 'zwei neue Häuser' is in the vocabulary" in said[0]


def test_the_vocabulary_rebuilds_the_same_tokenizer():
    first = WordTokenizer.from_captions(['a road', 'a house .', 'The house'], min_count=1)
    second = WordTokenizer(words=first.vocabulary())
    assert first.vocabulary()[4:] == ['a', 'house', 'road', 'the']
    assert second.vocabulary() == first.vocabulary()
    assert second.encode('the house') == first.encode('the house')


def test_rare_words_become_unknown():
    tokenizer = WordTokenizer.from_captions(['a road', 'a house'], min_count=2)
    assert tokenizer.encode('a road') == [2, 4, 1, 3]
    with pytest.raises(ValueError, match=r'no word occurs 9 times or more.*3 different'):
        WordTokenizer.from_captions(['a road', 'a house'], min_count=9)


def test_chinese_is_joined_without_blanks():
    tokenizer = WordTokenizer.from_captions(['没有发生变化。', '右上角建成了房屋。'], language='zh')
    assert tokenizer.decode(tokenizer.encode('右上角建成了房屋')) == '右上角建成了房屋'


def test_an_annotation_file_is_counted_over_its_training_split(tmp_path):
    images = [dict(split='train', sentences=[dict(raw=' a road .'), dict(tokens=['a', 'house'])]),
              dict(split='test', sentences=[dict(raw=' a pond .')])]
    write_json(tmp_path / 'captions.json', dict(images=images))
    tokenizer = WordTokenizer(tmp_path / 'captions.json')
    assert tokenizer.vocabulary()[4:] == ['a', 'house', 'road']
    assert WordTokenizer(tmp_path / 'captions.json', min_count=2).vocabulary()[4:] == ['a']


def test_the_tutorials_word_map_keeps_its_ids(tmp_path):
    ids = {'road': 1, 'a': 2, '<unk>': 3, '<start>': 4, '<end>': 5}
    write_json(tmp_path / 'WORDMAP.json', ids)
    for data in (ids, {**ids, '<pad>': 0}):
        write_json(tmp_path / 'WORDMAP.json', data)
        tokenizer = WordTokenizer(tmp_path / 'WORDMAP.json')
        assert tokenizer.encode('a road') == [4, 2, 1, 5]
        assert tokenizer.pad_id == 0 and tokenizer.unk_id == 3
        assert WordTokenizer(words=tokenizer.vocabulary()).encode('a road') == [4, 2, 1, 5]


@pytest.mark.parametrize('name', ['vocab_rscama_501.json', 'vocab_change_agent_468.json'])
def test_published_vocabularies_keep_their_ids(samples, name):
    path = samples / 'levir_cc_captions' / name
    if not path.is_file():
        pytest.skip(f'no {path}')
    ids = json.loads(path.read_text())
    tokenizer = WordTokenizer(path)
    assert tokenizer.vocab_size == len(ids)
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2, 3)
    assert tokenizer.encode('a yellow road')[1] == ids['a']
    assert tokenizer.decode([2, ids['yellow'], ids['a'], 3, 9]) == 'yellow a'


def test_a_vocabulary_with_capitals_keeps_the_case(samples):
    path = samples / 'dubai_cc_captions' / 'vocab.json'
    if not path.is_file():
        pytest.skip(f'no {path}')
    tokenizer = WordTokenizer(path)
    assert not tokenizer.lower_case
    assert tokenizer.decode(tokenizer.encode('Houses appeared .')) == 'Houses appeared'


def test_the_real_training_captions_give_the_known_vocabulary(samples, tmp_path):
    path = samples / 'levir_cc_captions' / 'LevirCCcaptions_rebuilt.json.gz'
    if not path.is_file():
        pytest.skip(f'no {path}')
    (tmp_path / 'captions.json').write_bytes(gzip.decompress(path.read_bytes()))
    words = WordTokenizer(tmp_path / 'captions.json').vocab_size - 4
    assert words == 855  # counted by two of the published conversions


def test_a_missing_file_says_what_writes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"not found at '.*v.json'.*vocabulary.py writes"):
        WordTokenizer(tmp_path / 'v.json')


@pytest.mark.parametrize(('data', 'message'), [
    ({'a': 'b'}, 'is no vocabulary: expected a JSON list of words'),
    (['a', 'b', 'a'], "holds 'a' twice"),
    (['<pad>', '<unk>', 'a', 'b', 'c'], 'lacks <start>, <end>'),
    ([], 'holds no words'),
    ({'<pad>': 0, '<unk>': 1, '<start>': 2, '<end>': 3, 'a': 5}, 'has no word for id 4'),
    ({'<pad>': 0, '<unk>': 1, '<start>': 2, '<end>': 3, 'a': 3}, 'same id to several words'),
])
def test_files_that_are_no_vocabulary_are_refused(tmp_path, data, message):
    write_json(tmp_path / 'v.json', data)
    with pytest.raises(ValueError, match=message):
        WordTokenizer(tmp_path / 'v.json')


def test_a_threshold_needs_counts_and_one_source_is_needed():
    with pytest.raises(ValueError, match='min_count=5 needs words with counts, and words has none'):
        WordTokenizer(words=WORDS, min_count=5)
    with pytest.raises(ValueError, match='either vocab_file or words, and got neither'):
        WordTokenizer()
    with pytest.raises(ValueError, match="unknown language 'fr'"):
        WordTokenizer(words=WORDS, language='fr')


def test_a_sentence_without_a_word_is_counted_and_the_first_is_shown(monkeypatch):
    said = []
    monkeypatch.setattr(base, 'warn', said.append)
    tokenizer = WordTokenizer(words=['a', 'house'])
    assert tokenizer.encode(' .') == [tokenizer.bos_id, tokenizer.eos_id]
    tokenizer.encode('')
    assert tokenizer.empty == 2
    assert len(said) == 1 and "caption ' .' has no token" in said[0]
    for _ in range(20):
        tokenizer.encode('.')
    assert said[1:] == ["10 times a caption had no token so far, last '.'"]


def test_an_encoding_knows_the_longest_caption(tmp_path):
    words = ['<pad>', 'a', 'road', '<unk>', '<start>', '<end>']
    data = dict(format='rscc word encoding', language='en', words=words, length=7, splits={})
    write_json(tmp_path / 'word_encoding.json', data)
    tokenizer = WordTokenizer(tmp_path / 'word_encoding.json')
    assert tokenizer.max_tokens == 5 == tokenizer.longest - 2
    assert tokenizer.encode('a road') == [4, 1, 2, 5]
    assert tokenizer.vocabulary() == words and WordTokenizer(words=words).max_tokens is None
    for wrong in (dict(length=None), dict(length=2), dict(words=None)):
        write_json(tmp_path / 'v.json', data | wrong)
        with pytest.raises(ValueError, match=r"word encoding '.*v\.json'.* (length|words) ?"):
            WordTokenizer(tmp_path / 'v.json')


@pytest.fixture
def write(tmp_path):
    """Return a function that writes lines and gives the file."""

    def write(*lines):
        (tmp_path / 'vectors.txt').write_text('\n'.join(lines) + '\n', encoding='utf-8')
        return tmp_path / 'vectors.txt'

    return write


def test_the_words_that_are_wanted_are_read(write):
    found = read_word_vectors(write('the 1 2', 'house .5 -1e-3', 'at name@x 3 4', '房屋 5 6'),
                              ['house', '房屋', 'at name@x', 'unseen'], 2)
    assert {word: vector.tolist() for word, vector in found.items()} == {
        'house': [.5, pytest.approx(-1e-3)], 'at name@x': [3, 4], '房屋': [5, 6]}
    assert found['house'].dtype == np.float32


def test_the_sizes_that_fasttext_writes_first_are_passed_over(write):
    found = read_word_vectors(write('2 3', 'a 1 2 3', 'b 4 5 6'), ['a', 'b'], 3)
    assert list(found) == ['a', 'b']


def test_a_relative_path_is_one_below_the_datasets(write, monkeypatch):
    monkeypatch.setenv('RSCC_DATA', str(write('a 1 2').parent))
    assert list(read_word_vectors('vectors.txt', ['a'], 2)) == ['a']


@pytest.mark.parametrize('line, width, message', [
    ('the 1 2 3', 2, r"vector 1: 3 values after the word \('the 1 2 3'\), expected 2 finite"),
    ('the 1 2 3', 4, '3 values after the word .* expected 4 finite numbers'),
    ('the one two', 2, '2 values after the word .* expected 2 finite numbers'),
    ('the 1 nan', 2, 'expected 2 finite numbers'), ('the 1 9e99', 2, 'expected 2 finite numbers'),
    ('<html lang="en">', 2, '1 values after the word')])
def test_a_file_of_another_kind_is_told(write, line, width, message):
    with pytest.raises(ValueError, match=message):
        read_word_vectors(write(line), ['the'], width)


def test_a_spoilt_line_of_a_wanted_word_is_told(write):
    with pytest.raises(ValueError, match='vector 2: 2 values after the word'):
        read_word_vectors(write('the 1 2', 'house 1 x'), ['house'], 2)


def test_a_file_without_any_of_the_words_is_told(write):
    with pytest.raises(ValueError, match=r'a vector for none of 2 words \(房屋, 道路, \.\.\.\): is '
                       'it of another language'):
        read_word_vectors(write('house 1 2'), ['房屋', '道路'], 2)


def test_a_missing_file_says_what_is_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no word vectors at .* glove.6B.50d.txt'):
        read_word_vectors(tmp_path / 'none.txt', ['a'], 50)
