"""BLEU, ROUGE-L and CIDEr-D of coco-caption, prepared once and scored on any subset.

The arithmetic is pycocoevalcap's: corpus BLEU with the closest reference length, ROUGE-L with beta
1.2, and CIDEr-D (Vedantam et al., CIDEr: Consensus-based Image Description Evaluation, CVPR 2015,
section 6), which its class calls CIDEr. BLEU and ROUGE-L come from its pure Python scorers, without
their prints. CIDEr-D is ours and equals that class, which works out the references anew for every
set and the logarithm anew for every n-gram.

Half of LEVIR-CC are the same five sentences, so everything is kept per distinct (prediction,
references).
"""
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rscc.utils import require

ORDERS = 4
SIGMA = 6.0  # of CIDEr-D's length penalty, in words
_TINY, _SMALL = 1e-15, 1e-9  # coco-caption's guards against divisions by zero

Words = Sequence[str]
Counts = Mapping[tuple[str, ...], int]


class CaptionCorpus:
    """References of N samples, against which several sets of predictions can be scored.

    Args:
        references: For every sample its reference sentences, each a list of words.

    Raises:
        ValueError: If a sample has no reference.
        ImportError: If pycocoevalcap is not installed.
    """

    def __init__(self, references: Sequence[Sequence[Words]]) -> None:
        empty = [i for i, sentences in enumerate(references) if not sentences]
        if empty:
            raise ValueError(f'sample {empty[0]} has no reference caption '
                             f'({len(empty)} such samples)')
        self._bleu = require('pycocoevalcap.bleu.bleu_scorer', 'BLEU')
        self._cider = require('pycocoevalcap.cider.cider_scorer', 'CIDEr')
        module = require('pycocoevalcap.rouge.rouge', 'ROUGE-L')  # codespell:ignore rouge
        self._rouge_l = module.Rouge()  # codespell:ignore rouge
        self._references = [tuple(' '.join(words) for words in sentences)
                            for sentences in references]
        # N-gram counts of each distinct set of references, once for BLEU and once for CIDEr.
        self._cooked_bleu = {refs: self._bleu.cook_refs(refs) for refs in set(self._references)}
        self._cooked_cider = {refs: self._cider.cook_refs(refs) for refs in set(self._references)}
        self._cache: dict[tuple, Any] = {}

    def __len__(self) -> int:
        return len(self._references)

    def references(self, index: int) -> tuple[str, ...]:
        """Return one sample's references, words joined by blanks."""
        return self._references[index]

    def score(self, predictions: Sequence[Words],
              subset: Sequence[int] | None = None) -> tuple[dict[str, float], list[dict]]:
        """Score one sentence per sample.

        Args:
            predictions: N predicted sentences, each a list of words; may be empty.
            subset: Indices of the samples that count, all by default. CIDEr's document frequencies
                come from these alone, so values of subsets cannot be averaged.

        Returns:
            ``Bleu_1`` to ``Bleu_4``, ``ROUGE_L`` and ``CIDEr`` of the subset, x100 (nothing for an
            empty subset), and per sample of it ``Bleu_4``, ``ROUGE_L`` and ``CIDEr``, x100.

        Raises:
            ValueError: If predictions and references differ in number.
        """
        if len(predictions) != len(self):
            raise ValueError(f'{len(predictions)} predictions for {len(self)} samples')
        subset = range(len(self)) if subset is None else subset
        pairs = [(' '.join(predictions[i]), self._references[i]) for i in subset]
        if not pairs:
            return {}, []
        # BLEU is one number of all samples, the other two are means over them.
        bleus, each_bleu = self._score_bleu(pairs)
        rouge_l = [self._score_rouge(pair) for pair in pairs]
        cider = self._score_cider(pairs, subset)
        scores = {f'Bleu_{n + 1}': 100 * bleu for n, bleu in enumerate(bleus)}
        scores['ROUGE_L'] = 100 * sum(rouge_l) / len(rouge_l)
        scores['CIDEr'] = 100 * sum(cider) / len(cider)
        rows = [{'Bleu_4': 100 * b, 'ROUGE_L': 100 * r, 'CIDEr': 100 * c}
                for b, r, c in zip(each_bleu[3], rouge_l, cider, strict=True)]
        return scores, rows

    def bleu_totals(self, predictions: Sequence[Words],
                    subset: Sequence[int] | None = None) -> np.ndarray:
        """Count the n-grams and lengths of every sample, whose sums give BLEU.

        Args:
            predictions: As in :meth:`score`.
            subset: As in :meth:`score`.

        Returns:
            (N, 10) integers that :func:`coco_bleu` takes when summed: matched n-grams of orders 1
            to 4, n-grams of orders 1 to 4, words said, words of the closest reference.
        """
        subset = range(len(self)) if subset is None else subset
        cooked = [self._cached('bleu', (' '.join(predictions[i]), self._references[i]),
                               self._cook_bleu) for i in subset]
        rows = [[*counts['correct'], *counts['guess'], counts['testlen'],
                 _closest(counts['reflen'], counts['testlen'])] for counts in cooked]
        return np.array(rows, dtype=np.int64).reshape(len(rows), 10)

    def constant_bleu(self, words: Words, subset: Sequence[int]) -> float:
        """Return the BLEU-4 (x100) of one sentence that is predicted for a whole subset."""
        length, counts = self._bleu.precook(' '.join(words), 4, True)
        known = self._cached('frequencies', tuple(subset), self._frequencies)
        matched = [0] * 4
        for ngram, count in counts.items():
            # Clipped matches over all samples: how many have the n-gram once, twice, ...
            matched[len(ngram) - 1] += sum(known.having[ngram, k] for k in range(1, count + 1))
        closest = sum(times * _closest(lengths, length)
                      for lengths, times in known.lengths.items())
        return 100 * _corpus_bleu(matched, length, closest, len(subset))

    def _frequencies(self, subset: Sequence[int]) -> '_Frequencies':
        # Samples with equal references are counted together.
        known = _Frequencies(Counter(), Counter())
        for refs, times in Counter(self._references[i] for i in subset).items():
            lengths, most = self._cooked_bleu[refs]
            known.lengths[tuple(lengths)] += times
            for ngram, count in most.items():
                for k in range(1, count + 1):
                    known.having[ngram, k] += times
        return known

    def _score_bleu(self, pairs: list[tuple]) -> tuple[list[float], list[list[float]]]:
        scorer = self._bleu.BleuScorer(n=4)
        scorer.ctest = [self._cached('bleu', pair, self._cook_bleu) for pair in pairs]
        scorer.crefs = [self._cooked_bleu[refs] for _, refs in pairs]
        return scorer.compute_score(option='closest')

    def _cook_bleu(self, pair: tuple) -> dict:
        return self._bleu.cook_test(pair[0], self._cooked_bleu[pair[1]])

    def _score_rouge(self, pair: tuple) -> float:
        return self._cached('rouge_l', pair,
                            lambda pair: self._rouge_l.calc_score([pair[0]], list(pair[1])))

    def _score_cider(self, pairs: list[tuple], subset: Sequence[int]) -> list[float]:
        # Document frequencies are those of the subset: one scorer for each.
        scorer = self._cached('cider', tuple(subset), lambda indices: CiderD(
            [self._cooked_cider[self._references[i]] for i in indices]))
        # A repeated pair has the same score each time.
        score_of = {(sentence, refs): scorer.score(
            self._cached('cider', sentence, self._cider.precook), self._cooked_cider[refs])
            for sentence, refs in dict.fromkeys(pairs)}
        return [score_of[pair] for pair in pairs]

    def _cached(self, kind: str, key: Any, compute: Callable[[Any], Any]) -> Any:
        if (kind, key) not in self._cache:
            self._cache[kind, key] = compute(key)
        return self._cache[kind, key]


