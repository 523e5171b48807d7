import pytest
import torch
from torch.nn import functional

from rscc.models.caption_heads.denoising_loss import DenoisingLoss, Estimate
from rscc.models.diffusion.preconditioning import precondition
from rscc.models.diffusion.weightings import soft_min_snr
from rscc.models.diffusion.word_space import WordSpace

R, L, V, C, PAD = 3, 4, 7, 5, 0


@pytest.fixture
def given():
    """A space, captions, their noisy vectors, levels and a random estimate."""
    torch.manual_seed(0)
    space = WordSpace(V, C, sigma_data=0.7)
    ids = torch.tensor([[2, 4, 3, 0], [2, 5, 6, 3], [2, 3, 0, 0]])
    sigma = torch.tensor([0.1, 1.0, 9.0])
    noisy = space.embed(ids) + sigma[:, None, None] * torch.randn(R, L, C)
    vectors = torch.randn(R, L, C)
    return space, ids, noisy, sigma, Estimate(vectors, space.logits(vectors))


def terms(given, diffusion=0.0, rounding=0.0, denoised=0.0, pad_weight=1.0):
    loss = DenoisingLoss(soft_min_snr, diffusion, rounding, denoised, PAD, pad_weight)
    return loss(*given)


def test_the_squared_error_is_that_of_the_network_behind_the_estimate(given):
    space, ids, noisy, sigma, found = given
    factors = precondition(sigma, space.sigma_data)
    clean = space.embed(ids)
    network = (found.vectors - factors.over(noisy).c_skip * noisy) / factors.over(noisy).c_out
    error = (network - factors.target(clean, noisy)).square().mean((1, 2))
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
    logits = functional.one_hot(guess, V).float()
    found = terms((space, ids, noisy, sigma, Estimate(vectors, logits)), denoised=1.0)
    assert found['accuracy'].tolist() == pytest.approx([2 / 3, 1 / 2, 1])
    assert not found['accuracy'].requires_grad


def test_a_row_of_padding_has_no_word_right_and_a_finite_loss(given):
    given[1][:] = PAD
    values = terms(given, diffusion=1.0, rounding=1.0, denoised=1.0, pad_weight=0.0)
    assert values['accuracy'].tolist() == [0, 0, 0]
    assert all(value.isfinite().all() for value in values.values())


def test_nothing_to_learn_is_refused():
    with pytest.raises(ValueError, match='diffusion_weight, rounding_weight and denoised_weight '
                       'are all 0'):
        DenoisingLoss(soft_min_snr, 0, 0.0, 0, PAD, 1.0)
