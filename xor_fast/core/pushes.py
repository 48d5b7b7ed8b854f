"""Values on their way to other peers: so many under way to each, and the others wait in their order."""

from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from xor_fast import limits

if TYPE_CHECKING:
    from xor_fast.core.values import Shelf


class Push(NamedTuple):
    """One value on its way to one node: what lies there when its turn comes. over(now, this, confirmed)"""

    shelf: "Shelf"
    key: bytes
    target: bytes
    number: int
    over: Callable[[float, "Push", bool], None]
    is_far: bool = False  # the target is whom we take for the owner: the way there will show who is


class Pushes:
    """A window for each target, lest one that does not answer keeps the others waiting.

    send(now, push, over): over(now, push, confirmed) once it is over, at once maybe."""

    def __init__(self, send: Callable[[float, Push, Callable[[float, Push, bool], None]], None]) -> None:
        self._send = send
        self._waiting: dict[bytes, deque[Push]] = {}  # by target
        self._under_way: Counter[bytes] = Counter()
        self._is_filling = False

    def add(self, push: Push) -> None:
        """It leaves with the next `fill`."""
        self._waiting.setdefault(push.target, deque()).append(push)

    def fill(self, now: float) -> None:
        if self._is_filling:
            return  # a push that was over at once brought us here: the loop below goes on, no deeper
        self._is_filling = True
        while ready := self._ready():
            for target in ready:
                queue = self._waiting[target]
                push = queue.popleft()
                if not queue:
                    del self._waiting[target]
                self._under_way[target] += 1
                self._send(now, push, self._over)
        self._is_filling = False

    def _ready(self) -> list[bytes]:
        """Targets that one more may leave for."""
        room = limits.MAX_PUSHES - self._under_way.total()
        ready = [target for target in self._waiting if self._under_way[target] < limits.HANDOVER_WINDOW]
        return ready[: max(room, 0)]

    def _over(self, now: float, push: Push, ok: bool) -> None:
        self._under_way[push.target] -= 1
        if not self._under_way[push.target]:
            del self._under_way[push.target]
        push.over(now, push, ok)
        self.fill(now)
