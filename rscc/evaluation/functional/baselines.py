"""Trivial baselines: captions that need no look at the images.

On LEVIR-CC's test split a true change flag and one constant sentence score BLEU-4 59.8 and CIDEr
126.6, more than several published models.
"""
from collections import Counter
from collections.abc import Sequence

from rscc.evaluation.functional.captioning import CaptionCorpus, Words

#: How many of the most frequent sentences are tried as the constant one.
CANDIDATES = 50


def constant_change_caption(references: Sequence[Sequence[Words]], corpus: CaptionCorpus,
                            changed: Sequence[int]) -> list[str]:
    """Choose the one sentence that scores best for every changed sample.

    Tried are the 50 most frequent reference sentences of the changed samples; the best BLEU-4 on
    them wins (ties: the more frequent, then the alphabet). It is chosen on the references it is
    scored with, which makes the baseline a little higher than an honest guess, never lower.

    Args:
        references: N lists of reference sentences, each a list of words.
        corpus: The same references, cooked.
        changed: Indices of the changed samples, at least one.
    """
    counts = Counter(tuple(words) for i in changed for words in references[i] if words)
    # A rare sentence cannot match many references: the most frequent ones are enough.
    frequent = sorted(counts, key=lambda words: (-counts[words], words))[:CANDIDATES]
    return list(max(frequent, key=lambda words: corpus.constant_bleu(words, changed)))


def constant_no_change_caption(references: Sequence[Sequence[Words]],
                               unchanged: Sequence[int]) -> list[str]:
    """Choose the sentence for unchanged samples: the longest that most of them list.

    All of LEVIR-CC's five are right everywhere; the longest one scores best in BLEU by 17 points.

    Args:
        references: N lists of reference sentences, each a list of words.
        unchanged: Indices of the unchanged samples, at least one.
    """
    # A sample that lists a sentence twice counts once.
    counts = Counter(tuple(words) for i in unchanged for words in {tuple(w) for w in references[i]})
    most = max(counts.values())
    # Sentences that at least half as many samples list as the most listed one.
    common = [words for words, count in counts.items() if count >= most / 2]
    return list(max(common, key=lambda words: (len(words), counts[words], words)))


def trivial_predictions(flags: Sequence[bool], change: Words, no_change: Words) -> dict[str, list]:
    """Return the captions of two models that do not look at the images.

    Args:
        flags: Whether each of the N samples changed.
        change: The constant sentence for changed samples.
        no_change: The constant sentence for unchanged samples.

    Returns:
        ``'true_flag'`` (knows the flag, says one sentence for each kind) and ``'no_change'``
        (always says that nothing changed): N sentences each, as lists of words.
    """
    return {'true_flag': [list(change if flag else no_change) for flag in flags],
            'no_change': [list(no_change) for _ in flags]}
