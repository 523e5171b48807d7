import pytest
import torch

from rscc.models.vocabulary import pack_words, restore_vocabulary, unpack_words


def config(**tokenizer):
    return dict(model=dict(caption_head=dict(tokenizer=dict(type='WordTokenizer', **tokenizer))))


def test_words_of_any_language_survive():
    words = ['<pad>', 'house', '道路']
    assert unpack_words(pack_words(words)) == words


def test_the_tokenizer_takes_its_words_from_the_checkpoint():
    cfg = config(vocab_file='nowhere.json')
    checkpoint = dict(state_dict={'caption_head.vocabulary': pack_words(['a', 'b'])})
    assert restore_vocabulary(cfg, checkpoint) == ['a', 'b']
    assert cfg['model']['caption_head']['tokenizer'] == dict(type='WordTokenizer', words=['a', 'b'])


def test_a_checkpoint_without_words_leaves_the_config_alone():
    cfg = config(vocab_file='words.json')
    assert restore_vocabulary(cfg, {'encoder.weight': torch.zeros(1)}) is None
    assert cfg == config(vocab_file='words.json')


def test_a_checkpoint_in_another_language_is_refused():
    checkpoint = dict(state_dict={'caption_head.vocabulary': pack_words(['a', 'b'])},
                      meta=dict(dataset_meta=dict(language='en')))
    assert restore_vocabulary(config(language='en'), checkpoint) == ['a', 'b']
    with pytest.raises(ValueError, match=r"trained on captions in 'en', and the config's tokenizer "
                       r"is for 'zh'"):
        restore_vocabulary(config(language='zh'), checkpoint)


def test_a_checkpoint_brings_words_and_needs_no_vectors_of_them():
    head = dict(tokenizer=dict(vocab_file='gone.json'), word_vectors='gone.txt')
    stored = {'caption_head.vocabulary': pack_words(['a', 'b'])}
    assert restore_vocabulary(dict(model=dict(caption_head=head)), stored) == ['a', 'b']
    assert head == dict(tokenizer=dict(words=['a', 'b']))
