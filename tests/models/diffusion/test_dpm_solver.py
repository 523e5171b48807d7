import pytest
import torch
from models.diffusion.gaussian import measured_order, sample


def test_midpoint_without_noise_is_the_deterministic_solver():
    midpoint = sample(dict(type='dpmpp_2m_sde', eta=0, variant='midpoint'))
    torch.testing.assert_close(midpoint, sample('dpmpp_2m'))
    assert not torch.allclose(midpoint, sample(dict(type='dpmpp_2m_sde', eta=0, variant='heun')))


@pytest.mark.parametrize(('curvature', 'order'), [(1.0, 3), (0.5, 2)])
def test_parabola_is_third_order_with_its_full_curvature_only(curvature, order):
    # From far above the data, where the first steps, of lower order, make no error; in uneven
    # steps, or errors of third order cancel over the whole path.
    config = dict(type='dpmpp_3m_sde', eta=0, curvature=curvature)
    orders = measured_order(config, (400, 800, 1600), 'karras', 1e4)
    assert orders == pytest.approx([order, order], abs=0.1)


@pytest.mark.parametrize('name', ['dpmpp_2m', 'dpmpp_2m_sde', 'dpmpp_3m_sde'])
def test_constant_estimate_is_followed_exactly_in_one_step(name):
    config = dict(type=name) if name == 'dpmpp_2m' else dict(type=name, eta=0)
    x, sigmas = torch.tensor([5.0, -1.0]), torch.tensor([4.0, 1.0])
    final = sample(config, x, sigmas, lambda x, sigma: torch.full_like(x, 2.0))
    torch.testing.assert_close(final, 2 + (x.double() - 2) / 4)


def test_unknown_variant_names_the_nearest():
    with pytest.raises(ValueError, match=r"variant 'huen' is none of heun, midpoint\. Did you mean "
                                         r"'heun'\?"):
        sample(dict(type='dpmpp_2m_sde', eta=0, variant='huen'))
