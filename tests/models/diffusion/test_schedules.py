import math

import pytest
import torch

from rscc.models.diffusion.choose import choose
from rscc.registry import SIGMA_SCHEDULES

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
