"""Interleaved timing of callables in one process, and medians.

A machine's speed drifts (clock, neighbours, caches). Cases that take turns, A B A B, see the same
drift, so the ratio of their medians says more than two separate runs would.
"""
import gc
import statistics
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from rscc.utils import progress

#: Calls of each case before those that count.
WARMUP = 2


@dataclass(frozen=True)
class Case:
    """One way of doing something.

    Attributes:
        name: Unique among the cases it is measured with.
        run: What is timed; called without arguments.
        amount: Units (pairs) that one call handles; times are per unit.
    """
    name: Hashable
    run: Callable[[], Any]
    amount: int = 1


@dataclass(frozen=True)
class Timing:
    """What the rounds of one case took, per unit.

    Attributes:
        name: Of the case.
        rounds: Seconds per unit, one entry a round.
    """
    name: Hashable
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
        """Units a second at the median."""
        return 1e3 / self.ms

    def over(self, other: 'Timing') -> float:
        """Return the ratio of the medians: how many times the time of ``other``."""
        return self.ms / other.ms

    def __str__(self) -> str:
        digits = 0 if self.ms >= 100 else 1 if self.ms >= 10 else 2
        return f'{self.ms:.{digits}f} ({self.fastest:.{digits}f}–{self.slowest:.{digits}f})'


def measure(cases: Sequence[Case], rounds: int = 20, warmup: int = WARMUP,
            synchronize: Callable[[], None] | None = None,
            title: str = 'measuring') -> dict[Any, Timing]:
    """Time cases in turn, round after round.

    Args:
        cases: What to compare.
        rounds: Timed calls of each case.
        warmup: Calls before them that do not count (allocation, compilation, caches).
        synchronize: Waits until the device has finished, ``torch.cuda.synchronize`` for instance.
        title: For the progress bar.

    Returns:
        Name of a case -> its timing, in the order given.

    Raises:
        ValueError: If there is no case, two share a name, or ``rounds`` is below 1.
    """
    names = [case.name for case in cases]
    if not names or len(set(names)) < len(names):
        raise ValueError(f'cases need distinct names and there must be one at least, found {names}')
    if rounds < 1 or warmup < 0:
        raise ValueError(f'rounds must be at least 1 and warmup 0, found rounds={rounds}, '
                         f'warmup={warmup}')
    seconds: dict[Hashable, list[float]] = {name: [] for name in names}
    for turn in progress(range(warmup + rounds), title, unit='round'):
        for case in cases:
            took, _ = timed(case.run, synchronize)
            if turn >= warmup:
                seconds[case.name].append(took / case.amount)
    return {name: Timing(name, tuple(values)) for name, values in seconds.items()}


def timed(call: Callable[[], Any], synchronize: Callable[[], None] | None = None
          ) -> tuple[float, Any]:
    """Return the seconds of a call, and its result.

    Garbage is collected before it and not during it.
    """
    gc.collect()
    collecting = gc.isenabled()
    gc.disable()
    try:
        if synchronize:
            synchronize()
        start = time.perf_counter()
        result = call()
        if synchronize:
            synchronize()
        return time.perf_counter() - start, result
    finally:
        if collecting:
            gc.enable()
