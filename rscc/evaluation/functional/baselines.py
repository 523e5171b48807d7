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


def human_leave_one_out(references: Sequence[Sequence[Words]],
                        flags: Sequence[bool]) -> tuple[list[Words], list[list[Words]]]:
    """Take one reference of each sample as a prediction, and return what to score it against.

    On changed samples the first reference is the prediction and is taken from the references; on
    unchanged ones it stays among them, for the stock sentences are all right.

    Args:
        references: N lists of at least two reference sentences, each a list of words.
        flags: Whether each sample changed.

    Returns:
        N predictions and N lists of references.

    Raises:
        ValueError: If a changed sample has a single reference.
    """
    single = [i for i, flag in enumerate(flags) if flag and len(references[i]) < 2]
    if single:
        raise ValueError(f'leave-one-out scores need two references a sample: sample '
                         f'{single[0]} has {len(references[single[0]])}')
    # Stock sentences of unchanged samples are all right: none is taken out.
    left = [list(sentences[1:] if flag else sentences)
            for sentences, flag in zip(references, flags, strict=True)]
    return [sentences[0] for sentences in references], left
