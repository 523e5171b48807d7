"""Runs of the model: one at a time, the others wait in line, and each can be stopped.

Whoever started a run asks for its state again and again. When nobody has asked for a while, the
page was closed, and the run stops at its next step.
"""
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rscc.demo.limits import Limits
from rscc.demo.words import Problem
from rscc.utils.logging import warn_once
from rscc.utils.watching import watched

#: Seconds without a question about a run, after which nobody waits for it any more.
ABANDONED = 15.0


class Stopped(Exception):
    """Raised inside a run that shall end."""


@dataclass(frozen=True)
class Progress:
    """Progress of a run of the web page: its stage, and steps done of all.

    Attributes:
        stage: Name of what is being done, among the page's texts.
        done, total: Of its steps; a total of 0 where there are no steps to count.
        seconds: Since the stage began.
    """
    stage: str
    done: int = 0
    total: int = 0
    seconds: float = 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds that the stage will take longer, judged by what is done; None where unknown."""
        if not (self.done and self.total and self.seconds):
            return None
        return self.seconds / self.done * max(0, self.total - self.done)


class Job:
    """One run, from waiting to its end.

    Args:
        work: What is done; it is given the job and calls :meth:`stage` and :meth:`advance`. It can
            be stopped there, and at every step of what it calls (:mod:`rscc.utils.watching`).
        owner: Who started it.
        limits: How long it may take.
        clock: Gives seconds that only ever grow.

    Attributes:
        state: ``'waiting'``, ``'running'``, ``'done'``, ``'stopped'`` or ``'failed'``.
        result: What the work returned.
        error: Why it failed.
    """

    def __init__(self, work: Callable[['Job'], Any], owner: object, limits: Limits,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._work, self.owner, self._limits, self._clock = work, owner, limits, clock
        self.state, self.result, self.error = 'waiting', None, None
        self._asked = self._stage_began = self._began = clock()
        self._cancelled, self._progress = False, Progress('stage_reading')

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._began

    @property
    def finished(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state in ('done', 'stopped', 'failed')

    def ask(self) -> Progress:
        """Return how far it is; that somebody asks keeps it alive."""
        self._asked = self._clock()
        return self._progress

    def cancel(self) -> None:
        """Stop it at its next step."""
        self._cancelled = True
        if self.state == 'waiting':
            self.state = 'stopped'

    @property
    def cancelled(self) -> bool:
        """Whether it was told to stop; a step that has begun may still go on."""
        return self._cancelled

    @property
    def abandoned(self) -> bool:
        """Whether nobody has asked about it for a while."""
        return self._clock() - self._asked > ABANDONED

    def stage(self, name: str, total: int = 0) -> None:
        """Begin another stage of the work.

        Raises:
            Stopped: If it shall end.
        """
        self._stage_began, self._progress = self._clock(), Progress(name, 0, total)
        self.check()

    def advance(self, steps: int = 1) -> None:
        """Count steps of the stage that are done.

        Raises:
            Stopped: If it shall end.
        """
        now = self._progress
        self._progress = Progress(now.stage, now.done + steps, now.total,
                                  self._clock() - self._stage_began)
        self.check()

    def check(self) -> None:
        """End a run that was cancelled, abandoned, or has taken too long.

        Raises:
            Stopped: If it was cancelled, or nobody waits for it.
            Problem: If it has taken too long.
        """
        if self._cancelled or self.abandoned:
            raise Stopped
        if self._clock() - self._began > self._limits.minutes * 60:
            raise Problem('too_slow', minutes=f'{self._limits.minutes:g}')

    def run(self) -> None:
        """Do the work; whatever it raises becomes its state."""
        if self.finished or self.abandoned:
            self.state = 'stopped'
            return
        self.state, self._began = 'running', self._clock()
        self._stage_began = self._began
        try:
            with watched(self.check):
                self.result = self._work(self)
            self.state = 'stopped' if self._cancelled else 'done'
        except Stopped:
            self.state = 'stopped'
        except (Problem, OSError, ValueError, ImportError) as error:
            self.error, self.state = error, 'failed'
        except MemoryError:
            self.error, self.state = Problem('no_memory'), 'failed'
        except Exception as error:  # the page lives on whatever a model or a file does
            warn_once('a run of the page failed:\n' + traceback.format_exc())
            self.error, self.state = error, 'failed'


class Jobs:
    """The line of runs before one model; a thread of its own takes the first, then the next.

    Args:
        limits: How many may wait.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits, self._line = limits, deque()
        self._running: Job | None = None
        self._wake = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._serve, name='rscc-demo', daemon=True)
        self._thread.start()

    def start(self, work: Callable[[Job], Any], owner: object) -> Job:
        """Put a run in line.

        Args:
            work: See :class:`Job`.
            owner: Who started it; nobody has more than a few.

        Raises:
            Problem: If the line is full, or its owner has too many in it.
        """
        with self._wake:
            self._line = deque(job for job in self._line if not job.finished and not job.abandoned)
            own = [job for job in (self._running, *self._line)
                   if job is not None and job.owner is owner and not job.cancelled]
            if len(own) >= self._limits.per_visitor:
                raise Problem('own_runs', count=len(own))
            if len(self._line) >= self._limits.waiting:
                raise Problem('line_full', waiting=self._limits.waiting)
            job = Job(work, owner, self._limits)
            self._line.append(job)
            self._wake.notify()
            return job

    def ahead(self, job: Job) -> int:
        """Return how many runs come before one that waits."""
        with self._wake:
            line = [other for other in self._line if not other.finished]
            before = line.index(job) if job in line else 0
            return before + (self._running is not None and self._running is not job)

    def close(self) -> None:
        """Stop everything and end the thread."""
        with self._wake:
            self._open = False
            for job in (*self._line, *([] if self._running is None else [self._running])):
                job.cancel()
            self._wake.notify()
        self._thread.join(timeout=30)

    def _serve(self) -> None:
        while True:
            with self._wake:
                while self._open and not self._line:
                    self._wake.wait()
                if not self._open:
                    return
                self._running = self._line.popleft()
            self._running.run()
            with self._wake:
                self._running = None
