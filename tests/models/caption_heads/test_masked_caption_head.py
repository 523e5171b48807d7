import copy

import pytest
import torch
from testers import CAPTIONS, WORDS, WordsTester, change_features, data_samples, total

from rscc.engine.checkpoint import load_weights
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures, SampledCaption

TINY = dict(hidden_dims=32, num_layers=1, num_heads=2, feedforward_dims=64, max_positions=16,
            alignment='every_layer', alignment_heads=2, alignment_dims=32,
            alignment_feedforward=32, attention_dropout=0.0, alignment_dropout=0.0)
PLAIN = dict(type='MaskedCaptionHead', memory_channels=16, embed_channels=16, max_tokens=6,
             tokenizer=dict(type='WordTokenizer', words=WORDS), denoiser=TINY, rows_per_sample=16,
             decoding=dict(steps=4))
ALL = PLAIN | dict(corrections=0.3, pad_weight=0.1, condition_dropout=0.1,
                   denoiser=TINY | dict(adaptive_norm=True, self_conditioning=True,
                                        local_layers=1))


def build(**changes):
    torch.manual_seed(0)
    return MODELS.build(copy.deepcopy(PLAIN) | changes)


def texts(written):
    return [[caption.text for caption in captions] for captions in written]


class Masked(WordsTester):
    misspelt = ('num_sample', 'num_samples')
    searches = (dict(num_samples=3, num_captions=3), dict(num_samples=3, num_captions=3))

    def make_it(self, head, ending):
        """Have every position say the end, or a word."""
        token = head.tokenizer.eos_id if ending else head.tokenizer.encode('road')[1]
        with torch.no_grad():
            head.denoiser.words_out[-1].bias.zero_()[token] = 1e4

    def trained(self, steps=25):
        """A head that has begun to learn, so that what it says depends on what it sees."""
        head, features, samples = self.build(), change_features(3), data_samples(3)
        optimizer = torch.optim.AdamW(head.parameters(), 5e-3)
        for _ in range(steps):
            optimizer.zero_grad()
            total(head.loss(features, samples)).backward()
            optimizer.step()
        return head.eval(), features

    def test_the_cache_changes_nothing(self):
        head, features = self.trained()
        cached, plain = (head.generate(features, use_cache=use, num_samples=3, num_captions=3)
                         for use in (True, False))
        assert texts(cached) == texts(plain)

    def test_the_same_seed_writes_the_same_and_another_one_draws_anew(self):
        head, features = self.trained(3)
        options = dict(num_samples=4, num_captions=4)
        first, again, other = (head.generate(features, seed=seed, **options) for seed in (1, 1, 2))
        assert first == again and first != other

    def test_what_a_sample_says_does_not_depend_on_its_batch(self):
        head, features = self.trained()
        together = head.generate(features, num_samples=4, num_captions=4)
        for row in range(3):
            one = ChangeFeatures(tokens=features.tokens[row:row + 1])
            (alone,) = head.generate(one, num_samples=4, num_captions=4)
            assert texts([alone]) == texts([together[row]])

    def test_captions_know_their_agreement_and_trajectory(self):
        head, features = self.trained()
        for captions in head.generate(features, num_samples=3, return_trajectory=True,
                                      abstain=1.0):
            best = captions[0]
            assert type(best) is SampledCaption and best.drawn == 3
            assert [share for share, _ in best.trajectory] == pytest.approx([1, .75, .5, .25])
            assert best.trajectory[-1][1] == best.text

    def test_the_unknown_word_is_never_written(self):
        head = self.build().eval()
        with torch.no_grad():
            bias = head.denoiser.words_out[-1].bias.zero_()
            bias[head.tokenizer.unk_id], bias[head.tokenizer.encode('road')[1]] = 2e4, 1e4
        for captions in head.generate(change_features(2), num_samples=2):
            assert set(captions[0].text.split()) == {'road'}

    def test_shares_of_hidden_words_cover_everything(self):
        head, ids = self.build(), torch.zeros(64, 8, dtype=torch.long)
        hidden = head.hide(ids).sum(1)
        assert hidden.min() == 1 and hidden.max() == 8
        assert torch.bincount(hidden, minlength=9)[1:].tolist() == [8] * 8


class TestPlain(Masked):
    cfg = PLAIN


class TestAll(Masked):
    cfg = ALL

    def test_guidance_changes_what_is_said_and_needs_its_training(self):
        head, features = self.trained()
        plain, guided = (head.generate(features, guidance=weight, steps=1) for weight in (1.0, 3.0))
        assert [c[0].score for c in plain] != [c[0].score for c in guided]
        with pytest.raises(ValueError, match='never learned: train it with condition_dropout'):
            build().generate(features, guidance=2.0)


def test_learned_sentences_come_back_in_any_number_of_steps():
    head, features, samples = build(), change_features(2), data_samples(2)
    optimizer = torch.optim.AdamW(head.parameters(), 5e-3)
    for _ in range(120):
        optimizer.zero_grad()
        total(head.loss(features, samples)).backward()
        optimizer.step()
    for steps in (1, 3, 10, 40):
        assert texts(head.eval().generate(features, steps=steps)) == [[one] for one in CAPTIONS[:2]]


def test_rows_of_another_length_are_refused():
    message = r'captions of the checkpoint have 8 ids and those of the config 7: set max_tokens=6'
    with pytest.raises(ValueError, match=message):
        load_weights(build(max_tokens=5), build().state_dict())


@pytest.mark.parametrize('option', ['corrections', 'pad_weight', 'condition_dropout'])
def test_what_is_no_share_is_refused(option):
    with pytest.raises(ValueError, match=rf'MaskedCaptionHead {option}=1.5 is not within \[0, 1\]'):
        build(**{option: 1.5})
