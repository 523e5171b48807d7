"""What holds for every sampler."""
import itertools

import pytest
import torch
from models.diffusion.gaussian import (
    MEAN,
    STD,
    carried,
    denoise,
    measured_order,
    sample,
    schedule,
    start,
)

from rscc.models.diffusion import gaussian_noise
from rscc.registry import SAMPLERS

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
                                         r'of it: pass noise=gaussian_noise\(x, generator\), or'):
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
