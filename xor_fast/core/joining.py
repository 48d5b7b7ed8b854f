"""Getting into the ring (RFC 6940 10.5, 11.4), seen from both sides.

Joining: bootstrap link -> Attach to own Node-ID + 1 -> full Update of the admitting peer, or Pings for the successors
if it does not come -> Attach to the future neighbours and fingers -> Join -> Stores -> Update that names us: only then
is the range ours (notes 6.4).
Admission: Join -> data handed over -> Update that names the joiner -> its answer ends our claim (notes 6.5).
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.actions import Address
from xor_fast.cext import ids
from xor_fast.core.ping import Pong
from xor_fast.core.request import Refuse, Request
from xor_fast.core.timers import Timer, backoff
from xor_fast.core.transactions import NO_LINK, Answer
from xor_fast.errors import ErrorCode, RequestFailed
from xor_fast.messages import (
    ChordUpdateType,
    Code,
    Destination,
    DestinationType,
    JoinAns,
    JoinReq,
    UpdateReq,
)

if TYPE_CHECKING:
    from xor_fast.core.node import Node


class Joining:
    """Our own way in. Every step that fails starts over after a growing, random pause."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self.admitting_peer: bytes | None = None
        self._bootstrap: tuple[Address, ...] = ()
        self._bootstrap_node: bytes | None = None
        self._done: Callable[[float, RequestFailed | None], None] | None = None
        self._tries = 0
        self._attaching = 0
        self._learned = False
        self._asked = False
        self._timer: Timer | None = None
        self._round = 0  # a late callback of an earlier try is told by it

    def start(
        self, now: float, bootstrap: tuple[Address, ...], done: Callable[[float, RequestFailed | None], None]
    ) -> None:
        self._bootstrap = bootstrap
        self._done = done
        self._begin(now)

    def stop(self) -> None:
        self._done = None
        self._round += 1
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self, now: float) -> None:
        self._round += 1
        self.admitting_peer = None
        self._learned = self._asked = False
        if self._tries % 2 and len(self._node.ring):  # peers that have come to us serve as well
            self._find_admitting_peer(now, self._node.rng.choice(list(self._node.ring)))
            return
        if self._bootstrap_node is not None and self._node.switch.link_of(self._bootstrap_node) != NO_LINK:
            self._find_admitting_peer(now, self._bootstrap_node)
            return
        current = self._round

        def linked(now: float, outcome: bytes | RequestFailed) -> None:
            if current != self._round:
                return
            if isinstance(outcome, RequestFailed):
                self._again(now, f"no bootstrap node can be reached: {outcome.text}")
                return
            self._bootstrap_node = outcome
            self._find_admitting_peer(now, outcome)

        # Every other time a peer that we met in an earlier life: the bootstrap nodes may be gone.
        known = self._node.topology.partition.known_addresses() if self._tries % 2 else ()
        self._node.attach.dial_bootstrap(now, known or self._bootstrap, linked)

    def _again(self, now: float, reason: str) -> None:
        if self._done is None:
            return
        self._round += 1
        self._tries += 1
        self._node.count("join_retries")
        pause = backoff(self._node.rng, self._tries)
        level = "warning" if self._tries > 2 else "info"
        self._node.notice(level, f"not joined yet: {reason}; trying again in {pause:.1f} s")
        self._wait(now, pause, self._begin)

    def _wait(self, now: float, seconds: float, run: Callable[[float], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._node.timers.at(now + seconds, run)

    def _find_admitting_peer(self, now: float, through: bytes) -> None:
        """Step 2: whoever is responsible for our Node-ID + 1 admits us."""
        current = self._round

        def attached(now: float, outcome: bytes | RequestFailed) -> None:
            if current != self._round:
                return
            if isinstance(outcome, RequestFailed):
                self._again(now, f"Attach to the admitting peer: {outcome}")
                return
            self.admitting_peer = outcome
            if outcome in self._node.ring:  # its Update was here before
                self._node.topology.ask_for_update(now, outcome)
            self._wait(now, limits.JOIN_TABLE_TIMEOUT, lambda now: self._ping_for_successors(now, []))

        place = Destination(DestinationType.RESOURCE, ids.successor_id(self._node.node_id))
        link = self._node.switch.link_of(through)
        self._node.attach.attach(now, (place,), attached, link=link)

    def on_update(self, now: float, sender: bytes, body: UpdateReq) -> None:
        """An Update while we join. Refuse: it admits us, but we are not ready."""
        admits = body.predecessors[:1] == (self._node.node_id,)
        if admits and not (self._asked and sender == self.admitting_peer):
            # We have started over meanwhile. An answer would end its claim, and nobody would take the range up.
            raise Refuse(ErrorCode.IN_PROGRESS, "not waiting to be admitted")
        if sender != self.admitting_peer:
            return
        if admits:
            self._admitted(now, sender, body)  # step 7
        elif body.type == ChordUpdateType.FULL and not self._learned:
            predecessors = body.predecessors[: limits.MAX_NEIGHBOURS]
            self._attach_all(now, predecessors, body.successors[: limits.MAX_NEIGHBOURS])

    def _ping_for_successors(self, now: float, found: list[bytes]) -> None:
        """10.5: without the table of the admitting peer, one successor after the other; predecessors come later."""
        after = found[-1] if found else self._node.node_id
        current = self._round

        def answered(now: float, outcome: Pong | RequestFailed) -> None:
            if current != self._round or self._learned:
                return
            if not isinstance(outcome, RequestFailed) and outcome.node_id not in (self._node.node_id, *found):
                found.append(outcome.node_id)
                if len(found) < limits.NEIGHBOURS_EACH_SIDE:
                    self._ping_for_successors(now, found)
                    return
            if found[:1] == [self.admitting_peer]:
                self._attach_all(now, (), tuple(found))
            else:
                self._again(now, "neither an Update nor a Ping tells who our successors are")

        assert self.admitting_peer is not None
        self._wait(now, limits.HANDOVER_TIMEOUT, lambda now: self._again(now, "no answer to Pings"))
        place = (Destination(DestinationType.RESOURCE, ids.successor_id(after)),)
        self._node.pings.ping(now, place, answered, link=self._node.switch.link_of(self.admitting_peer))

    def _attach_all(self, now: float, predecessors: tuple[bytes, ...], successors: tuple[bytes, ...]) -> None:
        """Step 3: links to all who will be our neighbours, through the admitting peer that named them, and fingers."""
        self._learned = True
        informer, own = self.admitting_peer, self._node.node_id
        assert informer is not None
        named = dict.fromkeys((*predecessors, *successors))
        wanted = [node_id for node_id in named if node_id not in (own, informer) and node_id not in self._node.ring]
        is_all = not successors or not predecessors or not set(predecessors).isdisjoint(successors)
        fingers = [] if is_all else self._node.topology.fingers.beyond(max(successors, key=partial(ids.distance, own)))
        current = self._round
        self._attaching = len(wanted) + len(fingers)

        def over(now: float) -> None:
            # One that cannot be reached does not belong into our table; its own neighbours will find out too.
            if current == self._round:
                self._attaching -= 1
                if self._attaching == 0:
                    self._ask(now)

        self._wait(now, limits.JOIN_ATTACH_TIMEOUT, self._ask)
        for node_id in wanted:
            self._node.topology.attach_to(now, node_id, informer, lambda now, outcome: over(now))
        self._node.topology.fingers.attach_all(now, fingers, over)
        if not wanted and not fingers:
            self._ask(now)

    def _ask(self, now: float) -> None:
        """Step 5: Join, over the link that is bound to our Node-ID."""
        if self._asked or self.admitting_peer is None:
            return
        self._asked = True
        current = self._round

        def answered(now: float, outcome: Answer | RequestFailed) -> None:
            if current == self._round and isinstance(outcome, RequestFailed):
                self._again(now, f"Join: {outcome}")

        self._wait(now, limits.HANDOVER_TIMEOUT, lambda now: self._again(now, "the handover came to no end"))
        peer = self.admitting_peer
        link = self._node.switch.link_of(peer)
        destination = (Destination(DestinationType.NODE, peer),)
        self._node.request(now, destination, Code.JOIN_REQ, JoinReq(self._node.node_id), answered, link=link)

    def _admitted(self, now: float, sender: bytes, body: UpdateReq) -> None:
        before = body.predecessors[1:2]
        if any(self._node.topology.is_unknown(now, node_id) for node_id in before):
            # Another peer got in just before us. Claiming without knowing it would take its range as well, so the
            # admission is put off until we are linked with it (10.5: no claim before every neighbour is attached).
            self._asked = False
            # After a pause: its Update may still be on its way to us, and is not to be chased with Join after Join.
            self._wait(now, self._node.rng.uniform(*limits.JOIN_RETRY), lambda now: self._attach_all(now, before, ()))
            raise Refuse(ErrorCode.IN_PROGRESS, "not linked with our predecessor yet")
        done = self._done
        self.stop()
        self._node.topology.claim(now)
        if done is not None:
            done(now, None)

    def link_down(self, now: float, node_id: bytes) -> None:
        if self._done is not None and node_id == self.admitting_peer:
            self._again(now, "the link to the admitting peer was lost")


class Admission:
    """The way in of another, at whose place we are responsible. One at a time: two would fight over the same range."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._joiner: bytes | None = None
        self._timer: Timer | None = None
        self._when_over: Callable[[float], None] | None = None

    def close(self, now: float, then: Callable[[float], None]) -> None:
        """Before we leave: let the one who is on its way in finish, for it takes our data; nobody after it."""
        self._when_over = then
        if self._joiner is None:
            self._over(now)
        else:
            self._node.timers.at(now + limits.LEAVE_TIMEOUT, lambda now: self._give_up(now, "we are leaving"))

    def on_join(self, now: float, request: Request) -> None:
        body = request.message.body
        assert isinstance(body, JoinReq)
        joiner = request.signer.node_id
        if body.joining_peer_id != joiner:
            raise Refuse(ErrorCode.FORBIDDEN, "joining_peer_id is not the signer")  # 6.4.2.1
        if not request.is_direct:
            raise Refuse(ErrorCode.FORBIDDEN, "a Join is taken over the joiner's own link only")
        if joiner in self._node.ring:
            self._node.topology.lose(now, joiner, "it joins anew")
        if not self._node.ring.is_responsible(joiner):
            raise Refuse(ErrorCode.NOT_FOUND, "this peer is not responsible for that place")
        if self._joiner not in (None, joiner):
            raise Refuse(ErrorCode.IN_PROGRESS, "another peer is just joining here")
        if self._joiner is None and self._when_over is not None:
            raise Refuse(ErrorCode.IN_PROGRESS, "this peer is just leaving")
        self._node.answer(now, request, Code.JOIN_ANS, JoinAns())
        if joiner == self._joiner:
            return  # its handover goes on: asking again and again must not pile up copies
        self._joiner = joiner
        self._timer = self._node.timers.at(
            now + limits.HANDOVER_TIMEOUT, lambda now: self._give_up(now, "no end in time")
        )
        start = self._node.ring.predecessors(1)
        self._node.storage.replication.hand_over(
            now, joiner, start[0] if start else self._node.node_id, lambda now, ok: self._handed_over(now, joiner, ok)
        )

    def _handed_over(self, now: float, joiner: bytes, complete: bool) -> None:
        if joiner != self._joiner:
            return
        if not complete:
            self._give_up(now, "it did not take all values")
            return
        update = self._node.topology.updates.admission(now, joiner)  # step 7

        def answered(now: float, outcome: Answer | RequestFailed) -> None:
            if joiner != self._joiner:
                return
            if isinstance(outcome, RequestFailed):
                self._give_up(now, f"it did not answer the Update that admits it: {outcome}")
                return
            self._forget()
            self._node.count("peers_admitted")
            self._node.topology.enter(now, joiner)  # step 8 follows from the change
            self._over(now)

        link = self._node.switch.link_of(joiner)
        destination = (Destination(DestinationType.NODE, joiner),)
        self._node.request(now, destination, Code.UPDATE_REQ, update, answered, link=link)

    def link_down(self, now: float, node_id: bytes) -> None:
        if node_id == self._joiner:
            self._give_up(now, "its link was lost")

    def _give_up(self, now: float, reason: str) -> None:
        if self._joiner is not None:
            self._node.storage.replication.forget_copies(self._joiner)  # what it keeps of them, nobody knows
            self._node.count("joins_given_up")
            self._node.notice("info", f"gave up the join of {self._joiner.hex()}: {reason}")
            self._node.topology.speaks_again(now, self._joiner)  # one that joined anew is a peer still
        self._forget()
        self._over(now)

    def _forget(self) -> None:
        self._joiner = None
        self._node.storage.replication.stop_handover()
        if self._timer is not None:
            self._timer.cancel()

    def _over(self, now: float) -> None:
        if self._when_over is not None:
            self._when_over(now)
