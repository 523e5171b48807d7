"""Calls take turns, medians are per sample, and mistakes are named."""
import gc
import math

import pytest

from tools.benchmark import timing as module
from tools.benchmark.timing import Timing, measure


def test_calls_take_turns_after_the_warm_up():
    called = []
    calls = {('fp32', name): lambda name=name: called.append(name) for name in 'AB'}
    timings = measure(calls, rounds=3, warmup=1)
    assert called == list('ABABABAB')
    assert list(timings) == [('fp32', 'A'), ('fp32', 'B')]
    assert all(len(timing.rounds) == 3 for timing in timings.values())


def test_rounds_that_would_take_too_long_are_left_out_but_for_three(monkeypatch):
    now = 0.0
    monkeypatch.setattr(module.time, 'perf_counter', lambda: now)

    def rounds_within(seconds, first=2.0, **options):
        takes = iter([first])

        def call():
            nonlocal now
            now += next(takes, 2.0)

        return len(measure(dict(A=call, B=call), within=seconds, **options)['B'].rounds)

    assert [rounds_within(seconds) for seconds in (1, 12, 16, 79, 80, math.inf)] == [
        3, 3, 4, 19, 20, 20]
    assert rounds_within(1, rounds=2) == 2
    # A slow first call (compilation) does not count; without a warm-up nothing is known.
    assert rounds_within(40, first=900.0) == 10
    assert rounds_within(1, warmup=0) == 20


def test_the_slower_case_is_slower_and_warm_up_does_not_count():
    clock = iter([9.0] + [0.0] * 9)

    def slow_first():
        end = next(clock)
        sum(range(200_000 if end == 0 else 20_000_000))

    timings = measure(dict(few=lambda: sum(range(1000)), many=slow_first), rounds=5, warmup=1)
    assert timings['many'].over(timings['few']) > 5
    assert timings['many'].slowest < 300


def test_times_are_per_sample(monkeypatch):
    timing = Timing((0.3, 0.1, 0.2))
    assert (timing.ms, timing.fastest, timing.slowest) == (200.0, 100.0, pytest.approx(300.0))
    assert timing.per_second == 5.0
    assert timing.over(Timing((0.1,))) == 2.0
    monkeypatch.setattr(module, 'timed', lambda call, device, clock: (call(), None))
    calls = dict(one=lambda: 3.0, ten=lambda: 20.0)
    times = measure(calls, samples=lambda way: 10 if way == 'ten' else 1, rounds=2)
    assert times == dict(one=Timing((3.0, 3.0)), ten=Timing((2.0, 2.0)))
    assert measure(calls, samples=4, rounds=1)['ten'] == Timing((5.0,))


def test_a_timing_shows_its_spread_with_as_many_digits_as_make_sense():
    assert str(Timing((0.3,))) == '300 (300–300)'
    assert str(Timing((0.0123, 0.0119, 0.02))) == '12.3 (11.9–20.0)'
    assert str(Timing((0.00123,))) == '1.23 (1.23–1.23)'


def test_the_device_is_waited_for_before_and_after_each_call(monkeypatch):
    events = []
    monkeypatch.setattr(module.torch.cuda, 'synchronize',
                        lambda device: events.append(device) if device == 'cuda:0' else None)
    measure(dict(A=lambda: events.append('run')), rounds=2, warmup=0, device='cuda:0')
    assert events == ['cuda:0', 'run', 'cuda:0'] * 2


def test_garbage_collection_rests_during_a_call_and_returns_even_after_an_error():
    seen = []
    frozen = gc.get_freeze_count()
    measure(dict(A=lambda: seen.append(gc.isenabled())), rounds=1, warmup=0)
    assert seen == [False] and gc.isenabled() and gc.get_freeze_count() == frozen
    with pytest.raises(ZeroDivisionError):
        measure(dict(A=lambda: 1 / 0), rounds=1)
    assert gc.isenabled() and gc.get_freeze_count() == frozen


def test_nothing_to_call_and_no_rounds_are_refused():
    with pytest.raises(ValueError, match='there must be at least one call to measure'):
        measure({})
    with pytest.raises(ValueError, match='rounds=0, warmup=2'):
        measure(dict(A=print), rounds=0)


def test_ratios_are_taken_round_by_round():
    one, other = Timing((1.0, 4.0, 3.0)), Timing((2.0, 4.0, 1.0))
    assert one.against(other) == '1.00 (0.75–2.00)'


def test_another_clock_can_count():
    ticks = iter(range(100))
    times = measure(dict(A=lambda: None), rounds=2, warmup=1, clock=lambda: float(next(ticks)))
    assert times['A'] == Timing((1.0, 1.0)) and next(ticks) == 6
