"""What this node stores for others: which Stores it takes, and what becomes of them (RFC 6940 7.4.1).

How a value is held is `core/values.py` and `core/shelves.py`; what is on the disk, `core/ledger.py`; where copies go,
`core/replication.py`; how values are read, `core/queries.py`.
"""

from collections import Counter
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

_RESOURCE_ID_LENGTH = 16  # CHORD-RELOAD (RFC 6940 10.2, notes 1.4)
# An enum finds its members by a call of Python (3.11: 150 ns); these are asked for with each message.
_ARRAY = DataModel.ARRAY
_STORE_ANS = Code.STORE_ANS


_UNWRITABLE = "this peer cannot write to its disk"
_NOT_RESPONSIBLE = "this peer is not responsible for that Resource-ID"


class _Part(NamedTuple):
    """What a checked Store does to one Kind. changes: those of its values that are new here."""

    kind: int
    generation: int
    values: list[Held]
    changes: list[Held]


class _Staged(NamedTuple):
    """A change on its way to the disk. held: None if it is of the counter alone. generation: what that becomes."""

    shelf: Shelf
    held: Held | None
    generation: int


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
        is_original = body.replica_number == 0
        self._check_request(body)
        self._check_place(now, request, body, is_original)
        self._check_disk()
        # 7.4.1.1: all or nothing, so everything is checked before anything is written.
        signed = iter(codec.stored_as_signed(request.encoded))
        parts = [
            self._check_kind(now, request, body, kind_data, [next(signed) for _ in kind_data.values])
            for kind_data in body.kind_data
        ]
        self._check_room(body.resource, [held for part in parts for held in part.changes])
        staged = [change for part in parts for change in self._stage(now, body.resource, part, is_original)]
        responses = self.kind_responses(body)

        values = [(part.kind, held) for part in parts for held in part.values]

        def over(now: float, failure: str | None) -> None:
            self._settle(now, staged, failure)
            if failure is None and not all(self._has(now, body.resource, kind, held) for kind, held in values):
                failure = "an earlier Store of the same value failed"
            if failure is not None:
                self._node.refuse(now, request, ErrorCode.DATA_TOO_LARGE, f"{_UNWRITABLE}: {failure}")
            elif is_original:
                self._acknowledge(now, request, body.resource, values, responses)
            else:
                self._node.count("stores_replica")
                for change in staged:
                    if change.held is not None:
                        self.replication.received(now, change.shelf, change.held, request.signer.node_id)
                self._node.answer(now, request, _STORE_ANS, StoreAns(responses))

        self.ledger.after(now, over)

    def _acknowledge(
        self,
        now: float,
        request: Request,
        resource: bytes,
        values: list[tuple[int, Held]],
        responses: tuple[StoreKindResponse, ...],
    ) -> None:
        self._node.count("stores_original")
        if self._node.ring.is_responsible(resource):
            self.replication.confirm(now, request, resource, values, responses)
            return
        # The range has changed hands while the disk was writing: the new owner gets the values, and the writer's retry.
        for kind, held in values:
            self.replication.owe(now, self.shelves.put_up(resource, kind), held)
        self._node.refuse(now, request, ErrorCode.NOT_FOUND, _NOT_RESPONSIBLE)

    def kind_responses(self, body: StoreReq) -> tuple[StoreKindResponse, ...]:
        responses = []
        for kind_data in body.kind_data:
            shelf = self.shelf(body.resource, kind_data.kind)
            responses.append(StoreKindResponse(kind_data.kind, shelf.next_generation if shelf else 0))
        return tuple(responses)

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

    def _check_place(self, now: float, request: Request, body: StoreReq, is_original: bool) -> None:
        sender, is_ours = request.signer.node_id, self._node.ring.is_responsible(body.resource)
        if is_original:
            if not is_ours:
                raise Refuse(ErrorCode.NOT_FOUND, _NOT_RESPONSIBLE)  # notes 5.4
        elif not self.replication.is_plausible(sender, body.resource):
            if is_ours and not self._brings_news(body):
                return  # nothing is taken from it, and it may know that we have what it has
            if is_ours:
                self.replication.ask_for(now, sender, body.resource, [kind_data.kind for kind_data in body.kind_data])
            raise Refuse(ErrorCode.FORBIDDEN, "a replica from a node that has no part in that Resource-ID")

    def _brings_news(self, body: StoreReq) -> bool:
        for kind_data in body.kind_data:
            shelf = self.shelf(body.resource, kind_data.kind)
            for data in kind_data.values:
                there = shelf.newest(key_of(data)) if shelf else None
                if there is None or there.storage_time < data.storage_time:
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
        self, now: float, request: Request, body: StoreReq, kind_data: StoreKindData, signed: list[bytes]
    ) -> _Part:
        kind = self._node.kinds.get(kind_data.kind)
        assert kind is not None
        is_original = body.replica_number == 0
        shelf = self.shelf(body.resource, kind.id) or Shelf(body.resource, kind.id)
        if is_original and kind_data.generation_counter not in (0, shelf.next_generation):
            # 7.4.1.2: the true counters come along; any mismatch counts, not only a lower one (notes 5.2).
            info = codec.encode_struct(StoreAns(self.kind_responses(body)))
            raise Refuse(ErrorCode.GENERATION_COUNTER_TOO_LOW, info=info)
        if not is_original and kind_data.generation_counter == 0:
            raise Refuse(ErrorCode.INVALID_MESSAGE, "a replica Store has no generation counter of 0")  # 7.4.1.1
        values: dict[bytes, Held] = {}
        for data, encoded in zip(kind_data.values, signed, strict=True):
            signer = self._check_value(now, request, body.resource, kind, data, is_original)
            held = self._placed(now, shelf, values, Held(data, encoded, self.shelves.chain_of(signer), now))
            if held.key in values:
                raise Refuse(ErrorCode.INVALID_MESSAGE, "one place of a Kind stands twice in one Store")
            values[held.key] = self._newer(now, shelf, held, data)
        changes = [held for held in values.values() if shelf.newest(held.key) is not held]
        self._check_count(kind, shelf, changes)
        return _Part(kind.id, kind_data.generation_counter, list(values.values()), changes)

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
        if len(data_value(data).value) > kind.max_size:
            raise Refuse(ErrorCode.DATA_TOO_LARGE, f"a value of this Kind has at most {kind.max_size} bytes")
        return signer

    def _placed(self, now: float, shelf: Shelf, before: dict[bytes, Held], held: Held) -> Held:
        """An entry to be appended goes behind the last one that exists (7.4.1.1), those before it in this Store too."""
        if self._node.kinds.models[shelf.kind] is not _ARRAY or index_of(held.key) != APPEND:
            return held
        there = {**shelf.values, **shelf.staged, **before}
        for other in there.values():
            if other.signed[4:] == held.signed[4:] and other.storage_time == held.storage_time:
                held.put_at(index_of(other.key))  # sent once more: it is there already (notes 5.1)
                return held
        index = 1 + max((index_of(key) for key, other in there.items() if other.exists), default=-1)
        while (removed := there.get(index_key(index))) and removed.storage_time >= held.storage_time:
            index += 1  # an entry removed later than this one was written
        held.put_at(index)
        return held

    def _newer(self, now: float, shelf: Shelf, held: Held, data: StoredData) -> Held:
        """The value that is to be there: a newer one than what is, or the very same (7, 7.4.1.1)."""
        there = shelf.newest(held.key)
        if there is None or there.expires <= now or held.storage_time > there.storage_time:
            return held
        # The same value again is a retransmission or a replica refresh, and succeeds (notes 5.1).
        if not there.is_value(data):
            raise Refuse(ErrorCode.DATA_TOO_OLD, "a value with this storage_time or a newer one is here")
        return there

    def _check_count(self, kind: KindDefinition, shelf: Shelf, changes: list[Held]) -> None:
        keys = len(shelf.values) + len((shelf.staged.keys() | {held.key for held in changes}) - shelf.values.keys())
        replaced = [shelf.newest(held.key) for held in changes]
        existing = shelf.existing_then + sum(held.exists for held in changes)
        if existing - sum(there is not None and there.exists for there in replaced) > kind.max_count:
            raise Refuse(ErrorCode.DATA_TOO_LARGE, f"at most {kind.max_count} values of this Kind in one place")
        if keys > kind.max_count * (1 + limits.TOMBSTONE_FACTOR):
            raise Refuse(ErrorCode.DATA_TOO_LARGE, "too many removed values are still remembered here")
        if kind.model is _ARRAY and any(index_of(held.key) >= kind.max_count for held in changes):
            # notes 5.9: an entry at the end of the world would make an array without end
            raise Refuse(ErrorCode.DATA_TOO_LARGE, f"an array of this Kind ends before index {kind.max_count}")

    def _check_room(self, resource: bytes, changes: list[Held]) -> None:
        """What this peer can hold in all, and of one user (13.5.2)."""
        growth: Counter[bytes] = Counter()
        for held in changes:
            growth[held.chain.user_name] += held.size
        if (
            self.shelves.bytes + sum(growth.values()) > limits.MAX_STORED_BYTES
            or len(self.shelves) >= limits.MAX_RESOURCES
        ):
            self._node.count("refused_store_full")
            raise Refuse(ErrorCode.DATA_TOO_LARGE, "this peer has no room left")
        if any(self.shelves.bytes_of(user) + size > limits.MAX_USER_BYTES for user, size in growth.items()):
            self._node.count("refused_user_quota")
            raise Refuse(ErrorCode.DATA_TOO_LARGE, f"one user has at most {limits.MAX_USER_BYTES} bytes at this peer")

    # --- changes --------------------------------------------------------------------------------------

    def _stage(self, now: float, resource: bytes, part: _Part, is_original: bool) -> list[_Staged]:
        """On the way to the disk; shown to nobody until it is there."""
        if not part.values:
            return []  # whoever brings no value has proved no right to a place here
        shelf = self.shelves.put_up(resource, part.kind)
        if not is_original:
            # 7.4.1.1: taken over as it is; never backwards, since a late replica may be overtaken.
            generation = max(shelf.next_generation, part.generation)
        elif part.changes:
            generation = shelf.next_generation % limits.MAX_GENERATION + 1  # a replica may have brought the last
        else:
            generation = shelf.next_generation
        changes = [self.stage(now, shelf, held, generation) for held in part.changes]
        if not changes and generation != shelf.next_generation:
            shelf.next_generation = generation
            self.ledger.counter(shelf)
            changes = [_Staged(shelf, None, generation)]
        return changes

    def stage(self, now: float, shelf: Shelf, held: Held, generation: int) -> _Staged:
        shelf.staged[held.key] = held
        shelf.next_generation = generation
        if self.shelves.hold(held):
            self.ledger.chain(held.chain)
        self.ledger.value(now, shelf, held, generation)
        return _Staged(shelf, held, generation)

    def _settle(self, now: float, staged: list[_Staged], failure: str | None) -> None:
        """What is on the disk takes its place; what is not is forgotten."""
        for shelf, held, generation in staged:
            if failure is None:
                shelf.generation = generation
            if held is not None:
                there = shelf.values.get(held.key)
                if failure is None and (there is None or there.storage_time <= held.storage_time):
                    self._put(now, shelf, held)
                else:
                    self._release(held)
            shelf.unstage(held)
            if not shelf.values and not shelf.staged:
                if shelf.generation:
                    self.shelves.remember(now, shelf)
                else:
                    self.shelves.take_down(shelf)

    def take_over(self, now: float, shelf: Shelf, held: Held, generation: int) -> None:
        """A newer value that another peer has (7.4.1.1): kept once it is on the disk."""
        staged = [self.stage(now, shelf, held, generation)]

        def over(now: float, failure: str | None) -> None:
            self._settle(now, staged, failure)
            if failure is None:
                self.replication.received(now, shelf, held, None)

        self.ledger.after(now, over)

    def restored(self, now: float, shelf: Shelf, held: Held) -> None:
        """A value from the disk. We may be the only one who brings it back: whoever is responsible is to get it."""
        self.shelves.hold(held)
        self._put(now, shelf, held)
        self.replication.owe(now, shelf, held)

    def _has(self, now: float, resource: bytes, kind: int, held: Held) -> bool:
        shelf = self.shelf(resource, kind)
        there = shelf.values.get(held.key) if shelf else None
        return there is not None and there.storage_time >= held.storage_time

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
