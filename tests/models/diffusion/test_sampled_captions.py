import pytest
import torch
from testers import WORDS

from rscc.models.diffusion.sampled_captions import SampledDecoding, to_sampled_captions
from rscc.structures import SampledCaption
from rscc.text.minimum_bayes_risk import choose_by_risk
from rscc.text.word_tokenizer import WordTokenizer

TOKENIZER = WordTokenizer(words=WORDS)
L = 6


def scores(*sentences, sure=4.0):
    """Scores (1, K, L, V) under which sentences are the likeliest."""
    ids = torch.full((len(sentences), L), TOKENIZER.pad_id)
    for row, sentence in enumerate(sentences):
        encoded = TOKENIZER.encode(sentence)[:L]
        ids[row, :len(encoded)] = torch.tensor(encoded)
    return sure * torch.nn.functional.one_hot(ids, TOKENIZER.vocab_size)[None].float()


def read(logits, trajectory=(), **options):
    options.setdefault('num_samples', logits.shape[1])
    likelihood, ids = logits.log_softmax(-1).max(-1)
    return to_sampled_captions(ids, likelihood, trajectory, TOKENIZER, SampledDecoding(**options),
                               L - 2)


THREE = ['a house is built', 'no change', 'a house is']


def test_the_sentence_most_like_the_others_wins_and_the_rest_follow():
    (best,) = read(scores(*THREE), num_captions=3)
    order, agreement = choose_by_risk([text.split() for text in THREE])
    assert [caption.text for caption in best] == [THREE[row] for row in order]
    assert best[-1].text == 'no change'
    for caption in best:
        assert type(caption) is SampledCaption and not caption.abstained
        assert caption.trajectory == []
        assert caption.agreement == pytest.approx(agreement) and caption.drawn == 3


def test_equal_sentences_are_returned_once():
    (captions,) = read(scores('no change', 'a house', 'no change', 'no change'), num_captions=4)
    assert [caption.text for caption in captions] == ['no change', 'a house']


def test_one_sentence_agrees_with_itself():
    (captions,) = read(scores('no change'))
    assert captions[0].agreement == 1 and captions[0].drawn == 1 and not captions[0].abstained


def test_too_little_agreement_is_marked():
    agreement = read(scores(*THREE))[0][0].agreement
    assert 0 < agreement < 1
    assert read(scores(*THREE), abstain=agreement + 0.01)[0][0].abstained
    assert not read(scores(*THREE), abstain=agreement - 0.01)[0][0].abstained
    assert not read(scores('no change', 'no change'), abstain=1.0)[0][0].abstained


def test_what_follows_the_first_end_is_not_said_and_does_not_count():
    logits = scores('no change')
    logits[0, 0, 3] *= 0.3  # the end: less certain than start and words, and yet it counts
    log = logits.log_softmax(-1).amax(-1)[0, 0]
    logits[0, 0, 4:] = 0  # beyond it anything, with little certainty
    logits[0, 0, 4:, TOKENIZER.encode('house')[1]] = 0.1
    (captions,) = read(logits)
    assert captions[0].text == 'no change'
    assert captions[0].score == pytest.approx(float(log[:4].mean()))


def test_a_sentence_that_never_ends_counts_whole():
    (captions,) = read(scores('a house is built a house a house'))
    assert captions[0].text == 'a house is built a'
    assert captions[0].score < 0 and captions[0].cut_at == L - 2
    assert not read(scores('a house'))[0][0].truncated


def test_the_trajectory_of_a_sentence_is_its_own():
    ids = torch.stack([scores(*THREE).argmax(-1), scores(*reversed(THREE)).argmax(-1)])
    (captions,) = read(scores(*THREE), [(5.0, ids[1]), (0.1, ids[0])], num_captions=3)
    for caption in captions:
        row = THREE.index(caption.text)
        assert caption.trajectory == [(5.0, THREE[2 - row]), (0.1, caption.text)]
