import math

import pytest
import torch

from rscc.models.diffusion.choose import choose
from rscc.models.diffusion.preconditioning import precondition
from rscc.models.diffusion.weightings import edm_lambda
from rscc.registry import LOSS_WEIGHTINGS

SIGMA = torch.logspace(-3, 3, 61, dtype=torch.float64)
# Weight of the denoiser's error, times sigma_data^2, as the module's table has it.
TABLE = {
    'uniform': lambda snr: 1 + snr,
    'snr': lambda snr: snr,
    'min_snr': lambda snr: snr.clamp(max=5),
    'soft_min_snr': lambda snr: snr / (1 + snr),
}


def weigh(cfg, sigma=SIGMA, sigma_data=0.5):
    return choose(LOSS_WEIGHTINGS, cfg)(sigma, sigma_data)


@pytest.mark.parametrize('sigma_data', [0.5, 1.4, torch.tensor(0.9, dtype=torch.float64)])
@pytest.mark.parametrize('name', TABLE)
def test_weight_of_the_denoiser_is_that_of_the_table(name, sigma_data):
    of_denoiser = weigh(name, sigma_data=sigma_data) * edm_lambda(SIGMA, sigma_data)
    snr = (sigma_data / SIGMA)**2
    torch.testing.assert_close(of_denoiser * sigma_data**2, TABLE[name](snr))


def test_every_weighting_is_in_the_table():
    assert set(TABLE) == set(LOSS_WEIGHTINGS.known_names())


def test_lambda_of_edm_undoes_the_scale_of_the_output():
    torch.testing.assert_close(edm_lambda(SIGMA, 0.5), precondition(SIGMA, 0.5).c_out**-2)


def test_min_snr_with_no_bound_is_snr_and_gamma_is_an_option():
    torch.testing.assert_close(weigh(dict(type='min_snr', gamma=math.inf)), weigh('snr'))
    assert not torch.allclose(weigh(dict(type='min_snr', gamma=1.0)), weigh('min_snr'))


def test_soft_min_snr_peaks_at_the_deviation_of_the_data():
    weights = weigh('soft_min_snr', torch.tensor([0.4, 0.5, 0.6]))
    assert weights.argmax() == 1 and weights.max() == pytest.approx(0.25)


@pytest.mark.parametrize('name', TABLE)
def test_precision_is_kept(name):
    assert weigh(name, SIGMA.float()).dtype == torch.float32
