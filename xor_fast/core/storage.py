"""What this node stores for others: checks, values, lifetimes, generation counters (RFC 6940 7.4).

A value is kept and served as the structure that was signed; its certificate is kept with it. Where copies go is
`core/replication.py`; how they are read, `core/queries.py`.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING

import msgspec

from xor_fast import limits
from xor_fast.cext import codec
from xor_fast.config import KindDefinition
from xor_fast.core.replication import Replication
from xor_fast.core.request import Handlers, Refuse, Request
from xor_fast.core.timers import Timer
from xor_fast.errors import ConfigError, ErrorCode, TrustError, WireError
from xor_fast.messages import (
    CertificateType,
    Code,
    DataValue,
    DictionaryEntry,
    GenericCertificate,
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


class Held:
    """One stored value. Times are monotonic seconds."""

    __slots__ = ("certificates", "copies", "data", "expires", "owned")

    def __init__(self, data: StoredData, certificates: tuple[GenericCertificate, ...], now: float) -> None:
        self.data: StoredData = data
        self.certificates: tuple[GenericCertificate, ...] = certificates
        self.expires: float = now + min(data.lifetime, limits.MAX_LIFETIME)  # 7: from the receipt, by our own clock
        self.copies: set[bytes] = set()  # Node-IDs that confirmed this very value
        self.owned: bool = False  # we were responsible for it when we last looked

    @classmethod
    def signed_by(cls, signer: Signer, data: StoredData, now: float) -> "Held":
        """With the certificates that whoever gets the value needs to believe it (6.3.4, notes 3.11)."""
        chain = (signer.certificate.der, *signer.certificate.chain)
        return cls(data, tuple(GenericCertificate(CertificateType.X509, der) for der in chain), now)

    def passed_on(self, now: float) -> StoredData | None:
        """As it is handed to another: the lifetime less the time it lay here (7.4.1.1). None once it is over."""
        left = int(self.expires - now)  # rounded down: no chain of hands makes a value live longer
        return msgspec.structs.replace(self.data, lifetime=left) if left > 0 else None

    def served(self, now: float) -> StoredData | None:
        """As a Fetch gives it: to the end of its lifetime, with the seconds left. None once it is over."""
        if self.expires <= now:
            return None
        return msgspec.structs.replace(self.data, lifetime=max(1, int(self.expires - now)))

    @property
    def size(self) -> int:
        own = len(key_of(self.data)) + len(data_value(self.data).value)
        return own + sum(len(c.certificate) for c in self.certificates)


class Shelf:
    """All values of one Kind at one Resource-ID, by dictionary key (a single value lies under b"")."""

    __slots__ = ("empty_since", "generation", "values")

    def __init__(self) -> None:
        self.empty_since: float = 0.0  # when the last value went
        self.generation: int = 0
        self.values: dict[bytes, Held] = {}

    def has_value(self, now: float) -> bool:
        """One that exists: neither removed nor over."""
        return any(held.expires > now and data_value(held.data).exists for held in self.values.values())


class _Change:
    """What a checked Store will do, or nothing if the value is there already."""

    __slots__ = ("held", "key", "kind")

    def __init__(self, kind: int, key: bytes, held: Held) -> None:
        self.kind = kind
        self.key = key
        self.held = held


def data_value(data: StoredData) -> DataValue:
    value = data.value
    if isinstance(value, DictionaryEntry):
        return value.value
    assert isinstance(value, DataValue)
    return value


def key_of(data: StoredData) -> bytes:
    return data.value.key if isinstance(data.value, DictionaryEntry) else b""


class Storage:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self._shelves: dict[bytes, dict[int, Shelf]] = {}
        self._places: dict[int, list[bytes]] = {}  # Kind-ID -> Resource-IDs with a shelf for it, sorted: for Find
        self._bytes = 0
        self._sweep: Timer | None = None
        self.replication: Replication = Replication(node, self)
        self.handlers: Handlers = {Code.STORE_REQ: self._on_store}

    # --- what is here --------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Values held, removed ones that are still remembered included."""
        return sum(len(shelf.values) for kinds in self._shelves.values() for shelf in kinds.values())

    @property
    def bytes_held(self) -> int:
        return self._bytes

    def shelf(self, resource: bytes, kind: int) -> Shelf | None:
        return self._shelves.get(resource, {}).get(kind)

    def _put_up(self, resource: bytes, kind: int) -> Shelf:
        """The shelf there, a new one if need be."""
        kinds = self._shelves.setdefault(resource, {})
        if kind not in kinds:
            kinds[kind] = Shelf()
            insort(self._places.setdefault(kind, []), resource)
        return kinds[kind]

    def places_from(self, resource: bytes, kind: int) -> Iterator[bytes]:
        """Resource-IDs with a shelf for this Kind, clockwise from this one, once around."""
        places = self._places.get(kind, [])
        start = bisect_left(places, resource)
        return chain(islice(places, start, None), islice(places, start))

    def everything(self) -> Iterator[tuple[bytes, int, bytes, Held]]:
        """(Resource-ID, Kind-ID, key, value) of all that is held; the store may change meanwhile."""
        for resource, kinds in list(self._shelves.items()):
            for kind, shelf in list(kinds.items()):
                for key, held in list(shelf.values.items()):
                    yield resource, kind, key, held

    def resources(self) -> int:
        """Resource-IDs with a value or with a generation counter that is still remembered."""
        return len(self._shelves)

    def resources_with_values(self, now: float) -> int:
        return sum(any(shelf.has_value(now) for shelf in kinds.values()) for kinds in self._shelves.values())

    # --- Store ---------------------------------------------------------------------------------------

    def _on_store(self, now: float, request: Request) -> None:
        body = request.message.body
        assert isinstance(body, StoreReq)
        is_original = body.replica_number == 0
        self._check_request(body)
        self._check_place(request, body.resource, is_original)
        # 7.4.1.1: all or nothing, so everything is checked before anything is written.
        changes = [
            change
            for kind_data in body.kind_data
            for change in self._check_kind(now, request, body, kind_data, is_original)
        ]
        self._commit(now, body, changes, is_original)
        if is_original:
            values = [(change.kind, change.key, change.held) for change in changes]
            self.replication.confirm(now, request, body.resource, values, self.kind_responses(body))
        else:
            self._node.answer(now, request, Code.STORE_ANS, StoreAns(self.kind_responses(body)))

    def kind_responses(self, body: StoreReq) -> tuple[StoreKindResponse, ...]:
        responses = []
        for kind_data in body.kind_data:
            shelf = self.shelf(body.resource, kind_data.kind)
            responses.append(StoreKindResponse(kind_data.kind, shelf.generation if shelf else 0))
        return tuple(responses)

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

    def _check_place(self, request: Request, resource: bytes, is_original: bool) -> None:
        if is_original:
            if not self._node.ring.is_responsible(resource):
                raise Refuse(ErrorCode.NOT_FOUND, "this peer is not responsible for that Resource-ID")  # notes 5.4
        elif not self.replication.is_plausible(request.signer.node_id, resource):
            raise Refuse(ErrorCode.FORBIDDEN, "a replica from a node that has no part in that Resource-ID")

    def _check_kind(
        self, now: float, request: Request, body: StoreReq, kind_data: StoreKindData, is_original: bool
    ) -> list[_Change]:
        kind = self._node.kinds.get(kind_data.kind)
        assert kind is not None
        shelf = self.shelf(body.resource, kind.id) or Shelf()
        if is_original and kind_data.generation_counter not in (0, shelf.generation):
            # 7.4.1.2: the true counters come along; any mismatch counts, not only a lower one (notes 5.2).
            info = codec.encode_struct(StoreAns(self.kind_responses(body)))
            raise Refuse(ErrorCode.GENERATION_COUNTER_TOO_LOW, info=info)
        if not is_original and kind_data.generation_counter == 0:
            raise Refuse(ErrorCode.INVALID_MESSAGE, "a replica Store has no generation counter of 0")  # 7.4.1.1
        changes = []
        for data in kind_data.values:
            signer = self._check_value(now, request, body.resource, kind, data, is_original)
            change = self._check_newer(now, shelf, kind, data, signer)
            changes.append(change)
        if len({change.key for change in changes}) < len(changes):
            raise Refuse(ErrorCode.INVALID_MESSAGE, "one place of a Kind stands twice in one Store")
        self._check_room(kind, shelf, changes)
        return changes

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

    def _check_newer(self, now: float, shelf: Shelf, kind: KindDefinition, data: StoredData, signer: Signer) -> _Change:
        key = key_of(data)
        there = shelf.values.get(key)
        if there is not None and there.expires > now and data.storage_time <= there.data.storage_time:
            # The very same value again is a retransmission or a replica refresh, and succeeds (notes 5.1).
            if data.storage_time < there.data.storage_time or data.value != there.data.value:
                raise Refuse(ErrorCode.DATA_TOO_OLD, "a value with this storage_time or a newer one is here")
            return _Change(kind.id, key, there)
        return _Change(kind.id, key, Held.signed_by(signer, data, now))

    def _check_room(self, kind: KindDefinition, shelf: Shelf, changes: list[_Change]) -> None:
        after = {key: held.data for key, held in shelf.values.items()}
        after.update((change.key, change.held.data) for change in changes)
        existing = sum(data_value(data).exists for data in after.values())
        if existing > kind.max_count:
            raise Refuse(ErrorCode.DATA_TOO_LARGE, f"at most {kind.max_count} values of this Kind in one place")
        if len(after) > kind.max_count * (1 + limits.TOMBSTONE_FACTOR):
            raise Refuse(ErrorCode.DATA_TOO_LARGE, "too many removed values are still remembered here")
        growth = sum(change.held.size for change in changes)
        if self._bytes + growth > limits.MAX_STORED_BYTES or len(self._shelves) >= limits.MAX_RESOURCES:
            self._node.count("refused_store_full")
            raise Refuse(ErrorCode.DATA_TOO_LARGE, "this peer has no room left")

    def _commit(self, now: float, body: StoreReq, changes: list[_Change], is_original: bool) -> None:
        for kind_data in body.kind_data:
            if not kind_data.values:
                continue  # whoever brings no value has proved no right to a place here
            shelf = self._put_up(body.resource, kind_data.kind)
            changed = False
            for change in changes:
                if change.kind == kind_data.kind and shelf.values.get(change.key) is not change.held:
                    self.put(now, shelf, change.key, change.held)
                    changed = True
            if not is_original:
                # 7.4.1.1: taken over as it is; never backwards, since a late replica may be overtaken.
                shelf.generation = max(shelf.generation, kind_data.generation_counter)
            elif changed:
                shelf.generation = shelf.generation % limits.MAX_GENERATION + 1  # a replica may have brought the last
        self._node.count("stores_original" if is_original else "stores_replica")

    # --- lifetimes -----------------------------------------------------------------------------------

    def put(self, now: float, shelf: Shelf, key: bytes, held: Held) -> None:
        there = shelf.values.get(key)
        self._bytes += held.size - (there.size if there else 0)
        shelf.values[key] = held
        self._sweep_at(max(held.expires, now + 1.0))

    def drop(self, now: float, resource: bytes, kind: int, key: bytes) -> None:
        shelf = self._shelves[resource][kind]
        self._bytes -= shelf.values.pop(key).size
        shelf.empty_since = now

    def _sweep_at(self, when: float) -> None:
        if self._sweep is not None and self._sweep.active:
            if self._sweep.when <= when:
                return
            self._sweep.cancel()
        self._sweep = self._node.timers.at(when, self._remove_expired)

    def _remove_expired(self, now: float) -> None:
        for resource, kind, key, held in self.everything():
            if held.expires <= now:
                self.drop(now, resource, kind, key)
                self._node.count("values_expired")
        self._forget_counters(now)
        ends = (
            min((held.expires for held in shelf.values.values()), default=shelf.empty_since + limits.COUNTER_MEMORY)
            for kinds in self._shelves.values()
            for shelf in kinds.values()
        )
        first = min(ends, default=None)
        if first is not None:
            self._sweep_at(max(first, now + 1.0))

    def _forget_counters(self, now: float) -> None:
        """A counter outlives its values for a while, so that a new value does not start below it (notes 5.3)."""
        for resource, kinds in list(self._shelves.items()):
            for kind, shelf in list(kinds.items()):
                if not shelf.values and now - shelf.empty_since >= limits.COUNTER_MEMORY:
                    del kinds[kind]
                    places = self._places[kind]
                    del places[bisect_left(places, resource)]
            if not kinds:
                del self._shelves[resource]

    # --- over a restart ------------------------------------------------------------------------------

    def export(self, now: float) -> bytes:
        stores = []
        for resource, kind, _key, held in self.everything():
            data = held.passed_on(now)
            if data is not None:
                generation = self._shelves[resource][kind].generation
                store = StoreReq(resource, 1, (StoreKindData(kind, generation, (data,)),))
                stores.append((codec.encode_struct(store), [c.certificate for c in held.certificates]))
        return msgspec.msgpack.encode(_Export(self._node.wall_ms(now), stores, self._node.writer.last_times()))

    def import_(self, now: float, data: bytes) -> int:
        try:
            export = msgspec.msgpack.decode(data, type=_Export)
        except msgspec.DecodeError as error:
            raise ConfigError(f"these bytes are not an exported store: {error}") from None
        self._node.writer.remember_times(export.last_times)
        away = max(0, self._node.wall_ms(now) - export.wall_ms) // 1000
        kept = sum(self._import_one(now, away, store, certificates) for store, certificates in export.stores)
        self.replication.neighbours_changed(now, failed=False)
        return kept

    def _import_one(self, now: float, away: int, encoded: bytes, ders: list[bytes]) -> int:
        """One value back on its shelf, if its life goes on and its signature and access control still hold."""
        certificates = tuple(GenericCertificate(CertificateType.X509, der) for der in ders)
        try:
            store = codec.decode_struct(StoreReq, encoded, self._node.overlay.node_id_length, self._node.kinds.models)
            kind_data = store.kind_data[0]
            data = kind_data.values[0]
            kind = self._node.kinds.get(kind_data.kind)
            signer = self._node.verify_value(now, store.resource, kind_data.kind, data, certificates)
        except (WireError, TrustError, TypeError):
            self._node.count("import_refused")
            return 0
        if kind is None or data.lifetime <= away or not self._node.kinds.permits(store.resource, kind, data, signer):
            self._node.count("import_refused")
            return 0
        shelf = self._put_up(store.resource, kind.id)
        there = shelf.values.get(key_of(data))
        if there is None or there.data.storage_time < data.storage_time:
            lived = msgspec.structs.replace(data, lifetime=data.lifetime - away)
            held = Held(lived, certificates, now)
            held.owned = True  # we may be the only one who brings it back: whoever is responsible now is to get it
            self.put(now, shelf, key_of(data), held)
            shelf.generation = max(shelf.generation, kind_data.generation_counter)
        return 1


class _Export(msgspec.Struct):
    """wall_ms: when it was made. stores: (encoded StoreReq with one value, certificates as DER)."""

    wall_ms: int
    stores: list[tuple[bytes, list[bytes]]]
    last_times: list[tuple[bytes, int, bytes, int]]
