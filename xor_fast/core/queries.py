"""Reading what this peer stores: Fetch, Stat and Find (RFC 6940 7.4.2 to 7.4.4)."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.core.request import Handlers, Refuse, Request
from xor_fast.core.storage import Held, Shelf, data_value, key_of
from xor_fast.errors import ErrorCode
from xor_fast.messages import (
    Code,
    DataModel,
    DataValue,
    DictionaryEntry,
    DictionaryEntryMeta,
    FetchAns,
    FetchKindResponse,
    FetchReq,
    FindAns,
    FindKindData,
    FindReq,
    GenericCertificate,
    HashAlgorithm,
    MetaData,
    StatAns,
    StatKindResponse,
    StatReq,
    StoredData,
    StoredDataSpecifier,
    StoredMetaData,
)
from xor_fast.trust.digests import value_digest

if TYPE_CHECKING:
    from xor_fast.core.node import Node

Found = tuple[StoredData, Held | None]
"""A value as it is served, and how it is held; None for a synthetic nonexistent one (7.4.2.2)."""

_NOWHERE = bytes(16)  # "0": no Resource-ID is known (7.4.4.2, notes 5.13)


class Queries:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self._storage = node.storage
        self.handlers: Handlers = {
            Code.FETCH_REQ: self._on_fetch,
            Code.STAT_REQ: self._on_stat,
            Code.FIND_REQ: self._on_find,
        }

    # --- Fetch and Stat (7.4.2, 7.4.3) ----------------------------------------------------------------

    def _on_fetch(self, now: float, request: Request) -> None:
        body = request.message.body
        assert isinstance(body, FetchReq)
        responses = []
        certificates: dict[GenericCertificate, None] = {}
        for kind, generation, found in self._asked_for(now, body, _data_size):
            responses.append(FetchKindResponse(kind, generation, tuple(data for data, _ in found)))
            for _, held in found:
                certificates.update(dict.fromkeys(held.certificates if held else ()))
        self._node.count("fetches_answered")
        self._node.answer(now, request, Code.FETCH_ANS, FetchAns(tuple(responses)), tuple(certificates))

    def _on_stat(self, now: float, request: Request) -> None:
        body = request.message.body
        assert isinstance(body, StatReq)
        responses = [
            StatKindResponse(kind, generation, tuple(_meta_data(data) for data, _ in found))
            for kind, generation, found in self._asked_for(now, body, _meta_size)
        ]
        self._node.count("stats_answered")
        self._node.answer(now, request, Code.STAT_ANS, StatAns(tuple(responses)))

    def _asked_for(
        self, now: float, body: FetchReq | StatReq, size_of: Callable[[StoredData], int]
    ) -> Iterator[tuple[int, int, list[Found]]]:
        """(Kind-ID, generation counter, values) for each specifier; Stat asks as Fetch does (7.4.3.1)."""
        self._storage.check_known([specifier.kind for specifier in body.specifiers])
        size = 0
        for specifier in body.specifiers:
            shelf = self._storage.shelf(body.resource, specifier.kind)
            generation = shelf.generation if shelf else 0
            values: list[Found] = []
            # 7.4.2.2: nothing to send if the asker has this generation; 0 never counts as "has" (notes 5.12).
            if not specifier.generation or specifier.generation != generation:
                for found in self._select(now, shelf, specifier):
                    size += size_of(found[0])
                    if size > self._node.overlay.max_message_size:  # noticed before it is built: a key asked for often
                        raise Refuse(ErrorCode.RESPONSE_TOO_LARGE, "ask for fewer values at a time")
                    values.append(found)
            yield specifier.kind, generation, values

    def _select(self, now: float, shelf: Shelf | None, specifier: StoredDataSpecifier) -> Iterator[Found]:
        """The asked values; what is asked for by name and not here is a synthetic nonexistent value (7.4.2.2)."""
        values = shelf.values if shelf else {}
        is_dictionary = self._node.kinds.models[specifier.kind] is DataModel.DICTIONARY
        keys = [key for key in specifier.model_specifier or () if isinstance(key, bytes)] or list(values)
        if not is_dictionary:
            keys = [b""]
        for key in keys:
            held = values.get(key)
            data = held.served(now) if held else None
            if data is not None:
                yield data, held
            elif specifier.model_specifier or not is_dictionary:
                missing = DataValue(False, b"")
                yield StoredData(0, 0, DictionaryEntry(key, missing) if is_dictionary else missing), None

    # --- Find (7.4.4) ---------------------------------------------------------------------------------

    def _on_find(self, now: float, request: Request) -> None:
        body = request.message.body
        assert isinstance(body, FindReq)
        self._storage.check_resource(body.resource)
        if len(set(body.kinds)) != len(body.kinds):
            raise Refuse(ErrorCode.INVALID_MESSAGE, "a Kind stands twice in one Find")  # 7.4.4.1
        if not self._node.ring.is_responsible(body.resource):
            raise Refuse(ErrorCode.NOT_FOUND, "this peer is not responsible for that Resource-ID")
        results = tuple(
            FindKindData(kind, self._closest(now, body.resource, kind)) for kind in body.kinds if self._may_find(kind)
        )
        self._node.count("finds_answered")
        self._node.answer(now, request, Code.FIND_ANS, FindAns(results))

    def _may_find(self, kind: int) -> bool:
        definition = self._node.kinds.get(kind)
        return definition is None or definition.is_findable  # one not known is told as 0, with no error

    def _closest(self, now: float, resource: bytes, kind: int) -> bytes:
        """The first Resource-ID clockwise from this one, itself included, with a value (notes 5.14)."""
        for place in self._storage.places_from(resource, kind):
            shelf = self._storage.shelf(place, kind)
            if shelf and shelf.has_value(now):
                return place
        return _NOWHERE


def _data_size(data: StoredData) -> int:
    return limits.MIN_STORED_DATA + len(key_of(data)) + len(data_value(data).value)


def _meta_size(data: StoredData) -> int:
    return limits.MIN_STORED_META_DATA + len(key_of(data))


def _meta_data(data: StoredData) -> StoredMetaData:
    value = data_value(data)
    digest = value_digest(HashAlgorithm.SHA256, value.value)
    meta = MetaData(value.exists, len(value.value), HashAlgorithm.SHA256, digest)
    is_entry = isinstance(data.value, DictionaryEntry)
    metadata = DictionaryEntryMeta(key_of(data), meta) if is_entry else meta
    return StoredMetaData(data.storage_time, data.lifetime, metadata)
