import copy
import json

import pytest
import torch
from testers import (
    CAPTIONS,
    WORDS,
    change_features,
    data_samples,
)
from whole_caption_tester import GuidedTester, WholeCaptionTester, texts

from rscc.engine.checkpoint import load_weights
from rscc.registry import MODELS

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


class Karras(WholeCaptionTester):

    def scores_of_words(self, head):
        return head.space.bias

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

    def test_a_trained_head_says_the_same_by_any_sampler(self):
        head, features = self.trained(120)
        for sampler in ('euler', 'heun', 'dpm_2', 'lms', 'dpmpp_2m', 'dpmpp_2m_sde', 'dpmpp_2s'):
            written = head.generate(features, sampler=sampler, steps=25)
            assert [captions[0].text for captions in written] == CAPTIONS[:3], sampler



class TestFaithful(Karras):
    cfg = FAITHFUL


class TestPlus(Karras, GuidedTester):
    cfg = PLUS

    def test_guidance_of_one_is_no_guidance(self):
        head, features = self.trained()
        assert head.generate(features, guidance=1.0) == head.generate(features)
        assert texts(head.generate(features, guidance=2.0))



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
