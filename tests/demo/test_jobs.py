import threading

import pytest

from rscc.demo.jobs import ABANDONED, Job, Jobs, Progress
from rscc.demo.limits import Limits
from rscc.demo.words import Problem
from rscc.utils.watching import step

LIMITS = Limits(waiting=3, per_visitor=2, minutes=1)
LONG = 20  # seconds, after which a test has failed


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def jobs():
    line = Jobs(LIMITS)
    yield line
    line.close()


def ended(job):
    waited = threading.Event()
    for _ in range(LONG * 100):
        if job.finished:
            return job.state
        job.ask()
        waited.wait(0.01)
    raise AssertionError(f'still {job.state}')


def held():
    """Return work that goes on until it is let go, and the event that lets it."""
    begun, free = threading.Event(), threading.Event()

    def work(job):
        begun.set()
        while not free.wait(0.01):
            job.advance(0)
        return 'answer'
    work.begun, work.free = begun, free
    return work


def test_a_run_gives_its_result(jobs):
    job = jobs.start(lambda job: 6 * 7, 'visitor')
    assert ended(job) == 'done'
    assert job.result == 42


def test_runs_come_one_after_the_other(jobs):
    first = held()
    running = jobs.start(first, 'a')
    assert first.begun.wait(LONG)
    second, third = jobs.start(lambda job: 2, 'b'), jobs.start(lambda job: 3, 'c')
    assert (jobs.ahead(second), jobs.ahead(third)) == (1, 2)
    assert second.state == 'waiting'
    first.free.set()
    assert [ended(job) for job in (running, second, third)] == ['done'] * 3


def test_a_thousand_requests_are_refused_and_the_line_goes_on(jobs):
    first = held()
    running = jobs.start(first, 'a')
    assert first.begun.wait(LONG)
    waiting = [jobs.start(lambda job: 'late', f'visitor {number}') for number in range(3)]
    for number in range(1000):
        with pytest.raises(Problem, match='In line already: 3 runs'):
            jobs.start(lambda job: None, f'other {number}')
    first.free.set()
    assert [ended(job) for job in (running, *waiting)] == ['done'] * 4


def test_nobody_fills_the_line_alone(jobs):
    first = held()
    jobs.start(first, 'greedy')
    jobs.start(lambda job: None, 'greedy')
    with pytest.raises(Problem, match='You have 2 runs in line'):
        jobs.start(lambda job: None, 'greedy')
    modest = jobs.start(lambda job: 'mine', 'modest')
    first.free.set()
    assert ended(modest) == 'done'


def test_a_running_one_stops_at_its_next_step(jobs):
    work = held()
    job = jobs.start(work, 'a')
    assert work.begun.wait(LONG)
    job.cancel()
    assert ended(job) == 'stopped'
    assert job.result is None


def test_a_step_of_what_it_calls_stops_it_too(jobs):
    begun = threading.Event()

    def work(job):
        begun.set()
        while True:
            step()
    job = jobs.start(work, 'a')
    assert begun.wait(LONG)
    job.cancel()
    assert ended(job) == 'stopped'


def test_a_step_that_takes_long_keeps_nobody_from_the_next_run(jobs):
    begun, free = threading.Event(), threading.Event()

    def deaf(job):
        begun.set()
        free.wait(LONG)
    first = jobs.start(deaf, 'a')
    assert begun.wait(LONG)
    first.cancel()
    again, further = jobs.start(lambda job: 1, 'a'), jobs.start(lambda job: 2, 'a')
    assert first.cancelled and not first.finished
    free.set()
    assert (ended(again), ended(further)) == ('done', 'done')


def test_a_waiting_one_that_was_stopped_never_begins(jobs):
    first, second = held(), held()
    jobs.start(first, 'a')
    job = jobs.start(second, 'b')
    job.cancel()
    first.free.set()
    last = jobs.start(lambda job: 1, 'c')
    assert ended(last) == 'done'
    assert job.state == 'stopped'
    assert not second.begun.is_set()


def test_work_ends_when_nobody_asks_for_it_any_more():
    clock, steps = Clock(), []

    def work(job):
        for number in range(100):
            clock.now += 1
            job.advance()
            steps.append(number)
    job = Job(work, 'closed tab', LIMITS, clock)
    job.run()
    assert job.state == 'stopped'
    assert len(steps) <= ABANDONED

    steps.clear()

    def watched(job):
        for _ in range(40):
            clock.now += 1
            job.ask()
            job.advance()
            steps.append(1)
    job = Job(watched, 'open tab', LIMITS, clock)
    job.run()
    assert job.state == 'done'
    assert len(steps) == 40


def test_a_run_that_takes_too_long_is_stopped_with_a_sentence():
    clock = Clock()

    def work(job):
        for _ in range(100):
            clock.now += 1
            job.ask()
            job.advance()
    job = Job(work, 'patient', LIMITS, clock)
    job.run()
    assert job.state == 'failed'
    assert 'stopped after 1 min,' in str(job.error)


@pytest.mark.parametrize('error', [
    ValueError('sizes differ'), Problem('no_memory'), OSError('gone'), ImportError('pip install'),
    RuntimeError('kernel'), ZeroDivisionError(), AssertionError('inner')])
def test_whatever_a_run_raises_the_next_one_is_answered(jobs, error):
    def fail(job):
        raise error
    job = jobs.start(fail, 'a')
    assert ended(job) == 'failed'
    assert job.error is error
    assert ended(jobs.start(lambda job: 'next', 'b')) == 'done'


def test_lack_of_memory_becomes_a_sentence(jobs):
    def fail(job):
        raise MemoryError
    job = jobs.start(fail, 'a')
    assert ended(job) == 'failed'
    assert 'memory of this machine does not suffice' in str(job.error)


def test_progress_tells_steps_and_the_time_that_is_left():
    clock = Clock()
    job = Job(lambda job: None, 'a', LIMITS, clock)
    assert job.ask() == Progress('stage_reading')
    job.stage('stage_answering', 10)
    assert job.ask().remaining is None
    clock.now += 4
    job.advance(2)
    assert job.ask() == Progress('stage_answering', 2, 10, 4.0)
    assert job.ask().remaining == 16


def test_closing_the_page_stops_what_runs():
    jobs, work = Jobs(LIMITS), held()
    job = jobs.start(work, 'a')
    waiting = jobs.start(lambda job: None, 'b')
    assert work.begun.wait(LONG)
    jobs.close()
    assert (job.state, waiting.state) == ('stopped', 'stopped')
