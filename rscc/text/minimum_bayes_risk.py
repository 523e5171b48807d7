"""Minimum Bayes risk (MBR) choice among sampled captions.

Paper: Kumar and Byrne, Minimum Bayes-Risk Decoding for Statistical Machine Translation, NAACL 2004,
https://aclanthology.org/N04-1022. The sentence of least expected loss under the model is, with
sentences drawn from it, the one that is on average most similar to the others.
"""
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

_ORDERS = (1, 2, 3, 4)


def similarity_matrix(sentences: Sequence[Sequence[Hashable]]) -> np.ndarray:
    """Compare K sentences with one another by the n-grams they share.

    For every order n from 1 to 4, the F-score (harmonic mean of precision and recall, which is
    symmetric) of the n-grams, repetitions counted; of these the mean over the orders that at least
    one of the two sentences is long enough for. Equal sentences have similarity 1, also empty ones;
    sentences without a word in common have 0.

    Args:
        sentences: K sentences as sequences of words, ids or anything else that is hashable.

    Returns:
        float64 (K, K), symmetric, 0 to 1, with a diagonal of 1.
    """
    # Equal sentences are compared once: M distinct ones among the K.
    places: dict[tuple, int] = {}
    kinds = [places.setdefault(tuple(sentence), len(places)) for sentence in sentences]
    scores, orders = np.zeros((2, len(places), len(places)))
    for order in _ORDERS:
        # n-grams in common and n-grams of either sentence, both (M, M).
        has = _incidence(list(places), order)
        shared = has @ has.T
        lengths = has.sum(1)
        total = lengths[:, None] + lengths
        scores += np.divide(2 * shared, total, out=np.zeros_like(total), where=total > 0)
        orders += total > 0
    # Only two empty sentences, which are equal, have no order at all.
    distinct = np.divide(scores, orders, out=np.ones_like(scores), where=orders > 0)
    return distinct[np.ix_(kinds, kinds)]


def _incidence(sentences: Sequence[tuple], order: int) -> np.ndarray:
    """Mark the n-grams of every sentence in a table (M, U) of 0 and 1.

    The second time that a sentence has the same n-gram is a column of its own, so that products of
    rows count n-grams in common with their repetitions.
    """
    columns: dict[tuple, int] = {}
    rows = []
    for words in sentences:
        seen: Counter = Counter()
        row = []
        for start in range(len(words) - order + 1):
            gram = words[start:start + order]
            seen[gram] += 1
            row.append(columns.setdefault((gram, seen[gram]), len(columns)))
        rows.append(row)
    has = np.zeros((len(rows), len(columns)))
    for place, row in enumerate(rows):
        has[place, row] = 1
    return has


def choose_by_risk(sentences: Sequence[Sequence[Hashable]],
                   scores: Sequence[float] | None = None) -> tuple[list[int], float]:
    """Order K sampled captions of one image by their expected loss, the least first.

    Args:
        sentences: K sentences, at least one, as sequences of words.
        scores: What the model thinks of each; decides between sentences that are equally similar to
            the others. Those that remain equal keep their order.

    Returns:
        Indices of the sentences, largest mean similarity to the others first; and the agreement,
        the mean similarity of all pairs, 0 to 1. One sentence agrees with itself: 1.

    Raises:
        ValueError: If there is no sentence, or another number of scores.
    """
    count = len(sentences)
    if not count:
        raise ValueError('choose_by_risk got no sentence; expected at least one')
    if scores is not None and len(scores) != count:
        raise ValueError(f'choose_by_risk got {count} sentence(s) and {len(scores)} score(s); '
                         'expected one score a sentence')
    if count == 1:
        return [0], 1.0
    # Mean similarity of each sentence to the K - 1 others, (K,).
    others = (similarity_matrix(sentences).sum(1) - 1) / (count - 1)
    # Rounded, for equal sums that were added in different order.
    order = np.lexsort((-np.asarray(scores if scores is not None else [0.0] * count),
                        -others.round(12)))
    return order.tolist(), float(others.mean())
