"""Arrays and single values at one storing peer, seen from a link: places, gaps, ends and ranges (RFC 6940 7.2, 7.4)."""

import pytest

from tests.core.outside import THEIRS, Outside, resource
from xor_fast.cext import codec, ids
from xor_fast.errors import ErrorCode
from xor_fast.messages import (
    UNSIGNED,
    ArrayEntry,
    ArrayEntryMeta,
    ArrayRange,
    Code,
    DataValue,
    DictionaryEntry,
    ErrorResponse,
    FetchAns,
    FetchReq,
    StatAns,
    StatReq,
    StoreAns,
    StoredData,
    StoredDataSpecifier,
    StoredDataValue,
    StoreKindData,
    StoreReq,
)
from xor_fast.sim.disk import VirtualDisk

DICTIONARY, SINGLE, ARRAY = 0xF0000001, 0xF0000002, 0xF0000003  # the array: 4 entries of 100 bytes
PLACE = ids.resource_id(b"us@outside.example")
LAST = 0xFFFFFFFF
NOW_MS = 1_800_000_000_000


class Arrays(Outside):
    def __init__(self, disk: VirtualDisk | None = None) -> None:
        super().__init__(disk=disk or VirtualDisk())
        self.time = NOW_MS

    def data(self, kind: int, value: StoredDataValue, time: int | None = None, lifetime: int = 100) -> StoredData:
        self.time = self.time + 1 if time is None else time
        signed = codec.value_signature_input(PLACE, kind, self.time, value, self.us.signer)
        return StoredData(self.time, lifetime, value, self.us.sign(signed))

    def entry(self, index: int, value: bytes, exists: bool = True, lifetime: int = 100) -> StoredData:
        return self.data(ARRAY, ArrayEntry(index, DataValue(exists, value)), lifetime=lifetime)

    def store(self, *parts: tuple[int, tuple[StoredData, ...]]) -> int:
        """(Kind, values); the error code, or 0."""
        body = StoreReq(PLACE, 0, tuple(StoreKindData(kind, 0, values) for kind, values in parts))
        (answer,) = self.ask(Code.STORE_REQ, body, resource(PLACE))
        if isinstance(answer.body, ErrorResponse):
            return answer.body.error_code
        assert isinstance(answer.body, StoreAns)
        return 0

    def put(self, index: int, value: bytes, exists: bool = True, lifetime: int = 100) -> int:
        return self.store((ARRAY, (self.entry(index, value, exists, lifetime),)))

    def got(self, kind: int, *which: ArrayRange) -> tuple[StoredData, ...]:
        specifier = StoredDataSpecifier(kind, 0, None if kind == SINGLE else which)
        (answer,) = self.ask(Code.FETCH_REQ, FetchReq(PLACE, (specifier,)), resource(PLACE))
        assert isinstance(answer.body, FetchAns), answer.body
        return answer.body.kind_responses[0].values

    def seen(self, *ranges: tuple[int, int]) -> list[tuple[int, bytes | None]]:
        """(index, value); None for one that does not exist."""
        found = []
        for data in self.got(ARRAY, *(ArrayRange(*pair) for pair in ranges)):
            assert isinstance(data.value, ArrayEntry)
            found.append((data.value.index, data.value.value.value if data.value.value.exists else None))
        return found

    def refused(self, *ranges: tuple[int, int]) -> int:
        which = tuple(ArrayRange(*pair) for pair in ranges)
        body = FetchReq(PLACE, (StoredDataSpecifier(ARRAY, 0, which),))
        (answer,) = self.ask(Code.FETCH_REQ, body, resource(PLACE))
        assert isinstance(answer.body, ErrorResponse), answer.body
        return answer.body.error_code


@pytest.fixture
def arrays() -> Arrays:
    return Arrays()


@pytest.mark.req("storage.array-sparse")
def test_an_array_begins_at_0_and_its_gaps_do_not_exist(arrays: Arrays) -> None:
    assert arrays.put(2, b"c") == 0
    assert arrays.seen() == [(0, None), (1, None), (2, b"c")]
    assert arrays.put(0, b"a") == 0
    assert arrays.seen() == [(0, b"a"), (1, None), (2, b"c")]
    gap = arrays.got(ARRAY)[1]
    assert gap == StoredData(0, 0, ArrayEntry(1, DataValue(False, b"")), UNSIGNED)


