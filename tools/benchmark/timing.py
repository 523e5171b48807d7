"""Interleaved timing of calls in one process.

A machine's speed drifts (clock, neighbours, caches). Calls that take turns, A B A B, see the same
drift, so the ratio of their medians says more than two separate runs would.
"""
import gc
import math
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from rscc.utils import progress

Way = TypeVar('Way', bound=Hashable)
#: Calls of each way before those that count.
WARMUP = 2
#: Rounds that are timed however long they take.
LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Timing:
    """Seconds per sample, one entry a round."""
    rounds: tuple[float, ...]

    @property
    def ms(self) -> float:
        """Median, in milliseconds."""
        return 1e3 * statistics.median(self.rounds)

    @property
    def fastest(self) -> float:
        """Shortest round, in milliseconds."""
        return 1e3 * min(self.rounds)

    @property
    def slowest(self) -> float:
        """Longest round, in milliseconds."""
        return 1e3 * max(self.rounds)

    @property
    def per_second(self) -> float:
        """Samples a second at the median."""
        return 1e3 / self.ms

    def over(self, other: 'Timing') -> float:
        """Return the ratio of the medians: how many times the time of ``other``."""
        return self.ms / other.ms

    def against(self, other: 'Timing') -> str:
        """Return the ratio to ``other`` round by round: median (lower to upper quartile)."""
        low, middle, high = np.percentile(np.divide(self.rounds, other.rounds), (25, 50, 75))
        return f'{middle:.2f} ({low:.2f}–{high:.2f})'

    def __str__(self) -> str:
        digits = 0 if self.ms >= 100 else 1 if self.ms >= 10 else 2
        return f'{self.ms:.{digits}f} ({self.fastest:.{digits}f}–{self.slowest:.{digits}f})'


def measure(calls: Mapping[Way, Callable[[], Any]], *,
            samples: int | Callable[[Way], int] = 1, rounds: int = 20, warmup: int = WARMUP,
            within: float = math.inf, device: str = 'cpu', title: str = 'measuring',
            clock: Callable[[], float] = time.perf_counter) -> dict[Way, Timing]:
    """Time several ways of doing something in turn, round after round.

    Args:
        calls: A way -> what is called for it, without arguments.
        samples: Pairs or images that one call handles, for all ways or by way; times are per
            sample.
        rounds: Timed calls of each way.
        warmup: Calls before them that do not count (allocation, compilation, caches).
        within: Seconds for the timed rounds: where the last of the warm-up says that they would
            take longer, there are fewer, but three at least.
        device: ``'cpu'`` or ``'cuda[:i]'``, which is waited for.
        title: For the progress bar.
        clock: Seconds; ``time.process_time`` leaves out the work of others on the same cores.

    Raises:
        ValueError: If there is nothing to call, or ``rounds`` is below 1.
    """
    if not calls:
        raise ValueError('there must be at least one call to measure')
    if rounds < 1 or warmup < 0:
        raise ValueError(f'rounds must be at least 1 and warmup 0, found rounds={rounds}, '
                         f'warmup={warmup}')
    seconds: dict[Way, list[float]] = {way: [] for way in calls}
    # What is alive now stays alive: only what the rounds leave behind is looked through.
    gc.collect()
    gc.freeze()
    round_took = 0.0
    try:
        turns = range(warmup)
        for _ in progress(turns, f'{title}, warm-up', unit='round') if warmup else turns:
            start = time.perf_counter()
            for call in calls.values():
                timed(call, device, clock)
            round_took = time.perf_counter() - start
        for _ in progress(range(_fitting(rounds, within, round_took)), title, unit='round'):
            for way, call in calls.items():
                took, _ = timed(call, device, clock)
                seconds[way].append(took / (samples(way) if callable(samples) else samples))
    finally:
        gc.unfreeze()
    return {way: Timing(tuple(values)) for way, values in seconds.items()}


def _fitting(rounds: int, within: float, took: float) -> int:
    """Return how many of the rounds fit if one takes ``took`` seconds, three at least."""
    return rounds if rounds * took <= within else min(rounds, max(LEAST_ROUNDS, int(within / took)))


def timed(call: Callable[[], Any], device: str = 'cpu',
          clock: Callable[[], float] = time.perf_counter) -> tuple[float, Any]:
    """Return the seconds of a call, and its result.

    Garbage is collected before it and not during it.
    """
    wait = (lambda: None) if device == 'cpu' else lambda: torch.cuda.synchronize(device)
    gc.collect()
    collecting = gc.isenabled()
    gc.disable()
    try:
        wait()
        start = clock()
        result = call()
        wait()
        return clock() - start, result
    finally:
        if collecting:
            gc.enable()
