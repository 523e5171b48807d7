import time

import numpy as np
import pytest

from rscc.text.minimum_bayes_risk import choose_by_risk, similarity_matrix


def words(*sentences):
    return [sentence.split() for sentence in sentences]


def test_similarity_is_the_mean_f_score_of_four_orders():
    found = similarity_matrix(words('a house is built here', 'a house is gone'))
    # Matches 3, 2, 1, 0 of 5 + 4, 4 + 3, 3 + 2, 2 + 1 n-grams.
    expected = (2 * 3 / 9 + 2 * 2 / 7 + 2 * 1 / 5 + 0) / 4
    assert np.allclose(found, [[1, expected], [expected, 1]])


def test_repetitions_count_as_often_as_both_have_them():
    found = similarity_matrix(words('the the the', 'the'))
    # One match of 3 + 1 words; orders 2 and 3 exist on one side only, order 4 on none.
    assert found[0, 1] == pytest.approx((2 * 1 / 4 + 0 + 0) / 3)


def test_short_sentences_are_not_punished_for_having_no_longer_n_grams():
    found = similarity_matrix(words('no change', 'no change', 'no'))
    assert found[0, 1] == 1
    assert found[0, 2] == pytest.approx((2 / 3 + 0) / 2)


def test_empty_sentences_are_like_each_other_and_nothing_else():
    assert similarity_matrix(words('', 'a', '')).tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert similarity_matrix([]).shape == (0, 0)


def test_similarity_is_symmetric_between_nought_and_one_and_of_any_hashable():
    rng = np.random.default_rng(0)
    sentences = [rng.integers(0, 6, rng.integers(0, 9)).tolist() for _ in range(20)]
    found = similarity_matrix(sentences)
    assert (found == found.T).all() and (found >= 0).all() and (found <= 1).all()
    assert (found.diagonal() == 1).all()
    assert (similarity_matrix([tuple(map(str, s)) for s in sentences]) == found).all()


def test_the_sentence_most_like_the_others_wins_over_the_likeliest():
    sentences = words('a lake appears', 'a house is built', 'a house is built on grass',
                      'two houses are built on grass')
    order, agreement = choose_by_risk(sentences, [0.0, -3.0, -2.0, -1.0])
    assert order == [2, 1, 3, 0]
    pairs = similarity_matrix(sentences)[np.triu_indices(4, 1)]
    assert agreement == pytest.approx(pairs.mean())


def test_the_model_decides_between_equals_then_their_order():
    equal = words('a b', 'c d', 'a b', 'c d')
    assert choose_by_risk(equal)[0] == [0, 1, 2, 3]
    assert choose_by_risk(equal, [-2.0, -1.0, -2.0, -1.5])[0] == [1, 3, 0, 2]
    assert choose_by_risk(equal)[1] == pytest.approx(1 / 3)


def test_rounding_is_no_reason_to_prefer_a_sentence():
    # The same seven sentences in every rotation: equal ones must come in the order of the scores.
    sentences = words('a b c', 'a b d e', 'a f', 'b c a g', 'c', 'a b c', 'd e f a')
    for turn in range(7):
        turned = sentences[turn:] + sentences[:turn]
        order, _ = choose_by_risk(turned)
        places = [order.index(place) for place, own in enumerate(turned) if own == sentences[0]]
        assert places == sorted(places)


def test_one_sentence_agrees_with_itself():
    assert choose_by_risk(words('a house')) == ([0], 1.0)
    assert choose_by_risk([[]]) == ([0], 1.0)
    assert choose_by_risk(words('a house', 'a house')) == ([0, 1], 1.0)


def test_nothing_has_no_consensus():
    with pytest.raises(ValueError, match='choose_by_risk got no sentence; expected at least one'):
        choose_by_risk([])


def test_scores_belong_to_sentences():
    with pytest.raises(ValueError, match=r'got 2 sentence\(s\) and 1 score\(s\)'):
        choose_by_risk(words('a', 'b'), [0.0])


def test_sixteen_samples_of_a_test_split_take_seconds():
    rng = np.random.default_rng(1)
    batches = [[rng.integers(0, 400, rng.integers(4, 24)).tolist() for _ in range(16)]
               for _ in range(100)]
    start = time.process_time()
    for batch in batches:
        choose_by_risk(batch)
    assert time.process_time() - start < 2, 'two thousand pairs would take over 40 s'
