import json
import pickle
import shutil

import pytest
import torch
from changeclip_records import records

from rscc import compat
from rscc.registry import TOKENIZERS
from rscc.text import WordPieceTokenizer, subword_tokenizers
from rscc.text.subword_tokenizers import BytePairTokenizer, CLIPTokenizer

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
    assert tokenizer.encode('a house is built', max_tokens=2) == ids


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
    monkeypatch.setattr(compat, 'hub_in_reach', lambda: True)
    with pytest.raises(FileNotFoundError,
                       match=r"hub model 'some/blip' cannot be fetched \(OSError\)"
                             r'.*a local folder \(or vocab_file\).*works offline'):
        WordPieceTokenizer(pretrained='some/blip')
    monkeypatch.setattr(compat, 'hub_in_reach', lambda: False)
    with pytest.raises(FileNotFoundError, match=r'hub .* is out of reach\. Set HF_ENDPOINT to a '
                       r'mirror, .*hf download some/blip .*works offline'):
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
    around = len(tokenizer.start_ids) + 1  # start and end are not among the tokens of a caption
    for limit in range(2, 12):
        ids = tokenizer.encode('这里有一条河', max_tokens=limit)
        assert len(ids) <= limit + around and ids[-1] == tokenizer.eos_id
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
    with pytest.raises(ValueError, match=r"'nonsense' is no pair of entries of the byte-pair"):
        BytePairTokenizer(vocab_file=tmp_path / 'vocab.json', merges_file=tmp_path / 'merges.txt')


@pytest.fixture(scope='module')
def recorded():
    return json.loads(records('tokenizer.json').read_text(encoding='utf-8'))


def test_ids_are_those_of_the_original(recorded):
    for item in recorded['items']:
        tokenizer = CLIPTokenizer(context_length=item['length'])
        assert tokenizer.encode(item['text']) == item['ids'], item['text']
    assert (tokenizer.bos_id, tokenizer.eos_id) == (recorded['sot'], recorded['eot'])


def test_the_recorded_batch_is_padded_with_zeros(recorded):
    length = recorded['items'][0]['length']
    items = [item for item in recorded['items'] if item['length'] == length]
    ids = CLIPTokenizer(length).batch_encode([item['text'] for item in items])
    assert ids.shape == (len(items), length) and ids.dtype is torch.long
    for row, item in zip(ids.tolist(), items, strict=True):
        assert row == item['ids'] + [0] * (length - len(item['ids']))


def test_a_text_that_is_too_long_is_refused_not_cut(recorded):
    with pytest.raises(ValueError, match=r"a prompt of \d+ tokens does not fit context_length=64: "
                                         r"'airport, bare land.*fewer class names"):
        CLIPTokenizer().encode(recorded['too_long']['text'])
    with pytest.raises(ValueError, match='does not fit'):
        CLIPTokenizer().batch_encode(['airport', recorded['too_long']['text']])


def test_the_text_fits_to_the_last_token():
    tokenizer = TOKENIZERS.build(dict(type='CLIPTokenizer', context_length=4))
    assert tokenizer.encode('bare land') == [49406, 14318, 973, 49407]
    with pytest.raises(ValueError, match='a prompt of 5 tokens'):
        tokenizer.encode('a bare land')


def test_special_ids_are_open_clips():
    pairs = subword_tokenizers._clip_pairs()
    assert (pairs.sot_token_id, pairs.eot_token_id) == (CLIPTokenizer.bos_id, CLIPTokenizer.eos_id)
    assert pairs.vocab_size == CLIPTokenizer.vocab_size


def test_case_blanks_and_entities_do_not_matter():
    tokenizer = CLIPTokenizer()
    assert tokenizer.encode('  Parking &amp;  LOT ') == tokenizer.encode('parking & lot')
    assert tokenizer.encode('') == [49406, 49407]


def test_a_text_is_worked_out_once():
    text = 'a prompt nobody else encodes'
    before = subword_tokenizers._clip_ids.cache_info()
    first, second = CLIPTokenizer().encode(text), CLIPTokenizer(77).encode(text)
    after = subword_tokenizers._clip_ids.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 1)
    first.append(1)
    assert CLIPTokenizer().encode(text) == second


def test_it_travels_to_worker_processes():
    tokenizer = pickle.loads(pickle.dumps(CLIPTokenizer(32)))
    assert repr(tokenizer) == 'CLIPTokenizer(context_length=32)'
    assert tokenizer.encode('road') == CLIPTokenizer().encode('road')


def test_a_single_text_is_not_taken_for_a_list_of_letters():
    with pytest.raises(TypeError, match="a list of texts, found the single text 'road'"):
        CLIPTokenizer().batch_encode('road')
