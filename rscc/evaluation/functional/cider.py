"""CIDEr-D with the vectors of the references kept between sets of predictions.

Paper: Vedantam et al., CIDEr: Consensus-based Image Description Evaluation, CVPR 2015 (the CIDEr-D
variant of its section 6). The result is that of coco-caption's ``Cider`` class, which works out the
references anew for every set and the logarithm anew for every n-gram.
"""
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

ORDERS = 4
SIGMA = 6.0  # of the length penalty, in words

Counts = Mapping[tuple[str, ...], int]


class Vector(NamedTuple):
    """One sentence: tf-idf weights by n-gram length, their norms, and its number of bigrams."""
    weights: list[dict[tuple[str, ...], float]]
    norms: list[float]
    length: int


class CiderD:
    """CIDEr-D over one set of samples.

    Args:
        documents: The references of every sample, as n-gram counts (lengths 1 to 4) per sentence.
    """

    def __init__(self, documents: Sequence[Sequence[Counts]]) -> None:
        # Many samples share their references (LEVIR-CC's unchanged pairs): count each set once.
        times = Counter(map(id, documents))
        kept = {id(document): document for document in documents}
        found: Counter = Counter()
        for key, document in kept.items():
            for ngram in {ngram for counts in document for ngram in counts}:
                found[ngram] += times[key]
        self._log_size = math.log(len(documents)) if documents else 0.0
        self._idf = {ngram: self._log_size - math.log(count) for ngram, count in found.items()}
        self._references: dict[int, list[Vector]] = {}
        self._kept = kept

    def score(self, prediction: Counts, document: Sequence[Counts]) -> float:
        """Return the CIDEr-D (0 to 10) of one sentence against one sample's references.

        Args:
            prediction: N-gram counts of the sentence.
            document: One of the ``documents`` given to the constructor (the same object).
        """
        references = self._references.get(id(document))
        if references is None:
            references = [self._vector(counts) for counts in document]
            self._references[id(document)] = references
        written = self._vector(prediction)
        total = sum(_similarity(written, reference) for reference in references)
        return 10 * total / ORDERS / len(references)

    def _vector(self, counts: Counts) -> Vector:
        weights: list[dict] = [{} for _ in range(ORDERS)]
        squares = [0.0] * ORDERS
        length = 0
        for ngram, count in counts.items():
            order = len(ngram) - 1
            weight = count * self._idf.get(ngram, self._log_size)
            weights[order][ngram] = weight
            squares[order] += weight * weight
            if order == 1:
                length += count
        return Vector(weights, [math.sqrt(square) for square in squares], length)


def _similarity(written: Vector, reference: Vector) -> float:
    """Return the clipped cosine similarity, summed over the n-gram lengths."""
    total = 0.0
    for ours, theirs, our_norm, their_norm in zip(written.weights, reference.weights,
                                                  written.norms, reference.norms, strict=True):
        shared = _clipped_product(ours, theirs)
        total += shared / (our_norm * their_norm) if our_norm and their_norm else shared
    return total * math.exp(-(written.length - reference.length)**2 / (2 * SIGMA**2))


def _clipped_product(ours: Mapping, theirs: Mapping) -> float:
    shared: Iterable = ours.keys() & theirs.keys()
    return sum(min(ours[ngram], theirs[ngram]) * theirs[ngram] for ngram in shared)
