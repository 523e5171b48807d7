import pytest
import torch
from testers import WORDS, data_samples

from rscc.models.caption_heads.base import (
    AutoregressiveHead,
    CaptionHead,
    never_written,
    pack_words,
    restore_vocabulary,
    unpack_words,
)
from rscc.text.word_tokenizer import WordTokenizer


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


def test_drawn_sentences_win_over_the_references_and_none_is_fine():
    samples = data_samples(3, captions=['a house', 'no change', 'a road'])
    samples[0].target_captions = ['a road', 'a house']
    samples[1].gt_captions = []
    head = CaptionHead(dict(type='WordTokenizer', words=WORDS))
    head.max_tokens, tokenizer = 7, head.tokenizer
    a, house, road = (tokenizer.encode(word)[1] for word in ('a', 'house', 'road'))
    start, end = tokenizer.bos_id, tokenizer.eos_id
    assert head.encode_targets(samples) == [
        [[start, a, road, end], [start, a, house, end]], [], [[start, a, road, end]]]
    head.max_tokens = 1
    assert head.encode_targets(samples[2:]) == [[[start, a, end]]]
    assert tokenizer.cut == 1


def test_specials_but_the_end_are_never_written():
    tokenizer = WordTokenizer(words=WORDS)
    assert never_written(tokenizer) == [tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id]
    # GPT-2 has one special for everything.
    tokenizer.pad_id = tokenizer.unk_id = tokenizer.bos_id = tokenizer.eos_id
    assert never_written(tokenizer) == []


class Short(AutoregressiveHead):
    """A head whose decoder has positions for five tokens."""

    def __init__(self, limit=4, **decoding):
        super().__init__(dict(type='WordTokenizer', words=WORDS))
        self.set_limits(limit, decoding)

    def room(self):
        return 5, 'after nothing'


def test_the_limit_of_what_is_written_is_that_of_what_is_learned_unless_given():
    assert Short(4).decoding.max_tokens == 4 and Short(4, max_tokens=3).decoding.max_tokens == 3


@pytest.mark.parametrize('build, name', [
    (lambda: Short(6), 'max_tokens=6'), (lambda: Short(4, max_tokens=6), 'decoding max_tokens=6'),
    (lambda: Short().generate(None, max_tokens=6), 'decoding max_tokens=6')])
def test_a_limit_beyond_the_decoder_is_refused(build, name):
    with pytest.raises(ValueError, match=f'^{name} is too long: the decoder has positions for 5 '
                       'tokens after nothing; lower it'):
        build()


def test_maps_are_refused_where_a_head_has_none():
    for ask in (lambda: Short(return_attention=True),
                lambda: Short().generate(None, return_attention=True)):
        with pytest.raises(ValueError, match='this caption head has no attention maps'):
            ask()


def test_a_head_has_nothing_to_merge_unless_it_says_so():
    assert Short().merge(dict(type='Short')) is None


def test_a_tokenizer_found_by_name_leaves_no_words_in_the_checkpoint(tmp_path):
    vocabulary = tmp_path / 'vocab.txt'
    vocabulary.write_text('\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *WORDS]))
    head = CaptionHead(dict(type='WordPieceTokenizer', vocab_file=str(vocabulary)))
    assert head.vocabulary is None and 'vocabulary' not in head.state_dict()
    assert 'vocabulary' in Short().state_dict()
