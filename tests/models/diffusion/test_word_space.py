import pytest
import torch

from rscc.models.diffusion.word_space import WordSpace

V, C = 9, 4


def build(**changes):
    torch.manual_seed(0)
    return WordSpace(V, C, **changes)


def points(*shape, seed=1):
    return torch.randn(*shape, C, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('normalise', [False, True])
def test_the_classifier_is_the_table(normalise):
    space, found = build(normalise=normalise), points(2, 3)
    torch.nn.init.normal_(space.bias)
    ids = torch.tensor([[1, 8, 0]])
    assert torch.equal(space.embed(ids)[0, 1], space.vectors()[8])
    torch.testing.assert_close(space.logits(found),
                               torch.einsum('rlc,vc->rlv', found, space.vectors()) + space.bias)


def test_normalised_vectors_keep_unit_variance_whatever_the_table_becomes():
    space = build(normalise=True)
    with torch.no_grad():
        space.table *= 100
    torch.testing.assert_close(space.vectors().square().mean(1), torch.ones(V))
    assert torch.equal(build().vectors(), build().table)


@pytest.mark.parametrize('normalise', [False, True])
def test_the_nearest_word_is_that_of_the_smallest_distance(normalise):
    space, found = build(normalise=normalise), points(5, 6) * 2
    vectors = space.vectors()
    rows = torch.cdist(found.flatten(0, 1), vectors).argmin(1)
    assert torch.equal(space.nearest(found).flatten(0, 1), vectors[rows])
    assert torch.equal(space.nearest(vectors), vectors)


def test_the_posterior_is_the_rule_of_bayes_under_gaussian_noise():
    space, found, sigma = build(), points(2, 3), torch.tensor([0.4, 3.0])
    torch.nn.init.normal_(space.bias)
    prior = torch.randn(2, 3, V)
    noise = torch.distributions.Normal(0, sigma[:, None, None, None])
    likelihood = noise.log_prob(found[:, :, None] - space.vectors()).sum(-1)
    joint = likelihood + prior.log_softmax(-1) + space.bias
    torch.testing.assert_close(space.posterior(found, sigma, prior).log_softmax(-1),
                               joint.log_softmax(-1), atol=1e-5, rtol=1e-4)


def test_without_noise_the_posterior_is_the_word_and_with_much_the_prior():
    space, ids = build(), torch.arange(V)[None]
    prior = torch.randn(1, V, V)
    clean = space.embed(ids)
    assert torch.equal(space.posterior(clean, torch.tensor([1e-2]), prior).argmax(-1), ids)
    torch.testing.assert_close(
        space.posterior(clean, torch.tensor([1e4]), prior).softmax(-1), prior.softmax(-1),
        atol=1e-5, rtol=1e-4)


def test_the_mean_of_a_distribution_lies_between_its_words():
    space = build()
    logits = torch.full((1, 1, V), -torch.inf)
    logits[..., [2, 5]] = 0.0
    torch.testing.assert_close(space.expect(logits)[0, 0],
                               (space.vectors()[2] + space.vectors()[5]) / 2)


def test_autocast_does_not_touch_what_is_divided_by_small_levels():
    space, found, sigma = build(), points(2, 3), torch.full((2,), 0.05)
    prior = torch.zeros(2, 3, V)
    exact = [space.posterior(found, sigma, prior), space.logits(found), space.nearest(found),
             space.expect(prior)]
    with torch.autocast('cpu', torch.bfloat16):
        cast = [space.posterior(found, sigma, prior), space.logits(found), space.nearest(found),
                space.expect(prior)]
    for one, other in zip(cast, exact, strict=True):
        assert torch.equal(one, other)


def test_half_precision_points_are_welcome():
    space, found = build(), points(2, 3)
    torch.testing.assert_close(space.logits(found.bfloat16()), space.logits(found), atol=0.05,
                               rtol=0.05)


def test_the_measured_deviation_follows_the_words_of_the_captions():
    space = build(sigma_data='measured', momentum=0.5)
    assert space.sigma_data == 1
    space.measure(torch.full((2, 3, C), 3.0))
    assert space.sigma_data == 2
    for _ in range(30):
        space.measure(torch.full((2, 3, C), 3.0))
    assert space.sigma_data == pytest.approx(3)


def test_a_measured_deviation_travels_with_the_weights_and_a_given_one_does_not():
    measured, fresh = build(sigma_data='measured'), build(sigma_data='measured')
    measured.measure(torch.full((1, C), 5.0))
    fresh.load_state_dict(measured.state_dict())
    assert fresh.sigma_data == measured.sigma_data > 1
    given = build(sigma_data=0.5)
    assert 'sigma_data' not in given.state_dict()
    given.measure(torch.full((1, C), 5.0))
    assert given.sigma_data == 0.5


@pytest.mark.parametrize('sigma_data', [0, -1.0, 'mesured', None])
def test_a_deviation_that_is_none_is_refused(sigma_data):
    with pytest.raises(ValueError, match=r"sigma_data=.* is neither a number above 0 nor "
                       "'measured'"):
        build(sigma_data=sigma_data)
