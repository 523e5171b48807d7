"""Vocabulary and encoded captions as the original encoder writes them."""
import json

import pytest
from recordings import recording

from rscc.datasets.word_encoding import encode_words, write_word_encoding
from rscc.text import WordTokenizer
from rscc.utils import read_json


@pytest.fixture(scope='module')
def recorded():
    return read_json(recording('kd_rscc/captions_mini.json'))


@pytest.fixture
def written(recorded, tmp_path):
    (tmp_path / 'captions.json').write_text(json.dumps(recorded['input']), encoding='utf-8')
    write_word_encoding(encode_words(tmp_path / 'captions.json'), tmp_path)
    return tmp_path


def test_every_word_has_the_recorded_number(recorded, written):
    assert read_json(written / 'vocab.json') == recorded['vocab']


def test_every_split_has_the_recorded_rows(recorded, written):
    found = {path.name.split('_')[0]: read_json(path)
             for path in written.glob('*_caption_encoded.json')}
    assert found == recorded['encoded']


@pytest.mark.parametrize('file', ['vocab.json', 'word_encoding.json'])
def test_the_tokenizer_encodes_as_recorded(recorded, written, file):
    tokenizer = WordTokenizer(written / file)
    assert tokenizer.vocab_size == len(recorded['vocab'])
    for image in recorded['input']['images']:
        rows = recorded['encoded'][image['split']][image['filename']]
        for sentence, row in zip(image['sentences'], rows, strict=True):
            ids = tokenizer.encode(' '.join(sentence['tokens']))
            assert ids + [tokenizer.pad_id] * (len(row) - len(ids)) == row


def test_the_length_is_that_of_the_longest_row(recorded, written):
    lengths = {len(row) for images in recorded['encoded'].values() for rows in images.values()
               for row in rows}
    assert lengths == {2 + WordTokenizer(written / 'word_encoding.json').max_tokens}
