"""One heap of deadlines. Times are the driver's monotonic seconds."""

import heapq
from collections.abc import Callable

Run = Callable[[float], None]


class Timer:
    """A call to be made at `when`; `cancel` makes it nothing."""

    __slots__ = ("_order", "_run", "when")

    def __init__(self, when: float, order: int, run: Run) -> None:
        self.when: float = when
        self._order = order
        self._run: Run | None = run

    def cancel(self) -> None:
        self._run = None

    @property
    def active(self) -> bool:
        return self._run is not None

    def fire(self, now: float) -> None:
        run, self._run = self._run, None
        if run is not None:
            run(now)

    def __lt__(self, other: "Timer") -> bool:
        # The order of setting decides between equal times: the simulator must replay exactly.
        return (self.when, self._order) < (other.when, other._order)


class Timers:
    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._order = 0

    def at(self, when: float, run: Run) -> Timer:
        """Call `run(now)` at the first turn at or after `when`."""
        self._order += 1
        timer = Timer(when, self._order, run)
        heapq.heappush(self._heap, timer)
        return timer

    @property
    def deadline(self) -> float | None:
        """When `run_due` has something to do; None if never."""
        while self._heap and not self._heap[0].active:
            heapq.heappop(self._heap)
        return self._heap[0].when if self._heap else None

    def run_due(self, now: float) -> None:
        # What is set meanwhile for this very moment waits for the next turn, so that a turn always ends.
        due = []
        while self._heap and self._heap[0].when <= now:
            due.append(heapq.heappop(self._heap))
        for timer in due:
            timer.fire(now)
