import math

import pytest
import torch
from models.diffusion.gaussian import denoise, sample, schedule, start


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
