"""Tests that all heads of whole captions share."""
import copy

import pytest
import torch
from testers import (
    WordsTester,
    assert_gradient_reaches_everything,
    change_features,
    data_samples,
    total,
)

from rscc.engine.checkpoint import load_weights
from rscc.models.caption_heads.base import restore_vocabulary
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures, SampledCaption


def texts(written):
    return [[caption.text for caption in captions] for captions in written]


class WholeCaptionTester(WordsTester):
    """Subclass with ``cfg`` of 6 tokens over the words of ``testers``, and ``scores_of_words``."""
    misspelt = ('num_sample', 'num_samples')
    searches = (dict(num_samples=3, num_captions=3), dict(num_samples=3, num_captions=3))

    def scores_of_words(self, head):
        """Return the parameter (V,) that is added to the scores of all words, at every place."""
        raise NotImplementedError(f'{type(self).__name__}.scores_of_words(head) returns the bias '
                                  'of the last layer, one number for each word')

    def make_it(self, head, ending):
        """Have every position say the end, or a word."""
        token = head.tokenizer.eos_id if ending else head.tokenizer.encode('road')[1]
        with torch.no_grad():
            self.scores_of_words(head).zero_()[token] = 1e4

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
        assert [c.score for row in cached for c in row] == pytest.approx(
            [c.score for row in plain for c in row], abs=1e-4)

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
            assert alone[0].agreement == pytest.approx(together[row][0].agreement)

    def test_captions_know_their_agreement_and_trajectory(self):
        head, features = self.trained()
        written = head.generate(features, num_samples=3, steps=5, return_trajectory=True,
                                abstain=1.0)
        for captions in written:
            best = captions[0]
            assert type(best) is SampledCaption and best.drawn == 3
            assert 0 <= best.agreement <= 1 and best.abstained == (best.agreement < 1)
            assert len(best.trajectory) == 5 and best.trajectory[-1][1] == best.text
            assert all(isinstance(text, str) for _, text in best.trajectory)
        assert head.generate(features)[0][0].trajectory == []

    def test_the_unknown_word_is_never_written(self):
        head = self.build().eval()
        with torch.no_grad():
            scores = self.scores_of_words(head).zero_()
            scores[head.tokenizer.unk_id], scores[head.tokenizer.encode('road')[1]] = 2e4, 1e4
        for captions in head.generate(change_features(2), num_samples=2):
            assert set(captions[0].text.split()) == {'road'}

    def test_maps_tell_where_each_word_looked(self):
        head, features = self.trained()
        features.token_grid = (1, 3, 4)
        options = dict(num_samples=3, num_captions=3)
        plain = head.generate(features, **options)
        written = head.generate(features, return_attention=True, **options)
        assert written == plain
        for caption in (caption for captions in written for caption in captions):
            assert isinstance(caption, SampledCaption) and caption.drawn == 3
            assert caption.words == caption.text.split()
            assert caption.attention.shape == (len(caption.words), 1, 3, 4)
            torch.testing.assert_close(caption.attention.sum((1, 2, 3)),
                                       torch.ones(len(caption.words)))

    def test_maps_of_tokens_without_a_place_are_refused_or_left_out(self):
        head, features = self.build().eval(), change_features(1)
        with pytest.raises(ValueError, match=r'tokens of this fusion have no place .*SingleFrame'):
            head.generate(features, return_attention=True)
        assert head.generate(features, return_attention=None)[0][0].attention is None

    def test_a_batch_without_captions_keeps_every_parameter_in_the_graph(self):
        head, samples = self.build(), data_samples(2)
        for sample in samples:
            sample.gt_captions = []
        losses = head.loss(change_features(2), samples)
        assert total(losses) == 0
        assert_gradient_reaches_everything(head, total(losses))

    def test_autocast_trains_and_writes(self):
        head, features = self.trained()
        plain = head.loss(features, data_samples(3))
        with torch.autocast('cpu', torch.bfloat16):
            torch.manual_seed(0)
            losses = head.train().loss(features, data_samples(3))
            written = head.eval().generate(features)
        assert all(value.dtype == torch.float32 and value.isfinite() for value in losses.values())
        assert set(losses) == set(plain)
        total(losses).backward()
        assert texts(written) == texts(head.generate(features))

    def test_a_checkpoint_carries_words_and_length(self):
        head, features = self.trained()
        state = dict(state_dict={f'caption_head.{name}': value
                                 for name, value in head.state_dict().items()})
        cfg = dict(model=dict(caption_head=copy.deepcopy(self.cfg)))
        cfg['model']['caption_head'].pop('max_tokens')
        cfg['model']['caption_head']['tokenizer'] = dict(type='WordTokenizer',
                                                         vocab_file='nowhere/word_encoding.json')
        restore_vocabulary(cfg, state)
        other = torch.nn.ModuleDict(dict(caption_head=MODELS.build(cfg['model']['caption_head'])))
        assert load_weights(other, state).exact
        assert other['caption_head'].length == 8
        assert other.eval()['caption_head'].generate(features) == head.generate(features)


class GuidedTester:
    """Beside :class:`WholeCaptionTester`, for heads trained with ``condition_dropout``."""

    def test_without_its_image_a_sample_learns_what_is_usual(self):
        head, _ = self.trained()
        head.condition_dropout = 1.0
        tokens = change_features(3).tokens
        dropped = head.train().with_dropout(tokens)
        assert torch.equal(dropped, head.nothing.expand_as(tokens))
        assert torch.equal(head.eval().with_dropout(tokens), tokens)
