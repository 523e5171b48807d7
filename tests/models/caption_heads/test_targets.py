from testers import WORDS, data_samples

from rscc.models.caption_heads.targets import encode_targets, never_written
from rscc.text.word_tokenizer import WordTokenizer


def test_drawn_sentences_win_over_the_references_and_none_is_fine():
    samples = data_samples(3, captions=['a house', 'no change', 'a road'])
    samples[0].target_captions = ['a road', 'a house']
    samples[1].gt_captions = []
    tokenizer = WordTokenizer(words=WORDS)
    a, house, road = (tokenizer.encode(word)[1] for word in ('a', 'house', 'road'))
    start, end = tokenizer.bos_id, tokenizer.eos_id
    assert encode_targets(samples, tokenizer, 9) == [
        [[start, a, road, end], [start, a, house, end]], [], [[start, a, road, end]]]
    assert encode_targets(samples[2:], tokenizer, 3) == [[[start, a, end]]]
    assert tokenizer.cut == 1


def test_specials_but_the_end_are_never_written():
    tokenizer = WordTokenizer(words=WORDS)
    assert never_written(tokenizer) == [tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id]
    # GPT-2 has one special for everything.
    tokenizer.pad_id = tokenizer.unk_id = tokenizer.bos_id = tokenizer.eos_id
    assert never_written(tokenizer) == []
