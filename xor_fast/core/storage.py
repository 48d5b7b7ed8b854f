"""What this node stores for others: which Stores it takes, and what becomes of them (RFC 6940 7.4.1).

How a value is held is `core/values.py` and `core/shelves.py`; what is on the disk, `core/ledger.py`; where copies go,
`core/replication.py`; how values are read, `core/queries.py`.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from xor_fast import limits
from xor_fast.cext import codec
from xor_fast.config import KindDefinition
from xor_fast.core.ledger import Ledger
from xor_fast.core.replication import Replication
from xor_fast.core.request import Handlers, Refuse, Request
from xor_fast.core.shelves import Shelves
from xor_fast.core.timers import Timer
from xor_fast.core.values import APPEND, Held, Shelf, data_value, index_key, index_of, key_of
from xor_fast.errors import ErrorCode, TrustError
from xor_fast.messages import (
    Code,
    DataModel,
    StoreAns,
    StoredData,
    StoreKindData,
    StoreKindResponse,
    StoreReq,
    UnknownKinds,
)
from xor_fast.trust.signatures import Signer

if TYPE_CHECKING:
    from xor_fast.core.node import Node
    from xor_fast.core.writer import Proven

_RESOURCE_ID_LENGTH = 16  # CHORD-RELOAD (RFC 6940 10.2, notes 1.4)
# An enum finds its members by a call of Python (3.11: 150 ns); these are asked for with each message.
_ARRAY = DataModel.ARRAY
_STORE_ANS = Code.STORE_ANS


_UNWRITABLE = "this peer cannot write to its disk"
_NOT_RESPONSIBLE = "this peer is not responsible for that Resource-ID"


class Part(NamedTuple):
    """What a checked Store does to one Kind at its place: the counter it leaves, the values that are there then, and
    which of them are new."""

    shelf: Shelf
    generation: int
    values: list[Held]
    changes: list[Held]


class Storage:
    def __init__(self, node: "Node", has_disk: bool) -> None:
        self._node = node
        self.shelves: Shelves = Shelves()
        self.ledger: Ledger = Ledger(node, has_disk)
        self._sweep: Timer | None = None
        self.replication: Replication = Replication(node, self)
        self.handlers: Handlers = {Code.STORE_REQ: self._on_store}

    # --- what is here --------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Values held, removed ones that are still remembered included."""
        return self.shelves.values

    def shelf(self, resource: bytes, kind: int) -> Shelf | None:
        return self.shelves.get(resource, kind)

    # --- Store ---------------------------------------------------------------------------------------

    def _on_store(self, now: float, request: Request) -> None:
        body = request.message.body
        assert isinstance(body, StoreReq)
        self._check_request(body)
        takes_counter = self._check_place(now, request, body)
        self._check_disk()
        # 7.4.1.1: all or nothing, so everything is checked before anything is written.
        signed = iter(codec.stored_as_signed(request.encoded))
        parts = [
            self._check_kind(now, request, body, kind_data, signed, takes_counter=takes_counter)
            for kind_data in body.kind_data
        ]
        self._check_room(body.resource, [held for part in parts for held in part.changes])
        for part in parts:
            self._stage(now, part)
        self.ledger.after(now, partial(self._written, request, body.replica_number == 0, parts))

    def _written(self, request: Request, is_original: bool, parts: list[Part], now: float, failure: str | None) -> None:
        self._settle(now, parts, failure)
        if failure is not None:
            self._node.refuse(now, request, ErrorCode.DATA_TOO_LARGE, f"{_UNWRITABLE}: {failure}")
        elif not is_original:
            self._node.count("stores_replica")
            self._received(now, parts, request.signer.node_id)
            responses = tuple(StoreKindResponse(part.shelf.kind, part.generation) for part in parts)
            self._node.answer(now, request, _STORE_ANS, StoreAns(responses))
        else:
            self._node.count("stores_original")
            self._acknowledge(now, request, parts)

    def _acknowledge(self, now: float, request: Request, parts: list[Part]) -> None:
        if all(self._node.ring.is_responsible(part.shelf.resource) for part in parts):
            self.replication.confirm(now, request, parts)
            return
        # The range has changed hands while the disk was writing: the new owner gets the values, and the writer's retry.
        for part in parts:
            for held in part.values:
                self.replication.owe(now, part.shelf, held)
        self._node.refuse(now, request, ErrorCode.NOT_FOUND, _NOT_RESPONSIBLE)

    def _received(self, now: float, parts: list[Part], sender: bytes | None) -> None:
        for part in parts:
            if sender is not None:
                self.replication.kept_by(sender, part.values)
            for held in part.changes:
                self.replication.received(now, part.shelf, held, sender)

    # --- checks --------------------------------------------------------------------------------------

    def _check_request(self, body: StoreReq) -> None:
        self.check_resource(body.resource)
        kinds = [kind_data.kind for kind_data in body.kind_data]
        if len(set(kinds)) != len(kinds):
            raise Refuse(ErrorCode.INVALID_MESSAGE, "a Kind stands twice in one Store")  # 7.4.1.1
        if sum(len(kind_data.values) for kind_data in body.kind_data) > limits.MAX_VALUES_PER_STORE:
            raise Refuse(ErrorCode.DATA_TOO_LARGE, f"more than {limits.MAX_VALUES_PER_STORE} values in one Store")
        self.check_known(kinds)

    def check_resource(self, resource: bytes) -> None:
        if len(resource) != _RESOURCE_ID_LENGTH:
            raise Refuse(ErrorCode.INVALID_MESSAGE, "a Resource-ID has 16 bytes in CHORD-RELOAD")

    def check_known(self, kinds: list[int]) -> None:
        unknown = [kind for kind in kinds if kind not in self._node.kinds]
        if unknown:
            listed = UnknownKinds(tuple(unknown[:63]))  # a length of one byte (7.4.1.2)
            raise Refuse(ErrorCode.UNKNOWN_KIND, info=codec.encode_struct(listed))

    def _check_place(self, now: float, request: Request, body: StoreReq) -> bool:
        """Does the counter that comes along count?"""
        sender, is_ours = request.signer.node_id, self._node.ring.is_responsible(body.resource)
        if body.replica_number == 0:
            if not is_ours:
                raise Refuse(ErrorCode.NOT_FOUND, _NOT_RESPONSIBLE)  # notes 5.4
            return False
        if self.replication.is_plausible(sender, body.resource):
            return True
        if is_ours and not self._brings_news(now, body):
            return False  # nothing is taken from it, and it may know that we have what it has
        if is_ours:
            self.replication.ask_for(now, sender, body.resource, [kind_data.kind for kind_data in body.kind_data])
        raise Refuse(ErrorCode.FORBIDDEN, "a replica from a node that has no part in that Resource-ID")

    def _brings_news(self, now: float, body: StoreReq) -> bool:
        for kind_data in body.kind_data:
            shelf = self.shelf(body.resource, kind_data.kind)
            for data in kind_data.values:
                there = shelf.newest(key_of(data)) if shelf else None
                if there is None or there.is_older(data, now):
                    return True
        return False

    def _check_disk(self) -> None:
        """A full or broken disk takes nothing, and of the RFC's errors this one alone says that it is our bounds that
        are in the way, not the request: the writer may try again later, and a replicating peer does."""
        disk = self.ledger.disk
        if disk.complaint is not None:
            self._node.count("refused_disk")
            raise Refuse(ErrorCode.DATA_TOO_LARGE, f"{_UNWRITABLE}: {disk.complaint}")
        if disk.unwritten >= limits.MAX_UNWRITTEN:
            self._node.count("refused_disk")
            raise Refuse(ErrorCode.DATA_TOO_LARGE, f"{_UNWRITABLE}: {disk.unwritten} Stores wait for it already")

    def _check_kind(
        self,
        now: float,
        request: Request,
        body: StoreReq,
        kind_data: StoreKindData,
        signed: Iterator[bytes],
        *,
        takes_counter: bool,
    ) -> Part:
        kind = self._node.kinds.get(kind_data.kind)
        assert kind is not None
        is_original = body.replica_number == 0
        shelf = self.shelf(body.resource, kind.id) or Shelf(body.resource, kind.id)
        if is_original and kind_data.generation_counter not in (0, shelf.next_generation):
            # 7.4.1.2: the true counters come along; any mismatch counts, not only a lower one (notes 5.2).
            raise Refuse(ErrorCode.GENERATION_COUNTER_TOO_LOW, info=codec.encode_struct(self._counters(body)))
        if not is_original and kind_data.generation_counter == 0:
            raise Refuse(ErrorCode.INVALID_MESSAGE, "a replica Store has no generation counter of 0")  # 7.4.1.1
        values: dict[bytes, Held] = {}
        changes: list[Held] = []
        for data in kind_data.values:
            signer = self._check_value(now, request, body.resource, kind, data, is_original)
            held = Held(data, next(signed), self.shelves.chain_of(signer), now)
            if kind.model is _ARRAY and index_of(held.key) == APPEND:
                self._append(shelf, values, held)
            if held.key in values:
                raise Refuse(ErrorCode.INVALID_MESSAGE, "one place of a Kind stands twice in one Store")
            there = values[held.key] = self._newer(now, shelf, held, data)
            if there is held:
                changes.append(held)
        self._check_count(kind, shelf, changes)
        generation = shelf.next_generation
        if is_original and changes:
            generation = generation % limits.MAX_GENERATION + 1  # a replica may have brought the last
        elif takes_counter and values:  # whoever brings no value has proved no right to a place here
            # 7.4.1.1: taken over as it is; never backwards, since a late replica may be overtaken.
            generation = max(generation, kind_data.generation_counter)
        return Part(shelf, generation, list(values.values()), changes)

    def _counters(self, body: StoreReq) -> StoreAns:
        """As they are once all that is under way is there."""
        shelves = [self.shelf(body.resource, kind_data.kind) for kind_data in body.kind_data]
        generations = [shelf.next_generation if shelf else 0 for shelf in shelves]
        pairs = zip(body.kind_data, generations, strict=True)
        return StoreAns(tuple(StoreKindResponse(kind_data.kind, generation) for kind_data, generation in pairs))

    def _check_value(
        self, now: float, request: Request, resource: bytes, kind: KindDefinition, data: StoredData, is_original: bool
    ) -> Signer:
        """Signature and access control of one value, and for an original Store of its sender too (7.3, 7.4.1.1)."""
        try:
            bucket = request.message.security.certificates
            signer = self._node.verify_value(now, resource, kind.id, data, bucket)
        except TrustError as error:
            raise Refuse(ErrorCode.FORBIDDEN, f"the signature of a value does not hold: {error}") from None
        permits = self._node.kinds.permits
        if not permits(resource, kind, data, signer):
            raise Refuse(ErrorCode.FORBIDDEN, f"{kind.access_control}: the signer may not write this value here")
        if is_original and not permits(resource, kind, data, request.signer):
            raise Refuse(ErrorCode.FORBIDDEN, f"{kind.access_control}: the sender may not write this value here")
        self._check_size(kind, data)
        return signer

    def _check_size(self, kind: KindDefinition, data: StoredData) -> None:
        if len(data_value(data).value) > kind.max_size:
            raise Refuse(ErrorCode.DATA_TOO_LARGE, f"a value of this Kind has at most {kind.max_size} bytes")

    def _append(self, shelf: Shelf, before: dict[bytes, Held], held: Held) -> None:
        """Behind the last entry that exists (7.4.1.1), those before it in this Store too."""
        there = {**shelf.values, **shelf.staged, **before}
        for other in there.values():
            if other.signed[4:] == held.signed[4:] and other.storage_time == held.storage_time:
                held.put_at(index_of(other.key))  # sent once more: it is there already (notes 5.1)
                return
        index = 1 + max((index_of(key) for key, other in there.items() if other.exists), default=-1)
        while (removed := there.get(index_key(index))) and removed.storage_time >= held.storage_time:
            index += 1  # an entry removed later than this one was written
        held.put_at(index)

    def _newer(self, now: float, shelf: Shelf, held: Held, data: StoredData) -> Held:
        """The value that is to be there: a newer one than what is, or the very same (7, 7.4.1.1)."""
        there = shelf.newest(held.key)
        if there is None or there.is_older(data, now):
            return held
        # The same value again is a retransmission or a replica refresh, and succeeds (notes 5.1).
        if not there.is_value(data):
            raise Refuse(ErrorCode.DATA_TOO_OLD, "a value with this storage_time or a newer one is here")
        return there

    def _check_count(self, kind: KindDefinition, shelf: Shelf, changes: list[Held]) -> None:
        keys, existing = shelf.then(changes)
        if existing > kind.max_count:
            raise Refuse(ErrorCode.DATA_TOO_LARGE, f"at most {kind.max_count} values of this Kind in one place")
        if keys > kind.max_count * (1 + limits.TOMBSTONE_FACTOR):
            raise Refuse(ErrorCode.DATA_TOO_LARGE, "too many removed values are still remembered here")
        if kind.model is _ARRAY and any(index_of(held.key) >= kind.max_count for held in changes):
            # notes 5.9: an entry at the end of the world would make an array without end
            raise Refuse(ErrorCode.DATA_TOO_LARGE, f"an array of this Kind ends before index {kind.max_count}")

    def _check_room(self, resource: bytes, changes: list[Held]) -> None:
        """What this peer can hold in all, and of one user (13.5.2)."""
        total, of_user = self.shelves.bytes, dict[bytes, int]()
        for held in changes:
            user = held.chain.user_name
            total += held.size
            of_user[user] = of_user.get(user, self.shelves.bytes_of(user)) + held.size
            if of_user[user] > limits.MAX_USER_BYTES:
                self._node.count("refused_user_quota")
                raise Refuse(ErrorCode.DATA_TOO_LARGE, f"one user has at most {limits.MAX_USER_BYTES} bytes here")
        if total > limits.MAX_STORED_BYTES or (
            changes and len(self.shelves) >= limits.MAX_RESOURCES and resource not in self.shelves
        ):
            self._node.count("refused_store_full")
            raise Refuse(ErrorCode.DATA_TOO_LARGE, "this peer has no room left")

    # --- changes --------------------------------------------------------------------------------------

    def _stage(self, now: float, part: Part) -> None:
        """On the way to the disk; shown to nobody until it is there."""
        shelf, generation = part.shelf, part.generation
        if generation == shelf.next_generation and not part.changes:
            return
        self.shelves.put_up(shelf).next_generation = generation
        for held in part.changes:
            shelf.staged[held.key] = held
            if self.shelves.hold(held):
                self.ledger.chain(held.chain)
            self.ledger.value(now, shelf, held, generation)
        if not part.changes:
            self.ledger.counter(shelf)

    def _settle(self, now: float, parts: list[Part], failure: str | None) -> None:
        """What is on the disk takes its place; what is not is forgotten."""
        for shelf, generation, _, changes in parts:
            if failure is None:
                shelf.generation = generation
            for held in changes:
                there = shelf.values.get(held.key)
                if failure is None and (there is None or there.storage_time <= held.storage_time):
                    self._put(now, shelf, held)
                else:
                    self._release(held)
            shelf.unstage(changes)
            if not shelf.values and not shelf.staged and changes:
                if shelf.generation:
                    self.shelves.remember(now, shelf)
                else:
                    self.shelves.take_down(shelf)

    def take_over(
        self, now: float, resource: bytes, kind: KindDefinition, found: "Iterable[Proven]", generation: int
    ) -> None:
        """Newer values that another peer has (7.4.1.1), within a Store's bounds; kept once they are on the disk."""
        shelf = self.shelf(resource, kind.id) or Shelf(resource, kind.id)
        parts = []
        for data, encoded, signer in found:
            there = shelf.newest(key_of(data))
            if there is not None and not there.is_older(data, now):
                continue
            held = Held(data, encoded, self.shelves.chain_of(signer), now)
            try:
                self._check_size(kind, data)
                self._check_count(kind, shelf, [held])
                self._check_room(resource, [held])
            except Refuse:
                self._node.count("values_not_taken_over")
                continue
            parts.append(Part(shelf, max(shelf.next_generation, generation), [held], [held]))
            self._stage(now, parts[-1])

        def over(now: float, failure: str | None) -> None:
            self._settle(now, parts, failure)
            if failure is None:
                self._node.count("values_resynchronised", len(parts))
                self._received(now, parts, None)

        self.ledger.after(now, over)

    def restored(self, now: float, kind: KindDefinition, shelf: Shelf, data: StoredData, held: Held) -> None:
        """A value from the disk. We may be the only one who brings it back: whoever is responsible is to get it.

        Refuse when it is beyond the bounds of its Kind, which the document may have narrowed."""
        self._check_size(kind, data)
        self._check_count(kind, shelf, [held])
        self.shelves.hold(held)
        self._put(now, shelf, held)
        self.replication.owe(now, shelf, held)

    def _put(self, now: float, shelf: Shelf, held: Held) -> None:
        there = shelf.values.get(held.key)
        self.shelves.put(shelf, held)
        if there is not None:
            self._release(there)
        self._sweep_later(now)

    def _release(self, held: Held) -> None:
        if self.shelves.release(held):
            self.ledger.chain(held.chain)

    def drop(self, now: float, shelf: Shelf, held: Held) -> None:
        self.shelves.remove(now, shelf, held)
        self._release(held)
        if held.key not in shelf.staged:  # else the record is that of the value which follows
            self.ledger.no_value(shelf, held.key)
        self._sweep_later(now)

    # --- lifetimes -----------------------------------------------------------------------------------

    def _sweep_later(self, now: float) -> None:
        """At the next end of a life, but not more than once a second."""
        end = self.shelves.next_end
        if end is None:
            return
        when = max(end, now + 1.0)
        if self._sweep is not None and self._sweep.active:
            if self._sweep.when <= when:
                return
            self._sweep.cancel()
        self._sweep = self._node.timers.at(when, self._remove_what_is_over)

    def _remove_what_is_over(self, now: float) -> None:
        for shelf, held in self.shelves.over(now):
            if held is not None:
                self.drop(now, shelf, held)
                self._node.count("values_expired")
            else:
                self.shelves.take_down(shelf)
                self.ledger.no_shelf(shelf)
        self._sweep_later(now)
