import functools
import itertools
import math

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from models.diffusion.gaussian import (
    MEAN,
    STD,
    carried,
    denoise,
    gaussian_noise,
    measured_order,
    sample,
    schedule,
    start,
)

from rscc.models.diffusion.noise_levels import karras
from rscc.models.diffusion.samplers import (
    adams_weights,
    ancestral_split,
    choose,
    heun,
    option_names,
)
from rscc.registry import LOSS_WEIGHTINGS, NOISE_DENSITIES, SAMPLERS, SIGMA_SCHEDULES

# Sampler without noise: order of its error, calls of the network in a step but the last.
DETERMINISTIC = [
    (dict(type='euler'), 1, 1), (dict(type='heun'), 2, 2), (dict(type='dpm_2'), 2, 2),
    (dict(type='lms', order=1), 1, 1), (dict(type='lms', order=2), 2, 1),
    (dict(type='lms', order=3), 3, 1), (dict(type='dpmpp_2m'), 2, 1),
    (dict(type='dpmpp_2m_sde', eta=0, variant='midpoint'), 2, 1),
    (dict(type='dpmpp_2m_sde', eta=0, variant='heun'), 2, 1), (dict(type='dpmpp_2s'), 2, 2),
    (dict(type='dpmpp_3m_sde', eta=0), 2, 1), (dict(type='euler_ancestral', eta=0), 1, 1),
]
STOCHASTIC = [
    dict(type='euler', s_churn=8.0), dict(type='heun', s_churn=8.0),
    dict(type='euler_ancestral'), dict(type='euler_ancestral', eta=0.5),
    dict(type='dpmpp_2m_sde'), dict(type='dpmpp_2m_sde', variant='heun', eta=0.5),
    dict(type='dpmpp_2s', eta=1.0), dict(type='dpmpp_3m_sde'),
]
EVERY = [config for config, _, _ in DETERMINISTIC] + STOCHASTIC


def name_of(config):
    return '-'.join(str(value) for value in config.values()) if isinstance(config, dict) else None


def seeded(x, seed=0):
    return gaussian_noise(x, torch.Generator().manual_seed(seed))


def test_every_sampler_is_tested_here():
    tested = {config['type'] for config in EVERY}
    assert tested == set(SAMPLERS.known_names())
    assert tested == {'euler', 'heun', 'euler_ancestral', 'dpm_2', 'lms', 'dpmpp_2m',
                      'dpmpp_2m_sde', 'dpmpp_2s', 'dpmpp_3m_sde'}


@pytest.mark.parametrize(('config', 'order'), [row[:2] for row in DETERMINISTIC], ids=name_of)
def test_error_falls_with_the_order_of_the_method(config, order):
    assert measured_order(config) == pytest.approx([order, order], abs=0.2)


@pytest.mark.parametrize('config', [row[0] for row in DETERMINISTIC], ids=name_of)
def test_end_point_is_that_of_the_probability_flow(config):
    x, steps = start(), 2000 if measured_order(config, (8, 16))[0] < 1.5 else 300
    final = sample(config, x, schedule(steps, sigma_min=1e-4))
    torch.testing.assert_close(final, carried(x, 10.0, 0.0), atol=4e-3, rtol=0)


@pytest.mark.parametrize(('config', 'calls'), [row[::2] for row in DETERMINISTIC], ids=name_of)
def test_network_is_called_as_often_as_stated(config, calls):
    seen = []

    def counting(x, sigma):
        seen.append(float(sigma))
        return denoise(x, sigma)

    sample(config, sigmas=schedule(6), denoiser=counting)
    assert len(seen) == 5 * calls + 1
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize('config', STOCHASTIC, ids=name_of)
def test_noise_keeps_the_distribution_of_the_data(config):
    """Mean and deviation of 20,000 numbers are those of the data within 4 standard errors."""
    generator = torch.Generator().manual_seed(1)
    x = 10.0 * torch.randn(20_000, generator=generator, dtype=torch.float64) + MEAN
    final = sample(config, x, schedule(400, 'karras'), noise=seeded(x))
    assert final.mean() == pytest.approx(MEAN, abs=4 * STD / 20_000**0.5)
    assert final.std() == pytest.approx(STD, rel=0.03)


