import json
import random

import pytest

from rscc.text.detokenizer import Detokenizer, join_bytes
from rscc.text.subword_tokenizers import BytePairTokenizer, WordPieceTokenizer
from rscc.text.word_tokenizer import WordTokenizer

PIECES = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'picture', 'of', 'road', '##s', 't',
          'shaped', '-', "'", 's', ',']


def words(folder):
    return WordTokenizer(words=['a', 'house', 'is', 'built', ','])


def chinese(folder):
    return WordTokenizer(words=['一', '栋', '房屋', '，'], language='zh')


def pieces(folder):
    (folder / 'vocab.txt').write_text('\n'.join(PIECES) + '\n')
    return WordPieceTokenizer(vocab_file=folder / 'vocab.txt', prompt='a picture of ')


def pairs(folder):
    # Every byte, a space in GPT-2's spelling, two merges, and the end token.
    letters = [chr(byte) for byte in [*range(33, 127), *range(161, 173), *range(174, 256)]]
    letters += [chr(256 + place) for place in range(68)]
    entries = [*letters, 'ho', 'Ġa', '<|endoftext|>']
    (folder / 'vocab.json').write_text(json.dumps({name: i for i, name in enumerate(entries)}))
    (folder / 'merges.txt').write_text('#version: 0.2\nh o\nĠ a\n')
    return BytePairTokenizer(vocab_file=folder / 'vocab.json', merges_file=folder / 'merges.txt',
                             ending=' .')


@pytest.mark.parametrize('make', [words, chinese, pieces, pairs])
def test_sentences_are_those_of_the_tokenizer(make, tmp_path):
    pytest.importorskip('transformers')
    tokenizer, draw = make(tmp_path), random.Random(0)
    stored = json.loads(json.dumps(tokenizer.detokenizer().to_dict()))
    own = Detokenizer.from_dict(stored, 'the vocabulary')
    drawn = [[draw.randrange(tokenizer.vocab_size) for _ in range(draw.randrange(9))]
             for _ in range(300)]
    drawn += [[number] for number in range(tokenizer.vocab_size)]
    drawn += [[*tokenizer.start_ids, *ids, tokenizer.eos_id, 1] for ids in drawn[:50]]
    assert [own.decode(ids) for ids in drawn] == [tokenizer.decode(ids) for ids in drawn]


def test_chinese_characters_are_made_of_their_bytes(tmp_path):
    pytest.importorskip('transformers')
    tokenizer = pairs(tmp_path)
    ids = tokenizer.encode('路旁新建了 a 房子。')
    assert tokenizer.detokenizer().decode(ids) == tokenizer.decode(ids) == '路旁新建了 a 房子'
    assert tokenizer.detokenizer().decode(ids[:4]) == '路'  # the fourth byte is half a character


def test_text_outside_the_alphabet_of_bytes_stands_for_itself():
    assert join_bytes(['路', 'Ġa'], 'en', False) == '路 a'


def test_a_damaged_table_is_refused_by_its_place():
    good = words(None).detokenizer().to_dict()
    good |= {'entries': list(good['entries']), 'specials': list(good['specials']),
             'prompt_ids': []}
    assert Detokenizer.from_dict(good, 'x').decode([4, 5]) == 'a house'
    with pytest.raises(ValueError, match='the vocabulary: kind is a string'):
        Detokenizer.from_dict(good | {'kind': 'other'}, 'the vocabulary')
    with pytest.raises(ValueError, match=r"lacks 'eos_id'"):
        Detokenizer.from_dict({k: v for k, v in good.items() if k != 'eos_id'}, 'x')
