import pytest
import torch

from rscc.models.diffusion.noise import gaussian_noise


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_noise_is_like_the_state_and_new_at_every_call(dtype):
    x = torch.zeros(2, 3, dtype=dtype)
    noise = gaussian_noise(x, torch.Generator().manual_seed(0))
    first, second = noise(), noise()
    assert (first.shape, first.dtype, first.device) == (x.shape, dtype, x.device)
    assert not torch.equal(first, second)


def test_seed_of_the_generator_decides_the_noise():
    x = torch.zeros(200, 50)
    first, again = (gaussian_noise(x, torch.Generator().manual_seed(7))() for _ in range(2))
    assert torch.equal(first, again)
    assert first.mean() == pytest.approx(0, abs=0.05) and first.std() == pytest.approx(1, abs=0.05)


def test_without_a_generator_the_global_one_counts():
    torch.manual_seed(3)
    first = gaussian_noise(torch.zeros(4))()
    torch.manual_seed(3)
    assert torch.equal(first, torch.randn(4))
