"""The own way of a lookup: whom to ask next, and over whom, to find the peers behind a key although many are silent.

Guides tell whom they would route to (RouteQuery, 6.4.2.4), and so their tables are walked downwards name by name. What
a guide names is reached through it, at first; but who answers need not pass on what is for others. So a peer is asked
again over another guide that named it, and whoever had much to pass on and little answered comes later.
"""

from math import log2
from typing import TYPE_CHECKING, NamedTuple

from xor_fast import limits

if TYPE_CHECKING:
    from xor_fast.core.node import Node

# The scores of what could be asked next, the lowest first: doublings of the distance to the key, and on top of them
_HOLDER = -4.0  # who may hold the value is asked before others, if it was not asked in vain too often
_BEHIND = 1.0  # a guide behind the key knows less of what lies ahead of it than one ahead
_BEYOND = 4.0  # so far behind the key that it hardly holds the value
_DOUBT = 2.0  # each time that something was not answered counts as two doublings


class Step(NamedTuple):
    """peer: whom to ask. way: who passes it on. place: what for, a RouteQuery; None: the value itself."""

    peer: bytes
    way: tuple[bytes, ...]
    place: bytes | None


class _Peer:
    """A peer that we know of, and how far its table was walked.

    Offsets are from the key, clockwise. ways: over which it was not asked yet. way: over which it answered. asked: how
    often it was, and has not answered. behind: where the walk behind the key goes on, down to floor; None: not now.
    edge: how far behind the key it was asked. ahead: where the walk ahead of the key goes on, down to the peer itself.
    left: answers it may still give. misses: how often it named nobody behind the key. is_heard: it spoke of the value.
    carried: answers that came over it. swallowed: requests given to it for others that are not answered.
    """

    __slots__ = (
        "ahead", "asked", "behind", "carried", "edge", "floor", "is_busy", "is_heard", "left", "misses", "named_by",
        "offset", "swallowed", "way", "ways",
    )  # fmt: skip

    def __init__(self, offset: int, behind: int) -> None:
        self.offset = offset
        self.ways: list[tuple[bytes, ...]] = []
        self.named_by: set[bytes] = set()
        self.way: tuple[bytes, ...] | None = None
        self.asked = 0
        self.behind: int | None = behind
        self.ahead: int | None = None
        self.floor = 0
        self.edge = behind
        self.is_busy = False
        self.is_heard = False
        self.left = limits.LOOKUP_NAMES
        self.misses = 0
        self.carried = 0
        self.swallowed = 0

    @property
    def is_silent(self) -> bool:
        """It may be dead, or invented by who named it."""
        return self.way is None and self.asked > 0 and not self.is_busy

    @property
    def doubt(self) -> int:
        """Of its passing on what is for others."""
        return self.swallowed // (self.carried + 1)


