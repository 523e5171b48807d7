"""Arithmetic of clipcap_rsic: its BLEU, and the cosine it publishes as CIDEr of Chinese.

The formulas of the scorer that Song et al. published with "Enhanced CLIP-GPT Framework for
Cross-Lingual Remote Sensing Image Captioning" (IEEE Access 13, 2025), written anew so that its
numbers can be checked. They are no scores of their own: see ``docs/en/evaluation.md``.
"""
import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

Words = Sequence[str]
ORDERS = 4
#: One set of weights per BLEU. Three times .33 is 0.99, as published.
WEIGHTS = ((1.0, 0.0, 0.0, 0.0), (0.5, 0.5, 0.0, 0.0), (0.33, 0.33, 0.33, 0.0), (0.25,) * 4)
#: Stands for a count of zero in NLTK's "method 1" (Chen and Cherry, WMT 2014).
EPSILON = 0.1


def bleu_totals(predictions: Sequence[Words], references: Sequence[Sequence[Words]]) -> np.ndarray:
    """Count the n-grams and lengths of every sample, whose sums give BLEU.

    Args:
        predictions: N sentences, each a list of tokens.
        references: N lists of at least one reference sentence.

    Returns:
        (N, 10) integers: matched n-grams of orders 1 to 4 (clipped by the reference that has most
        of them), n-grams of orders 1 to 4 (at least 1 each), tokens said, and tokens of the
        closest reference (the shorter of two).
    """
    rows = [_sample_totals(said, refs) for said, refs in zip(predictions, references, strict=True)]
    return np.array(rows, dtype=np.int64).reshape(len(rows), 2 * ORDERS + 2)


def _sample_totals(said: Words, references: Sequence[Words]) -> list[int]:
    matched, total = [], []
    for order in range(1, ORDERS + 1):
        counts = Counter(_ngrams(said, order))
        most: Counter = Counter()  # of every n-gram, as often as one reference has it
        for words in references:
            most |= Counter(_ngrams(words, order))
        matched.append((counts & most).total())
        total.append(max(1, counts.total()))
    closest = min(map(len, references), key=lambda length: (abs(length - len(said)), length))
    return [*matched, *total, len(said), closest]


def _ngrams(words: Words, order: int) -> Iterable[tuple[str, ...]]:
    return (tuple(words[i:i + order]) for i in range(len(words) - order + 1))


def corpus_bleu(totals: Sequence[float]) -> list[float]:
    """Return BLEU-1 to BLEU-4 (0 to 1) of summed counts, as NLTK computes them with method 1.

    Args:
        totals: The 10 numbers of :func:`bleu_totals`, summed over samples.
    """
    *counts, said, closest = map(float, totals)
    matched, total = counts[:ORDERS], counts[ORDERS:]
    if not matched[0]:  # as in NLTK; coco-caption has no such case
        return [0.0] * ORDERS
    penalty = 1.0 if said > closest else math.exp(1 - closest / said)
    logs = [math.log((found or EPSILON) / of) for found, of in zip(matched, total, strict=True)]
    return [penalty * math.exp(math.fsum(weight * log for weight, log in
                                         zip(weights, logs, strict=True))) for weights in WEIGHTS]


def character_cosine(prediction: str, references: Sequence[str]) -> float:
    """Return the cosine of character counts, 0 to 1, that clipcap_rsic calls CIDEr in Chinese.

    For m = 1 to 4, all n-grams (up to m) of the words between blanks are written into one text,
    those of all references into another; the two are compared as bags of characters, blanks among
    them, weighted by ``ln(3 / (1 + df)) + 1`` over these two texts. The mean over m is returned.
    Word order hardly matters, and sentences that have nothing in common score 0.1 to 0.6.

    Args:
        prediction: A sentence as the PTB tokenizer leaves it.
        references: The same of each reference.

    Returns:
        The mean cosine; 0 where one side is empty.
    """
    return sum(_cosine(_characters([prediction], most), _characters(references, most))
               for most in range(1, ORDERS + 1)) / ORDERS


def _characters(texts: Sequence[str], most: int) -> Counter:
    """Count the characters of all n-grams of up to ``most`` words, joined by blanks."""
    # The published scorer hands joined n-grams to a vectoriser that cuts them into characters.
    pieces = [' '.join(ngram) for text in texts for order in range(1, most + 1)
              for ngram in _ngrams(text.split(), order)]
    return Counter(' '.join(pieces))


def _cosine(ours: Counter, theirs: Counter) -> float:
    # tf-idf of two documents, smoothed as in scikit-learn.
    vectors = [{char: count * (math.log(3 / (1 + (char in ours) + (char in theirs))) + 1)
                for char, count in counts.items()} for counts in (ours, theirs)]
    norms = [math.sqrt(sum(weight * weight for weight in vector.values())) for vector in vectors]
    if not all(norms):
        return 0.0
    left, right = vectors
    return sum(left[char] * right[char] for char in left.keys() & right.keys()) / math.prod(norms)
