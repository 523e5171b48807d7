import copy
import json

import pytest
import torch
from testers import (
    CAPTIONS,
    WORDS,
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

TINY = dict(hidden_dims=32, num_layers=1, num_heads=2, feedforward_dims=64, max_positions=16,
            alignment_heads=2, alignment_dims=32, alignment_feedforward=32, attention_dropout=0.0,
            alignment_dropout=0.0)
FAITHFUL = dict(type='KarrasCaptionHead', memory_channels=16, embed_channels=8, max_tokens=6,
                tokenizer=dict(type='WordTokenizer', words=WORDS), denoiser=TINY,
                rows_per_sample=16)
PLUS = FAITHFUL | dict(
    sigma_data='measured', normalise=True, estimate='words', diffusion_weight=0.0,
    rounding_weight=0.0, denoised_weight=1.0, pad_weight=0.1, condition_dropout=0.1,
    density=dict(type='log_uniform', sigma_min=0.3, sigma_max=10.0),
    denoiser=TINY | dict(alignment='every_layer', adaptive_norm=True, self_conditioning=True),
    decoding=dict(sigma_min=0.3, sigma_max=10.0, steps=10))


def build(**changes):
    torch.manual_seed(0)
    return MODELS.build(copy.deepcopy(FAITHFUL) | changes)


def texts(written):
    return [[caption.text for caption in captions] for captions in written]


class Karras(WordsTester):
    misspelt = ('num_sample', 'num_samples')
    searches = (dict(num_samples=3, num_captions=3), dict(num_samples=3, num_captions=3))

    def make_it(self, head, ending):
        """Have every position say the end, or a word."""
        token = head.tokenizer.eos_id if ending else head.tokenizer.encode('road')[1]
        with torch.no_grad():
            head.space.bias.zero_()[token] = 1e4

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

    def test_several_sentences_drawn_together_are_those_drawn_one_by_one(self):
        head, features = self.trained()
        estimates, noise = [], torch.randn(3 * 4, 8, 8)
        sigma, space = torch.full((12,), 1.5), head.space
        with torch.no_grad():
            memory = head.denoiser.remember(features.tokens)
            together = head.estimate(noise, sigma, memory).vectors
            for row in range(12):
                alone = head.denoiser.remember(features.tokens[row // 4:row // 4 + 1])
                estimates.append(head.estimate(noise[row:row + 1], sigma[:1], alone).vectors)
        torch.testing.assert_close(torch.cat(estimates), together, atol=1e-4, rtol=1e-3)
        assert space.logits(together).shape == (12, 8, 4 + len(WORDS))

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
        road = head.tokenizer.encode('road')[1]
        with torch.no_grad():
            head.space.bias.zero_()[head.tokenizer.unk_id] = 2e4
            head.space.bias[road] = 1e4
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

    def test_a_trained_head_says_the_same_by_any_sampler(self):
        head, features = self.trained(120)
        for sampler in ('euler', 'heun', 'dpm_2', 'lms', 'dpmpp_2m', 'dpmpp_2m_sde', 'dpmpp_2s'):
            written = head.generate(features, sampler=sampler, steps=25)
            assert [captions[0].text for captions in written] == CAPTIONS[:3], sampler

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


class TestFaithful(Karras):
    cfg = FAITHFUL


class TestPlus(Karras):
    cfg = PLUS

    def test_guidance_of_one_is_no_guidance(self):
        head, features = self.trained()
        assert head.generate(features, guidance=1.0) == head.generate(features)
        assert texts(head.generate(features, guidance=2.0))

    def test_without_its_image_a_sample_learns_what_is_usual(self):
        head, _ = self.trained()
        head.condition_dropout = 1.0
        tokens = change_features(3).tokens
        dropped = head.train().with_dropout(tokens)
        assert torch.equal(dropped, head.nothing.expand_as(tokens))
        assert torch.equal(head.eval().with_dropout(tokens), tokens)


def test_the_names_of_the_losses():
    assert set(build().loss(change_features(1), data_samples(1))) == {
        'loss_diffusion', 'loss_rounding', 'accuracy'}
    every = build(denoised_weight=1.0, estimate='words')
    assert 'loss_caption' in every.loss(change_features(1), data_samples(1))


def test_loss_weight_scales_losses_and_not_the_accuracy():
    plain, double = build(), build(loss_weight=2.0)
    found = []
    for head in (plain, double):
        torch.manual_seed(3)
        found.append(head.eval().loss(change_features(2), data_samples(2)))
    torch.testing.assert_close(found[1]['loss_diffusion'], 2 * found[0]['loss_diffusion'])
    torch.testing.assert_close(found[1]['loss_rounding'], 2 * found[0]['loss_rounding'])
    assert found[1]['accuracy'] == found[0]['accuracy']


def test_samples_without_captions_add_nothing():
    head, samples = build(rows_per_sample=2), data_samples(3)
    samples[0].gt_captions = samples[2].gt_captions = []
    # Rows 2 and 3 are those of the second sample.
    head.errors = lambda ids, *rest: dict(loss=torch.arange(6.0)**2, accuracy=torch.arange(6.0))
    assert head.loss(change_features(3), samples) == dict(loss=6.5, accuracy=2.5)


def rows_seen(head, samples, features=None):
    """The captions that the head learns from."""
    seen, errors = [], head.errors
    head.errors = lambda ids, *rest: (seen.append(ids), errors(ids, *rest))[1]
    head.loss(features or change_features(len(samples)), samples)
    return seen[0]


def test_every_sample_learns_its_captions_in_turn():
    head, samples = build(rows_per_sample=3), data_samples(2)
    samples[1].gt_captions = CAPTIONS[:2]
    rows = rows_seen(head, samples)
    said = [head.tokenizer.decode(row) for row in rows]
    assert said == [CAPTIONS[0]] * 3 + [CAPTIONS[0], CAPTIONS[1], CAPTIONS[0]]
    assert rows.shape == (6, 8)


def test_chosen_captions_come_before_all():
    head, samples = build(rows_per_sample=1), data_samples(1)
    samples[0].gt_captions, samples[0].target_captions = CAPTIONS, ['a road']
    assert [head.tokenizer.decode(row) for row in rows_seen(head, samples)] == ['a road']


def test_longer_captions_are_cut_counted_and_named(monkeypatch):
    head, samples, said = build(), data_samples(1), []
    monkeypatch.setattr('rscc.text.tokenizer.warn', said.append)
    samples[0].gt_captions = ['a house is built a road is built']
    rows = rows_seen(head, samples)
    assert head.tokenizer.cut == 1
    assert "cut from 8 to 6 tokens: 'a house is built a road is built'" in said[0]
    assert head.tokenizer.decode(rows[0]) == 'a house is built a road'


def test_levels_of_a_batch_are_spread_evenly_and_in_no_order():
    head = build(density=dict(type='log_uniform', sigma_min=0.1, sigma_max=10.0))
    torch.manual_seed(0)
    sigma = head.draw_sigma(64, torch.device('cpu'))
    place = (sigma.log10() + 1) / 2 * 64
    assert sorted(place.int().tolist()) == list(range(64))
    assert place.int().tolist() != list(range(64))


def test_levels_of_all_processes_interleave(monkeypatch):
    head = build(density=dict(type='log_uniform', sigma_min=0.1, sigma_max=10.0))
    places = []
    for rank in range(2):
        monkeypatch.setattr('rscc.models.caption_heads.whole_caption_head.get_dist_info',
                            lambda rank=rank: (rank, 2))
        sigma = head.draw_sigma(8, torch.device('cpu'))
        places += ((sigma.log10() + 1) / 2 * 16).int().tolist()
    assert sorted(places) == list(range(16))


def test_the_last_levels_are_told_by_sample():
    head = build(rows_per_sample=2)
    assert head.describe_last_batch() == ''
    head.draw_sigma = lambda count, device: torch.tensor([0.5, 20.0, 1.23456, 3e-3])
    head.loss(change_features(2), data_samples(2))
    assert head.describe_last_batch() == 'sigma: s0 0.5, 20; s1 1.23, 0.003'


def test_half_the_batches_learn_from_a_first_estimate():
    head, seen = build(denoiser=TINY | dict(self_conditioning=True)), []
    head.denoiser.register_forward_pre_hook(lambda _, given: seen.append(given[3]))
    torch.manual_seed(0)
    for _ in range(40):
        head.loss(change_features(1), data_samples(1))
    again = [previous for previous in seen if previous is not None]
    assert 8 < len(again) < 32 and len(seen) == 40 + len(again)
    assert not any(previous.requires_grad for previous in again)
    seen.clear()
    head.eval().loss(change_features(1), data_samples(1))
    assert seen == [None]


def test_sampling_goes_on_from_the_last_estimate():
    head, seen = build(denoiser=TINY | dict(self_conditioning=True)).eval(), []
    head.denoiser.register_forward_pre_hook(lambda _, given: seen.append(given[3]))
    head.generate(change_features(1), steps=3)
    assert seen[0] is None and all(previous is not None for previous in seen[1:])
    assert len(seen) == 3


def test_the_deviation_of_the_words_is_measured_while_training_and_saved():
    head = build(sigma_data='measured')
    with torch.no_grad():
        head.space.table *= 3
    head.eval().loss(change_features(2), data_samples(2))
    assert head.space.sigma_data == 1
    for _ in range(5):
        head.train().loss(change_features(2), data_samples(2))
    assert head.space.sigma_data > 1.05
    other = build(sigma_data='measured')
    other.load_state_dict(head.state_dict())
    assert other.space.sigma_data == head.space.sigma_data


def write_encoding(path, length=9):
    entries = ['<pad>', *WORDS, '<unk>', '<start>', '<end>']
    path.write_text(json.dumps(dict(format='rscc word encoding', words=entries, length=length)))
    return dict(type='WordTokenizer', vocab_file=str(path))


def test_the_length_comes_from_the_data_unless_given(tmp_path):
    tokenizer = write_encoding(tmp_path / 'word_encoding.json')
    assert build(tokenizer=tokenizer, max_tokens=None).length == 9
    assert build(tokenizer=tokenizer, max_tokens=5).length == 7


def test_a_length_that_nobody_told_is_an_error():
    head = build(max_tokens=None)
    for call in (lambda: head.generate(change_features(1)),
                 lambda: head.loss(change_features(1), data_samples(1))):
        with pytest.raises(ValueError, match=r'length of captions is not known: set max_tokens.*'
                           r'--word-encode'):
            call()
    head.load_state_dict(build().state_dict())
    assert head.length == 8


def test_a_checkpoint_of_another_length_is_refused():
    with pytest.raises(RuntimeError, match='captions of the checkpoint have 8 ids and those of the '
                       'config 7: set max_tokens=6'):
        build(max_tokens=5).load_state_dict(build().state_dict())
    with pytest.raises(ValueError, match='does not fit the model: captions of the checkpoint have '
                       '8 ids'):
        load_weights(build(max_tokens=5), build().state_dict())


def test_a_checkpoint_of_another_vocabulary_tells_both_sizes():
    fewer = build(tokenizer=dict(type='WordTokenizer', words=WORDS[:-1]))
    with pytest.raises(RuntimeError, match='vocabulary of the checkpoint has 10 words, that of the '
                       'config 11'):
        build().load_state_dict(fewer.state_dict())
    assert 'file 10 words, model 11' in str(load_weights(
        torch.nn.ModuleDict(dict(head=build())),
        torch.nn.ModuleDict(dict(head=fewer)).state_dict()))


@pytest.mark.parametrize('changes, error, message', [
    (dict(pad_weight=1.5), ValueError, r'KarrasCaptionHead pad_weight=1.5 is not within \[0, 1\]'),
    (dict(condition_dropout=-0.1), ValueError, r'condition_dropout=-0.1 is not within \[0, 1\]'),
    (dict(estimate='word'), ValueError, r"estimate='word' is none of \['vectors', 'words'\]\. Did "
     "you mean 'words'"),
    (dict(max_tokens=15), ValueError, 'captions of up to 17 ids and a denoiser with positions for '
     '16: lower max_tokens or raise denoiser.max_positions'),
    (dict(decoding=dict(guidance=2.0)), ValueError, 'decoding guidance=2.0 compares with what the '
     'head says without an image.*train it with condition_dropout=0.1'),
    (dict(diffusion_weight=0.0, rounding_weight=0.0), ValueError, 'has nothing to learn'),
    (dict(sigma_data=-1), ValueError, 'sigma_data=-1 is neither a number above 0'),
    (dict(density='log_normal'), KeyError, "no .*density 'log_normal'.*mean 'lognormal'"),
    (dict(density=dict(type='lognormal', meen=1)), TypeError, "no option 'meen'.*mean 'mean'"),
    (dict(weighting='min_sn'), KeyError, "no .*weighting 'min_sn'.*mean 'min_snr'"),
    (dict(decoding=dict(sampler='hein')), KeyError, "no sampler 'hein'.*mean 'heun'"),
    (dict(decoding=dict(stps=3)), TypeError, "decoding has no option 'stps'.*mean 'steps'"),
    (dict(denoiser=dict(hiden_dims=3)), TypeError, "no option 'hiden_dims'.*'hidden_dims'")])
def test_what_cannot_work_is_refused_when_built(changes, error, message):
    with pytest.raises(error, match=message):
        build(**changes)


def test_guidance_needs_a_head_that_knows_no_image():
    with pytest.raises(ValueError, match=r'guidance=1.5 compares .* use guidance=1'):
        build().eval().generate(change_features(1), guidance=1.5)
