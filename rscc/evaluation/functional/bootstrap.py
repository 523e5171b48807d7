"""Confidence intervals of corpus scores by resampling images (Efron's percentile bootstrap).

A corpus BLEU is no mean of sentence scores, so each resample adds up the counts of its images anew:
one matrix product for all images of many resamples.
"""
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

#: Below this many resamples the ends of a 95 % interval rest on one or two of them.
FEWEST = 100
#: Numbers held at a time; 8 bytes each.
_BLOCK = 4_000_000


def check_resamples(resamples: int) -> None:
    """Refuse numbers of resamples that give no interval.

    Raises:
        ValueError: Unless 0 (no intervals) or at least 100.
    """
    if resamples and resamples < FEWEST:
        raise ValueError(f'bootstrap={resamples} gives no 95 % interval: use at least {FEWEST} '
                         'resamples (1000 is usual), or 0 for none')


def bootstrap_intervals(totals: np.ndarray, bleu: Callable[[np.ndarray], Sequence[float]],
                        means: Mapping[str, Sequence[float]], resamples: int = 1000, seed: int = 0,
                        level: float = 0.95) -> dict[str, tuple[float, float]]:
    """Return the interval of every score over resampled images.

    Each resample draws N of the N images with replacement, an image with all its references.
    Scores per image are taken as they are: CIDEr keeps the document frequencies of the whole set.

    Args:
        totals: (N, K) counts per image whose sums ``bleu`` takes.
        bleu: Sums (K,) -> BLEU-1 to BLEU-4.
        means: Name -> N scores per image whose mean is the score.
        resamples: How many, at least 100.
        seed: Of the generator; the same seed draws the same images for every model.
        level: Share of the resamples inside the interval.

    Returns:
        Name (``Bleu_1`` to ``Bleu_4`` and those of ``means``) -> (low, high), in the unit given.

    Raises:
        ValueError: If there are no images or too few resamples.
    """
    totals = np.asarray(totals, dtype=np.float64)
    if not len(totals) or not resamples:
        raise ValueError(f'an interval needs images and resamples: got {len(totals)} images, '
                         f'{resamples} resamples')
    check_resamples(resamples)
    # (M, N): the M scores that are means over images.
    rows = np.array(list(means.values()), dtype=np.float64).reshape(len(means), len(totals))
    found: list[np.ndarray] = []
    # Per block of R resamples: sums of counts (R, K) give BLEU (R, 4), the rest are means (R, M).
    for times in _draws(len(totals), resamples, seed):
        bleus = np.array([bleu(sums) for sums in times @ totals])
        found.append(np.concatenate([bleus, times @ rows.T / len(totals)], axis=1))
    # Low and high end of every score, (2, 4 + M).
    ends = np.quantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2], axis=0)
    names = [*(f'Bleu_{order}' for order in range(1, ends.shape[1] - len(means) + 1)), *means]
    return {name: (float(low), float(high)) for name, low, high in zip(names, *ends, strict=True)}


def _draws(images: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield blocks (R, N): how often each of R resamples draws each of N images."""
    # N draws with replacement from N images: multinomial counts.
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // images)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        yield rng.multinomial(images, np.full(images, 1 / images), size=size).astype(np.float64)