class _Frequencies(NamedTuple):
    """Counts over the references of a subset: samples by (n-gram, k times), samples by lengths."""
    having: Counter
    lengths: Counter


def _closest(lengths: Sequence[int], length: int) -> int:
    """Return the closest reference length, the shorter of two."""
    return min(lengths, key=lambda found: (abs(found - length), found))


def coco_bleu(totals: Sequence[float]) -> list[float]:
    """Return BLEU-1 to BLEU-4 (x100) of summed counts, with coco-caption's tiny constants.

    Args:
        totals: The 10 numbers of :meth:`CaptionCorpus.bleu_totals`, summed over samples.
    """
    *counts, said, closest = map(float, totals)
    # Brevity penalty, then the geometric mean of the precisions of orders 1 to n.
    ratio = (said + _TINY) / (closest + _SMALL)
    penalty = 1.0 if ratio >= 1 else math.exp(1 - 1 / ratio)
    product, bleus = 1.0, []
    for order, (found, of) in enumerate(zip(counts[:4], counts[4:], strict=True), 1):
        product *= (found + _TINY) / (of + _SMALL)
        bleus.append(100 * penalty * product**(1 / order))
    return bleus


def _corpus_bleu(matched: Sequence[int], length: int, reference_length: int,
                 samples: int) -> float:
    """Return BLEU-4 (0 to 1) of one sentence of ``length`` words for all samples."""
    if not all(matched):
        return 0.0
    # Every sample has the same n-grams: their number is a product, and no loop is needed.
    precision = math.prod(found / (samples * (length - order))
                          for order, found in enumerate(matched))
    ratio = samples * length / reference_length
    return precision**0.25 * (1.0 if ratio >= 1 else math.exp(1 - 1 / ratio))


class Vector(NamedTuple):
    """A sentence as tf-idf weights by n-gram length, their norms, and its number of bigrams."""
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
        # Weight: count times log(N / document frequency); an unknown n-gram counts as in one
        # document.
        weights: list[dict] = [{} for _ in range(ORDERS)]
        squares = [0.0] * ORDERS
        length = 0
        for ngram, count in counts.items():
            order = len(ngram) - 1
            weight = count * self._idf.get(ngram, self._log_size)
            weights[order][ngram] = weight
            squares[order] += weight * weight
            if order == 1:  # coco-caption takes the number of bigrams for the length
                length += count
        return Vector(weights, [math.sqrt(square) for square in squares], length)


def _similarity(written: Vector, reference: Vector) -> float:
    """Return the clipped cosine similarity, summed over the n-gram lengths."""
    # Per n-gram length: each weight of ours at most as large as theirs, times theirs, by the norms.
    total = 0.0
    for ours, theirs, our_norm, their_norm in zip(written.weights, reference.weights,
                                                  written.norms, reference.norms, strict=True):
        shared = _clipped_product(ours, theirs)
        total += shared / (our_norm * their_norm) if our_norm and their_norm else shared
    return total * math.exp(-(written.length - reference.length)**2 / (2 * SIGMA**2))


def _clipped_product(ours: Mapping, theirs: Mapping) -> float:
    shared: Iterable = ours.keys() & theirs.keys()
    return sum(min(ours[ngram], theirs[ngram]) * theirs[ngram] for ngram in shared)
