"""Reading what this peer stores: Fetch, Stat and Find (RFC 6940 7.4.2 to 7.4.4)."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from xor_fast import limits
from xor_fast.core.request import Handlers, Refuse, Request
from xor_fast.core.values import FINAL, Held, Shelf, index_key, index_of
from xor_fast.errors import ErrorCode
from xor_fast.messages import (
    ArrayEntry,
    ArrayEntryMeta,
    ArrayRange,
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


class _Found(NamedTuple):
    """A value as it is served, and how it is held; None for a synthetic nonexistent one (7.4.2.2)."""

    key: bytes
    data: StoredData
    held: Held | None


_HEAD = 16  # of a StoredData: its length, storage_time and lifetime
_NOWHERE = bytes(16)  # "0": no Resource-ID is known (7.4.4.2, notes 5.13)
# An enum finds its members by a call of Python (3.11: 150 ns); these are asked for with each message.
_SINGLE = DataModel.SINGLE
_ARRAY = DataModel.ARRAY
_DICTIONARY = DataModel.DICTIONARY
_FETCH_ANS = Code.FETCH_ANS


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
            responses.append(FetchKindResponse(kind, generation, tuple(value.data for value in found)))
            for value in found:
                if value.held is not None:
                    certificates.update(dict.fromkeys(value.held.chain.certificates))
        self._node.count("fetches_answered")
        self._node.answer(now, request, _FETCH_ANS, FetchAns(tuple(responses)), tuple(certificates))

    def _on_stat(self, now: float, request: Request) -> None:
        body = request.message.body
        assert isinstance(body, StatReq)
        responses = [
            StatKindResponse(kind, generation, tuple(self._meta_data(kind, value) for value in found))
            for kind, generation, found in self._asked_for(now, body, _meta_size)
        ]
        self._node.count("stats_answered")
        self._node.answer(now, request, Code.STAT_ANS, StatAns(tuple(responses)))

    def _asked_for(
        self, now: float, body: FetchReq | StatReq, size_of: Callable[[_Found], int]
    ) -> Iterator[tuple[int, int, list[_Found]]]:
        """(Kind-ID, generation counter, values) for each specifier; Stat asks as Fetch does (7.4.3.1)."""
        self._storage.check_resource(body.resource)
        self._storage.check_known([specifier.kind for specifier in body.specifiers])
        size = 0
        for specifier in body.specifiers:
            shelf = self._storage.shelf(body.resource, specifier.kind)
            generation = shelf.generation if shelf else 0
            values: list[_Found] = []
            # 7.4.2.2: nothing to send if the asker has this generation; 0 never counts as "has" (notes 5.12).
            if not specifier.generation or specifier.generation != generation:
                for found in self._select(now, shelf, specifier):
                    size += size_of(found)
                    if size > self._node.overlay.max_message_size:  # noticed before it is built: a key asked for often
                        raise Refuse(ErrorCode.RESPONSE_TOO_LARGE, "ask for fewer values at a time")
                    values.append(found)
            yield specifier.kind, generation, values

    def _select(self, now: float, shelf: Shelf | None, specifier: StoredDataSpecifier) -> Iterator[_Found]:
        """The asked values; what is asked for by name and not here is a synthetic nonexistent value (7.4.2.2)."""
        values = shelf.values if shelf else {}
        model = self._node.kinds.models[specifier.kind]
        if model is _ARRAY:
            yield from self._select_ranges(now, values, specifier)
            return
        if model is _SINGLE:
            keys, by_name = [b""], True
        else:
            keys = [key for key in specifier.model_specifier or () if isinstance(key, bytes)]
            keys, by_name = (keys, True) if keys else (list(values), False)
        for key in keys:
            found = _served(now, key, values.get(key))
            if found is not None:
                yield found
            elif by_name:
                missing = DataValue(False, b"")
                value = DictionaryEntry(key, missing) if model is _DICTIONARY else missing
                yield _Found(key, StoredData(0, 0, value), None)

    def _select_ranges(self, now: float, values: dict[bytes, Held], specifier: StoredDataSpecifier) -> Iterator[_Found]:
        """Each range up to the end of the array, its gaps as nonexistent values; what is named alone in any case (notes
        5.10). No range is the whole array."""
        ranges = [asked for asked in specifier.model_specifier or () if isinstance(asked, ArrayRange)]
        _check_ranges(ranges)
        there = {index_of(key): held for key, held in values.items() if held.expires > now}
        end = max(there, default=-1)
        for asked in ranges or [ArrayRange(0, FINAL)]:
            first, last = asked.first, min(asked.last, end)
            if first == FINAL:  # the final element, whichever it is
                first = last = max((index for index, held in there.items() if held.exists), default=FINAL)
                if first == FINAL:
                    continue
            elif first == asked.last:
                last = first
            for index in range(first, last + 1):
                key = index_key(index)
                missing = StoredData(0, 0, ArrayEntry(index, DataValue(False, b"")))
                yield _served(now, key, there.get(index)) or _Found(key, missing, None)

    def _meta_data(self, kind: int, found: _Found) -> StoredMetaData:
        model = self._node.kinds.models[kind]
        value = found.held.value(model) if found.held is not None else b""
        exists = found.held is not None and found.held.exists
        meta = MetaData(exists, len(value), HashAlgorithm.SHA256, value_digest(HashAlgorithm.SHA256, value))
        metadata: MetaData | ArrayEntryMeta | DictionaryEntryMeta = meta
        if model is _DICTIONARY:
            metadata = DictionaryEntryMeta(found.key, meta)
        elif model is _ARRAY:
            metadata = ArrayEntryMeta(index_of(found.key), meta)
        return StoredMetaData(found.data.storage_time, found.data.lifetime, metadata)

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
        for shelf in self._storage.shelves.of_kind_from(resource, kind):
            if shelf.has_value(now):
                return shelf.resource
        return _NOWHERE


def _served(now: float, key: bytes, held: Held | None) -> _Found | None:
    data = held.served(now) if held is not None else None
    return _Found(key, data, held) if data is not None else None


def _check_ranges(ranges: list[ArrayRange]) -> None:
    """7.4.2.1"""
    if any(asked.first > asked.last for asked in ranges):
        raise Refuse(ErrorCode.INVALID_MESSAGE, "a range ends before it begins")
    in_order = sorted(ranges, key=lambda asked: asked.first)
    if any(before.last >= after.first for before, after in pairwise(in_order)):
        raise Refuse(ErrorCode.INVALID_MESSAGE, "two ranges overlap")


def _data_size(found: _Found) -> int:
    if found.held is not None:
        return _HEAD + len(found.held.signed)
    return limits.MIN_STORED_DATA + len(found.key)


def _meta_size(found: _Found) -> int:
    return limits.MIN_STORED_META_DATA + len(found.key)
