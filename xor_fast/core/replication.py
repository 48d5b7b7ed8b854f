"""Where copies of values go: to the next two successors, to a joining peer, to successors when leaving.

RFC 6940 7.4.1.1 (replica Stores), 10.4 (redundancy), 10.5 step 6 (handover), 10.7.3 (changed replica sets).
A Store of its own carries each value, so that no message outgrows the overlay's limit.
"""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from xor_fast import limits
from xor_fast.cext import ids
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
    from xor_fast.core.storage import Held, Storage

Over = Callable[[float, bool], None]
"""over(now, confirmed)"""


class _Push(NamedTuple):
    """One value on its way to one node."""

    resource: bytes
    kind: int
    key: bytes
    target: bytes
    number: int
    over: Over


class _Waiting:
    """An original Store whose answer waits for a replica.

    It is the first successor's word that counts: it becomes responsible if we die. Another's is enough only when the
    first cannot or will not take the value."""

    __slots__ = ("answered", "confirmed", "heir_failed", "left", "request", "responses", "timer")

    def __init__(self, request: Request, responses: tuple[StoreKindResponse, ...], left: int) -> None:
        self.request = request
        self.responses = responses
        self.left = left
        self.confirmed = False
        self.heir_failed = False
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
    def __init__(self, node: "Node", storage: "Storage") -> None:
        self._node = node
        self._storage = storage
        self._queue: deque[_Push] = deque()
        self._rebalancing: set[tuple[bytes, int, bytes, bytes]] = set()  # what `_rebalance` has sent or queued
        self._under_way = 0
        self._waiting = 0
        self._is_filling = False
        self._handover: _Handover | None = None
        self._rebalance_at: Timer | None = None
        self._pause = limits.REPLICA_RETRY  # until refused replicas are sent again; grows while nothing changes

    # --- who may replicate to us ---------------------------------------------------------------------

    def is_plausible(self, sender: bytes, resource: bytes) -> bool:
        """Do we expect to hold this, and may the sender have held it (7.4.1.1, notes 5.17)?"""
        ring = self._node.ring
        if not ring.joined:
            return sender == self._node.topology.admitting_peer  # handover to us, notes 5.5
        members = ring.replica_set(resource, limits.REPLICAS + 1)  # one more than needed: views differ under churn
        if self._node.node_id not in members or sender not in ring:
            return False  # only peers replicate; one that is new to us will try again when we have met
        return sender in members or ids.between(resource, sender, members[-1])

    # --- an original Store ---------------------------------------------------------------------------

    def confirm(
        self,
        now: float,
        request: Request,
        resource: bytes,
        values: Iterable[tuple[int, bytes, "Held"]],
        responses: tuple[StoreKindResponse, ...],
    ) -> None:
        """Send the values to the next two successors and answer when the first of them that can has them all.

        Alone in the ring, or after one reliability timer, the answer leaves with one copy, and that is counted."""
        values = list(values)
        targets = self._node.ring.successors(limits.REPLICAS)
        responses = tuple(
            StoreKindResponse(response.kind, response.generation_counter, tuple(targets)) for response in responses
        )
        waiting = _Waiting(request, responses, len(targets))
        for _, _, held in values:
            held.owned = True
        if not targets or not values or self._waiting >= limits.MAX_HELD_STORES:
            self._answer(now, waiting, confirmed=not values)
        else:
            self._waiting += 1
            later = now + self._node.overlay.reliability_timer
            waiting.timer = self._node.timers.at(later, lambda now: self._answer(now, waiting, waiting.confirmed))
        for number, target in enumerate(targets, 1):
            self._push_all(now, resource, values, target, number, partial(self._pushed, waiting, number))
        self._mirror(now, resource, values)

    def _push_all(
        self,
        now: float,
        resource: bytes,
        values: list[tuple[int, bytes, "Held"]],
        target: bytes,
        number: int,
        over: Over,
    ) -> None:
        """Push several values to one node; over when all are answered, confirmed if all were."""
        left = len(values)
        good = True

        def one_over(now: float, ok: bool) -> None:
            nonlocal left, good
            left -= 1
            good = good and ok
            if left == 0:
                over(now, good)

        for kind, key, held in values:
            if target in held.copies:
                one_over(now, True)  # the same Store once more: it has the value already
            else:
                # Ahead of what waits in the queue: somebody waits for this answer.
                self._send(now, _Push(resource, kind, key, target, number, one_over))

    def _pushed(self, waiting: _Waiting, number: int, now: float, ok: bool) -> None:
        waiting.left -= 1
        waiting.confirmed = waiting.confirmed or ok
        waiting.heir_failed = waiting.heir_failed or (number == 1 and not ok)
        if (number == 1 and ok) or (waiting.heir_failed and waiting.confirmed) or waiting.left == 0:
            self._answer(now, waiting, waiting.confirmed)

    def _answer(self, now: float, waiting: _Waiting, confirmed: bool) -> None:
        if waiting.answered:
            return
        waiting.answered = True
        if waiting.timer is not None:
            waiting.timer.cancel()
            self._waiting -= 1
        self._node.count("stores_acknowledged" if confirmed else "stores_acknowledged_with_one_copy")
        self._node.answer(now, waiting.request, Code.STORE_ANS, StoreAns(waiting.responses))

    # --- changes of the ring -------------------------------------------------------------------------

    def neighbours_changed(self, now: float, failed: bool) -> None:
        """Look over all values soon: at once after a join, after the hold-down when a neighbour failed (10.7.1)."""
        self._pause = limits.REPLICA_RETRY
        # What is ours now is noted at once: if another comes in between before the hold-down is over, it is owed this.
        # And who is out of a replica set may let go of it, even if it belongs there again by the time we look.
        ring = self._node.ring
        for resource, _, _, held in self._storage.everything():
            held.owned = held.owned or ring.is_responsible(resource)
            held.copies.intersection_update(ring.replica_set(resource, limits.REPLICAS))
        self._schedule(now + (self._node.tuning.hold_down if failed else 0.0))

    def forget_copies(self, node_id: bytes) -> None:
        """A peer has gone: what it held no longer counts as a copy."""
        for *_, held in self._storage.everything():
            held.copies.discard(node_id)

    def _is_to_hold(self, node_id: bytes, resource: bytes) -> bool:
        """It may have been when we sent it a value, and have let go of it by the time its answer comes."""
        moving = self._handover
        if moving is not None and node_id == moving.joiner:
            return True
        return node_id in self._node.ring.replica_set(resource, limits.REPLICAS)

    def _schedule(self, when: float) -> None:
        timer = self._rebalance_at
        if timer is not None and timer.active:
            if timer.when <= when:
                return
            timer.cancel()
        self._rebalance_at = self._node.timers.at(when, self._rebalance)

    def _try_again(self, now: float) -> None:
        """Refused because views differ, or lost: look over all values once the dust has settled (notes 5.17)."""
        timer = self._rebalance_at
        if timer is None or not timer.active or timer.when > now + self._pause:
            self._schedule(now + self._pause)
            self._pause = min(2 * self._pause, limits.REPLICA_RETRY_CEILING)

    def _rebalance(self, now: float) -> None:
        ring = self._node.ring
        if not ring.joined:
            return
        targets = ring.successors(limits.REPLICAS)
        before = ring.predecessors(limits.REPLICAS + 1)
        for resource, kind, key, held in self._storage.everything():
            if ring.is_responsible(resource):
                held.owned = True
                for number, target in enumerate(targets, 1):
                    self._replicate(now, resource, kind, key, held, target, number)
                continue
            if held.owned and ring.owner(resource) not in held.copies:
                # 6.4.2.3: no longer ours, so the new owner gets it; until it has it, we do not let go of it.
                self._replicate(now, resource, kind, key, held, ring.owner(resource), 1)
                continue
            held.owned = False
            if len(before) > limits.REPLICAS and not ids.between(before[-1], resource, self._node.node_id):
                self._node.count("values_left_replica_set")  # three predecessors lie between (10.7.3)
                self._storage.drop(now, resource, kind, key)
        self._fill(now)

    def _replicate(
        self, now: float, resource: bytes, kind: int, key: bytes, held: "Held", target: bytes, number: int
    ) -> None:
        if target in held.copies or target == self._node.node_id:
            return
        what = (resource, kind, key, target)
        if what in self._rebalancing:
            return

        def over(now: float, ok: bool) -> None:
            self._rebalancing.discard(what)
            if not ok:
                self._try_again(now)
            elif held.owned and not self._node.ring.is_responsible(resource):
                self._schedule(now + limits.REPLICA_RETRY)  # the new owner has it: is it still ours to keep?

        self._rebalancing.add(what)
        self._queue.append(_Push(resource, kind, key, target, number, over))

    # --- handover to a joining peer, and before leaving ------------------------------------------------

    def hand_over(self, now: float, joiner: bytes, start: bytes, over: Over) -> None:
        """Send a joining peer all values in (start, joiner] (10.5 step 6); over when it has them."""
        moving = self._handover = _Handover(start, joiner, over)
        for resource, kind, key, _ in self._storage.everything():
            if ids.between(start, resource, joiner):
                self._hand_one(now, resource, kind, key, moving)
        self._fill(now)
        self._handed(moving, now, True)

    def stop_handover(self) -> None:
        self._handover = None

    def hand_on(self, now: float, over: Over) -> None:
        """Before leaving: what we are responsible for goes to the first successor, unless it has it (10.9)."""
        heir = self._node.ring.successors(1)[0]
        left = 1

        def one_over(now: float, ok: bool) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                over(now, True)

        for resource, kind, key, held in self._storage.everything():
            if self._node.ring.is_responsible(resource) and heir not in held.copies:
                left += 1
                self._queue.append(_Push(resource, kind, key, heir, 1, one_over))
        self._fill(now)
        one_over(now, True)

    def _mirror(self, now: float, resource: bytes, values: list[tuple[int, bytes, "Held"]]) -> None:
        moving = self._handover
        if moving is not None and ids.between(moving.start, resource, moving.joiner):
            for kind, key, _ in values:
                self._hand_one(now, resource, kind, key, moving)
            self._fill(now)

    def _hand_one(self, now: float, resource: bytes, kind: int, key: bytes, moving: _Handover) -> None:
        moving.left += 1
        self._queue.append(_Push(resource, kind, key, moving.joiner, 1, partial(self._handed, moving)))

    def _handed(self, moving: _Handover, now: float, ok: bool) -> None:
        if moving is not self._handover:
            return  # of an earlier one, which has been given up
        moving.left -= 1
        moving.failed = moving.failed or not ok
        if moving.left == 0 and moving.over is not None:
            over, moving.over = moving.over, None
            over(now, not moving.failed)

    # --- the pushes themselves -----------------------------------------------------------------------

    def _fill(self, now: float) -> None:
        if self._is_filling:
            return  # a push that was over at once brought us here: the loop below goes on, no deeper
        self._is_filling = True
        while self._queue and self._under_way < limits.HANDOVER_WINDOW:
            push = self._queue.popleft()
            self._under_way += 1
            self._send(now, push._replace(over=partial(self._push_over, push)))
        self._is_filling = False

    def _push_over(self, push: _Push, now: float, ok: bool) -> None:
        self._under_way -= 1
        push.over(now, ok)
        self._fill(now)

    def _send(self, now: float, push: _Push) -> None:
        shelf = self._storage.shelf(push.resource, push.kind)
        held = shelf.values.get(push.key) if shelf else None
        data = held.passed_on(now) if held else None
        if shelf is None or held is None or data is None:
            push.over(now, True)  # gone meanwhile: nothing left to copy
            return
        body = StoreReq(push.resource, push.number, (StoreKindData(push.kind, shelf.generation, (data,)),))

        def answered(now: float, outcome: Answer | RequestFailed) -> None:
            if isinstance(outcome, Answer):
                if self._is_to_hold(push.target, push.resource):
                    held.copies.add(push.target)
            elif outcome.code in (ErrorCode.DATA_TOO_OLD, ErrorCode.GENERATION_COUNTER_TOO_LOW):
                self._node.writer.resync(now, push.target, push.resource, push.kind)  # 7.4.1.1
            push.over(now, isinstance(outcome, Answer))

        destination = (Destination(DestinationType.NODE, push.target),)
        self._node.count("replicas_sent")
        self._node.request(now, destination, Code.STORE_REQ, body, answered, certificates=held.certificates)
