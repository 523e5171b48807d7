import pytest
import torch
from torch.nn import functional

from rscc.models.diffusion.caption_loss import DenoisingLoss, Estimate, WordSpace
from rscc.models.diffusion.preconditioning import precondition, soft_min_snr

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


R, L, WORDS, WIDTH, PAD_LOSS = 3, 4, 7, 5, 0


@pytest.fixture
def given():
    """A space, captions, their noisy vectors, levels and a random estimate."""
    torch.manual_seed(0)
    space = WordSpace(WORDS, WIDTH, sigma_data=0.7)
    ids = torch.tensor([[2, 4, 3, 0], [2, 5, 6, 3], [2, 3, 0, 0]])
    sigma = torch.tensor([0.1, 1.0, 9.0])
    noisy = space.embed(ids) + sigma[:, None, None] * torch.randn(R, L, WIDTH)
    vectors = torch.randn(R, L, WIDTH)
    return space, ids, noisy, sigma, Estimate(vectors, space.logits(vectors))


def terms(given, diffusion=0.0, rounding=0.0, denoised=0.0, pad_weight=1.0):
    loss = DenoisingLoss(soft_min_snr, diffusion, rounding, denoised, PAD_LOSS, pad_weight)
    return loss(*given)


def test_the_squared_error_is_that_of_the_network_behind_the_estimate(given):
    space, ids, noisy, sigma, found = given
    factors = precondition(sigma, space.sigma_data)
    clean = space.embed(ids)
    network, target = ((vectors - factors.over(noisy).c_skip * noisy) / factors.over(noisy).c_out
                       for vectors in (found.vectors, clean))
    error = (network - target).square().mean((1, 2))
    torch.testing.assert_close(terms(given, diffusion=2.0)['loss_diffusion'],
                               2 * soft_min_snr(sigma, 0.7) * error)


def test_cross_entropies_are_those_of_noisy_and_of_estimated_words(given):
    space, ids, noisy, sigma, found = given
    values = terms(given, rounding=3.0, denoised=0.5)
    for row in range(R):
        noisy_entropy = functional.cross_entropy(space.logits(noisy[row]), ids[row])
        estimated = functional.cross_entropy(found.logits[row], ids[row])
        scale = soft_min_snr(sigma[row], 0.7)
        torch.testing.assert_close(values['loss_rounding'][row], 3 * scale * noisy_entropy)
        torch.testing.assert_close(values['loss_caption'][row], estimated / 2)  # at every level


@pytest.mark.parametrize('name', ['diffusion', 'rounding', 'denoised'])
def test_a_term_of_factor_zero_is_left_out(given, name):
    names = {'diffusion': 'loss_diffusion', 'rounding': 'loss_rounding',
             'denoised': 'loss_caption'}
    assert set(terms(given, **{name: 1.0})) == {names[name], 'accuracy'}


def test_padding_beyond_the_first_counts_less_in_every_term(given):
    factors = dict(diffusion=1.0, rounding=1.0, denoised=1.0)
    full, less = terms(given, **factors), terms(given, **factors, pad_weight=0.0)
    for name in ('loss_diffusion', 'loss_rounding', 'loss_caption'):
        # Captions with at most one padding have nothing to lose.
        torch.testing.assert_close(full[name][:2], less[name][:2])
        assert full[name][2] != less[name][2]


def test_what_is_beyond_the_first_padding_may_be_anything_without_weight(given):
    *_, found = given
    before = terms(given, diffusion=1.0, denoised=1.0, pad_weight=0.0)
    found.vectors[2, 3] += 5
    found.logits[2, 3] *= -3
    after = terms(given, diffusion=1.0, denoised=1.0, pad_weight=0.0)
    for name in before:
        assert torch.equal(before[name], after[name])


def test_accuracy_is_the_share_of_words_that_are_right_without_padding(given):
    space, ids, noisy, sigma, _ = given
    guess = ids.clone()
    guess[0, 1], guess[0, 3], guess[1, :2] = 6, 5, 1  # one of three, padding, two of four
    vectors = space.embed(guess)
    logits = functional.one_hot(guess, WORDS).float()
    found = terms((space, ids, noisy, sigma, Estimate(vectors, logits)), denoised=1.0)
    assert found['accuracy'].tolist() == pytest.approx([2 / 3, 1 / 2, 1])
    assert not found['accuracy'].requires_grad


def test_a_row_of_padding_has_no_word_right_and_a_finite_loss(given):
    given[1][:] = PAD_LOSS
    values = terms(given, diffusion=1.0, rounding=1.0, denoised=1.0, pad_weight=0.0)
    assert values['accuracy'].tolist() == [0, 0, 0]
    assert all(value.isfinite().all() for value in values.values())


def test_nothing_to_learn_is_refused():
    with pytest.raises(ValueError, match='diffusion_weight, rounding_weight and denoised_weight '
                       'are all 0'):
        DenoisingLoss(soft_min_snr, 0, 0.0, 0, PAD_LOSS, 1.0)
