"""Time that is shared out: what fits, what is left out, what fails."""
import pytest

from tools.benchmark import budget as budgets
from tools.benchmark.budget import LEFT_OUT, Budget, Way, run_ways
from tools.benchmark.tables import say


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def calls(monkeypatch, clock):
    """Return a function: a number of seconds -> a way whose calls take them by the clock."""
    made = []

    def timed(call, device):
        before = clock()
        result = call()
        return clock() - before, result

    def measure(calls, *, samples, rounds, warmup, device, title):
        from tools.benchmark.timing import Timing
        assert warmup == 0
        return {way: Timing(tuple(timed(call, device)[0] / (
            samples(way) if callable(samples) else samples) for _ in range(rounds)))
            for way, call in calls.items()}

    monkeypatch.setattr(budgets, 'timed', timed)
    monkeypatch.setattr(budgets, 'measure', measure)

    def make(seconds, least=5.0):
        def call():
            clock.now += seconds

        return Way(lambda: made.append(seconds) or call, least)

    make.made = made
    return make


def run(ways, budget, samples=1):
    return run_ways(ways, budget, samples, 'cpu', 'test')


def test_every_way_gets_the_rounds_that_fit_together(calls, clock):
    found = run({'a': calls(1.0), 'b': calls(3.0)}, Budget(50, 30, clock))
    # Twice each before: 8 of 50 seconds.
    assert [outcome.rounds for outcome in found.values()] == ['10', '10']
    assert clock() == 100 + 48
    assert run({'a': calls(0.1)}, Budget(50, 30, clock))['a'].rounds == '30'


def test_a_way_without_its_time_is_named_and_the_next_one_may_fit(calls, clock):
    found = run({'compile': calls(1, 60), 'eager': calls(1)}, Budget(20, 30, clock))
    assert found['compile'].cells(str, str) == [LEFT_OUT, '']
    assert list(found) == ['compile', 'eager'] and found['eager'].rounds == '18'
    assert calls.made == [1], 'what does not fit is not built'


def test_what_took_longer_than_thought_leaves_a_few_seconds_to_the_others(calls, clock):
    found = run({'eager': calls(0.5), 'compile': calls(20)}, Budget(10, 30, clock))
    assert found['eager'].rounds == found['compile'].rounds == '1'
    assert run({'eager': calls(0.5, 0)}, Budget(0, 30, clock))['eager'].rounds == '10'


def test_a_failure_is_named_and_costs_no_other_way(calls, clock, capsys):
    def fail():
        raise RuntimeError('CUDA out of memory | tried to\nallocate much')

    found = run({'a': Way(fail), 'b': Way(lambda: fail), 'c': calls(1)}, Budget(50, 3, clock))
    assert found['c'].timing is not None
    for name in 'ab':
        assert say(found[name].reason, 'en') == (
            'failed: RuntimeError: CUDA out of memory / tried to')
        assert found[name].memory(1) == found[name].rounds == ''
    assert 'test, a: failed' in capsys.readouterr().out


def test_shares_are_of_what_is_left(clock):
    whole = Budget(100, 5, clock)
    part = whole.share(3, 4)
    assert part.left == 75 and part.rounds == 5
    clock.now += 90
    assert part.left == -15 and whole.left == 10
    clock.now += 20
    assert whole.share(1, 2).left == 0 and whole.fitting(10) == 1


def test_memory_is_that_of_weights_and_calls():
    held = run_ways({'a': Way(lambda: lambda: [bytearray(2**20)])}, Budget(50, 1), 2, 'cpu', 'm')
    assert held['a'].memory(2**31).endswith(' GiB') and held['a'].memory(2**31) >= '2.0 GiB'
    assert len(held['a'].timing.rounds) == 1


def test_times_are_those_of_a_sample(calls, clock):
    found = run({('x', 4): calls(2)}, Budget(50, 1, clock), lambda way: way[1])
    assert found['x', 4].timing.ms == 500
