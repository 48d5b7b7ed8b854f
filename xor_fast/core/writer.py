"""Store and Fetch as the one who asks: values signed here, answers believed only as far as they prove (RFC 6940 7.4).

A fetched value counts only if its signature holds *and* its signer may write it there by the Kind's policy: the
peer that answers is not trusted (notes 3.12).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from xor_fast import limits
from xor_fast.cext import codec
from xor_fast.core.lookup import Finding
from xor_fast.core.storage import Held, data_value, key_of
from xor_fast.core.transactions import Answer
from xor_fast.errors import ErrorCode, RequestFailed, StateError, TrustError
from xor_fast.messages import (
    Code,
    DataModel,
    DataValue,
    Destination,
    DestinationType,
    DictionaryEntry,
    FetchAns,
    FetchReq,
    StoreAns,
    StoredData,
    StoredDataSpecifier,
    StoreKindData,
    StoreReq,
)
from xor_fast.trust.signatures import Signer

if TYPE_CHECKING:
    from xor_fast.core.node import Node


class NewValue(NamedTuple):
    """A value to store. key: of a dictionary entry, None for a single value. lifetime: seconds.

    exists=False removes what is there (7.4.1.3)."""

    key: bytes | None
    value: bytes
    lifetime: int
    exists: bool = True


class Stored(NamedTuple):
    """generation: the counter after the Store. replicas: Node-IDs. owner: who answered. hops: on the way back."""

    generation: int
    replicas: tuple[bytes, ...]
    owner: bytes
    hops: int


class FetchedValue(NamedTuple):
    """lifetime: seconds left. storage_time: ms since 1970, as its writer set it."""

    key: bytes | None
    value: bytes
    signer: Signer
    lifetime: int
    storage_time: int


class Fetched(NamedTuple):
    """rejected: how many values did not prove their right to be there. owner: who answered."""

    values: tuple[FetchedValue, ...]
    rejected: int
    owner: bytes
    hops: int

    @property
    def partial(self) -> bool:
        """Some of what was sent does not count: there may be more values than these (7.4.2.2)."""
        return self.rejected > 0


def _stored(kind: int, answer: Answer) -> Stored | RequestFailed:
    assert isinstance(answer.body, StoreAns)
    for response in answer.body.kind_responses:
        if response.kind == kind:
            return Stored(response.generation_counter, response.replicas, answer.signer.node_id, answer.hops)
    return RequestFailed(ErrorCode.INVALID_MESSAGE, "the answer to the Store does not name its Kind")


class Writer:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self._last_times: dict[tuple[bytes, int, bytes], int] = {}

    # --- Store ---------------------------------------------------------------------------------------

    def store(
        self,
        now: float,
        resource: bytes,
        kind: int,
        values: Sequence[NewValue],
        done: Callable[[float, Stored | RequestFailed], None],
    ) -> None:
        definition = self._node.kinds.get(kind)
        if definition is None:
            raise StateError(f"Kind {kind} is not known: add it to node.kinds first")
        is_dictionary = definition.model is DataModel.DICTIONARY
        signed = tuple(self._sign(now, resource, kind, value, is_dictionary) for value in values)
        body = StoreReq(resource, 0, (StoreKindData(kind, 0, signed),))
        tries_left = limits.STORE_TRIES

        def attempt(now: float) -> None:
            destination = (Destination(DestinationType.RESOURCE, resource),)
            self._node.request(now, destination, Code.STORE_REQ, body, answered)

        def answered(now: float, outcome: Answer | RequestFailed) -> None:
            nonlocal tries_left
            tries_left -= 1
            if isinstance(outcome, Answer):
                done(now, _stored(kind, outcome))
            elif outcome.code == ErrorCode.NOT_FOUND and tries_left:
                # The range is just changing hands; the one who refused knows that sooner than our routing table.
                self._node.timers.at(now + limits.STORE_RETRY, attempt)
            else:
                done(now, outcome)

        attempt(now)

    def _sign(self, now: float, resource: bytes, kind: int, value: NewValue, is_dictionary: bool) -> StoredData:
        if is_dictionary is (value.key is None):
            raise StateError("a dictionary value needs a key, and only a dictionary value has one")
        place = (resource, kind, value.key or b"")
        # Our clock may have stepped back; our values may not (7, notes 5.18).
        time = max(self._node.wall_ms(now), self._last_times.get(place, 0) + 1)
        self._last_times[place] = time
        plain = DataValue(value.exists, value.value)
        entry = DictionaryEntry(value.key, plain) if value.key is not None else plain
        identity = self._node.identity
        signed = codec.value_signature_input(resource, kind, time, entry, identity.signer)
        return StoredData(time, value.lifetime, entry, identity.sign(signed))

    def last_times(self) -> list[tuple[bytes, int, bytes, int]]:
        """(Resource-ID, Kind-ID, key, storage_time) of what we wrote last, to be kept over a restart."""
        return [(*place, time) for place, time in self._last_times.items()]

    def remember_times(self, times: list[tuple[bytes, int, bytes, int]]) -> None:
        for resource, kind, key, time in times:
            place = (resource, kind, key)
            self._last_times[place] = max(time, self._last_times.get(place, 0))

    # --- Fetch ---------------------------------------------------------------------------------------

    def fetch(
        self, now: float, resource: bytes, kind: int, done: Callable[[float, Fetched | RequestFailed], None]
    ) -> None:
        def judge(now: float, answer: Answer) -> Finding[Fetched]:
            proven, rejected = self._prove(now, resource, kind, answer)
            values = tuple(
                FetchedValue(
                    key_of(data) if isinstance(data.value, DictionaryEntry) else None,
                    data_value(data).value,
                    signer,
                    data.lifetime,
                    data.storage_time,
                )
                for data, signer in proven
                if data_value(data).exists
            )
            fetched = Fetched(values, rejected, answer.signer.node_id, answer.hops)
            return Finding(fetched, is_proven=bool(proven), is_doubtful=bool(rejected and not proven))

        self._node.lookups.fetch(now, FetchReq(resource, (self._all_of(kind),)), judge, done)

    def _all_of(self, kind: int) -> StoredDataSpecifier:
        """Every value: no dictionary key is named (7.4.2.1); a single value has no specifier."""
        is_dictionary = self._node.kinds.models.get(kind) is DataModel.DICTIONARY
        return StoredDataSpecifier(kind, 0, () if is_dictionary else None)

    def _prove(
        self, now: float, resource: bytes, kind: int, answer: Answer
    ) -> tuple[list[tuple[StoredData, Signer]], int]:
        """The values whose signature and access control hold, and the number of the others (7.4.2.2)."""
        definition = self._node.kinds.get(kind)
        assert isinstance(answer.body, FetchAns)
        proven: list[tuple[StoredData, Signer]] = []
        rejected = 0
        for response in answer.body.kind_responses:
            if definition is None or response.kind != kind:
                rejected += len(response.values)
                continue
            for data in response.values:
                if not data_value(data).exists and not data.signature.signature_value:
                    continue  # synthetic: there is nothing there, and nothing to prove
                bucket = answer.message.security.certificates
                try:
                    signer = self._node.verify_value(now, resource, kind, data, bucket)
                except TrustError:
                    rejected += 1
                    continue
                if self._node.kinds.permits(resource, definition, data, signer):
                    proven.append((data, signer))
                else:
                    rejected += 1
        self._node.count("fetched_values_rejected", rejected)
        return proven, rejected

    def resync(self, now: float, node_id: bytes, resource: bytes, kind: int) -> None:
        """Another peer has newer values than we do: take them over, if they prove themselves (7.4.1.1)."""

        def answered(now: float, outcome: Answer | RequestFailed) -> None:
            shelf = self._node.storage.shelf(resource, kind)
            if isinstance(outcome, RequestFailed) or shelf is None:
                return
            assert isinstance(outcome.body, FetchAns)
            for data, signer in self._prove(now, resource, kind, outcome)[0]:
                there = shelf.values.get(key_of(data))
                if there is None or there.data.storage_time < data.storage_time:
                    self._node.storage.put(now, shelf, key_of(data), Held.signed_by(signer, data, now))
                    self._node.count("values_resynchronised")
            theirs = [response.generation for response in outcome.body.kind_responses if response.kind == kind]
            shelf.generation = max(shelf.generation, *theirs, 0)

        destination = (Destination(DestinationType.NODE, node_id),)
        body = FetchReq(resource, (self._all_of(kind),))
        self._node.request(now, destination, Code.FETCH_REQ, body, answered)
