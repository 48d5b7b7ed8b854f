"""CHORD-RELOAD: who is on the ring, and telling it to others (RFC 6940 10). The only writer of the ring.

A peer enters the routing table with its first Update over a direct link (6.5.1, notes 4.6) and leaves it when the link
or the peer fails. Its nearest entries are the Neighbor Table (`core/neighbourhood.py`); what others are told of it is
`core/updates.py`, how a node gets in `core/joining.py`; the long links are `core/fingers.py`.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.actions import Address, Left
from xor_fast.cext import codec, ids
from xor_fast.core.client import Client
from xor_fast.core.crowd import thin_out
from xor_fast.core.fingers import Fingers
from xor_fast.core.joining import Admission, Joining
from xor_fast.core.liveness import Liveness
from xor_fast.core.neighbourhood import Neighbourhood, Sides
from xor_fast.core.partition import Partition
from xor_fast.core.request import Handlers, Refuse, Request
from xor_fast.core.timers import Timer
from xor_fast.core.transactions import NO_LINK
from xor_fast.core.updates import Updates
from xor_fast.errors import ErrorCode, RequestFailed, StateError, WireError
from xor_fast.messages import (
    ChordLeaveData,
    ChordLeaveType,
    Code,
    Destination,
    DestinationType,
    LeaveAns,
    LeaveReq,
    RouteQueryAns,
    RouteQueryReq,
    UpdateAns,
    UpdateReq,
)

if TYPE_CHECKING:
    from xor_fast.core.node import Node


class State(Enum):
    OUTSIDE = "outside"
    CLIENT = "client"
    JOINING = "joining"
    JOINED = "joined"
    LEAVING = "leaving"
    LEFT = "left"


class Topology:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self.state: State = State.OUTSIDE
        self.neighbourhood: Neighbourhood = Neighbourhood(node.ring, node.tuning.neighbours_each_side)
        self.updates: Updates = Updates(node)
        self.client: Client = Client(node)
        self.joining: Joining = Joining(node)
        self.admission: Admission = Admission(node)
        self.fingers: Fingers = Fingers(node)
        self.liveness: Liveness = Liveness(node)
        self.partition: Partition = Partition(node)
        self._hold_until = float("-inf")  # no new replicas before
        self._avoid: OrderedDict[bytes, float] = OrderedDict()  # until when no hearsay makes us Attach; oldest first
        self._hearsay: Counter[bytes] = Counter()  # who named a node -> Attaches under way because of it
        self._looking: Timer | None = None
        self._has_begun_to_leave = False
        self._has_said_leave = False
        self.handlers: Handlers = {
            Code.JOIN_REQ: self.admission.on_join,
            Code.UPDATE_REQ: self._on_update,
            Code.LEAVE_REQ: self._on_leave,
            Code.ROUTE_QUERY_REQ: self._on_route_query,
        }

    @property
    def is_client(self) -> bool:
        return self.state is State.CLIENT

    # --- the life of a node --------------------------------------------------------------------------

    def start(self, now: float) -> None:
        if self.state is not State.OUTSIDE:
            raise StateError(f"this node is {self.state.value} already: it cannot start an overlay")
        self.claim(now)

    def join(
        self, now: float, bootstrap: Sequence[Address], done: Callable[[float, RequestFailed | None], None]
    ) -> None:
        if self.state is not State.OUTSIDE:
            raise StateError(f"this node is {self.state.value} already: it cannot join")
        self.state = State.JOINING
        self.partition.bootstrap = self.elsewhere(bootstrap)
        self.joining.start(now, self.elsewhere(bootstrap), done)

    def connect(
        self, now: float, bootstrap: Sequence[Address], done: Callable[[float, RequestFailed | None], None]
    ) -> None:
        if self.state is not State.OUTSIDE:
            raise StateError(f"this node is {self.state.value} already: it cannot connect as a client")
        self.state = State.CLIENT

        def connected(now: float, failure: RequestFailed | None) -> None:
            if failure is not None:
                self.state = State.OUTSIDE
            done(now, failure)

        self.client.start(now, self.elsewhere(bootstrap), connected)

    def claim(self, now: float, *, is_known: bool = False) -> None:
        """From now on we are part of the ring and responsible for our range (10.5 step 7).

        is_known: the others know it already, so nothing is announced; a simulated ring begins that way."""
        self.state = State.JOINED
        self._node.ring.joined = True
        self.updates.start(now, is_known=is_known)
        self._node.storage.replication.neighbours_changed(now, wait=0.0)
        self.fingers.start(now)
        self.partition.start(now)

    def leave(self, now: float) -> None:
        if self.state in (State.LEAVING, State.LEFT):
            return
        was, self.state = self.state, State.LEAVING
        self.joining.stop()
        if was is State.JOINED:
            self.admission.close(now, self._hand_on)
        else:
            self._left(now)

    def _hand_on(self, now: float) -> None:
        """Our data to our heir, then Leave (10.9); without anybody else in the ring there is nobody to tell."""
        if self._has_begun_to_leave:
            return
        self._has_begun_to_leave = True
        if not len(self._node.ring):
            self._left(now)
            return
        self._node.timers.at(now + limits.LEAVE_TIMEOUT, self._say_leave)
        self._node.storage.replication.hand_on(now, lambda now, ok: self._say_leave(now))

    @property
    def admitting_peer(self) -> bytes | None:
        return self.joining.admitting_peer

    def elsewhere(self, addresses: Iterable[Address]) -> tuple[Address, ...]:
        """Without our own addresses: a bootstrap node finds itself in the configuration document."""
        return tuple(address for address in addresses if address not in self._node.addresses)

    # --- entering and leaving the routing table ------------------------------------------------------

    def enter(self, now: float, node_id: bytes, *, is_new: bool = False) -> None:
        """A ready peer, to which we have a link. is_new: it has just joined the ring."""
        if self._node.switch.link_of(node_id) == NO_LINK:
            return
        self._avoid.pop(node_id, None)
        if node_id in self._node.ring:
            return
        before = self.neighbourhood.sides()
        self._node.ring.add(node_id)
        self._changed(now, before, failed=False)
        thin_out(self._node)
        if is_new and self.state is State.JOINED:
            self._node.storage.replication.welcome(now, node_id)

    def lose(self, now: float, node_id: bytes, reason: str) -> None:
        """A peer has failed or left (10.7.1, 10.7.2)."""
        before = self.neighbourhood.sides()
        self._avoid_for_now(now, node_id)
        self.updates.forget(node_id)
        if not self._node.ring.remove(node_id):
            return
        self._node.count("peers_lost")
        self._node.notice("info", f"peer {node_id.hex()} is gone: {reason}")
        self._node.storage.replication.forget_copies(node_id)
        self._changed(now, before, failed=True)
        if not len(self._node.ring):
            self.partition.alone(now)
            self.client.alone(now)
        elif before.has(node_id):
            if self._node.overlay.reactive:
                self._look_further(now)
            self._look_again_later(now)
        self.fingers.lost(now, node_id)

    def linked(self, now: float, node_id: bytes, wants_full: bool) -> None:
        """A link is up: the other side learns that we are a peer, so that it may route through us (10.7)."""
        self._avoid.pop(node_id, None)
        self.liveness.linked(now)
        if self.state is not State.JOINED:
            return
        if wants_full:
            self.updates.send_full(now, node_id)
        else:
            self.updates.send(now, node_id)

    def speaks_again(self, now: float, node_id: bytes) -> None:
        """A link is not silent any more: if the other is still a peer, its Update brings it back at once."""
        self._avoid.pop(node_id, None)
        self.ask_for_update(now, node_id)

    def link_down(self, now: float, node_id: bytes, reason: str) -> None:
        if self._node.switch.link_of(node_id) != NO_LINK:
            # Another connection is up. It may be of a later run, which is no peer yet: till its Update it is none.
            if node_id in self._node.ring:
                self.lose(now, node_id, reason)
                self.speaks_again(now, node_id)
            return
        self.updates.link_down(node_id)
        self.admission.link_down(now, node_id)
        self.joining.link_down(now, node_id)
        self.lose(now, node_id, reason)

    def _changed(self, now: float, before: Sides, failed: bool) -> None:
        if self.neighbourhood.resize():
            self._look_further(now)
        after = self.neighbourhood.sides()
        if after == before or self.state is not State.JOINED:
            return
        self.updates.neighbours_changed(now, before, after)
        near = limits.REPLICAS + 1  # whoever is farther away has no part in who stores what
        if before.nearest(near) != after.nearest(near):
            self._node.storage.replication.neighbours_changed(now, self._wait_for_copies(now, failed))

    def _wait_for_copies(self, now: float, failed: bool) -> float:
        """Seconds until new replicas are made: after a failure the hold-down, for a better match may be about to be
        told of, and when it is, that does not end it (10.7.1). But after another failure within it there may be values
        with one holder left, who is not to fail as well while we wait."""
        hold_down, is_held = self._node.tuning.hold_down, now < self._hold_until
        if failed:
            self._hold_until = now + hold_down
        if failed and is_held:
            return min(limits.RESCUE_DELAY, hold_down)
        return hold_down if failed or is_held else 0.0

    def _look_again_later(self, now: float) -> None:
        """What was said while we did not want to hear it, or was lost: ask once more when we would listen."""
        if self._node.overlay.reactive and (self._looking is None or not self._looking.active):
            self._looking = self._node.timers.at(now + limits.FAILED_PEER_MEMORY + 1.0, self._look_further)

    def _look_further(self, now: float) -> None:
        """After a loss, ask the nearest neighbours who lies between, and the outermost who lies beyond."""
        if self.state is not State.JOINED:
            return
        successors, predecessors = self.neighbourhood.sides()
        for node_id in dict.fromkeys((*successors[:1], *predecessors[:1], *successors[-1:], *predecessors[-1:])):
            self.ask_for_update(now, node_id)

    # --- Updates of others --------------------------------------------------------------------------

    def _on_update(self, now: float, request: Request) -> None:
        body = request.message.body
        assert isinstance(body, UpdateReq)
        if not request.is_direct:
            raise Refuse(ErrorCode.FORBIDDEN, "an Update is taken over a direct link only")
        sender = request.signer.node_id
        if self.state not in (State.LEAVING, State.LEFT):
            self.enter(now, sender, is_new=body.uptime < self._node.tuning.hold_down)
        was_joining = self.state is State.JOINING
        if was_joining:
            self.joining.on_update(now, sender, body)
        self._node.answer(now, request, Code.UPDATE_ANS, UpdateAns())
        if self.state is State.JOINED and not was_joining:
            self.consider(now, (*body.predecessors, *body.successors), sender)

    def consider(self, now: float, node_ids: Iterable[bytes], informer: bytes, *, is_gone: bool = False) -> None:
        """10.7.3: Attach to peers that belong among our neighbours, source-routed through who named them (10.6)."""
        ring = self._node.ring
        unknown = {node_id for node_id in node_ids if node_id not in ring}
        unknown.discard(self._node.node_id)
        if not unknown:
            return  # as in nearly every Update
        sides = self.neighbourhood.sides()
        for node_id in self._nearest(unknown):
            if not self.neighbourhood.belongs(sides, node_id):
                continue
            if self._avoid.get(node_id, now) > now:
                self._look_again_later(now)
                continue
            if self._node.attach.is_attaching(node_id):
                continue
            if self._node.switch.link_of(node_id) != NO_LINK:
                self.ask_for_update(now, node_id)
            elif self._hearsay[informer] >= limits.MAX_HEARSAY:
                self._node.count("drop_hearsay")
            else:
                self.attach_to(now, node_id, informer, lambda now, outcome: None, is_gone=is_gone)

    def _nearest(self, node_ids: set[bytes]) -> Iterable[bytes]:
        """The few of them that lie nearest on each side: a long list of made-up peers must not buy many Attaches."""
        own, count = self._node.node_id, self.neighbourhood.each_side
        others = sorted(node_ids, key=lambda node_id: ids.distance(own, node_id))
        return dict.fromkeys((*others[:count], *others[-count:]))

    def is_unknown(self, now: float, node_id: bytes) -> bool:
        """A peer that is not in our table, and not because we tried in vain just now."""
        return node_id not in self._node.ring and self._avoid.get(node_id, now) <= now

    def attach_to(
        self,
        now: float,
        node_id: bytes,
        informer: bytes,
        done: Callable[[float, bytes | RequestFailed], None],
        *,
        is_gone: bool = False,
    ) -> None:
        """Attach on the word of another, through it unless it is gone."""
        self._hearsay[informer] += 1

        def over(now: float, outcome: bytes | RequestFailed) -> None:
            self._hearsay[informer] -= 1
            if not self._hearsay[informer]:
                del self._hearsay[informer]
            if isinstance(outcome, RequestFailed):
                self._node.count("neighbour_attaches_failed")
                self._avoid_for_now(now, node_id)
                self._look_again_later(now)
            done(now, outcome)

        target = Destination(DestinationType.NODE, node_id)
        through = () if is_gone else (Destination(DestinationType.NODE, informer),)
        self._node.attach.attach(now, (*through, target), over)

    def _avoid_for_now(self, now: float, node_id: bytes) -> None:
        self._avoid[node_id] = now + limits.FAILED_PEER_MEMORY
        self._avoid.move_to_end(node_id)
        if len(self._avoid) > limits.MAX_AVOIDED:
            self._avoid.popitem(last=False)

    # --- RouteQuery ----------------------------------------------------------------------------------

    def ask_for_update(self, now: float, node_id: bytes) -> None:
        """A RouteQuery with send_update: we know of a linked node, but not yet that it is ready (6.4.2.4)."""
        if self._avoid.get(node_id, now) > now:
            return
        self._avoid_for_now(now, node_id)  # its Update lifts this; without one, no storm
        destination = Destination(DestinationType.NODE, node_id)
        body = RouteQueryReq(True, destination)
        self._node.request(now, (destination,), Code.ROUTE_QUERY_REQ, body, lambda now, outcome: None)

    def _on_route_query(self, now: float, request: Request) -> None:
        body = request.message.body
        assert isinstance(body, RouteQueryReq)
        if body.destination.type == DestinationType.OPAQUE_ID:
            raise Refuse(ErrorCode.FORBIDDEN, "opaque ids are not translated for others")  # 6.4.2.4.1
        if body.destination.type > DestinationType.OPAQUE_ID or len(body.destination.value) != len(self._node.node_id):
            raise Refuse(ErrorCode.INVALID_MESSAGE, "this destination has no place on the ring")
        self._node.answer(now, request, Code.ROUTE_QUERY_ANS, RouteQueryAns(self._next_hop(body.destination)))
        if body.send_update and request.is_direct:
            self.updates.send_full(now, request.signer.node_id)  # 10.8

    def _next_hop(self, to: Destination) -> bytes:
        """As the switch would choose it; ourselves for what ends here (notes 6.8)."""
        ring, own = self._node.ring, self._node.node_id
        if to.type == DestinationType.NODE and self._node.switch.link_of(to.value) != NO_LINK:
            return to.value  # a client of ours, say (6.1.2)
        if to.value == own or ring.is_responsible(to.value):
            return own
        return ring.next_hop(to.value) or own

    # --- leaving -------------------------------------------------------------------------------------

    def _say_leave(self, now: float) -> None:
        """10.9: to all neighbours with the list they need, and to every other linked peer without (6.4.2.2)."""
        if self.state is not State.LEAVING or self._has_said_leave:
            return
        self._has_said_leave = True
        self._node.timers.at(now + limits.LEAVE_TIMEOUT, self._left)
        self._node.ring.joined = False  # what arrives from now on goes to our heir
        successors, predecessors = self.neighbourhood.sides()
        left = len(self._node.ring)

        def over(now: float, outcome: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self._left(now)

        if not left:
            self._left(now)
        for node_id in list(self._node.ring):
            data = b""
            if node_id in predecessors:  # we are its successor; in a ring of two this comes first (notes 6.12)
                data = codec.encode_struct(ChordLeaveData(ChordLeaveType.FROM_SUCC, tuple(successors)))
            elif node_id in successors:
                data = codec.encode_struct(ChordLeaveData(ChordLeaveType.FROM_PRED, tuple(predecessors)))
            body = LeaveReq(self._node.node_id, data)
            self._node.request(now, (Destination(DestinationType.NODE, node_id),), Code.LEAVE_REQ, body, over)

    def _left(self, now: float) -> None:
        if self.state is State.LEAVING:
            self.state = State.LEFT
            self._node.ring.joined = False
            self._node.act(Left())

    def _on_leave(self, now: float, request: Request) -> None:
        body = request.message.body
        assert isinstance(body, LeaveReq)
        leaver = request.signer.node_id
        if body.leaving_peer_id != leaver:
            raise Refuse(ErrorCode.FORBIDDEN, "leaving_peer_id is not the signer")
        if not request.is_direct:
            raise Refuse(ErrorCode.FORBIDDEN, "a Leave is taken over the leaver's own link only")
        self._node.answer(now, request, Code.LEAVE_ANS, LeaveAns())
        self.lose(now, leaver, "it left")
        if body.overlay_specific_data and self.state is State.JOINED:
            try:
                data = codec.decode_struct(
                    ChordLeaveData, body.overlay_specific_data, self._node.overlay.node_id_length
                )
            except WireError:
                self._node.count("drop_malformed")
                return
            self.consider(now, data.peers, leaver, is_gone=True)
