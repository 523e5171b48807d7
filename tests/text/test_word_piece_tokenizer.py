"""Word pieces with BLIP's conventions."""
import shutil

import pytest

from rscc.registry import TOKENIZERS
from rscc.text import WordPieceTokenizer

pytest.importorskip('transformers')
PIECES = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'picture', 'of', 'road', '##s', 't',
          'shaped', '-', 'house', ',']


@pytest.fixture
def vocab_file(tmp_path):
    path = tmp_path / 'vocab.txt'
    path.write_text('\n'.join(PIECES) + '\n')
    return path


def test_blips_two_tokens_are_added_to_a_plain_vocabulary(vocab_file):
    tokenizer = TOKENIZERS.build(dict(type='WordPieceTokenizer', vocab_file=str(vocab_file)))
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.eos_id) == (0, 1, 3)
    assert tokenizer.bos_id == len(PIECES) and tokenizer.vocab_size == len(PIECES) + 2
    assert tokenizer.vocabulary() is None


def test_sentences_survive_the_round_trip(vocab_file):
    tokenizer = WordPieceTokenizer(pretrained=str(vocab_file.parent))
    ids = tokenizer.encode('A t-shaped roads, a house .')
    assert ids[0] == tokenizer.bos_id and ids[-1] == tokenizer.eos_id
    assert tokenizer.decode(ids) == 'a t-shaped roads , a house'
    ids, mask = tokenizer.batch_encode(['a road', 'a'])
    assert ids.shape == mask.shape == (2, 4) and ids[1, -1] == 0 == mask[1, -1]


def test_the_prompt_leads_and_is_not_read_back(vocab_file):
    tokenizer = WordPieceTokenizer(vocab_file=vocab_file, prompt='a picture of ')
    assert tokenizer.prompt_ids == (5, 6, 7)
    ids = tokenizer.encode('a house')
    assert ids == [tokenizer.bos_id, 5, 6, 7, 5, 13, 3]
    assert tokenizer.decode(ids) == tokenizer.decode(ids[4:]) == 'a house'
    with pytest.raises(ValueError, match='start, end and 3 prompt tokens: use at least 6'):
        tokenizer.encode('a house', max_len=5)


def test_real_bert_ids_are_blips(samples, tmp_path):
    path = samples / 'tokenizers' / 'bert-base-uncased' / 'vocab.txt'
    if not path.is_file():
        pytest.skip(f'no {path}')
    shutil.copy(path, tmp_path)
    tokenizer = WordPieceTokenizer(pretrained=tmp_path)
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 30522, 102)
    assert tokenizer.vocab_size == 30524
    assert tokenizer.encode('Some houses are built') == [30522, 2070, 3506, 2024, 2328, 102]
    text = "a t-shaped road , lower-right of the road's end"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_chinese_is_joined_without_blanks(samples):
    path = samples / 'tokenizers' / 'bert-base-chinese' / 'vocab.txt'
    if not path.is_file():
        pytest.skip(f'no {path}')
    tokenizer = WordPieceTokenizer(vocab_file=path, language='zh')
    assert tokenizer.decode(tokenizer.encode('右上角建成了两座房屋。')) == '右上角建成了两座房屋'


def test_missing_vocabularies_say_what_works(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"folder '.*' has no vocab.txt \(found: nothing\)"):
        WordPieceTokenizer(pretrained=tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder '/no/such': a local folder"):
        WordPieceTokenizer(pretrained='/no/such')
    with pytest.raises(FileNotFoundError, match='word-piece vocabulary not found at'):
        WordPieceTokenizer(vocab_file=tmp_path / 'vocab.txt')
    with pytest.raises(ValueError, match='either pretrained or vocab_file, and got neither'):
        WordPieceTokenizer()


def test_an_unreachable_hub_model_is_named_with_the_remedy(monkeypatch):
    import huggingface_hub

    def offline(*_args, **_kwargs):
        raise OSError('no network')

    monkeypatch.setattr(huggingface_hub, 'hf_hub_download', offline)
    with pytest.raises(FileNotFoundError,
                       match=r"hub model 'some/blip' is neither cached nor reachable \(OSError\)"
                             r'.*a local folder \(or vocab_file\).*works offline'):
        WordPieceTokenizer(pretrained='some/blip')


def test_a_file_of_words_is_no_bert_vocabulary(tmp_path):
    (tmp_path / 'vocab.txt').write_text('a\nroad\n')
    with pytest.raises(ValueError, match=r'no BERT vocabulary: it lacks \[PAD\].*2 lines'):
        WordPieceTokenizer(vocab_file=tmp_path / 'vocab.txt')


def test_a_chinese_gpt2_gets_berts_pieces_and_no_others(samples):
    path = samples / 'tokenizers' / 'bert-base-chinese' / 'vocab.txt'
    if not path.is_file():
        pytest.skip(f'no {path}')
    tokenizer = WordPieceTokenizer(vocab_file=path, language='zh', start='[CLS]')
    assert tokenizer.vocab_size == 21128
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 101, 102)
    text = '有2条道路，旁边是一个t型停车场'
    ids = tokenizer.encode(text)
    assert ids[0] == 101 and ids[-1] == 102 and tokenizer.unk_id not in ids
    assert tokenizer.decode(ids) == text
    assert len(tokenizer.plain_ids('.')) == 1


def test_another_start_is_refused():
    with pytest.raises(ValueError, match=r"start='\[BOS\]': sentences start with '\[DEC\]'"):
        WordPieceTokenizer(vocab_file='any', start='[BOS]')
