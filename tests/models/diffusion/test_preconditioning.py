import pytest
import torch

from rscc.models.diffusion.preconditioning import denoise, precondition

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
    target = precondition(SIGMA, 0.7).target(clean, x)
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
