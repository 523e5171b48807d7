import math

import pytest
import torch

from rscc.models.diffusion.preconditioning import denoise, edm_lambda, precondition
from rscc.models.diffusion.samplers import choose
from rscc.registry import LOSS_WEIGHTINGS

SIGMA = torch.tensor([0.01, 0.5, 2.0, 80.0], dtype=torch.float64)


@pytest.mark.parametrize('sigma_data', [0.5, 1.3, torch.tensor(0.8)])
def test_input_and_target_of_the_network_have_unit_variance(sigma_data):
    """EDM, Appendix B.6: the variance of c_in x and of (x0 - c_skip x) / c_out, x = x0 + n."""
    c_skip, c_out, c_in, _ = precondition(SIGMA, sigma_data)
    one = torch.ones_like(SIGMA)
    torch.testing.assert_close(c_in**2 * (sigma_data**2 + SIGMA**2), one)
    variance = (1 - c_skip)**2 * sigma_data**2 + c_skip**2 * SIGMA**2
    torch.testing.assert_close(variance / c_out**2, one)


def test_level_reaches_the_network_as_a_quarter_of_its_logarithm():
    torch.testing.assert_close(precondition(SIGMA, 0.5).c_noise, SIGMA.log() / 4)


def test_a_network_that_meets_its_target_denoises_exactly():
    torch.manual_seed(0)
    clean, noise = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    x = clean + SIGMA[:, None, None] * noise
    factors = precondition(SIGMA, 0.7).over(x)
    target = (clean - factors.c_skip * x) / factors.c_out
    torch.testing.assert_close(denoise(lambda y, c_noise: target, x, SIGMA, 0.7), clean)


def test_network_gets_the_scaled_state_and_one_level_per_row():
    seen = {}

    def network(y, c_noise):
        seen.update(y=y, c_noise=c_noise)
        return torch.zeros_like(y)

    x = torch.ones(4, 3, 5, dtype=torch.float64)
    denoised = denoise(network, x, SIGMA, 0.5)
    factors = precondition(SIGMA, 0.5)
    assert seen['c_noise'].shape == (4,)
    torch.testing.assert_close(seen['y'][:, 0, 0], factors.c_in)
    torch.testing.assert_close(denoised[:, 2, 1], factors.c_skip)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_one_level_for_all_rows_equals_the_same_level_in_every_row(dtype):
    x = torch.randn(4, 3, 5, dtype=dtype)
    one = denoise(lambda y, c_noise: y.tanh() + c_noise, x, SIGMA[2], 0.5)
    rows = denoise(lambda y, c_noise: y.tanh() + c_noise[:, None, None], x,
                   SIGMA[2].to(dtype).expand(4), 0.5)
    assert one.dtype == dtype
    torch.testing.assert_close(one, rows)


LEVELS = torch.logspace(-3, 3, 61, dtype=torch.float64)
# Weight of the denoiser's error, times sigma_data^2, as the module's table has it.
TABLE = {
    'uniform': lambda snr: 1 + snr,
    'snr': lambda snr: snr,
    'min_snr': lambda snr: snr.clamp(max=5),
    'soft_min_snr': lambda snr: snr / (1 + snr),
}


def weigh(cfg, sigma=LEVELS, sigma_data=0.5):
    return choose(LOSS_WEIGHTINGS, cfg)(sigma, sigma_data)


@pytest.mark.parametrize('sigma_data', [0.5, 1.4, torch.tensor(0.9, dtype=torch.float64)])
@pytest.mark.parametrize('name', TABLE)
def test_weight_of_the_denoiser_is_that_of_the_table(name, sigma_data):
    of_denoiser = weigh(name, sigma_data=sigma_data) * edm_lambda(LEVELS, sigma_data)
    snr = (sigma_data / LEVELS)**2
    torch.testing.assert_close(of_denoiser * sigma_data**2, TABLE[name](snr))


def test_every_weighting_is_in_the_table():
    assert set(TABLE) == set(LOSS_WEIGHTINGS.known_names())


def test_lambda_of_edm_undoes_the_scale_of_the_output():
    torch.testing.assert_close(edm_lambda(LEVELS, 0.5), precondition(LEVELS, 0.5).c_out**-2)


def test_min_snr_with_no_bound_is_snr_and_gamma_is_an_option():
    torch.testing.assert_close(weigh(dict(type='min_snr', gamma=math.inf)), weigh('snr'))
    assert not torch.allclose(weigh(dict(type='min_snr', gamma=1.0)), weigh('min_snr'))


def test_soft_min_snr_peaks_at_the_deviation_of_the_data():
    weights = weigh('soft_min_snr', torch.tensor([0.4, 0.5, 0.6]))
    assert weights.argmax() == 1 and weights.max() == pytest.approx(0.25)


@pytest.mark.parametrize('name', TABLE)
def test_precision_is_kept(name):
    assert weigh(name, LEVELS.float()).dtype == torch.float32
