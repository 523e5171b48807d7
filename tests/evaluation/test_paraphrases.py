"""Paraphrases that sentences can use, against a look at every entry."""
import gzip
import random
import re

import pytest

from rscc.evaluation import paraphrases
from rscc.evaluation.paraphrases import write_usable

ENTRIES = [('0.1', 'a house', 'the building'), ('0.2', 'a', 'one'), ('0.3', "'s", 'of a'),
           ('0.4', 'u.s.', 'us'), ('0.5', 'new house', 'a house'), ('0.6', 'ab', 'a b')]


@pytest.fixture
def usable(tmp_path):
    """Return the entries that are left of some for sentences."""
    def left(entries, sentences):
        table, out = tmp_path / 'table.gz', tmp_path / 'out.gz'
        out.unlink(missing_ok=True)
        table.write_bytes(gzip.compress(''.join(
            f'{line}\n' for entry in entries for line in entry).encode()))
        count = write_usable(table, sentences, out)
        if count is None:
            assert not out.exists()
            return None
        lines = gzip.decompress(out.read_bytes()).decode().splitlines()
        found = list(zip(*[iter(lines)] * 3, strict=True))
        assert len(found) == count
        return found
    return left


@pytest.mark.parametrize(('sentences', 'kept'), [
    (['a House', 'the building'], [0]), (['one', 'a'], [1]), (["the owner's", 'of a'], [2]),
    (['u.s.'], [3]), (['a new house'], [4]), (['a b', 'ab'], [5]), (['a house'], []),
    ([''], []), ([], []), (['a', 'one', 'new house', 'the building'], [0, 1, 4])])
def test_an_entry_stays_where_all_its_words_are_said(usable, sentences, kept):
    assert usable(ENTRIES, sentences) == [ENTRIES[row] for row in kept]


@pytest.mark.parametrize('sentence', ['a café', '1,2,3,4,5,6,7,8,9'])
def test_words_that_meteor_may_read_otherwise_are_left_to_the_whole_table(usable, sentence):
    assert usable(ENTRIES, [sentence]) is None


def test_a_wide_vocabulary_is_left_to_the_whole_table(usable, monkeypatch):
    monkeypatch.setattr(paraphrases, 'MOST_WORDS', 3)
    assert usable(ENTRIES, ['a b', 'ab']) == [ENTRIES[5]]
    assert usable(ENTRIES, ['a b', 'ab one']) is None


@pytest.mark.parametrize('block', [1, 7, 64, 1 << 24])
def test_blocks_of_any_size_find_what_a_plain_look_finds(usable, monkeypatch, block):
    monkeypatch.setattr(paraphrases, '_BLOCK', block)
    draw = random.Random(0)
    words = ['a', 'b', 'ab', 'abc', 'abd', "a'b", 'x', '7', '-', 'bare-land']

    def phrase():
        return ' '.join(draw.choices(words, k=draw.randint(1, 3)))

    entries = [(f'0.{row}', phrase(), phrase()) for row in range(200)]
    sentences = ["Abc a'b", 'ab 7']
    said = {'abc', 'a', 'b', 'ab', '7'}
    expected = [entry for entry in entries
                if said.issuperset(re.findall(r'[a-z0-9]+', f'{entry[1]} {entry[2]}'))]
    assert usable(entries, sentences) == expected and 10 < len(expected) < 190