@pytest.mark.parametrize('config', STOCHASTIC, ids=name_of)
def test_same_seed_same_result_and_another_seed_another(config):
    x = start()
    first, again, other = (sample(config, noise=seeded(x, seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize('config', STOCHASTIC, ids=name_of)
def test_noise_without_a_source_is_an_error(config):
    with pytest.raises(ValueError, match=r'(eta|s_churn)=[\d.]+ draws noise and there is no source '
                                         'of it: pass a function that returns normal noise like x'):
        sample(config)


@pytest.mark.parametrize('config', [
    dict(config, **{amount: -1.0}) for config in STOCHASTIC for amount in ('eta', 's_churn')
    if (amount == 's_churn') == (config['type'] in ('euler', 'heun'))], ids=name_of)
def test_negative_amount_of_noise_is_an_error(config):
    with pytest.raises(ValueError, match=r'=-1.0: expected 0 \(deterministic\) or more'):
        sample(config, noise=seeded(start()))


@pytest.mark.parametrize('config', EVERY, ids=name_of)
def test_noise_is_drawn_once_for_every_step_that_adds_it(config):
    drawn, steps, x = [], 6, start()

    def noise():
        drawn.append(torch.ones_like(x))
        return drawn[-1]

    sample(config, sigmas=schedule(steps), noise=noise)
    if 's_churn' in config:
        assert len(drawn) == steps
    else:
        assert len(drawn) == (steps - 1 if config in STOCHASTIC else 0)


@pytest.mark.parametrize('config', EVERY, ids=name_of)
def test_state_is_double_and_the_start_is_left_alone(config):
    x = start().float()
    before = x.clone()
    final = sample(config, x, noise=seeded(x))
    assert final.dtype == torch.float64 and final.shape == x.shape
    assert torch.equal(x, before)
    torch.testing.assert_close(final, sample(config, x.double(), noise=seeded(x)))


@pytest.mark.parametrize('config', EVERY, ids=name_of)
def test_callback_sees_every_step_and_the_last_estimate_is_the_answer(config):
    seen = []
    final = sample(config, sigmas=schedule(5), noise=seeded(start()),
                   callback=lambda step, sigma, denoised: seen.append((step, sigma, denoised)))
    assert [step for step, _, _ in seen] == [0, 1, 2, 3, 4]
    assert all(later < earlier for (_, earlier, _), (_, later, _)
               in itertools.pairwise(seen))
    if config.get('order', 1) == 1:
        torch.testing.assert_close(final, seen[-1][2])


@pytest.mark.parametrize('config', EVERY, ids=name_of)
def test_one_step_answers_with_the_first_estimate(config):
    x = start()
    final = sample(config | ({'s_churn': 0.0} if 's_churn' in config else {}), x, schedule(1),
                   noise=seeded(x))
    torch.testing.assert_close(final, denoise(x, torch.tensor(10.0, dtype=torch.float64)))


@pytest.mark.parametrize('config', EVERY, ids=name_of)
@pytest.mark.parametrize('sigmas', [[1.0], [1.0, 2.0, 0.0], [1.0, 1.0, 0.0], [1.0, -1.0],
                                    [float('inf'), 1.0, 0.0], [1.0, float('nan')], [[1.0, 0.0]]])
def test_levels_that_do_not_fall_to_zero_are_an_error(config, sigmas):
    with pytest.raises(ValueError, match=r'two or more noise levels that fall to 0, found .*make '
                                         r'them with a schedule'):
        sample(config, sigmas=torch.tensor(sigmas), noise=seeded(start()))


@pytest.mark.gpu
@pytest.mark.parametrize('config', EVERY, ids=name_of)
def test_a_cuda_device_gives_the_same_result(config):
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device')
    x = start()
    final = sample(config, x.cuda(), noise=seeded(x.cuda()))
    assert final.is_cuda
    torch.testing.assert_close(final.cpu(), sample(config, x, noise=seeded(x)))


def test_a_name_is_the_function_itself_with_its_defaults():
    chosen = choose(SIGMA_SCHEDULES, 'karras')
    assert isinstance(chosen, functools.partial)
    assert (chosen.func, chosen.keywords) == (karras, {})


@pytest.mark.parametrize('kind', [dict, ConfigDict])
def test_options_of_a_config_are_filled_in_and_the_config_is_left_alone(kind):
    cfg = kind(type='karras', rho=3.0)
    chosen = choose(SIGMA_SCHEDULES, cfg)
    assert torch.equal(chosen(5, sigma_min=0.1, sigma_max=2.0),
                       karras(5, sigma_min=0.1, sigma_max=2.0, rho=3.0))
    assert cfg == dict(type='karras', rho=3.0)


@pytest.mark.parametrize(('registry', 'name', 'message'), [
    (SAMPLERS, 'dpmp_2m', "no sampler 'dpmp_2m'. Did you mean 'dpmpp_2m'"),
    (SIGMA_SCHEDULES, 'Karas', "no sigma schedule 'Karas'. Did you mean 'karras'"),
    (NOISE_DENSITIES, 'log_normal', "no noise density 'log_normal'. Did you mean 'lognormal'"),
    (LOSS_WEIGHTINGS, 'soft-min-snr', "no loss weighting 'soft-min-snr'. Did you mean "
                                      "'soft_min_snr'"),
    (LOSS_WEIGHTINGS, 'zzz', "'zzz'. Known are min_snr, snr, soft_min_snr, uniform")])
def test_unknown_name_suggests_the_nearest(registry, name, message):
    with pytest.raises(KeyError, match=message):
        choose(registry, name)


def test_unknown_option_suggests_the_nearest():
    with pytest.raises(TypeError, match=r"'karras' has no option 'roh'\. Did you "
                                        r"mean 'rho'"):
        choose(SIGMA_SCHEDULES, dict(type='karras', roh=3))
    with pytest.raises(TypeError, match=r"'exponential' has no option 'rho'\. Options: none"):
        choose(SIGMA_SCHEDULES, dict(type='exponential', rho=3))


@pytest.mark.parametrize(('registry', 'cfg'), [
    (SIGMA_SCHEDULES, dict(type='karras', sigma_min=0.1)), (SAMPLERS, dict(type='heun', noise=1)),
    (NOISE_DENSITIES, dict(type='lognormal', sigma_data=1)), (SAMPLERS, dict(type='lms', x=1))])
def test_what_the_caller_gives_is_no_option(registry, cfg):
    with pytest.raises(TypeError, match='has no option'):
        choose(registry, cfg)


@pytest.mark.parametrize('cfg', [None, 3, dict(rho=7), dict(type=karras)])
def test_neither_a_name_nor_a_config_is_an_error(cfg):
    with pytest.raises(TypeError, match=r'a sigma schedule is a name or dict.* found'):
        choose(SIGMA_SCHEDULES, cfg)


def test_options_are_the_parameters_with_a_default():
    assert option_names(heun) == ['s_churn', 's_tmin', 's_tmax', 's_noise']


SIGMAS = torch.tensor([10.0, 3.0, 0.5, 0.01], dtype=torch.float64)


@pytest.mark.parametrize('eta', [0.0, 0.3, 1.0, 5.0])
def test_both_parts_make_up_the_next_level(eta):
    down, up = ancestral_split(SIGMAS[:-1], SIGMAS[1:], eta)
    torch.testing.assert_close(down**2 + up**2, SIGMAS[1:]**2)
    assert (down >= 0).all() and (up >= 0).all()


def test_eta_one_adds_the_deviation_of_the_posterior():
    """Given x0 and x at sigma, x at sigma' has the variance sigma'^2 (1 - sigma'^2 / sigma^2)."""
    sigma, following = SIGMAS[:-1], SIGMAS[1:]
    posterior = 1 / (1 / following**2 + 1 / (sigma**2 - following**2))
    torch.testing.assert_close(ancestral_split(sigma, following, 1.0)[1], posterior.sqrt())


def test_eta_zero_and_the_step_to_zero_add_nothing():
    assert torch.equal(ancestral_split(SIGMAS[:-1], SIGMAS[1:], 0.0)[0], SIGMAS[1:])
    assert ancestral_split(SIGMAS[0], torch.zeros(()), 1.0) == (0.0, 0.0)


@pytest.mark.parametrize('name', ['euler', 'heun'])
def test_churn_outside_its_window_changes_nothing(name):
    plain = sample(name)
    churn = dict(type=name, s_churn=5.0, s_tmin=20.0, s_noise=3.0)
    assert torch.equal(plain, sample(churn, noise=lambda: torch.ones(3, 4)))


@pytest.mark.parametrize('name', ['euler', 'heun'])
def test_churn_raises_the_level_by_gamma_within_the_window(name):
    levels = []

    def noting(x, sigma):
        levels.append(float(sigma))
        return denoise(x, sigma)

    sigmas = schedule(4)
    config = dict(type=name, s_churn=0.8, s_tmin=0.5, s_tmax=5.0)
    sample(config, start(), sigmas, noting, noise=lambda: torch.zeros(3, 4))
    raised = [float(sigma) * (1.2 if 0.5 <= sigma <= 5.0 else 1) for sigma in sigmas[:-1]]
    assert 1 <= sum(a != b for a, b in zip(raised, sigmas.tolist(), strict=False)) < 4
    first = levels if name == 'euler' else levels[::2]
    assert first == pytest.approx(raised)


def test_churn_is_capped_at_the_square_root_of_two():
    seen = []
    sample(dict(type='euler', s_churn=1e6), noise=lambda: torch.zeros(3, 4), sigmas=schedule(3),
           callback=lambda step, sigma, denoised: seen.append(float(sigma)))
    assert seen == pytest.approx([math.sqrt(2) * float(sigma) for sigma in schedule(3)[:-1]])


def test_noise_of_the_churn_fills_up_the_variance():
    """With a denoiser that answers x, the state moves by the added noise alone."""
    final = sample(dict(type='euler', s_churn=0.4, s_noise=2.0), torch.zeros(1),
                   torch.tensor([3.0, 2.0]), lambda x, sigma: x, noise=lambda: torch.ones(1))
    assert float(final) == pytest.approx(2.0 * 3.0 * math.sqrt(1.4**2 - 1))


@pytest.mark.parametrize(('order', 'weights'), [
    (1, [1]), (2, [-1 / 2, 3 / 2]), (3, [5 / 12, -16 / 12, 23 / 12]),
    (4, [-9 / 24, 37 / 24, -59 / 24, 55 / 24])])
def test_even_steps_have_the_weights_of_adams_and_bashforth(order, weights):
    assert adams_weights(list(range(order)), order) == pytest.approx(weights)


def test_weights_integrate_every_polynomial_of_their_degree():
    nodes, end = [9.0, 4.0, 1.5, 1.0], 0.2
    polynomial = np.polynomial.Polynomial([0.3, -1.0, 2.0, 0.7])
    integral = polynomial.integ()
    total = sum(weight * polynomial(node)
                for weight, node in zip(adams_weights(nodes, end), nodes, strict=True))
    assert total == pytest.approx(integral(end) - integral(nodes[-1]))


def test_order_below_one_is_an_error():
    with pytest.raises(ValueError, match='order=0: a multistep method needs at least 1 slope'):
        sample(dict(type='lms', order=0))
