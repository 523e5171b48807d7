import copy

import pytest
import torch
from mmengine.config import ConfigDict
from testers import WORDS

from rscc.models.diffusion.caption_sampling import (
    DiffusionDecoding,
    repeated_noise,
    sample_words,
)
from rscc.registry import MODELS
from rscc.text.word_tokenizer import WordTokenizer
from rscc.utils.signatures import keywords_of


def test_the_defaults_are_those_of_the_paper_but_for_sampler_and_steps():
    options = DiffusionDecoding()
    assert (options.sigma_min, options.sigma_max, options.schedule) == (0.01, 160, 'karras')
    assert (options.guidance, options.clamp, options.abstain, options.num_samples) == (1, 0, 0, 1)


def test_samplers_and_schedules_come_with_options():
    options = DiffusionDecoding().updated(ConfigDict(
        sampler=dict(type='heun', s_churn=10.0), schedule=dict(type='karras', rho=5)))
    assert options.sampler['s_churn'] == 10 and options.as_dict()['schedule']['rho'] == 5


@pytest.mark.parametrize('changes, error, message', [
    (dict(sampler='dpmp_2m'), KeyError, "no sampler 'dpmp_2m'.* Did you mean 'dpmpp_2m'"),
    (dict(schedule='kerras'), KeyError, "no .*schedule 'kerras'.* Did you mean 'karras'"),
    (dict(sampler=dict(type='heun', s_chrun=1)), TypeError, "'heun' has no option 's_chrun'.* "
     "Did you mean 's_churn'"),
    (dict(schedule=dict(type='karras', roh=1)), TypeError, "'karras' has no option 'roh'.* "
     "mean 'rho'"),
    (dict(sampler=3), TypeError, r'is a name or dict\(type=name, \*\*options\), found 3'),
    (dict(num_step=3), TypeError, "decoding has no option 'num_step'.*Options: steps, "),
    (dict(step=3), TypeError, "decoding has no option 'step'.* Did you mean 'steps'"),
    (dict(steps=0), ValueError, 'decoding steps=0 must be 1 or more'),
    (dict(num_samples=0), ValueError, 'decoding num_samples=0 must be 1 or more'),
    (dict(num_captions=-1), ValueError, 'decoding num_captions=-1 must be 1 or more'),
    (dict(sigma_min=0.0), ValueError, 'sigma_min=0.0 and sigma_max=160.0: expected 0 < sigma_min'),
    (dict(sigma_max=0.01), ValueError, 'sigma_min=0.01 and sigma_max=0.01: expected'),
    (dict(guidance=-1.0), ValueError, 'decoding guidance=-1.0 must be 0 or more'),
    (dict(clamp=-0.1), ValueError, 'decoding clamp=-0.1 must be 0 or more'),
    (dict(abstain=1.5, num_samples=2), ValueError, r'abstain=1.5 is an agreement in \[0, 1\]'),
    (dict(abstain=0.5), ValueError, 'abstain=0.5 with num_samples=1: one sentence always agrees')])
def test_impossible_options_are_refused_before_anything_runs(changes, error, message):
    with pytest.raises(error, match=message):
        DiffusionDecoding().updated(changes)


def test_the_old_name_of_the_trajectory_is_taken_everywhere():
    assert DiffusionDecoding(return_strip=True).return_trajectory
    options = DiffusionDecoding().updated(dict(return_strip=True))
    assert options.return_trajectory and 'return_strip' not in options.as_dict()
    assert keywords_of(DiffusionDecoding).accepts('return_strip')


TOKENIZER = WordTokenizer(words=WORDS)
N, L, C, M = 2, 6, 4, 5
HEAD = dict(
    type='KarrasCaptionHead', memory_channels=8, embed_channels=C, max_tokens=L - 2,
    tokenizer=dict(type='WordTokenizer', words=WORDS), condition_dropout=0.1,
    denoiser=dict(hidden_dims=8, num_layers=1, num_heads=2, feedforward_dims=16, max_positions=L,
                  alignment='every_layer', alignment_heads=2, alignment_dims=8))


def build(**denoiser):
    cfg = copy.deepcopy(HEAD)
    cfg['denoiser'] |= denoiser
    torch.manual_seed(0)
    return MODELS.build(cfg).eval()


def memory(seed=2):
    return torch.randn(N, M, 8, generator=torch.Generator().manual_seed(seed))


def points(rows=N):
    return torch.randn(rows, L, C, dtype=torch.float64,
                       generator=torch.Generator().manual_seed(3))


def estimate(head, sigma=0.7, **options):
    with torch.no_grad():
        return head.estimator(memory(), DiffusionDecoding(**options))(
            points(), torch.tensor(sigma, dtype=torch.float64))


def sample(head, options):
    return sample_words(head.estimator(memory(), options), head.likeliest, N, (L, C), options,
                        torch.device('cpu'))


