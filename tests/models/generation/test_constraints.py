import torch

from rscc.models.generation.constraints import (
    Constraints,
    penalise_repetition,
    repeated,
    shape_distribution,
)
from rscc.models.generation.options import Decoding

NONE = torch.tensor([], dtype=torch.long)


def test_log_probabilities_pass_where_nothing_is_constrained():
    logprobs = torch.randn(2, 6).log_softmax(-1)
    scores = Constraints(Decoding(), torch.tensor([3]), NONE)(logprobs, logprobs,
                                                             torch.ones(2, 4).long(), 4)
    assert scores is logprobs


def test_given_ids_do_not_count_towards_the_least_length():
    logprobs, written = torch.zeros(1, 5), torch.tensor([[1, 1, 2]])
    rule = Constraints(Decoding(min_tokens=2), torch.tensor([3]), NONE)
    assert rule(logprobs, logprobs, written, 1)[0, 3] == -torch.inf
    assert rule(logprobs, logprobs, written, 2)[0, 3] == 0


def test_repeated_n_grams_are_found_row_by_row():
    written = torch.tensor([[4, 1, 2, 4, 1], [4, 1, 2, 1, 4]])
    assert repeated(written, 3, 6).nonzero().tolist() == [[0, 2]]
    assert repeated(written, 2, 6).nonzero().tolist() == [[0, 2], [1, 1]]
    assert repeated(written, 1, 6)[0].nonzero().flatten().tolist() == [1, 2, 4]


def test_a_penalty_makes_written_ids_less_likely_on_both_sides_of_zero():
    scores = penalise_repetition(torch.tensor([[2.0, -2.0, 1.0]]), torch.tensor([[0, 1, 1]]), 2.0)
    assert scores.tolist() == [[1.0, -4.0, 1.0]]


def test_the_shaped_distribution_sums_to_one():
    shaped = shape_distribution(torch.randn(5, 20), Decoding(sample=True, temperature=0.7,
                                                             top_k=9, top_p=0.8))
    torch.testing.assert_close(shaped.exp().sum(1), torch.ones(5))
    assert (shaped.isfinite().sum(1) <= 9).all()


def test_the_likeliest_id_stays_whatever_the_nucleus():
    shaped = shape_distribution(torch.tensor([[0.9, 0.1]]).log(), Decoding(sample=True, top_p=0.01))
    assert shaped.exp().tolist() == [[1.0, 0.0]]
