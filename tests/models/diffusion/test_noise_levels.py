import math

import pytest
import torch

from rscc.models.diffusion.noise_levels import strata, stratified
from rscc.models.diffusion.samplers import choose
from rscc.registry import NOISE_DENSITIES, SIGMA_SCHEDULES

U = torch.linspace(0.005, 0.995, 100, dtype=torch.float64)


def density(cfg, u=U, sigma_data=0.5):
    return choose(NOISE_DENSITIES, cfg)(u, sigma_data=sigma_data)


def logistic(sigma, location, scale):
    return torch.sigmoid((torch.as_tensor(sigma, dtype=torch.float64).log() - location) / scale)


def test_lognormal_has_its_quantiles():
    sigma = density(dict(type='lognormal', mean=-0.4, std=1.7))
    cdf = torch.distributions.LogNormal(-0.4, torch.tensor(1.7, dtype=torch.float64)).cdf(sigma)
    torch.testing.assert_close(cdf, U)


def test_log_uniform_has_its_quantiles():
    sigma = density(dict(type='log_uniform', sigma_min=0.1, sigma_max=10.0))
    torch.testing.assert_close((sigma / 0.1).log() / math.log(100), U)


def test_log_logistic_has_its_quantiles_between_the_bounds():
    sigma = density(dict(type='log_logistic', location=0.3, scale=0.8, sigma_min=0.2, sigma_max=9))
    low, high = logistic(0.2, 0.3, 0.8), logistic(9.0, 0.3, 0.8)
    torch.testing.assert_close((logistic(sigma, 0.3, 0.8) - low) / (high - low), U)


@pytest.mark.parametrize('sigma_data', [0.5, torch.tensor(0.5, dtype=torch.float64)])
def test_log_logistic_lies_about_the_data_by_default(sigma_data):
    sigma = density('log_logistic', sigma_data=sigma_data)
    torch.testing.assert_close(logistic(sigma, math.log(0.5), 0.5), U)


def test_v_diffusion_has_uniform_angles():
    sigma = density(dict(type='v_diffusion', sigma_min=0.02, sigma_max=30.0), sigma_data=0.8)
    angles = torch.atan(sigma / 0.8)
    low, high = math.atan(0.02 / 0.8), math.atan(30 / 0.8)
    torch.testing.assert_close((angles - low) / (high - low), U)


def test_cosine_without_shift_is_v_diffusion_turned_round():
    options = dict(sigma_min=0.02, sigma_max=30.0)
    cosine = density(dict(type='cosine_interpolated', image_size=9, noise_low=9, noise_high=9,
                          **options))
    torch.testing.assert_close(cosine, density(dict(type='v_diffusion', **options), 1 - U))


def test_one_shift_is_that_of_other_data():
    """Half the noise size moves the log SNR as data of double deviation would."""
    options = dict(sigma_min=0.02, sigma_max=30.0)
    cosine = density(dict(type='cosine_interpolated', image_size=8, noise_low=4, noise_high=4,
                          **options))
    twice = density(dict(type='v_diffusion', **options), 1 - U, sigma_data=1.0)
    torch.testing.assert_close(cosine, twice)


def test_interpolation_goes_from_the_low_to_the_high_noise_size():
    def cosine(low, high):
        return density(dict(type='cosine_interpolated', noise_low=low, noise_high=high)).log()

    both = (1 - U) * cosine(32, 32) + U * cosine(44, 44)
    torch.testing.assert_close(cosine(32, 44), both)


def test_published_cosine_has_the_published_quantiles():
    """Of the noise that KD-RSCC trains on, measured with its own code."""
    u = 1 - torch.tensor([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95], dtype=torch.float64)
    torch.testing.assert_close(
        density('cosine_interpolated', 1 - u),
        torch.tensor([41.9, 8.54, 4.19, 1.53, 0.587, 0.225, 0.0827, 0.0409]).double(),
        rtol=5e-3, atol=0)


@pytest.mark.parametrize('name', ['cosine_interpolated', 'log_uniform', 'v_diffusion',
                                  'log_logistic'])
def test_bounds_are_the_levels_at_both_ends(name):
    config = dict(type=name, sigma_min=0.05, sigma_max=20.0)
    ends = density(config, torch.tensor([1e-9, 1 - 1e-9], dtype=torch.float64))
    expected = torch.tensor([0.05, 20.0], dtype=torch.float64)
    expected = expected.flip(0) if name == 'cosine_interpolated' else expected
    torch.testing.assert_close(ends, expected, rtol=1e-5, atol=0)
    changes = density(config).diff()
    assert (changes < 0).all() if name == 'cosine_interpolated' else (changes > 0).all()


@pytest.mark.parametrize('name', ['cosine_interpolated', 'log_uniform', 'v_diffusion',
                                  'log_logistic', 'lognormal'])
def test_shape_and_precision_are_those_of_the_numbers(name):
    u = U.float().reshape(4, 25)
    sigma = density(name, u)
    assert sigma.shape == u.shape and sigma.dtype == torch.float32
    torch.testing.assert_close(sigma.double(), density(name, u.double()), rtol=1e-4, atol=0)
    torch.testing.assert_close(sigma, density(name, u, sigma_data=torch.tensor(0.5)))