class Search:
    """It begins with the peers we are linked with."""

    def __init__(self, node: "Node", key: bytes) -> None:
        self._node = node
        self._length = len(key)
        self._ring_size = 1 << 8 * self._length
        self._key = int.from_bytes(key, "big")
        ring, switch = node.ring, node.switch
        sees_all = ring.joined and len(ring) <= 2 * limits.NEIGHBOURS_EACH_SIDE
        self._gap = self._mean_gap()
        # Up to this offset behind the key peers are asked for the value; farther away only the nearest that we know.
        self._window = self._ring_size - 1 if sees_all else limits.LOOKUP_WINDOW * self._gap
        self._widest = min(limits.LOOKUP_WIDEST * self._gap, self._ring_size // 2)
        self._horizon = self._window
        self._peers: dict[bytes, _Peer] = {}
        self._places: set[int] = set()  # ahead of the key, about which a guide was asked
        for peer in list(ring) or [peer for link in switch.links() if (peer := switch.node_of(link)) is not None]:
            self._learn(peer, ())
        if self._is_behind(node.node_id):  # we may hold it ourselves
            self._learn(node.node_id, ())

    def _mean_gap(self) -> int:
        """The mean gap between peers, as it is around us: further away we know some only."""
        ring, near = self._node.ring, self._node.topology.neighbourhood.each_side
        if not ring.joined:
            return self._ring_size // limits.LOOKUP_GUESSED_PEERS
        if len(ring) <= 2 * near:
            return self._ring_size // (len(ring) + 1)
        first, last = ring.predecessors(near)[-1], ring.successors(near)[-1]
        span = int.from_bytes(last, "big") - int.from_bytes(first, "big")
        return span % self._ring_size // (2 * near)

    # --- whom to ask ---------------------------------------------------------------------------------

    def next(self) -> Step | None:
        """Peers just behind the key are asked for the value; else whoever is or knows the one nearest ahead of it."""
        if any(peer.is_busy and peer.way is not None and peer.behind is not None for peer in self._peers.values()):
            return None  # it answers in a moment
        self._horizon = max(self._window, self._nearest(limits.LOOKUP_HOLDERS, self._widest))
        choices = [
            (score, node_id) for node_id, peer in self._peers.items() if (score := self._score(peer)) is not None
        ]
        if not choices:
            return None
        _, node_id = min(choices)
        peer = self._peers[node_id]
        peer.left -= peer.way is not None
        way = peer.way if peer.way is not None else self._new_way(peer)
        peer.is_busy = True
        step = Step(node_id, way, None if self._may_hold(peer) else self._question(peer))
        peer.asked += 1
        if step.way:  # all before the last have passed on what was for that one
            self._peers[step.way[-1]].swallowed += 1
        return step

    def _score(self, peer: _Peer) -> float | None:
        """None: there is nothing that it could be asked."""
        if peer.is_busy:
            return None
        doubt = peer.asked
        if peer.way is None:
            if not peer.ways:
                return None
            doubt += min(map(self._doubt, peer.ways))
        elif not peer.left:
            return None
        if self._may_hold(peer):
            return _HOLDER + self._doublings(peer.offset) + _DOUBT * doubt
        if peer.way is None:
            return (0.0 if peer.offset < 0 else _BEYOND) + self._doublings(peer.offset) + _DOUBT * doubt
        place = self._place(peer)
        if place is None:
            return None
        distance = place if place < 0 else peer.offset
        kind = 0.0 if peer.offset < 0 else _BEHIND
        return kind + self._doublings(distance) + _DOUBT * (doubt + peer.doubt)

    def _place(self, peer: _Peer) -> int | None:
        """What a guide can be asked about; None: it has told what it can."""
        if peer.behind is not None:
            return peer.behind
        if self._can_widen(peer):
            return peer.offset
        return peer.ahead if peer.ahead not in self._places else None

    def _doublings(self, offset: int) -> float:
        return log2(1 + abs(offset) / self._gap)

    def _doubt(self, way: tuple[bytes, ...]) -> int:
        return self._peers[way[-1]].doubt if way else 0

    def _may_hold(self, peer: _Peer) -> bool:
        return not peer.is_heard and 0 <= peer.offset <= self._horizon

    def _new_way(self, peer: _Peer) -> tuple[bytes, ...]:
        way = min(peer.ways, key=lambda way: (self._doubt(way), len(way)))
        peer.ways.remove(way)
        return way

    def _question(self, peer: _Peer) -> bytes:
        """The place about which a guide is asked next."""
        if peer.behind is None and self._can_widen(peer):
            if peer.edge == self._window:
                self._window = min(2 * self._window, self._widest)
            peer.floor, peer.behind, peer.edge = peer.edge, self._window, self._window
        offset = peer.behind if peer.behind is not None else peer.ahead
        assert offset is not None
        if offset < 0:
            self._places.add(offset)
        return self._bytes(self._key + offset)

    def _can_widen(self, peer: _Peer) -> bool:
        """Too few peers were found behind the key, and this one, just ahead of it, knows some further behind."""
        if not 0 < -peer.offset <= limits.LOOKUP_REACH * self._gap or peer.misses > 2:
            return False
        if peer.edge < self._window:
            return True
        found = sum(0 <= other.offset <= self._window and not other.is_silent for other in self._peers.values())
        return found < limits.LOOKUP_HOLDERS and self._window < self._widest

    # --- what came of it -----------------------------------------------------------------------------

    def silent(self, step: Step) -> None:
        """No answer in time. It may come later."""
        self._peers[step.peer].is_busy = False

    def answered(self, step: Step) -> None:
        """By anything: it lives, and so do all on the way."""
        peer = self._peers[step.peer]
        peer.is_busy = False
        peer.asked = 0
        for hop in step.way:
            self._peers[hop].carried += 1
        if step.way:
            self._peers[step.way[-1]].swallowed -= 1
        if peer.way is None:
            peer.way = step.way
            peer.ways.clear()
            if step.place is None:  # it knows who is ahead of it
                peer.behind = peer.edge = max(peer.offset - self._gap // 2, 1)
        peer.is_heard = peer.is_heard or step.place is None

    def refused(self, step: Step) -> None:
        """A guide that tells nothing of its table is asked no more about it."""
        self.answered(step)
        self._peers[step.peer].left = 0

    def named(self, step: Step, name: bytes) -> None:
        """A guide has named the peer it would route to: the last it knows ahead of the place it was asked for."""
        guide = self._peers[step.peer]
        if len(name) != self._length:
            return
        if name not in (step.peer, self._node.node_id):
            self._learn(name, (*step.way, step.peer))
        asked, was_behind = (guide.behind, True) if guide.behind is not None else (guide.ahead, False)
        if asked is None or self._bytes(self._key + asked) != step.place:
            return  # it has answered an earlier question as well
        guide.behind = None
        if not was_behind:
            guide.ahead = None
        if name == step.peer:  # the place was in its own range: what lies ahead of that?
            if guide.offset > asked - self._gap // 2 > 0:
                guide.behind = asked - self._gap // 2
            return
        offset = self._offset(name)
        if offset >= asked:
            return  # it knows nobody ahead of that place
        guide.misses += offset < 0 and was_behind
        if was_behind and offset > guide.floor:
            guide.behind = offset - 1
        elif guide.offset < offset < 0:
            guide.ahead = offset - 1

    def _learn(self, node_id: bytes, way: tuple[bytes, ...]) -> None:
        if len(way) >= limits.MAX_DESTINATIONS // 2 or node_id in way:
            return
        peer = self._peers.get(node_id)
        if peer is None:
            peer = self._peers[node_id] = _Peer(self._offset(node_id), self._window)
        elif peer.way is not None or self._node.node_id in peer.named_by or len(peer.named_by) >= limits.LOOKUP_WAYS:
            return  # who does not answer over our own link to it will not answer over others
        named_by = way[-1] if way else self._node.node_id
        if named_by not in peer.named_by:
            peer.named_by.add(named_by)
            peer.ways.append(way)

    # --- the ring ------------------------------------------------------------------------------------

    def is_nearby(self, node_id: bytes) -> bool:
        """Is it among the nearest behind the key, as far as we know: one that should hold the value (10.4)?"""
        offset = self._offset(node_id)
        return offset >= 0 and sum(0 <= peer.offset < offset for peer in self._peers.values()) <= limits.REPLICAS

    def _nearest(self, count: int, most: int) -> int:
        """How far behind the key the nearest so many are that we know of and that were not asked in vain."""
        behind = sorted(peer.offset for peer in self._peers.values() if peer.offset >= 0 and not peer.is_silent)
        return min(behind[count - 1], most) if len(behind) >= count else most

    def _offset(self, node_id: bytes) -> int:
        """From the key, clockwise; negative when it lies ahead of the key."""
        behind = (int.from_bytes(node_id, "big") - self._key) % self._ring_size
        return behind if behind <= max(self._window, self._ring_size // 2) else behind - self._ring_size

    def _is_behind(self, node_id: bytes) -> bool:
        """In the window behind the key, where holders of the value are."""
        return 0 <= self._offset(node_id) <= self._window

    def _bytes(self, place: int) -> bytes:
        return (place % self._ring_size).to_bytes(self._length, "big")
