"""Intervals of corpus scores by resampling images (Efron's percentile bootstrap), paired tests.

A corpus BLEU is no mean of sentence scores, so each resample adds up the counts of its images anew:
one matrix product for all images of many resamples.
"""
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Difference:
    """One score of two systems on the same images.

    Attributes:
        one, other: The scores, each the mean over the runs of its system.
        one_ends, other_ends: Ends of their intervals.
        low, high: Ends of the interval of ``one - other``.
        p: Share of random exchanges of the two systems' answers, image by image, that differ at
            least as much: small where the difference is no accident of these images.
    """
    one: float
    other: float
    one_ends: tuple[float, float]
    other_ends: tuple[float, float]
    low: float
    high: float
    p: float

    @property
    def value(self) -> float:
        """``one - other``."""
        return self.one - self.other


def paired_difference(one: Sequence[np.ndarray], other: Sequence[np.ndarray],
                      score: Callable[[np.ndarray], float], resamples: int = 1000, seed: int = 0,
                      level: float = 0.95) -> Difference:
    """Compare two systems, each of one or several runs, on the same images.

    Intervals: every resample draws images with replacement, the same for all runs, and of each
    system as many of its runs as it has, so they include the variation between runs. The test is
    approximate randomisation (Noreen, 1989) on the images; with several runs of a system, on the
    means of their counts.

    Args:
        one: Per run (N, K) counts of N images whose sums ``score`` takes.
        other: The same of the other system, on the same images in the same order.
        score: Sums (K,) -> the score.
        resamples: How many, at least 100.
        seed: Of the generator.
        level: Share of the resamples inside the intervals.

    Raises:
        ValueError: If there are no images, the images differ in number, or the resamples are too
            few.
    """
    check_resamples(resamples)
    sizes = {len(run) for run in (*one, *other)}
    if len(sizes) != 1 or not min(sizes) or not resamples or not one or not other:
        raise ValueError('a paired comparison needs two systems with the same images, at least one '
                         f'of them, and resamples: got {sorted(sizes)} images, {resamples} '
                         'resamples')
    sides = [np.asarray(side, dtype=np.float64) for side in (one, other)]  # (F, N, K)
    images = sides[0].shape[1]
    rng = np.random.default_rng([seed, 1])
    # (R, 2): the two systems on every resample of the images and of their runs.
    found = []
    for times in _draws(images, resamples, seed):
        means = [_of_runs(side, times, score, rng) for side in sides]
        found.append(np.stack(means, axis=1))
    drawn = np.concatenate(found)
    ends = np.quantile(np.c_[drawn, drawn[:, 0] - drawn[:, 1]],
                       [(1 - level) / 2, (1 + level) / 2], axis=0)
    values = [float(np.mean([score(run.sum(0)) for run in side])) for side in sides]
    (one_ends, other_ends, (low, high)) = (tuple(map(float, column)) for column in ends.T)
    return Difference(*values, one_ends, other_ends, low, high,
                      _exchanged(sides[0].mean(0), sides[1].mean(0), score, resamples, rng))


def _of_runs(side: np.ndarray, times: np.ndarray, score: Callable[[np.ndarray], float],
             rng: np.random.Generator) -> np.ndarray:
    """Return the mean score (R,) of runs drawn for each of R resamples of the images."""
    # (F, R): every run on every resample.
    values = np.array([[score(sums) for sums in times @ run] for run in side])
    chosen = rng.integers(len(side), size=values.shape)
    return np.take_along_axis(values, chosen, axis=0).mean(0)


def _exchanged(one: np.ndarray, other: np.ndarray, score: Callable[[np.ndarray], float],
               resamples: int, rng: np.random.Generator) -> float:
    """Return how often exchanging the answers of random images makes as large a difference."""
    whole, gap = one.sum(0) + other.sum(0), one - other
    seen = abs(score(one.sum(0)) - score(other.sum(0)))
    block = max(1, _BLOCK // len(one))
    hits = 0
    for start in range(0, resamples, block):
        signs = rng.choice([-1.0, 1.0], size=(min(block, resamples - start), len(one)))
        # Sums of one side; the other has the rest.
        sums = (whole + signs @ gap) / 2
        hits += sum(abs(score(row) - score(whole - row)) >= seen - 1e-12 for row in sums)
    return (hits + 1) / (resamples + 1)


def _draws(images: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield blocks (R, N): how often each of R resamples draws each of N images."""
    # N draws with replacement from N images: multinomial counts.
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // images)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        yield rng.multinomial(images, np.full(images, 1 / images), size=size).astype(np.float64)