def test_an_estimate_keeps_the_precision_of_the_sampler():
    head = build()
    assert estimate(head).dtype == torch.float64
    with torch.no_grad():
        plain = head.estimate(points().float(), torch.full((N,), 0.7),
                              head.denoiser.remember(memory())).vectors
    torch.testing.assert_close(estimate(head).float(), plain)


def test_guidance_goes_from_no_image_through_the_image_and_beyond():
    head = build()
    torch.nn.init.normal_(head.nothing)
    with_image, beyond, without = (estimate(head, guidance=g) for g in (1.0, 1.7, 0.0))
    torch.testing.assert_close(beyond, without + 1.7 * (with_image - without))
    with torch.no_grad():
        blind = head.estimate(points().float(), torch.full((N,), 0.7), head.denoiser.remember(
            head.nothing.expand(N, M, 8))).vectors
    torch.testing.assert_close(without.float(), blind)
    assert not torch.allclose(with_image, without)


def test_guidance_of_one_costs_no_second_estimate():
    head, seen = build(), []
    head.denoiser.register_forward_hook(lambda _, given, output: seen.append(len(output)))
    estimate(head)
    estimate(head, guidance=2.0)
    assert seen == [N, 2 * N]


def test_below_its_level_the_clamp_snaps_to_the_nearest_words():
    head = build()
    free, clamped, above = (estimate(head, clamp=clamp) for clamp in (0.0, 1.0, 0.5))
    with torch.no_grad():
        torch.testing.assert_close(clamped.float(), head.space.nearest(free.float()))
    assert torch.equal(free, above) and not torch.allclose(free, clamped)


@pytest.mark.parametrize('guidance', [1.0, 2.0])
def test_every_estimate_sees_the_one_before(guidance):
    head, seen = build(self_conditioning=True), []
    head.denoiser.register_forward_pre_hook(lambda _, given: seen.append(given[3]))
    estimator = head.estimator(memory(), DiffusionDecoding(guidance=guidance))
    with torch.no_grad():
        first = estimator(points(), torch.tensor(2.0))
        estimator(points(), torch.tensor(1.0))
    assert seen[0] is None
    repeats = 2 if guidance != 1 else 1  # both branches go on from the guided estimate
    torch.testing.assert_close(seen[1], first.float().repeat(repeats, 1, 1))


def test_without_the_cache_the_memory_is_projected_at_every_step():
    head, seen = build(), []
    block = head.denoiser.layers[0].memory_attention
    block.key.register_forward_hook(lambda *_: seen.append(1))
    for use_cache, expected in ((True, 1), (False, 5)):
        options = DiffusionDecoding(steps=5, sampler='euler', use_cache=use_cache)
        with torch.no_grad():
            sample(head, options)
        assert len(seen) == expected
        seen.clear()


def test_noise_is_the_same_for_every_sample_and_comes_from_the_seed():
    draw, again = (repeated_noise(3, 2, (L, C), 7, torch.device('cpu')) for _ in range(2))
    first, second = draw(), draw()
    assert first.shape == (6, L, C) and first.dtype == torch.float64
    assert torch.equal(first[:2], first[2:4]) and torch.equal(first[:2], first[4:])
    assert not torch.equal(first[0], first[1]) and not torch.equal(first, second)
    assert torch.equal(again(), first) and torch.equal(again(), second)
    assert not torch.equal(repeated_noise(3, 2, (L, C), 8, torch.device('cpu'))(), first)


def test_without_a_seed_the_global_generator_decides():
    def draw(seed):
        torch.manual_seed(seed)
        return repeated_noise(1, 1, (L, C), None, torch.device('cpu'))()

    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))


def test_a_seed_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    repeated_noise(1, 1, (L, C), 5, torch.device('cpu'))()
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize('sampler', ['euler', 'heun', 'euler_ancestral'])
def test_the_trajectory_has_the_words_at_every_level(sampler):
    head = build()
    options = DiffusionDecoding(steps=4, sampler=sampler, num_samples=3, return_trajectory=True)
    with torch.no_grad():
        final, trajectory = sample(head, options)
    assert final.shape == (N, 3, L, C) and final.dtype == torch.float32
    levels = [sigma for sigma, _ in trajectory]
    assert levels[0] == pytest.approx(160) and levels[-1] == pytest.approx(0.01)
    assert len(levels) == 4 and levels == sorted(levels, reverse=True)
    assert all(words.shape == (N, 3, L) for _, words in trajectory)
    # The last step goes to no noise, which is the last estimate.
    assert torch.equal(trajectory[-1][1], head.space.logits(final).argmax(-1))


def test_no_trajectory_is_kept_unless_asked_for():
    head, options = build(), DiffusionDecoding(steps=2)
    with torch.no_grad():
        assert sample(head, options)[1] == []