@pytest.mark.req("storage.array-append")
def test_an_appended_entry_gets_the_index_behind_the_last(arrays: Arrays) -> None:
    assert arrays.put(LAST, b"a") == 0
    assert arrays.put(1, b"b") == 0
    assert arrays.store((ARRAY, (arrays.entry(LAST, b"c"), arrays.entry(LAST, b"d")))) == 0
    assert arrays.seen() == [(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d")]
    assert arrays.put(LAST, b"too many") == ErrorCode.DATA_TOO_LARGE


@pytest.mark.req("storage.array-append")
def test_the_index_is_not_signed_and_all_else_stays_as_it_came(arrays: Arrays) -> None:
    sent = arrays.entry(LAST, b"value")
    arrays.put(0, b"before")
    arrays.store((ARRAY, (sent,)))
    (data,) = arrays.got(ARRAY, ArrayRange(1, 1))
    assert (data.storage_time, data.signature) == (sent.storage_time, sent.signature)
    signed = codec.value_signature_input(PLACE, ARRAY, data.storage_time, data.value, arrays.us.signer)  # type: ignore[arg-type]
    assert arrays.us.sign(signed) == data.signature


def test_the_same_append_again_is_no_second_entry(arrays: Arrays) -> None:
    sent = arrays.entry(LAST, b"once")
    for _ in range(3):
        assert arrays.store((ARRAY, (sent,))) == 0
    assert arrays.seen() == [(0, b"once")]


def test_behind_the_last_that_exists_even_if_more_were_removed(arrays: Arrays) -> None:
    for number in range(3):
        arrays.put(LAST, b"%d" % number)
    arrays.put(2, b"", exists=False)
    assert arrays.put(LAST, b"new") == 0
    assert arrays.seen() == [(0, b"0"), (1, b"1"), (2, b"new")]


def test_no_entry_at_the_end_of_the_world(arrays: Arrays) -> None:
    for index in (4, LAST - 1):
        assert arrays.put(index, b"v") == ErrorCode.DATA_TOO_LARGE
    assert arrays.put(3, b"v") == 0


RANGES: list[tuple[tuple[tuple[int, int], ...], list[tuple[int, bytes | None]]]] = [
    ((), [(0, b"a"), (1, None), (2, b"c")]),
    (((0, LAST),), [(0, b"a"), (1, None), (2, b"c")]),
    (((0, 0),), [(0, b"a")]),
    (((1, 2),), [(1, None), (2, b"c")]),
    (((1, 1),), [(1, None)]),
    (((LAST, LAST),), [(2, b"c")]),
    (((3, 3),), [(3, None)]),
    (((3, LAST),), []),
    (((3, 9),), []),
    (((2, 0x7FFFFFFF),), [(2, b"c")]),
    (((0x80000000, 0xFFFFFFFE),), []),
    (((2, 2), (0, 0)), [(2, b"c"), (0, b"a")]),
]


@pytest.mark.req("fetch.range-bounded")
@pytest.mark.parametrize(("asked", "expected"), RANGES)
def test_ranges(arrays: Arrays, asked: tuple[tuple[int, int], ...], expected: list[tuple[int, bytes | None]]) -> None:
    """Gaps within the array are said not to exist, and so is what is named alone; the open end says nothing."""
    arrays.put(0, b"a")
    arrays.put(2, b"c")
    assert arrays.seen(*asked) == expected


def test_the_last_of_an_empty_array_is_nothing(arrays: Arrays) -> None:
    assert arrays.seen((LAST, LAST)) == []
    assert arrays.seen((0, LAST)) == []
    assert arrays.seen((0, 0)) == [(0, None)]


@pytest.mark.req("fetch.range-order")
@pytest.mark.parametrize("asked", [(1, 0), (LAST, 0), (0x80000000, 1)])
def test_a_range_that_ends_before_it_begins(arrays: Arrays, asked: tuple[int, int]) -> None:
    arrays.put(0, b"a")
    assert arrays.refused(asked) == ErrorCode.INVALID_MESSAGE


@pytest.mark.req("fetch.range-overlap")
@pytest.mark.parametrize("asked", [((0, 2), (2, 3)), ((1, 1), (0, LAST)), ((0, 0), (0, 0)), ((5, 9), (0, 5))])
def test_ranges_that_overlap(arrays: Arrays, asked: tuple[tuple[int, int], ...]) -> None:
    assert arrays.refused(*asked) == ErrorCode.INVALID_MESSAGE


def test_stat_tells_of_array_entries(arrays: Arrays) -> None:
    arrays.put(1, b"four")
    body = StatReq(PLACE, (StoredDataSpecifier(ARRAY, 0, (ArrayRange(0, LAST),)),))
    (answer,) = arrays.ask(Code.STAT_REQ, body, resource(PLACE))
    assert isinstance(answer.body, StatAns)
    told = [meta.metadata for meta in answer.body.kind_responses[0].values]
    assert [(m.index, m.value.exists, m.value.value_length) for m in told if isinstance(m, ArrayEntryMeta)] == [
        (0, False, 0),
        (1, True, 4),
    ]


def test_what_is_over_leaves_a_gap_and_nothing_on_the_disk(arrays: Arrays) -> None:
    arrays.put(0, b"short", lifetime=5)
    arrays.put(1, b"long")
    arrays.wait(10)
    assert arrays.seen() == [(0, None), (1, b"long")]
    assert arrays.got(ARRAY)[0].signature == UNSIGNED
    assert len(arrays.node.storage) == 1
    again = Arrays(arrays.disk)
    assert again.seen() == [(0, None), (1, b"long")]


@pytest.mark.req("storage.single-overwrite")
def test_a_single_value_is_made_and_replaced(arrays: Arrays) -> None:
    assert arrays.got(SINGLE) == (StoredData(0, 0, DataValue(False, b""), UNSIGNED),)
    for value in (b"first", b"second"):
        assert arrays.store((SINGLE, (arrays.data(SINGLE, DataValue(True, value)),))) == 0
        assert [data.value for data in arrays.got(SINGLE)] == [DataValue(True, value)]


@pytest.mark.req("storage.atomic")
def test_a_store_of_several_kinds_is_all_or_nothing(arrays: Arrays) -> None:
    arrays.put(0, b"old")
    single = arrays.data(SINGLE, DataValue(True, b"s"))
    too_large = arrays.entry(1, b"x" * 101)
    assert arrays.store((SINGLE, (single,)), (ARRAY, (too_large,))) == ErrorCode.DATA_TOO_LARGE
    assert arrays.seen() == [(0, b"old")]
    assert arrays.got(SINGLE)[0].signature == UNSIGNED
    assert arrays.store((SINGLE, (single,)), (ARRAY, (arrays.entry(LAST, b"new"),))) == 0
    assert arrays.seen() == [(0, b"old"), (1, b"new")]
    assert arrays.got(SINGLE)[0].value == DataValue(True, b"s")


@pytest.mark.req("fetch.one-response-per-kind")
def test_each_kind_asked_for_gets_its_response(arrays: Arrays) -> None:
    arrays.put(0, b"a")
    specifiers = (
        StoredDataSpecifier(SINGLE, 0, None),
        StoredDataSpecifier(ARRAY, 1, ()),  # it has this generation
        StoredDataSpecifier(DICTIONARY, 0, ()),
    )
    (answer,) = arrays.ask(Code.FETCH_REQ, FetchReq(PLACE, specifiers), resource(PLACE))
    assert isinstance(answer.body, FetchAns)
    assert [(r.kind, r.generation, len(r.values)) for r in answer.body.kind_responses] == [
        (SINGLE, 0, 1),
        (ARRAY, 1, 0),
        (DICTIONARY, 0, 0),
    ]


def test_an_array_survives_a_restart_with_its_indexes(arrays: Arrays) -> None:
    for value in (b"a", b"b"):
        arrays.put(LAST, value)
    again = Arrays(arrays.disk)
    again.time = arrays.time
    assert again.seen() == [(0, b"a"), (1, b"b")]
    assert again.put(LAST, b"c") == 0
    assert again.seen() == [(0, b"a"), (1, b"b"), (2, b"c")]


def test_one_user_cannot_fill_a_peer(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xor_fast.limits.MAX_USER_BYTES", 3000)
    assert arrays.put(0, b"x" * 100) == 0
    assert arrays.put(1, b"x" * 100) == 0
    assert arrays.put(2, b"x" * 100) == ErrorCode.DATA_TOO_LARGE
    assert arrays.node.counters["refused_user_quota"] == 1
    arrays.wait(102)
    assert arrays.put(2, b"x" * 100) == 0  # room again


def test_a_dictionary_key_of_another_is_untouched(arrays: Arrays) -> None:
    entry = DictionaryEntry(THEIRS, DataValue(True, b"v"))
    assert arrays.store((DICTIONARY, (arrays.data(DICTIONARY, entry),))) == 0
    assert [data.value for data in arrays.got(DICTIONARY)] == [entry]
