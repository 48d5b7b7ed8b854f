"""Store and Fetch as the one who asks: values signed here, answers believed only as far as they prove (RFC 6940 7.4).

A fetched value counts only if its signature holds *and* its signer may write it there by the Kind's policy: the
peer that answers is not trusted (notes 3.12).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from xor_fast import limits
from xor_fast.cext import codec
from xor_fast.config import KindDefinition
from xor_fast.core.lookup import Finding
from xor_fast.core.transactions import Answer
from xor_fast.core.values import FINAL, data_value, key_of
from xor_fast.errors import ErrorCode, RequestFailed, StateError, TrustError
from xor_fast.messages import (
    ArrayEntry,
    ArrayRange,
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
    """A value to store. lifetime: seconds. exists=False removes what is there (7.4.1.3).

    key: of a dictionary entry; of an array entry its index, APPEND for one behind the last; None for a single value."""

    key: bytes | int | None
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
    """key: as in NewValue; the index of an array entry is the storing peer's word and nobody else's (7.4.2.2).
    lifetime: seconds left. storage_time: ms since 1970, as its writer set it."""

    key: bytes | int | None
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


class Proven(NamedTuple):
    """A fetched value that may be there. encoded: as it was signed (`codec.stored_as_signed`)."""

    data: StoredData
    encoded: bytes
    signer: Signer


def _entry(kind: KindDefinition, value: NewValue) -> DataValue | ArrayEntry | DictionaryEntry:
    """StateError if the value does not fit the data model of its Kind."""
    plain = DataValue(value.exists, value.value)
    if isinstance(value.key, bytes) and kind.model is DataModel.DICTIONARY:
        return DictionaryEntry(value.key, plain)
    if isinstance(value.key, int) and kind.model is DataModel.ARRAY:
        return ArrayEntry(value.key, plain)
    if value.key is None and kind.model is DataModel.SINGLE:
        return plain
    raise StateError("the key of a dictionary value is bytes, that of an array entry an index; a single value has none")


def _fetched(data: StoredData, signer: Signer) -> FetchedValue:
    entry = data.value
    key: bytes | int | None = None
    if isinstance(entry, DictionaryEntry):
        key = entry.key
    elif isinstance(entry, ArrayEntry):
        key = entry.index
    return FetchedValue(key, data_value(data).value, signer, data.lifetime, data.storage_time)


def _stored(kind: int, answer: Answer) -> Stored | RequestFailed:
    assert isinstance(answer.body, StoreAns)
    for response in answer.body.kind_responses:
        if response.kind == kind:
            return Stored(response.generation_counter, response.replicas, answer.signer.node_id, answer.hops)
    return RequestFailed(ErrorCode.INVALID_MESSAGE, "the answer to the Store does not name its Kind")


class Writer:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self._last: dict[tuple[bytes, int, bytes], tuple[int, int]] = {}  # storage_time and end of what we wrote there

    # --- Store ---------------------------------------------------------------------------------------

    def store(
        self,
        now: float,
        resource: bytes,
        kind: int,
        values: Sequence[NewValue],
        done: Callable[[float, Stored | RequestFailed], None],
        generation: int = 0,
    ) -> None:
        definition = self._node.kinds.get(kind)
        if definition is None:
            raise StateError(f"Kind {kind} is not known: add it to node.kinds first")
        for value in values:
            if not 0 <= value.lifetime <= limits.LONGEST_LIFETIME:
                raise StateError(f"a value lives 0 to {limits.LONGEST_LIFETIME} seconds, not {value.lifetime}")
        signed = tuple(self._sign(now, resource, definition, value) for value in values)
        body = StoreReq(resource, 0, (StoreKindData(kind, generation, signed),))
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
            elif outcome.code in (ErrorCode.GENERATION_COUNTER_TOO_LOW, ErrorCode.DATA_TOO_OLD):
                self._adopt(now, resource, kind, lambda now: done(now, outcome))
            else:
                done(now, outcome)

        attempt(now)

    def _adopt(self, now: float, resource: bytes, kind: int, over: Callable[[float], None]) -> None:
        """Somebody wrote there before us: what we write next is newer than what they have (7.4.1.2, 7)."""

        def judge(now: float, answer: Answer) -> Finding[list[Proven]]:
            proven, _ = self._prove(now, resource, kind, answer)
            return Finding(proven, is_proven=bool(proven), is_doubtful=False)

        def found(now: float, outcome: list[Proven] | RequestFailed) -> None:
            for data, *_ in () if isinstance(outcome, RequestFailed) else outcome:
                ends_ms = self._node.wall_ms(now) + 1000 * data.lifetime
                self.remember((resource, kind, key_of(data)), data.storage_time, ends_ms)
            over(now)

        self._node.lookups.fetch(now, FetchReq(resource, (self._specifier(kind),)), judge, found)

    def _sign(self, now: float, resource: bytes, kind: KindDefinition, value: NewValue) -> StoredData:
        entry = _entry(kind, value)
        place = (resource, kind.id, key_of(StoredData(0, 0, entry)))
        last, ends = self._last.get(place, (0, 0))
        wall = self._node.wall_ms(now)
        time = max(wall, last + 1)  # our clock may have stepped back; our values may not (7, notes 5.18)
        time = min(time, limits.MAX_STORAGE_TIME)  # whoever wrote that has the last word: ours is refused
        # A removal has to outlive what it removes, wherever that may come back from (7.4.1.3).
        left = min((ends - wall + 999) // 1000, limits.LONGEST_LIFETIME)  # our clock may have stepped back
        lifetime = value.lifetime if value.exists else max(value.lifetime, left)
        self.remember(place, time, max(ends, wall + 1000 * lifetime))
        self._node.storage.ledger.written(*place, *self._last[place])
        identity = self._node.identity
        signed = codec.value_signature_input(resource, kind.id, time, entry, identity.signer)
        return StoredData(time, lifetime, entry, identity.sign(signed))

    def last(self, place: tuple[bytes, int, bytes]) -> tuple[int, int]:
        """storage_time and end (ms since 1970) of what we wrote there last, to be kept over a restart."""
        return self._last.get(place, (0, 0))

    def remember(self, place: tuple[bytes, int, bytes], storage_time: int, ends_ms: int) -> None:
        self._last[place] = max(self.last(place), (storage_time, ends_ms))

    # --- Fetch ---------------------------------------------------------------------------------------

    def fetch(
        self,
        now: float,
        resource: bytes,
        kind: int,
        done: Callable[[float, Fetched | RequestFailed], None],
        which: Sequence[bytes | ArrayRange] = (),
    ) -> None:
        def judge(now: float, answer: Answer) -> Finding[Fetched]:
            proven, rejected = self._prove(now, resource, kind, answer)
            values = tuple(_fetched(data, signer) for data, _, signer in proven if data_value(data).exists)
            fetched = Fetched(values, rejected, answer.signer.node_id, answer.hops)
            return Finding(fetched, is_proven=bool(proven), is_doubtful=bool(rejected and not proven))

        self._node.lookups.fetch(now, FetchReq(resource, (self._specifier(kind, which),)), judge, done)

    def _specifier(self, kind: int, which: Sequence[bytes | ArrayRange] = ()) -> StoredDataSpecifier:
        """By default every value (7.4.2.1): no key named, the whole array, no specifier for a single value."""
        model = self._node.kinds.models.get(kind)
        if model is DataModel.ARRAY:
            return StoredDataSpecifier(kind, 0, tuple(which) or (ArrayRange(0, FINAL),))  # type: ignore[arg-type]
        return StoredDataSpecifier(kind, 0, tuple(which) if model is DataModel.DICTIONARY else None)  # type: ignore[arg-type]

    def _prove(self, now: float, resource: bytes, kind: int, answer: Answer) -> tuple[list[Proven], int]:
        """The values whose signature and access control hold, and the number of the others (7.4.2.2)."""
        definition = self._node.kinds.get(kind)
        assert isinstance(answer.body, FetchAns)
        proven: list[Proven] = []
        rejected = 0
        signed = iter(codec.stored_as_signed(answer.encoded))
        for response in answer.body.kind_responses:
            for data in response.values:
                encoded = next(signed)
                if definition is None or response.kind != kind:
                    rejected += 1
                elif not data_value(data).exists and not data.signature.signature_value:
                    continue  # synthetic: there is nothing there, and nothing to prove
                elif signer := self._signer_of(now, resource, definition, data, answer):
                    proven.append(Proven(data, encoded, signer))
                else:
                    rejected += 1
        self._node.count("fetched_values_rejected", rejected)
        return proven, rejected

    def _signer_of(
        self, now: float, resource: bytes, kind: KindDefinition, data: StoredData, answer: Answer
    ) -> Signer | None:
        """None unless it may be there."""
        try:
            signer = self._node.verify_value(now, resource, kind.id, data, answer.message.security.certificates)
        except TrustError:
            return None
        return signer if self._node.kinds.permits(resource, kind, data, signer) else None

    def resync(
        self,
        now: float,
        holder: Destination,
        resource: bytes,
        kind: int,
        over: Callable[[float], None],
    ) -> None:
        """Another peer has newer values than we do: take them over, if they prove themselves (7.4.1.1)."""

        def answered(now: float, outcome: Answer | RequestFailed) -> None:
            definition = self._node.kinds.get(kind)
            if isinstance(outcome, Answer) and definition is not None:
                proven = self._prove(now, resource, kind, outcome)[0]
                assert isinstance(outcome.body, FetchAns)
                theirs = [response.generation for response in outcome.body.kind_responses if response.kind == kind]
                self._node.storage.take_over(now, resource, definition, proven, max(theirs, default=0))
            over(now)

        body = FetchReq(resource, (self._specifier(kind),))
        self._node.request(now, (holder,), Code.FETCH_REQ, body, answered)
