import pytest
import torch

from rscc.models.diffusion.samplers.common import ancestral_split

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
