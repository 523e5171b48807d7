"""Benchmark within a given time: every way gets the rounds that fit, and what does not is named.

For machines that are lent for minutes. A way that fails (memory, a compiler) leaves its row with
the reason, and the others go on.
"""
import gc
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from tools.benchmark.machine import peak_growth
from tools.benchmark.tables import Text, say
from tools.benchmark.timing import Timing, measure, timed

LEFT_OUT: Text = ('left out: no time', '未测：时间不足')
#: Seconds that timed rounds may take where making and warming up left less.
_GRACE = 5.0
#: Letters of a reason that a table has room for.
_REASON = 120
Key = TypeVar('Key', bound=Hashable)


class Budget:
    """Seconds that are shared out.

    Args:
        seconds: From now on.
        rounds: Timed calls of a way, at most.
        clock: Seconds that pass.
    """

    def __init__(self, seconds: float, rounds: int = 30,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self.rounds, self.clock = rounds, clock
        self.end = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, below 0 where they were overdrawn."""
        return self.end - self.clock()

    def share(self, part: float, of: float) -> 'Budget':
        """Return a budget of ``part`` / ``of`` of what is left."""
        return Budget(max(0.0, self.left) * part / of, self.rounds, self.clock)

    def fitting(self, seconds: float) -> int:
        """Return how many rounds of so many seconds fit, 1 at least; a few seconds are granted."""
        return max(1, min(self.rounds, int(max(self.left, _GRACE) / max(seconds, 1e-9))))


@dataclass(frozen=True)
class Way:
    """Something to be timed that is made when its turn comes.

    Attributes:
        make: Builds it and returns what is called, without arguments.
        seconds: What making it and two calls may take; with less time left it is not begun.
    """
    make: Callable[[], Callable[[], Any]]
    seconds: float = 5.0


@dataclass(frozen=True)
class Outcome:
    """Outcome of a way that was timed, left out or failed.

    Attributes:
        timing: Of a sample; None without.
        reason: Why there is none.
        grown: Bytes that two calls need at their peak, beside what was there; None if unknown.
    """
    timing: Timing | None = None
    reason: Text = ''
    grown: int | None = None

    def cells(self, *figures: Callable[[Timing], Text]) -> list[Text]:
        """Return cells made of the timing; without one the reason, and empty ones."""
        if self.timing is None:
            return [self.reason, *[''] * (len(figures) - 1)]
        return [figure(self.timing) for figure in figures]

    @property
    def rounds(self) -> str:
        """Number of timed calls."""
        return '' if self.timing is None else str(len(self.timing.rounds))

    def memory(self, held: int) -> str:
        """Return the peak beside ``held`` bytes of weights, '' if it is unknown."""
        return '' if self.grown is None else f'{(held + self.grown) / 2**30:.1f} GiB'


def run_ways(ways: Mapping[Key, Way], budget: Budget, samples: int | Callable[[Key], int],
             device: str, title: str) -> dict[Key, Outcome]:
    """Make all ways, call each twice, and time those that ran in turn.

    Args:
        ways: A way by its name; first those that matter most.
        budget: Of all of them together.
        samples: Of a call, for all ways or by way.
        device: ``'cpu'`` or ``'cuda[:i]'``.
        title: For the progress bar and for messages.
    """
    calls: dict[Key, Callable[[], Any]] = {}
    seconds: dict[Key, float] = {}
    found: dict[Key, Outcome] = {}
    for key, way in ways.items():
        if budget.left < way.seconds:
            found[key] = Outcome(reason=LEFT_OUT)
            continue
        # One failure, of whatever kind, must not cost the figures of the others.
        try:
            call = way.make()
            found[key], seconds[key] = _warmed_up(call, device)
            calls[key] = call
        except Exception as error:
            found[key] = Outcome(reason=_reason(error))
            print(f'{title}, {key}: {say(found[key].reason, "en")}')
        release(device)
    if calls:
        times = measure(calls, samples=samples, rounds=budget.fitting(sum(seconds.values())),
                        warmup=0, device=device, title=title)
        found |= {key: Outcome(timing, grown=found[key].grown) for key, timing in times.items()}
    return {key: found[key] for key in ways}


def _warmed_up(call: Callable[[], Any], device: str) -> tuple[Outcome, float]:
    """Call twice; return the memory that it took, and the seconds of the second call."""
    took: list[float] = []

    def twice() -> None:
        # What an optimizer keeps is there from the second step on.
        took.extend(timed(call, device)[0] for _ in range(2))

    grown = peak_growth(twice, device)
    return Outcome(grown=grown), took[-1]


def _reason(error: Exception) -> Text:
    """Return the first line of an error, short enough for a table."""
    first = next(iter(str(error).strip().splitlines()), '').replace('|', '/')
    text = f'{type(error).__name__}: {first}'[:_REASON]
    return f'failed: {text}', f'失败：{text}'


def release(device: str) -> None:
    """Free what nobody holds any more: large models follow each other."""
    gc.collect()
    if device != 'cpu':
        torch.cuda.empty_cache()
