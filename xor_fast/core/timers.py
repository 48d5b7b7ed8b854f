"""One heap of deadlines. Times are the driver's monotonic seconds."""

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING

from xor_fast import limits

if TYPE_CHECKING:
    from random import Random

Run = Callable[[float], None]

_FEW = 64  # cancelled timers are not looked for below this size of the heap


class Timer:
    """A call to be made at `when`; `cancel` makes it nothing."""

    __slots__ = ("_run", "_timers", "when")

    def __init__(self, timers: "Timers", when: float, run: Run) -> None:
        self._timers = timers
        self.when: float = when
        self._run: Run | None = run

    def cancel(self) -> None:
        if self._run is not None:
            self._run = None
            self._timers.one_cancelled()

    @property
    def active(self) -> bool:
        return self._run is not None

    def fire(self, now: float) -> None:
        run, self._run = self._run, None
        if run is not None:
            run(now)


def backoff(rng: "Random", tries: int) -> float:
    """Seconds to wait after so many tries that failed: random, doubled each time."""
    low, high = limits.JOIN_RETRY
    return min(limits.JOIN_RETRY_CEILING, rng.uniform(low, high) * 2.0 ** min(tries - 1, 6))


class Timers:
    def __init__(self) -> None:
        # The order of setting decides between equal times: the simulator must replay exactly.
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = 0
        self._cancelled = 0  # of those in the heap, and at times of some that have left it

    def at(self, when: float, run: Run) -> Timer:
        """Call `run(now)` at the first turn at or after `when`."""
        self._order += 1
        timer = Timer(self, when, run)
        heapq.heappush(self._heap, (when, self._order, timer))
        return timer

    def one_cancelled(self) -> None:
        """Most timers are cancelled long before they are due: a busy node would keep thousands of them for nothing."""
        self._cancelled += 1
        if self._cancelled > _FEW and 2 * self._cancelled > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].active]
            heapq.heapify(self._heap)
            self._cancelled = 0

    @property
    def deadline(self) -> float | None:
        """When `run_due` has something to do; None if never."""
        heap = self._heap
        while heap:
            if heap[0][2].active:
                return heap[0][0]
            heapq.heappop(heap)
            self._cancelled -= 1
        return None

    def run_due(self, now: float) -> None:
        # What is set meanwhile for this very moment waits for the next turn, so that a turn always ends.
        due = []
        while self._heap and self._heap[0][0] <= now:
            timer = heapq.heappop(self._heap)[2]
            if timer.active:
                due.append(timer)
            else:
                self._cancelled -= 1
        for timer in due:
            timer.fire(now)
