import numpy as np
import pytest

from rscc.text.word_vectors import read_word_vectors


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
    ('the 1 2 3', 2, r"vector 1: 3 values after the word \('the 1 2 3'\), expected 2 numbers"),
    ('the 1 2 3', 4, '3 values after the word .* expected 4 numbers'),
    ('the one two', 2, '2 values after the word .* expected 2 numbers'),
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