@pytest.mark.parametrize('name', ['cosine_interpolated', 'log_uniform', 'v_diffusion',
                                  'log_logistic'])
def test_bounds_in_the_wrong_order_are_an_error(name):
    with pytest.raises(ValueError, match=r'< sigma_max, found sigma_min=2\.0 and sigma_max=1\.0'):
        density(dict(type=name, sigma_min=2.0, sigma_max=1.0))


def test_every_row_has_a_stratum_of_its_own():
    u = stratified(50, generator=torch.Generator().manual_seed(0))
    assert torch.equal((u * 50).long(), torch.arange(50))


def test_groups_interleave_to_one_large_batch():
    raw = torch.rand(12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    groups = torch.stack([strata(raw[group::3], group, 3) for group in range(3)], 1)
    torch.testing.assert_close(groups.flatten(), strata(raw))


def test_same_generator_same_numbers_and_never_a_bound():
    first, again = (stratified(6, 1, 2, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize('raw', [0.0, 1 - 2**-24])
def test_drawn_bounds_are_moved_inside(monkeypatch, raw):
    monkeypatch.setattr(torch, 'rand', lambda count, **_: torch.full((count,), raw))
    u = stratified(64)
    assert u.min() > 0 and u.max() < 1
    assert density('lognormal', u).isfinite().all()


@pytest.mark.parametrize('group', [-1, 3])
def test_group_beyond_the_groups_is_an_error(group):
    with pytest.raises(ValueError, match=f'group={group} is not one of 3 groups'):
        stratified(4, group, 3)


NAMES = ['karras', 'exponential', 'polyexponential']


def schedule(cfg, steps=20, sigma_min=0.02, sigma_max=80.0):
    return choose(SIGMA_SCHEDULES, cfg)(steps, sigma_min=sigma_min, sigma_max=sigma_max)


def test_all_schedules_are_tested_here():
    assert sorted(NAMES) == SIGMA_SCHEDULES.known_names()


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('steps', [2, 3, 50])
def test_levels_fall_from_the_largest_by_the_smallest_to_zero(name, steps):
    sigmas = schedule(name, steps)
    assert sigmas.dtype == torch.float64 and sigmas.shape == (steps + 1,)
    assert (sigmas.diff() < 0).all()
    assert sigmas[0].item() == pytest.approx(80) and sigmas[-2].item() == pytest.approx(0.02)
    assert sigmas[-1] == 0


@pytest.mark.parametrize('name', NAMES)
def test_one_step_is_from_the_largest_to_zero(name):
    assert schedule(name, 1).tolist() == pytest.approx([80, 0])


@pytest.mark.parametrize('rho', [1.0, 3.0, 7.0])
def test_karras_is_even_in_the_root(rho):
    roots = schedule(dict(type='karras', rho=rho))[:-1]**(1 / rho)
    torch.testing.assert_close(roots.diff(), roots.diff().mean().expand(19))


def test_exponential_is_even_in_the_logarithm_and_the_limit_of_karras():
    logs = schedule('exponential')[:-1].log()
    torch.testing.assert_close(logs.diff(), logs.diff().mean().expand(19))
    torch.testing.assert_close(schedule(dict(type='karras', rho=1e6)), schedule('exponential'),
                               rtol=1e-4, atol=0)


def test_polyexponential_follows_a_power_in_the_logarithm():
    torch.testing.assert_close(schedule('polyexponential'), schedule('exponential'))
    logs = schedule(dict(type='polyexponential', rho=2.0))[:-1].log()
    ramp = (logs - math.log(0.02)) / math.log(80 / 0.02)
    torch.testing.assert_close(ramp.sqrt(), torch.linspace(1, 0, 20, dtype=torch.float64),
                               atol=1e-6, rtol=0)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('steps', [0, -3, 2.0, True, None])
def test_steps_are_a_whole_number_from_one(name, steps):
    with pytest.raises(ValueError, match=f'steps={steps}: a schedule needs a whole number of at '
                                         'least 1'):
        schedule(name, steps)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize(('low', 'high'), [(0.0, 1.0), (-1.0, 1.0), (2.0, 2.0), (3.0, 2.0),
                                           (1.0, math.inf), (1.0, math.nan)])
def test_bounds_that_leave_no_room_are_an_error(name, low, high):
    with pytest.raises(ValueError, match=f'expected 0 < sigma_min < sigma_max, found sigma_min='
                                         f'{low} and sigma_max={high}'):
        schedule(name, sigma_min=low, sigma_max=high)


@pytest.mark.parametrize('name', ['karras', 'polyexponential'])
@pytest.mark.parametrize('rho', [0.0, -7.0, math.inf])
def test_exponent_is_above_zero(name, rho):
    with pytest.raises(ValueError, match=f'rho={rho}: a schedule needs an exponent above 0'):
        schedule(dict(type=name, rho=rho))
