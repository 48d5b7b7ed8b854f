"""The search: every order of events up to equivalence, each state once, the shortest way first."""

import marshal
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

from xor_fast.sim.modelcheck.machine import CoreError
from xor_fast.sim.modelcheck.world import GONE, TIME, Global, Step, World

Sleep = frozenset[Step]
AWAKE: Sleep = frozenset()


class Found(NamedTuple):
    """A violation: what is wrong, and the steps that lead there."""

    what: str
    steps: tuple[Step, ...]


class Bounds(NamedTuple):
    """states: visited in one search. window: seconds after an operation in which every order is tried; after that one
    order is taken, up to the horizon.

    by_steps: operations begin only between the protocol steps of those before (RFC 6940 10.5, 1 to 9), and the messages
    between two operations arrive in one order."""

    states: int = 20_000
    window: float = 0.5
    horizon: float = 90.0
    by_steps: bool = False


class Result:
    def __init__(self) -> None:
        self.states = 0
        self.steps = 0
        self.ends: set[tuple[bytes, ...]] = set()  # the nodes' states there
        self.hit: set[str] = set()
        self.violation: Found | None = None


Check = Callable[[World, Global], str | None]


def key_of(state: Global) -> bytes:
    return blake2b(marshal.dumps(tuple(state), 2), digest_size=16).digest()


_Waiting = deque[tuple[Global, int, Sleep, Sleep | None]]
"""State, its number, the steps that others see to, and those that alone are left to do (None: all)."""


class Search:
    """One scenario, breadth first.

    safe: holds in every state; settled: at the end."""

    def __init__(self, world: World, bounds: Bounds, safe: Check, settled: Check) -> None:
        self._world = world
        self._bounds = bounds
        self._safe = safe
        self._settled = settled
        self._reduce = world.reduce
        self._visited: dict[bytes, int] = {}
        self._asleep: list[Sleep] = []
        self._came_by: list[tuple[int, Step | None]] = []
        self._ends: dict[bytes, Global] = {}
        self.result: Result = Result()

    def run(self, start: Global) -> Result:
        waiting: _Waiting = deque()
        self._offer(start, -1, None, AWAKE, waiting)
        while waiting and self.result.violation is None:
            self._expand(*waiting.popleft(), waiting)
            if len(self._visited) >= self._bounds.states:
                self.result.hit.add("states")
                self._follow(waiting)
                break
        self.result.states = len(self._visited)
        return self.result

    def _follow(self, edge: "_Waiting") -> None:
        """No room to try every order: each state that is left is followed in one order to its end, while as many states
        again have room."""
        while edge and self.result.violation is None:
            state, number, _, _ = edge.popleft()
            while (wish := next(self._world.wishes(state), None)) is not None:
                after = self._take(state, wish, number)
                if after is None:
                    return
                number = self._number(after, number, wish)
                state = after
            self._settle(state, number)
            if len(self._visited) >= 2 * self._bounds.states:
                self.result.hit.add("edge")
                return

    def _number(self, state: Global, before: int, step: Step) -> int:
        """Of a state that is passed and not expanded. It is looked at, if it is new."""
        key = key_of(state)
        number = self._visited.get(key)
        if number is None:
            number = self._enter(key, before, step, AWAKE)
            what = self._safe(self._world, state)
            if what is not None:
                self._violated(what, number, None)
        return number

    def _expand(self, state: Global, number: int, sleep: Sleep, only: Sleep | None, waiting: "_Waiting") -> None:
        steps: list[Step] = []
        slept = set(sleep)
        if state.begun and state.quiet >= self._bounds.window:
            state, number = self._settle(state, number)
            slept.clear()
            if self.result.violation is not None:
                return
        elif state.begun:
            steps = self._world.moves(state) or [TIME]
        for step in self._chosen(state, number, steps):
            if step in slept or (only is not None and step not in only):
                continue
            after = self._take(state, step, number)
            if after is None:
                return
            child = AWAKE
            if self._reduce and not self._bounds.by_steps and step is not TIME:
                child = frozenset(other for other in slept if other is not TIME and self._world.commute(step, other))
                slept.add(step)
            self._offer(after, number, step, child, waiting)
            if self.result.violation is not None:
                return

    def _chosen(self, state: Global, number: int, steps: list[Step]) -> list[Step]:
        """Those of the possible steps that have to be tried here."""
        wishes = self._world.wishes(state)
        if self._bounds.by_steps:
            _, last = self._came_by[number]
            return [*sorted(steps)[:1], *(wishes if self._world.is_between_steps(last, state) else ())]
        no_news = self._world.no_news(state, steps) if self._reduce else None
        return [*steps, *wishes] if no_news is None else [no_news]

    def _take(self, state: Global, step: Step, number: int) -> Global | None:
        """None: the core raised, which is a violation."""
        self.result.steps += 1
        try:
            return self._world.take(state, step)
        except CoreError as error:
            self._violated(str(error), number, step)
            return None

    def _offer(self, state: Global, before: int, step: Step | None, sleep: Sleep, waiting: "_Waiting") -> None:
        key = key_of(state)
        known = self._visited.get(key)
        if known is None:
            known = self._enter(key, before, step, sleep)
            what = self._safe(self._world, state)
            if what is not None:
                self._violated(what, known, None)
                return
            waiting.append((state, known, sleep, None))
        else:
            # Come to by another way, which has not been spared all that the first was: do the rest now.
            missed = self._asleep[known] - sleep
            if missed:
                self._asleep[known] &= sleep
                waiting.append((state, known, sleep, missed))

    def _enter(self, key: bytes, before: int, step: Step | None, sleep: Sleep) -> int:
        number = self._visited[key] = len(self._came_by)
        self._came_by.append((before, step))
        self._asleep.append(sleep)
        return number

    def _settle(self, state: Global, number: int) -> tuple[Global, int]:
        """In one order to the end; the state there, and its number. Both are looked at once for each state."""
        world = self._world
        way: list[bytes] = []
        key = key_of(state)
        while key not in self._ends:
            if state.quiet >= self._bounds.horizon and not world.moves(state):
                self.result.ends.add(tuple(b"" if n == GONE else world.locals.digests[n] for n in state.nodes))
                what = self._settled(world, state)
                if what is not None:
                    self._violated(what, number, None)
                self._ends[key] = state
                break
            way.append(key)
            step = min(world.moves(state), default=TIME)
            after = self._take(state, step, number)
            if after is None:
                return state, number
            state = after
            key = key_of(state)
            number = self._number(state, number, step)
            if self.result.violation is not None:
                return state, number
        end = self._ends[key]
        for passed in way:
            self._ends[passed] = end
        return end, self._visited[key_of(end)]

    def _violated(self, what: str, number: int, last: Step | None) -> None:
        steps = [] if last is None else [last]
        while number >= 0:
            number, step = self._came_by[number]
            if step is not None:
                steps.append(step)
        self.result.violation = Found(what, tuple(reversed(steps)))
