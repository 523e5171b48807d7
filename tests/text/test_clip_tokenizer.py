import json
import pickle

import pytest
import torch
from changeclip_records import records

from rscc.registry import TOKENIZERS
from rscc.text import clip_tokenizer
from rscc.text.clip_tokenizer import CLIPTokenizer


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
    pairs = clip_tokenizer._byte_pairs()
    assert (pairs.sot_token_id, pairs.eot_token_id) == (CLIPTokenizer.bos_id, CLIPTokenizer.eos_id)
    assert pairs.vocab_size == CLIPTokenizer.vocab_size


def test_case_blanks_and_entities_do_not_matter():
    tokenizer = CLIPTokenizer()
    assert tokenizer.encode('  Parking &amp;  LOT ') == tokenizer.encode('parking & lot')
    assert tokenizer.encode('') == [49406, 49407]


def test_a_text_is_worked_out_once():
    text = 'a prompt nobody else encodes'
    before = clip_tokenizer._word_ids.cache_info()
    first, second = CLIPTokenizer().encode(text), CLIPTokenizer(77).encode(text)
    after = clip_tokenizer._word_ids.cache_info()
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
