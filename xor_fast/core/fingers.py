"""The long links of CHORD-RELOAD (RFC 6940 10.5, 10.7.2, 10.7.4.2): finger i lies in [n + 2^(128-i), n + 2^(129-i))."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.cext import ids
from xor_fast.core.ping import Pong
from xor_fast.core.timers import Timer
from xor_fast.errors import RequestFailed
from xor_fast.messages import Destination, DestinationType

if TYPE_CHECKING:
    from xor_fast.core.node import Node


class Fingers:
    """No table of its own: finger i is the first entry of the routing table in its range, so what fails is nowhere any
    more, and the closest entry before it does its work (10.7.2)."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._lost: set[int] = set()  # which have failed since the last search
        self._searching: Timer | None = None

    def start(self, now: float) -> None:
        """We are part of the ring: Attach to what is missing, once the neighbours have heard of us."""
        self._node.timers.at(
            now + 2 * limits.UPDATE_COALESCE, lambda now: self.attach_all(now, self.invalid(), _nothing)
        )
        self._schedule(now)

    def table(self) -> dict[int, bytes]:
        """The valid entries: i -> Node-ID."""
        own, owner = self._node.node_id, self._node.ring.owner
        table = {}
        for i in range(1, self._node.tuning.fingers + 1):
            first = owner(ids.finger_start(own, i))
            if first != own and self._is_finger(i, first):
                table[i] = first
        return table

    def invalid(self) -> list[int]:
        """Fingers with nobody in their range, as far as the neighbours do not cover it."""
        sides = self._node.topology.neighbourhood.sides()
        if len(sides.successors) < self._node.topology.neighbourhood.each_side:
            return []  # these are all peers there are
        table = self.table()
        return [i for i in self.beyond(sides.successors[-1]) if i not in table]

    def attach_all(self, now: float, wanted: list[int], over: Callable[[float], None]) -> None:
        """Attach to n + 2^(128-i) for each (10.5), routed like anything else (10.6); over after each."""
        for i in wanted:
            place = Destination(DestinationType.RESOURCE, ids.finger_start(self._node.node_id, i))
            # The other's peer_ready, which every new link brings, is all we want to know of it.
            self._node.attach.attach(now, (place,), lambda now, outcome: over(now), send_update=False)

    def beyond(self, last: bytes) -> list[int]:
        """Those whose ranges begin behind our last successor: nearer ones are neighbours anyway."""
        own = self._node.node_id
        numbers = []
        for i in range(1, self._node.tuning.fingers + 1):
            if ids.between(own, ids.finger_start(own, i), last):
                break
            numbers.append(i)
        return numbers

    def _is_finger(self, i: int, node_id: bytes) -> bool:
        """Finger i lies before the start of the next longer one; finger 1 before our own Node-ID."""
        own = self._node.node_id
        start = ids.finger_start(own, i)
        end = own if i == 1 else ids.finger_start(own, i - 1)
        return ids.distance(start, node_id) < ids.distance(start, end)

    # --- repair --------------------------------------------------------------------------------------

    def lost(self, now: float, node_id: bytes) -> None:
        """10.7.2, reactive recovery: search for what takes its place, but once for many losses."""
        if not (self._node.overlay.reactive and self._node.ring.joined):
            return
        for i in range(1, self._node.tuning.fingers + 1):
            if self._is_finger(i, node_id):
                self._search_soon(now, i, limits.FINGER_SEARCH_DELAY)
                break

    def _search_soon(self, now: float, i: int, pause: float) -> None:
        self._lost.add(i)
        if self._searching is None or not self._searching.active:
            self._searching = self._node.timers.at(now + pause, self._search_lost)

    def _search_lost(self, now: float) -> None:
        lost, self._lost = self._lost, set()
        if not self._node.ring.joined:
            return
        for i in self.invalid():
            if i in lost:
                self._ping(now, i, again=True)

    def _schedule(self, now: float) -> None:
        self._node.timers.at(now + self._node.overlay.ping_interval * self._node.rng.uniform(1.0, 1.5), self._refresh)

    def _refresh(self, now: float) -> None:
        """10.7.4.2, alternative 1: earlier fingers with higher probability; at most one Ping in an interval."""
        if not self._node.ring.joined:
            return
        self._schedule(now)
        for i in self.invalid():
            if self._node.rng.random() < 0.5:
                self._ping(now, i, again=False)
                return

    def _ping(self, now: float, i: int, *, again: bool) -> None:
        """For a random place in the range. again: the ring may be broken just now, so try until there is an answer."""
        own = self._node.node_id
        bits = 8 * len(own)
        offset = (1 << (bits - i)) + self._node.rng.getrandbits(bits - i)
        place = ((int.from_bytes(own, "big") + offset) % (1 << bits)).to_bytes(len(own), "big")

        def found(now: float, outcome: Pong | RequestFailed) -> None:
            if isinstance(outcome, RequestFailed):
                if again:
                    self._search_soon(now, i, limits.FINGER_SEARCH_AGAIN)
            elif self._is_finger(i, outcome.node_id) and outcome.node_id not in self._node.ring:
                target = Destination(DestinationType.NODE, outcome.node_id)
                self._node.attach.attach(now, (target,), _nothing, send_update=False)

        self._node.pings.ping(now, (Destination(DestinationType.RESOURCE, place),), found)


def _nothing(now: float, outcome: object = None) -> None:
    pass
