"""Two programs that do the same thing, measured in turn: for the ratios that are asked of us.

A round times one and then the other for a few milliseconds of CPU time; what disturbs the machine for longer than that
disturbs both. The median of the rounds' ratios counts.
"""

import statistics
import time
from collections.abc import Callable
from itertools import repeat
from typing import Any, NamedTuple

Run = Callable[[int], object]
"""Does the thing so many times."""


class Pair(NamedTuple):
    """One row: ours beside its reference."""

    what: str
    reference_name: str
    ours: Run
    reference: Run
    asked: float | None = None
    """The least ratio (time of the reference / time of ours)."""
    idle: Run | None = None
    """What both do besides, and neither is to be charged with: a loop of Python."""


class Measured(NamedTuple):
    """Microseconds for one thing, and the median of the rounds' ratios."""

    ours_us: float
    reference_us: float
    ratio: float
    ratios: list[float]


def calls(function: Callable[..., Any], *arguments: Any) -> Run:
    """Calls from Python, one after the other, with the same arguments; one and three are written out, as users do."""
    match arguments:
        case (first,):

            def run(times: int) -> None:
                for _ in repeat(None, times):
                    function(first)

        case (first, second, third):

            def run(times: int) -> None:
                for _ in repeat(None, times):
                    function(first, second, third)

        case _:

            def run(times: int) -> None:
                for _ in repeat(None, times):
                    function(*arguments)

    return run


def empty_loop(times: int) -> None:
    """What `calls` takes without its call."""
    for _ in repeat(None, times):
        pass


def measure(pair: Pair, round_seconds: float, rounds: int) -> Measured:
    runs = [pair.ours, pair.reference]
    times = [enough(run, round_seconds) for run in runs]
    samples = []
    for number in range(rounds):
        order = (0, 1) if number % 2 else (1, 0)  # neither always finds the caches as the other left them
        took = [0.0, 0.0]
        for which in order:
            took[which] = seconds(runs[which], times[which])
        if pair.idle is not None:
            idle = seconds(pair.idle, max(times)) / max(times)
            took = [all_of_it - idle * n for all_of_it, n in zip(took, times, strict=True)]
        samples.append([took[which] / times[which] * 1e6 for which in (0, 1)])
    ratios = [reference / ours for ours, reference in samples]
    ours, reference = (statistics.median(column) for column in zip(*samples, strict=True))
    return Measured(ours, reference, statistics.median(ratios), ratios)


def enough(run: Run, round_seconds: float) -> int:
    """How many times fill a round."""
    times = 1
    while (took := seconds(run, times)) < round_seconds / 4:
        times *= 4
    return max(1, round(times * round_seconds / took))


def seconds(run: Run, times: int) -> float:
    """CPU time of this thread: other programs on the machine do not count."""
    start = time.thread_time()
    run(times)
    return time.thread_time() - start
