"""Updates we send (RFC 6940 10.7): what of, to whom, and how seldom that can be.

full goes to those who asked by send_update, neighbors to members of the Neighbor Table and to who should be one,
peer_ready to every other node we are linked with.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.core.neighbourhood import Sides
from xor_fast.core.timers import Timer
from xor_fast.core.transactions import NO_LINK
from xor_fast.messages import ChordUpdateType, Code, Destination, DestinationType, UpdateReq

if TYPE_CHECKING:
    from xor_fast.core.node import Node


class Updates:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self._since: float | None = None
        self._told: dict[bytes, int] = {}  # digest of what each linked node was told last
        self._telling: dict[bytes, int] = {}  # the transaction of it, while it is not answered
        self._announcing: Timer | None = None
        self._everyone = False
        self._announced_at = float("-inf")

    def start(self, now: float, *, is_known: bool) -> None:
        """We have become part of the ring. is_known: the others know it already."""
        self._since = now
        if is_known:
            body_for = self._bodies(now)
            self._told = {node_id: _digest(body_for(node_id)) for node_id in self._linked()}
        else:
            self._everyone = True
            self._announce(now)  # 10.5 step 9
        self._schedule(now)

    def uptime(self, now: float) -> int:
        """Seconds since this peer claimed its range; 0 before (6.4.2.5.2, 10.7)."""
        return 0 if self._since is None else int(now - self._since)

    def forget(self, node_id: bytes) -> None:
        self._told.pop(node_id, None)

    def link_down(self, node_id: bytes) -> None:
        self._told.pop(node_id, None)
        self._telling.pop(node_id, None)

    # --- what they say -------------------------------------------------------------------------------

    def admission(self, now: float, joiner: bytes) -> UpdateReq:
        """Our neighbours as they will be, the joining peer first among the predecessors (10.5 step 7)."""
        neighbourhood = self._node.topology.neighbourhood
        successors, predecessors = neighbourhood.sides()
        return self._neighbors(now, Sides(successors, [joiner, *predecessors][: neighbourhood.each_side]))

    def _neighbors(self, now: float, sides: Sides) -> UpdateReq:
        predecessors, successors = tuple(sides.predecessors), tuple(sides.successors)
        return UpdateReq(self.uptime(now), ChordUpdateType.NEIGHBORS, predecessors, successors)

    def _bodies(self, now: float) -> Callable[[bytes], UpdateReq]:
        """Which Update is for whom; the same two serve all."""
        neighbourhood = self._node.topology.neighbourhood
        sides = neighbourhood.sides()
        near, other = self._neighbors(now, sides), UpdateReq(self.uptime(now), ChordUpdateType.PEER_READY)
        return lambda node_id: near if neighbourhood.belongs(sides, node_id) else other

    # --- to one --------------------------------------------------------------------------------------

    def send_full(self, now: float, node_id: bytes) -> None:
        """To one that asked by send_update (6.4.2.3, 10.8). Before we are in the ring there is nothing to tell."""
        if not self._node.ring.joined:
            return
        successors, predecessors = self._node.topology.neighbourhood.sides()
        fingers = sorted(set(self._node.topology.fingers.table().values()))  # 10.7: in ascending order
        body = UpdateReq(self.uptime(now), ChordUpdateType.FULL, tuple(predecessors), tuple(successors), tuple(fingers))
        self._send(now, node_id, body)

    def send(self, now: float, node_id: bytes) -> None:
        self._send(now, node_id, self._bodies(now)(node_id))

    def _send(self, now: float, node_id: bytes, body: UpdateReq) -> None:
        link = self._node.switch.link_of(node_id)
        if link == NO_LINK:
            return
        self._told[node_id] = _digest(body)
        destination = (Destination(DestinationType.NODE, node_id),)
        self._node.count("updates_sent")
        if node_id in self._telling:
            # Overtaken by this one. Whoever asks for Updates and never answers must not hold all our requests.
            self._node.transactions.cancel(self._telling[node_id])

        def over(now: float, outcome: object) -> None:
            self._telling.pop(node_id, None)

        self._telling[node_id] = self._node.request(now, destination, Code.UPDATE_REQ, body, over, link=link)

    # --- to all --------------------------------------------------------------------------------------

    def neighbours_changed(self, now: float, before: Sides, after: Sides) -> None:
        """Tell it: with reactive recovery always, and without when our range has changed (10.7.1, 10.7.3)."""
        if before.predecessors[:1] != after.predecessors[:1]:
            # At once: until our predecessor knows who took over a range, messages for it travel to and fro between
            # the two of us. But a link that flaps does not buy a signature a time.
            self._everyone = True
            if now - self._announced_at >= limits.UPDATE_COALESCE:
                self._announce(now)
            else:
                self._announce_by(now + limits.UPDATE_COALESCE)
        elif self._node.overlay.reactive:
            self._everyone = True
            is_near = before.nearest(limits.NEIGHBOURS_EACH_SIDE) != after.nearest(limits.NEIGHBOURS_EACH_SIDE)
            # Of a farther one that fails, it can wait until the one that takes its place is known.
            self._announce_by(now + (limits.UPDATE_COALESCE if is_near else limits.UPDATE_COALESCE_FAR))

    def _announce_by(self, when: float) -> None:
        """Changes that come together go out together (notes 6.11)."""
        timer = self._announcing
        if timer is not None and timer.active:
            if timer.when <= when:
                return
            timer.cancel()
        self._announcing = self._node.timers.at(when, self._announce)

    def _announce(self, now: float) -> None:
        if not self._node.ring.joined:
            return
        if self._announcing is not None:
            self._announcing.cancel()
        self._announced_at = now
        everyone, self._everyone = self._everyone, False
        body_for = self._bodies(now)
        for node_id in self._linked():
            body = body_for(node_id)
            # peer_ready says nothing new but is asked for all the same (10.7.3).
            if self._told.get(node_id) != _digest(body) or (everyone and body.type == ChordUpdateType.PEER_READY):
                self._send(now, node_id, body)

    def _linked(self) -> list[bytes]:
        """Each node that we have a link with, once."""
        linked = dict.fromkeys(self._node.switch.node_of(link) for link in self._node.switch.links())
        return [node_id for node_id in linked if node_id is not None]

    def _schedule(self, now: float) -> None:
        interval = self._node.overlay.update_interval * self._node.rng.uniform(0.9, 1.1)
        self._node.timers.at(now + interval, self._send_periodically)

    def _send_periodically(self, now: float) -> None:
        """10.7.4.1: to every neighbour, news or not, each at a time of its own; one that does not answer is noticed."""
        if not self._node.ring.joined:
            return
        for node_id in self._node.topology.neighbourhood.sides().both():
            offset = self._node.rng.uniform(0.0, 0.2 * self._node.overlay.update_interval)
            self._node.timers.at(now + offset, partial(self._send_one, node_id))
        self._schedule(now)

    def _send_one(self, node_id: bytes, now: float) -> None:
        sides = self._node.topology.neighbourhood.sides()
        if self._node.ring.joined and sides.has(node_id):
            self._send(now, node_id, self._neighbors(now, sides))


def _digest(body: UpdateReq) -> int:
    """Of all but the uptime, which always differs."""
    return hash((body.type, body.predecessors, body.successors, body.fingers))
