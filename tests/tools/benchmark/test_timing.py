"""Cases take turns, medians are per unit, and mistakes are named."""
import gc

import pytest

from tools.benchmark.timing import Case, Timing, measure


def test_cases_take_turns_after_the_warm_up():
    calls = []
    cases = [Case(name, lambda name=name: calls.append(name)) for name in 'AB']
    timings = measure(cases, rounds=3, warmup=1)
    assert calls == list('ABABABAB')
    assert list(timings) == ['A', 'B']
    assert all(len(timing.rounds) == 3 for timing in timings.values())


def test_the_slower_case_is_slower_and_warm_up_does_not_count():
    clock = iter([9.0] + [0.0] * 9)

    def slow_first():
        end = next(clock)
        sum(range(200_000 if end == 0 else 20_000_000))

    timings = measure([Case('few', lambda: sum(range(1000))), Case('many', slow_first)], rounds=5,
                      warmup=1)
    assert timings['many'].over(timings['few']) > 5
    assert timings['many'].slowest < 300


def test_times_are_per_unit():
    timing = Timing('x', (0.3, 0.1, 0.2))
    assert (timing.ms, timing.fastest, timing.slowest) == (200.0, 100.0, pytest.approx(300.0))
    assert timing.per_second == 5.0
    assert timing.over(Timing('y', (0.1,))) == 2.0
    one = measure([Case('one', lambda: sum(range(500_000)))], rounds=5)['one']
    ten = measure([Case('ten', lambda: sum(range(500_000)), amount=10)], rounds=5)['ten']
    assert ten.ms < one.ms / 2


def test_a_timing_shows_its_spread_with_as_many_digits_as_make_sense():
    assert str(Timing('x', (0.3,))) == '300 (300–300)'
    assert str(Timing('x', (0.0123, 0.0119, 0.02))) == '12.3 (11.9–20.0)'
    assert str(Timing('x', (0.00123,))) == '1.23 (1.23–1.23)'


def test_the_device_is_waited_for_before_and_after_each_call():
    events = []
    measure([Case('A', lambda: events.append('run'))], rounds=2, warmup=0,
            synchronize=lambda: events.append('wait'))
    assert events == ['wait', 'run', 'wait'] * 2


def test_garbage_collection_rests_during_a_call_and_returns_even_after_an_error():
    seen = []
    measure([Case('A', lambda: seen.append(gc.isenabled()))], rounds=1, warmup=0)
    assert seen == [False] and gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        measure([Case('A', lambda: 1 / 0)], rounds=1)
    assert gc.isenabled()


def test_cases_need_distinct_names():
    with pytest.raises(ValueError, match=r"distinct names .* found \['A', 'A'\]"):
        measure([Case('A', print), Case('A', print)])
    with pytest.raises(ValueError, match='there must be one at least'):
        measure([])


def test_no_rounds_are_refused():
    with pytest.raises(ValueError, match='rounds=0, warmup=2'):
        measure([Case('A', print)], rounds=0)
