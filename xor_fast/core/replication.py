"""Where copies of values go: to the next two successors, to a joining peer, to successors when leaving.

RFC 6940 7.4.1.1 (replica Stores), 10.4 (redundancy), 10.5 step 6 (handover), 10.7.3 (changed replica sets).
A Store of its own carries each value, so that no message outgrows the overlay's limit.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.cext import ids
from xor_fast.core.pushes import Push, Pushes
from xor_fast.core.request import Request
from xor_fast.core.timers import Timer
from xor_fast.core.transactions import Answer
from xor_fast.errors import ErrorCode, RequestFailed
from xor_fast.messages import (
    Code,
    Destination,
    DestinationType,
    StoreAns,
    StoreKindData,
    StoreKindResponse,
    StoreReq,
)

if TYPE_CHECKING:
    from xor_fast.core.node import Node
    from xor_fast.core.storage import Part, Storage
    from xor_fast.core.values import Held, Shelf

# An enum finds its members by a call of Python (3.11: 150 ns); these are asked for with each message.
_NODE = DestinationType.NODE
_STORE_REQ = Code.STORE_REQ
_STORE_ANS = Code.STORE_ANS

Over = Callable[[float, bool], None]
"""over(now, confirmed)"""


def _may_be_owner(push: Push, node_id: bytes) -> bool:
    """Who is farther from the place than an owner that we know of is none, and may be lying in between."""
    place = push.shelf.resource
    return not push.is_far or ids.distance(place, node_id) <= ids.distance(place, push.target)


class _Waiting:
    """An original Store whose answer waits for a replica.

    It is the first successor's word that counts: it becomes responsible if we die. Another's is enough only when the
    first cannot or will not take the value."""

    __slots__ = ("answered", "confirmed", "failed", "left", "request", "responses", "timer")

    def __init__(self, request: Request, responses: tuple[StoreKindResponse, ...], left: dict[int, int]) -> None:
        self.request = request
        self.responses = responses
        self.left = left  # values that are under way, by replica number
        self.failed: set[int] = set()  # who did not take one of them
        self.confirmed = False  # somebody has them all
        self.answered = False
        self.timer: Timer | None = None


class _Handover:
    """Values in (start, joiner] are moving to a joining peer; writes meanwhile go there too (notes 6.6)."""

    __slots__ = ("failed", "joiner", "left", "over", "start")

    def __init__(self, start: bytes, joiner: bytes, over: Over) -> None:
        self.start = start
        self.joiner = joiner
        self.over: Over | None = over  # None once called
        self.left = 1  # values under way, and the call that began it
        self.failed = False


class Replication:
    """Whose copies count: each peer that has confirmed values has a mark, which `Held.copies` names. When it has gone,
    or has left the replica set and may let go of them, it loses its mark, and all it confirmed is forgotten at once.

    A value that is not ours has a keeper: the peer that gave it to us, or that took it when we owed it. Unless one of
    those who are to hold it is known to do so, ours may be the last copy: it goes to its owner before we let go of it.

    What has to be looked at after a change of the ring is the part of it that has changed hands, and what we owe."""

    def __init__(self, node: "Node", storage: "Storage") -> None:
        self._node = node
        self._storage = storage
        self._pushes: Pushes = Pushes(self._send)
        self._rebalancing: set[tuple[Shelf, bytes, bytes]] = set()  # what `_rebalance` has sent or queued
        self._waiting = 0
        self._handover: _Handover | None = None
        self._rebalance_at: Timer | None = None
        self._pause = limits.REPLICA_RETRY  # until refused replicas are sent again; grows while nothing changes
        self._settled_at: Timer | None = None
        self._marks: dict[bytes, int] = {}
        self._keepers: dict[bytes, int] = {}  # marks of another kind: peers of our ring that have given us values
        self._next_mark = 0
        self._start: bytes | None = None  # our range begins after this, as last noted; None: we have none
        self._covered: tuple[bytes, list[bytes]] | None = None  # range and targets that have been looked over
        self._again: dict[tuple[Shelf, bytes], None] = {}  # values of ours that a target did not take
        self._owed: dict[tuple[Shelf, bytes], None] = {}  # values of others, until their owners are known to have them
        self._asked_for: set[tuple[bytes, bytes, int]] = set()  # (Node-ID, Resource-ID, Kind-ID), Fetches under way

    # --- who may replicate to us ---------------------------------------------------------------------

    def is_plausible(self, sender: bytes, resource: bytes) -> bool:
        """Do we expect to hold this, and may the sender have held it (7.4.1.1, notes 5.17)?"""
        ring = self._node.ring
        if not ring.joined:
            return sender == self._node.topology.admitting_peer  # handover to us, notes 5.5
        if self._is_far(resource):
            return False  # we would let go of it, and the sender count on us: it tries again when it sees what we see
        if sender not in ring:
            return False  # only peers replicate; one that is new to us will try again when we have met
        members = ring.replica_set(resource, limits.REPLICAS + 1)  # one more than needed: views differ under churn
        return sender in members or ids.between(resource, sender, members[-1])

    def ask_for(self, now: float, holder: bytes, resource: bytes, kinds: Iterable[int]) -> None:
        """A peer that has no part in our range has newer values of it: it was their owner while the overlay was split
        (10.7.4.4). Its Store has to be refused (7.4.1.1); what it answers to a Fetch counts as far as it proves."""
        for kind in kinds:
            what = (holder, resource, kind)
            if what in self._asked_for or len(self._asked_for) >= limits.MAX_ASKED_FOR:
                continue  # it tries again
            self._asked_for.add(what)
            self._node.writer.resync(now, Destination(_NODE, holder), resource, kind, partial(self._fetched, what))

    def _fetched(self, what: tuple[bytes, bytes, int], now: float) -> None:
        self._asked_for.discard(what)

    # --- an original Store ---------------------------------------------------------------------------

    def confirm(self, now: float, request: Request, parts: list["Part"]) -> None:
        """Send the values to the next two successors and answer when the first of them that can has them all.

        Alone in the ring, or after one reliability timer, the answer leaves with one copy, and that is counted."""
        targets = self._node.ring.successors(limits.REPLICAS)
        replicas = tuple(targets)
        responses = tuple(StoreKindResponse(part.shelf.kind, part.generation, replicas) for part in parts)
        places = [(part.shelf, held) for part in parts for held in part.values]
        if self._covered is None or self._covered[1] != targets:
            self._again.update(((shelf, held.key), None) for shelf, held in places)  # before the dust has settled
        waiting = _Waiting(request, responses, dict.fromkeys(range(1, len(targets) + 1), len(places)))
        waiting.confirmed = not places
        if not targets or not places or self._waiting >= limits.MAX_HELD_STORES:
            self._answer(waiting, now)
        else:
            self._waiting += 1
            later = now + self._node.overlay.reliability_timer
            waiting.timer = self._node.timers.at(later, partial(self._answer, waiting))
        over = partial(self._pushed, waiting)
        for number, target in enumerate(targets, 1):
            for shelf, held in places:
                push = Push(shelf, held.key, target, number, over)
                if self._has_copy(held, target):
                    over(now, push, True)  # the same Store once more: it has the value already
                else:
                    self._send(now, push, over)  # ahead of what waits in the queue: somebody waits for this answer
        self._mirror(now, places)

    def _pushed(self, waiting: _Waiting, now: float, push: Push, ok: bool) -> None:
        if not ok:
            waiting.failed.add(push.number)
            self._once_more(now, push)
        left = waiting.left
        left[push.number] -= 1
        if not left[push.number]:
            del left[push.number]
            waiting.confirmed = waiting.confirmed or push.number not in waiting.failed
            if 1 not in left and (waiting.confirmed or not left):
                self._answer(waiting, now)

    def _once_more(self, now: float, push: Push) -> None:
        self._again[push.shelf, push.key] = None
        self._try_again(now)

    def _answer(self, waiting: _Waiting, now: float) -> None:
        if waiting.answered:
            return
        waiting.answered = True
        if waiting.timer is not None:
            waiting.timer.cancel()
            self._waiting -= 1
        self._node.count("stores_acknowledged" if waiting.confirmed else "stores_acknowledged_with_one_copy")
        self._node.answer(now, waiting.request, _STORE_ANS, StoreAns(waiting.responses))

    # --- whose copies count ---------------------------------------------------------------------------

    def _confirmed(self, held: "Held", target: bytes) -> None:
        mark = self._mark(self._marks, target)
        if mark not in held.copies:
            if len(held.copies) > 2 * limits.REPLICAS:
                held.copies = tuple(other for other in held.copies if other in self._marks.values())
            held.copies += (mark,)

    def _has_copy(self, held: "Held", target: bytes) -> bool:
        return self._marks.get(target, 0) in held.copies

    def _mark(self, marks: dict[bytes, int], node_id: bytes) -> int:
        if node_id not in marks:
            self._next_mark += 1
            marks[node_id] = self._next_mark
        return marks[node_id]

    def kept_by(self, node_id: bytes, values: Iterable["Held"]) -> None:
        """That peer has these too."""
        if node_id in self._node.ring:  # else nobody would tell us when it is gone
            mark = self._mark(self._keepers, node_id)
            for held in values:
                held.keeper = mark

    def _is_kept(self, held: "Held", holders: list[bytes]) -> bool:
        """Is one of those who are to hold it known to do so?"""
        return any(self._keepers.get(holder) == held.keeper or self._has_copy(held, holder) for holder in holders)

    def forget_copies(self, node_id: bytes) -> None:
        """A peer has gone: what it held no longer counts as a copy."""
        self._keepers.pop(node_id, None)
        if self._marks.pop(node_id, None) is not None and self._covered is not None:
            start, targets = self._covered
            self._covered = (start, [target for target in targets if target != node_id])

    # --- changes of the ring -------------------------------------------------------------------------

    def neighbours_changed(self, now: float, wait: float) -> None:
        """Look over what changed hands in so many seconds, if not sooner."""
        self._pause = limits.REPLICA_RETRY
        self._note_range()
        self._schedule(now + wait)
        if self._settled_at is not None:
            self._settled_at.cancel()
        self._tidy_later(now)

    def _note_range(self) -> None:
        """What is no longer ours is owed to whoever comes in between; noted at once, lest it changes hands twice."""
        if not self._node.ring.joined:
            return
        before, self._start = self._start, self._begin()
        own = self._node.node_id
        if before is None or self._start in (before, own) or not ids.between(before, self._start, own):
            return  # it has grown, or it is as it was
        for shelf in self._storage.shelves.within(before, self._start):
            owner = self._marks.get(self._node.ring.owner(shelf.resource), 0)
            for key, held in shelf.values.items():
                self._owed[shelf, key] = None
                # Who is out of its replica set may let go of it, even if it belongs there again when it comes back.
                held.copies = (owner,) if owner in held.copies else ()

    def _begin(self) -> bytes:
        """Our range begins after this: the predecessor, or alone in the ring ourselves (10.1)."""
        return next(iter(self._node.ring.predecessors(1)), self._node.node_id)

    def received(self, now: float, shelf: "Shelf", held: "Held", sender: bytes | None) -> None:
        """A value that came from another peer: if it is ours now, its replicas are our affair. If neither it is ours
        nor the sender its owner, the sender may take us for the owner, and let go of it: then we owe it."""
        ring = self._node.ring
        if ring.is_responsible(shelf.resource):
            self._again[shelf, held.key] = None
            self._schedule(now + limits.REPLICA_RETRY)
        elif ring.joined and sender is not None and ring.owner(shelf.resource) != sender:
            self._owed[shelf, held.key] = None
            self._schedule(now + limits.REPLICA_RETRY)
        elif self._is_far(shelf.resource):
            self._tidy_later(now)  # notes 6.7: not at once

    def owe(self, now: float, shelf: "Shelf", held: "Held") -> None:
        """A value that may have to go to its owner."""
        self._owed[shelf, held.key] = None
        if self._node.ring.joined:
            self._schedule(now)

    def _is_to_hold(self, node_id: bytes, resource: bytes) -> bool:
        """It may have been when we sent it a value, and have let go of it by the time its answer comes."""
        return self._is_joiner(node_id) or node_id in self._node.ring.replica_set(resource, limits.REPLICAS)

    def _is_joiner(self, node_id: bytes) -> bool:
        """Values are being handed over to it."""
        return self._handover is not None and node_id == self._handover.joiner

    def _schedule(self, when: float) -> None:
        timer = self._rebalance_at
        if timer is not None and timer.active:
            if timer.when <= when:
                return
            timer.cancel()
        self._rebalance_at = self._node.timers.at(when, self._rebalance)

    def _try_again(self, now: float) -> None:
        """Refused because views differ, or lost: once the dust has settled (notes 5.17)."""
        timer = self._rebalance_at
        if timer is None or not timer.active or timer.when > now + self._pause:
            self._schedule(now + self._pause)
            self._pause = min(2 * self._pause, limits.REPLICA_RETRY_CEILING)

    def _rebalance(self, now: float) -> None:
        if not self._node.ring.joined:
            return
        self._note_range()
        self._settle_debts(now)
        self._cover_ours()
        self._pushes.fill(now)

    def _cover_ours(self) -> None:
        """Every value of our range goes to each of the next two successors that lacks it (10.4)."""
        shelves, own = self._storage.shelves, self._node.node_id
        start = self._begin()
        targets = self._node.ring.successors(limits.REPLICAS)
        again, self._again = self._again, {}
        covered, self._covered = self._covered, (start, targets)
        for gone in self._marks.keys() - set(targets):
            del self._marks[gone]  # who is no longer in the replica set may let go of what it has
        if covered is None or not set(targets) <= set(covered[1]):
            for shelf in shelves.within(start, own):
                self._cover(shelf, shelf.values, targets)
            return
        if ids.between(start, covered[0], own):  # nobody new, but our range has grown
            for shelf in shelves.within(start, covered[0]):
                self._cover(shelf, shelf.values, targets)
        for shelf, key in again:
            if self._node.ring.is_responsible(shelf.resource):
                self._cover(shelf, (key,), targets)

    def welcome(self, now: float, node_id: bytes) -> None:
        """Who has just joined and is to hold our values gets them at once (10.7.3). The hold-down is for another that
        takes the place of one that failed; under churn there is hardly a moment without."""
        targets = self._node.ring.successors(limits.REPLICAS)
        if node_id in targets:
            number = 1 + targets.index(node_id)
            for shelf in self._storage.shelves.within(self._begin(), self._node.node_id):
                for key in shelf.values:
                    self._replicate(shelf, key, node_id, number)
            self._pushes.fill(now)

    def _cover(self, shelf: "Shelf", keys: Iterable[bytes], targets: list[bytes]) -> None:
        for key in keys:
            for number, target in enumerate(targets, 1):
                self._replicate(shelf, key, target, number)

    def _settle_debts(self, now: float) -> None:
        """6.4.2.3: what is no longer ours goes to its owner, and we hold on to it until the owner has it."""
        near = self._node.ring.predecessors(limits.REPLICAS + 1)
        for shelf, key in list(self._owed):
            held, owner = shelf.values.get(key), self._node.ring.owner(shelf.resource)
            if held is None:
                del self._owed[shelf, key]
            elif owner == self._node.node_id:
                del self._owed[shelf, key]
                self._cover(shelf, (key,), self._node.ring.successors(limits.REPLICAS))
            elif self._has_copy(held, owner):
                del self._owed[shelf, key]
                self.kept_by(owner, (held,))
                self._tidy_later(now)  # is it still ours to keep?
            else:
                self._replicate(shelf, key, owner, 1, is_far=owner not in near)

    def _replicate(self, shelf: "Shelf", key: bytes, target: bytes, number: int, *, is_far: bool = False) -> None:
        what = (shelf, key, target)
        held = shelf.values.get(key)
        if held is None or what in self._rebalancing or self._has_copy(held, target):
            return
        self._rebalancing.add(what)
        self._pushes.add(Push(shelf, key, target, number, partial(self._replicated, held), is_far))

    def _replicated(self, sent: "Held", now: float, push: Push, ok: bool) -> None:
        shelf, key = push.shelf, push.key
        self._rebalancing.discard((shelf, key, push.target))
        is_owed = (shelf, key) in self._owed
        is_owner = push.is_far or self._node.ring.owner(shelf.resource) == push.target
        if not ok or shelf.values.get(key) not in (None, sent) or (is_owed and not is_owner):
            self._once_more(now, push)  # a newer one came meanwhile, or a nearer owner
        elif is_owed:
            del self._owed[shelf, key]
            self.kept_by(push.target, (sent,))
            if push.is_far and self._is_far(shelf.resource) and key in shelf.values:
                self._drop(now, shelf, sent)  # who took it is responsible, be it one that we do not know
            else:
                self._tidy_later(now)  # is it still ours to keep?

    # --- what others are to hold ----------------------------------------------------------------------

    def _tidy_later(self, now: float) -> None:
        """Once nothing has changed nearby for a while. An owner that still sees fewer between us and itself counts on
        what we have confirmed, and is not told when we let go of it."""
        if self._settled_at is None or not self._settled_at.active:
            later = now + self._node.tuning.hold_down + limits.SETTLING
            self._settled_at = self._node.timers.at(later, self._tidy)

    def _tidy(self, now: float) -> None:
        """Let go of what three predecessors lie between us and its place (10.7.3), and look after the rest: an owner
        that came to it by a failure had it as a replica, unless it could not take it then. If it has the values, it
        has sent them to us by now; else ours may be the last copies."""
        before = self._node.ring.predecessors(limits.REPLICAS + 1)
        if not self._node.ring.joined or not before:
            return
        lacking = self._owe_what_lacks(self._node.node_id, before[0])
        if len(before) > limits.REPLICAS:
            for shelf in self._storage.shelves.within(self._node.node_id, before[-1]):
                for key, held in list(shelf.values.items()):
                    if (shelf, key) not in self._owed:
                        self._drop(now, shelf, held)
        if lacking:
            self._rebalance(now)

    def _drop(self, now: float, shelf: "Shelf", held: "Held") -> None:
        self._node.count("values_left_replica_set")
        self._storage.drop(now, shelf, held)

    def _owe_what_lacks(self, start: bytes, end: bytes) -> int:
        """Values in (start, end] that nobody who is to hold them is known to have are owed to their owners."""
        before = len(self._owed)
        for shelf in self._storage.shelves.within(start, end):
            holders = self._node.ring.replica_set(shelf.resource, limits.REPLICAS)
            lacking = (key for key, held in shelf.values.items() if not self._is_kept(held, holders))
            self._owed.update(((shelf, key), None) for key in lacking)
        return len(self._owed) - before

    def _is_far(self, resource: bytes) -> bool:
        before = self._node.ring.predecessors(limits.REPLICAS + 1)
        return len(before) > limits.REPLICAS and not ids.between(before[-1], resource, self._node.node_id)

    # --- handover to a joining peer, and before leaving ------------------------------------------------

    def hand_over(self, now: float, joiner: bytes, start: bytes, over: Over) -> None:
        """Send a joining peer all values in (start, joiner] (10.5 step 6); over when it has them."""
        moving = self._handover = _Handover(start, joiner, over)
        for shelf in self._storage.shelves.within(start, joiner):
            for key in shelf.values:
                self._hand_one(shelf, key, moving)
        self._pushes.fill(now)
        self._handed(moving, now, None, True)

    def stop_handover(self) -> None:
        self._handover = None

    def hand_on(self, now: float, over: Over) -> None:
        """Before leaving: what we are responsible for goes to the first successor, unless it has it (10.9)."""
        heir = self._node.ring.successors(1)[0]
        left = 1

        def one_over(now: float, push: Push | None, ok: bool) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                over(now, True)

        for shelf in self._storage.shelves.within(self._begin(), self._node.node_id):
            for key, held in shelf.values.items():
                if not self._has_copy(held, heir):
                    left += 1
                    self._pushes.add(Push(shelf, key, heir, 1, one_over))
        self._pushes.fill(now)
        one_over(now, None, True)

    def _mirror(self, now: float, places: list[tuple["Shelf", "Held"]]) -> None:
        moving = self._handover
        if moving is not None:
            for shelf, held in places:
                if ids.between(moving.start, shelf.resource, moving.joiner):
                    self._hand_one(shelf, held.key, moving)
            self._pushes.fill(now)

    def _hand_one(self, shelf: "Shelf", key: bytes, moving: _Handover) -> None:
        moving.left += 1
        self._pushes.add(Push(shelf, key, moving.joiner, 1, partial(self._handed, moving)))

    def _handed(self, moving: _Handover, now: float, push: Push | None, ok: bool) -> None:
        if moving is not self._handover:
            return  # of an earlier one, which has been given up
        moving.left -= 1
        moving.failed = moving.failed or not ok
        if moving.left == 0 and moving.over is not None:
            over, moving.over = moving.over, None
            over(now, not moving.failed)

    # --- the pushes themselves -----------------------------------------------------------------------

    def _is_there(self, push: Push) -> bool:
        return push.is_far or self._is_joiner(push.target) or push.target in self._node.ring

    def _send(self, now: float, push: Push, over: Callable[[float, Push, bool], None]) -> None:
        shelf = push.shelf
        held = shelf.values.get(push.key)
        data = held.passed_on(now) if held else None
        if held is None or data is None:
            over(now, push, True)  # gone meanwhile: nothing left to copy
            return
        if not self._is_there(push):
            over(now, push, False)  # at once: what waits behind it is not to wait for the fifth sending to the dead
            return
        body = StoreReq(shelf.resource, push.number, (StoreKindData(shelf.kind, shelf.generation, (data,)),))

        def answered(now: float, outcome: Answer | RequestFailed) -> None:
            taken = isinstance(outcome, Answer)
            if isinstance(outcome, Answer):
                holder = outcome.signer.node_id
                taken = _may_be_owner(push, holder)
                if self._is_to_hold(holder, shelf.resource):
                    self._confirmed(held, holder)
            elif outcome.code == ErrorCode.DATA_TOO_OLD and self._is_far(shelf.resource):
                taken = _may_be_owner(push, outcome.said_by)  # it has a newer one, and here it has no place
            elif outcome.code in (ErrorCode.DATA_TOO_OLD, ErrorCode.GENERATION_COUNTER_TOO_LOW):
                # A joiner that brings a newer value from its disk does not need ours: no reason to keep it out.
                taken = self._is_joiner(push.target) and outcome.code == ErrorCode.DATA_TOO_OLD
                # 7.4.1.1. Not over before that is: who refuses a thousand values and shows none gets a window full.
                self._node.writer.resync(
                    now, destination, shelf.resource, shelf.kind, lambda now: over(now, push, taken)
                )
                return
            over(now, push, taken)

        destination = Destination(_NODE, push.target)
        if push.is_far:
            destination = Destination(DestinationType.RESOURCE, shelf.resource)
        self._node.count("replicas_sent")
        self._node.request(now, (destination,), _STORE_REQ, body, answered, certificates=held.chain.certificates)
