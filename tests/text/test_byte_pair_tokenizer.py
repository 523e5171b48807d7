import json

import pytest

from rscc.registry import TOKENIZERS
from rscc.text.byte_pair_tokenizer import BytePairTokenizer


@pytest.fixture(scope='module')
def files(samples):
    folder = samples / 'tokenizers' / 'gpt2'
    if not folder.is_dir():
        pytest.skip(f"no GPT-2 vocabulary at '{folder}'")
    return dict(vocab_file=folder / 'encoder.json', merges_file=folder / 'vocab.bpe')


def test_ids_are_those_of_gpt2(files):
    tokenizer = TOKENIZERS.build(dict(type='BytePairTokenizer', **files))
    assert tokenizer.vocab_size == len(tokenizer) == 50257
    assert tokenizer.pad_id == tokenizer.eos_id == 50256 and tokenizer.vocabulary() is None
    assert tokenizer.encode(' There is a River .') == [8117, 318, 257, 7850, 50256]
    assert tokenizer.decode([8117, 318, 257, 7850, 50256, 318]) == 'there is a river'
    assert repr(tokenizer) == "BytePairTokenizer(50257 ids, language='en', ending='')"


def test_a_kept_ending_is_one_id_and_is_not_shown(files):
    tokenizer = BytePairTokenizer(**files, ending=' .', lower_case=False)
    assert tokenizer.encode('There is a river .')[-2:] == [764, 50256]
    assert tokenizer.plain_ids(' .') == [764] and tokenizer.plain_ids('.') == [13]
    assert tokenizer.decode(tokenizer.encode('There is a river')) == 'There is a river'


def test_special_tokens_in_a_sentence_are_plain_text(files):
    tokenizer = BytePairTokenizer(**files)
    assert tokenizer.eos_id not in tokenizer.encode('a <|endoftext|> b')[:-1]


def test_chinese_is_cut_between_characters_and_counted(files):
    tokenizer = BytePairTokenizer(**files, language='zh', ending='.')
    assert tokenizer.decode(tokenizer.encode('这里有一条河.')) == '这里有一条河'
    for length in range(4, 14):
        ids = tokenizer.encode('这里有一条河', length)
        assert len(ids) <= length and ids[-1] == tokenizer.eos_id
        assert '这里有一条河'.startswith(tokenizer.decode(ids))
    assert tokenizer.cut == 10


def test_half_a_character_is_not_shown(files):
    tokenizer = BytePairTokenizer(**files, language='zh')
    ids = tokenizer.encode('这里')
    assert tokenizer.decode(ids[:-2]) == '这'


def test_a_sentence_without_a_word_is_counted(files):
    tokenizer = BytePairTokenizer(**files, ending=' .')
    assert tokenizer.encode(' .') == [tokenizer.eos_id]
    assert tokenizer.encode('') == [tokenizer.eos_id] and tokenizer.empty == 2


def test_batches_are_padded_under_a_mask(files):
    ids, mask = BytePairTokenizer(**files).batch_encode(['a river', 'a very long river'])
    assert ids[0, 3:].tolist() == [50256] * 2 and mask.tolist() == [[1, 1, 1, 0, 0], [1] * 5]


def test_a_folder_with_tokenizer_files_is_taken(files, tmp_path):
    BytePairTokenizer(**files)._pairs.save_pretrained(tmp_path)
    tokenizer = BytePairTokenizer(tmp_path)
    assert tokenizer.encode('there is') == [8117, 318, 50256]
    broken = json.loads((tmp_path / 'tokenizer_config.json').read_text())
    broken['eos_token'] = None
    (tmp_path / 'tokenizer_config.json').write_text(json.dumps(broken))
    with pytest.raises(ValueError, match='has no end token: captions would never stop'):
        BytePairTokenizer(tmp_path)


def test_sources_are_checked(files, tmp_path):
    with pytest.raises(ValueError, match='takes either pretrained, or vocab_file and merges_file'):
        BytePairTokenizer(vocab_file=files['vocab_file'])
    with pytest.raises(ValueError, match='takes either pretrained, or vocab_file and merges_file'):
        BytePairTokenizer('gpt2', **files)
    with pytest.raises(FileNotFoundError, match=r'merges \(merges.txt or vocab.bpe\) not found'):
        BytePairTokenizer(vocab_file=files['vocab_file'], merges_file=tmp_path / 'none')
    with pytest.raises(FileNotFoundError, match=r'no tokenizer at .* which works offline'):
        BytePairTokenizer(tmp_path)
    (tmp_path / 'vocab.json').write_text('{}')
    (tmp_path / 'merges.txt').write_text('nonsense\n')
    with pytest.raises(ValueError, match='are not a byte-pair vocabulary and its merges'):
        BytePairTokenizer(vocab_file=tmp_path / 'vocab.json', merges_file=tmp_path / 'merges.txt')
