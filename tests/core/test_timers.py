"""The heap of deadlines against a plain sorted list."""

import random
import tracemalloc

from xor_fast.core.timers import Timer, Timers


def test_timers_fire_in_order_of_time_and_of_setting() -> None:
    """Whatever is cancelled meanwhile: the oracle is a list, sorted anew each time."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    timers, fired, expected = Timers(), list[int](), list[int]()
    waiting: dict[int, tuple[float, Timer]] = {}
    now = 0.0
    for number in range(5000):
        when = now + rng.choice([0, 1, 1, 2, 500])
        waiting[number] = when, timers.at(when, lambda _now, number=number: fired.append(number))
        for chosen in rng.sample(list(waiting), min(len(waiting), rng.randrange(3))):
            waiting.pop(chosen)[1].cancel()
        assert timers.deadline == min((when for when, _ in waiting.values()), default=None)
        if rng.random() < 0.1:
            now += rng.random() * 2
            timers.run_due(now)
            due = sorted((when, number) for number, (when, _) in waiting.items() if when <= now)
            expected += [number for _, number in due]
            for _, number in due:
                del waiting[number]
            assert fired == expected
    assert len(fired) > 200


def test_a_timer_may_cancel_another_that_is_due_with_it() -> None:
    timers, fired = Timers(), list[str]()

    def first(now: float) -> None:
        fired.append("first")
        second.cancel()

    timers.at(1.0, first)
    second = timers.at(1.0, lambda _now: fired.append("second"))
    timers.run_due(1.0)
    assert fired == ["first"]
    assert timers.deadline is None


def test_cancelled_timers_take_no_memory_until_they_would_have_been_due() -> None:
    """Each request has one for its retransmission, which nearly always is cancelled by the answer."""
    timers = Timers()
    standing = [timers.at(1000.0 + i, lambda _now: None) for i in range(100)]
    tracemalloc.start()
    try:
        for i in range(20_000):
            timers.at(3.0 + i, lambda _now: None).cancel()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 100_000
    assert all(timer.active for timer in standing)
    assert timers.deadline == 1000.0
