"""The long links of CHORD-RELOAD (RFC 6940 10.5, 10.7.2, 10.7.4.2): finger i lies in [n + 2^(128-i), n + 2^(129-i))."""

from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.cext import ids
from xor_fast.core.ping import Pong
from xor_fast.errors import RequestFailed
from xor_fast.messages import Destination, DestinationType

if TYPE_CHECKING:
    from xor_fast.core.node import Node


class Fingers:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self._searching = False

    def start(self, now: float) -> None:
        """We are part of the ring: Attach to every finger (10.5), once the neighbours have heard of us."""
        self._node.timers.at(now + 2 * limits.UPDATE_COALESCE, self._attach_all)
        self._schedule(now)

    def _schedule(self, now: float) -> None:
        self._node.timers.at(
            now + self._node.overlay.ping_interval * (0.75 + 0.5 * self._node.rng.random()), self._refresh
        )

    def _attach_all(self, now: float) -> None:
        for i in self._invalid():
            place = Destination(DestinationType.RESOURCE, ids.finger_start(self._node.node_id, i))
            self._node.attach.attach(now, (place,), lambda now, outcome: None)

    def lost(self, now: float) -> None:
        """10.7.2, reactive recovery: search for a new finger, but not for each of many losses at once."""
        if self._node.overlay.reactive and self._node.ring.joined and not self._searching:
            self._searching = True
            self._node.timers.at(now + limits.FINGER_SEARCH_DELAY, self._search)

    def _refresh(self, now: float) -> None:
        if self._node.ring.joined:
            self._search(now)
            self._schedule(now)

    def _invalid(self) -> list[int]:
        """Fingers with nobody in their range, as far as their range lies beyond our last successor."""
        own, ring = self._node.node_id, self._node.ring
        successors = ring.successors(limits.NEIGHBOURS_EACH_SIDE)
        invalid = []
        for i in range(1, limits.FINGERS + 1):
            start = ids.finger_start(own, i)
            if len(successors) < limits.NEIGHBOURS_EACH_SIDE or ids.between(own, start, successors[-1]):
                break  # from here on the neighbours cover everything
            if ids.distance(start, ring.owner(start)) >= ids.distance(start, self._end(i)):
                invalid.append(i)
        return invalid

    def _end(self, i: int) -> bytes:
        """Where the range of finger i ends: the start of the next longer one; finger 1 ends at our own Node-ID."""
        return self._node.node_id if i == 1 else ids.finger_start(self._node.node_id, i - 1)

    def _search(self, now: float) -> None:
        """10.7.4.2, alternative 1: earlier fingers with higher probability, a random place in the range."""
        self._searching = False
        for i in self._invalid():
            if self._node.rng.random() < 0.5:
                self._ping(now, i)
                return

    def _ping(self, now: float, i: int) -> None:
        own = self._node.node_id
        bits = 8 * len(own)
        offset = (1 << (bits - i)) + self._node.rng.getrandbits(bits - i)
        place = ((int.from_bytes(own, "big") + offset) % (1 << bits)).to_bytes(len(own), "big")

        def found(now: float, outcome: Pong | RequestFailed) -> None:
            if isinstance(outcome, RequestFailed) or outcome.node_id in (own, *self._node.ring):
                return
            target = Destination(DestinationType.NODE, outcome.node_id)
            self._node.attach.attach(now, (target,), lambda now, outcome: None)

        self._node.pings.ping(now, (Destination(DestinationType.RESOURCE, place),), found)
