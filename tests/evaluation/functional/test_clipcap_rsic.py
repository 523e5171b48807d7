"""BLEU with method 1 and the cosine of characters, on sentences counted by hand."""
import math

import pytest

from rscc.evaluation.functional.clipcap_rsic import bleu_totals, character_cosine, corpus_bleu


def test_counts_are_clipped_by_the_reference_that_has_most():
    totals = bleu_totals([['the', 'the', 'the', 'cat']], [[['the', 'cat', 'the'], ['a', 'cat']]])
    # One n-gram of order 4, never matched; 3 words are closer to 4 than 2 are.
    assert totals.tolist() == [[3, 1, 0, 0, 4, 3, 2, 1, 4, 3]]


def test_of_two_references_equally_close_the_shorter_counts():
    assert bleu_totals([['a', 'b', 'c']], [[['a', 'b', 'c', 'd'], ['a', 'b']]])[0, -1] == 2


def test_an_order_without_a_match_counts_a_tenth():
    bleu = corpus_bleu(bleu_totals([['a', 'b']], [[['b', 'a']]]).sum(0))
    # Orders 3 and 4 have no n-gram at all: a tenth of one.
    assert bleu == pytest.approx([1, math.sqrt(0.1), 0.01**0.33, 0.001**0.25])


def test_the_third_weights_sum_to_less_than_one_as_published():
    totals = bleu_totals([['a', 'b', 'c', 'd']], [[['a', 'b', 'c', 'x']]]).sum(0)
    assert corpus_bleu(totals)[2] == pytest.approx((3 / 4 * 2 / 3 * 1 / 2)**0.33)


def test_short_answers_are_penalised_and_wrong_or_empty_ones_score_nothing():
    totals = bleu_totals([['a', 'b']], [[['a', 'b', 'c', 'd']]]).sum(0)
    assert corpus_bleu(totals)[0] == pytest.approx(math.exp(1 - 2))
    for said in ('x y', ''):
        assert corpus_bleu(bleu_totals([said.split()], [[['a', 'b']]]).sum(0)) == [0.0] * 4


def test_the_cosine_cannot_tell_an_anagram():
    assert character_cosine('树绿', ['绿树']) == pytest.approx(1)
    assert 0.1 < character_cosine('a dog sleeps', ['boats in the harbor']) < 0.9


@pytest.mark.parametrize('texts', [('', ['绿树']), ('绿树', ['']), ('绿树', ['海水'])])
def test_the_cosine_of_nothing_shared_is_zero(texts):
    assert character_cosine(*texts) == 0
