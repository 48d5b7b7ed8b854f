"""Stat and Find beside Fetch, seen from a link (RFC 6940 7.4.3, 7.4.4)."""

import hashlib
from random import Random

import msgspec
import pytest

from tests.core.outside import OURS, OVERLAY, THEIRS, Outside, node, resource
from xor_fast.cext import codec, ids
from xor_fast.config import KindDefinition
from xor_fast.errors import ErrorCode
from xor_fast.messages import (
    Code,
    DataModel,
    DataValue,
    DictionaryEntry,
    DictionaryEntryMeta,
    ErrorResponse,
    FetchAns,
    FetchReq,
    FindAns,
    FindKindData,
    FindReq,
    MetaData,
    StatAns,
    StatReq,
    StoreAns,
    StoredData,
    StoredDataSpecifier,
    StoreKindData,
    StoreReq,
    UnknownKinds,
)
from xor_fast.sim.fakes import FakeIdentity

DICTIONARY, SINGLE, UNKNOWN = 0xF0000001, 0xF0000002, 0xF0000009
NOW_MS = 1_800_000_000_000
NOWHERE = bytes(16)


class Asking(Outside):
    def place(self, user: bytes) -> bytes:
        return ids.resource_id(user)

    def store(self, user: bytes, kind: int, value: bytes, exists: bool = True, time: int = NOW_MS) -> bytes:
        """One value of a user at its own place."""
        signer = FakeIdentity(THEIRS, user)
        place = self.place(user)
        data = DataValue(exists, value)
        entry = DictionaryEntry(THEIRS, data) if kind == DICTIONARY else data
        signature = signer.sign(codec.value_signature_input(place, kind, time, entry, signer.signer))
        body = StoreReq(place, 0, (StoreKindData(kind, 0, (StoredData(time, 100, entry, signature),)),))
        (answer,) = self.ask(Code.STORE_REQ, body, resource(place), signer=signer)
        assert isinstance(answer.body, StoreAns), answer.body
        return place

    def error(self, code: Code, body: object, *to: object) -> ErrorResponse:
        (answer,) = self.ask(code, body, *to)  # type: ignore[arg-type]
        assert isinstance(answer.body, ErrorResponse), answer.body
        return answer.body

    def find(self, place: bytes, *kinds: int) -> tuple[FindKindData, ...]:
        (answer,) = self.ask(Code.FIND_REQ, FindReq(place, kinds), resource(place))
        assert isinstance(answer.body, FindAns), answer.body
        return answer.body.results


@pytest.fixture
def asking() -> Asking:
    return Asking()


@pytest.mark.req("fetch.stat", "hash.stat-digest")
@pytest.mark.parametrize("keys", [(), (THEIRS,), (b"not there" + bytes(7), THEIRS)])
@pytest.mark.parametrize("generation", [0, 1, 2])
def test_stat_tells_of_what_fetch_gives(asking: Asking, keys: tuple[bytes, ...], generation: int) -> None:
    place = asking.store(b"romeo", DICTIONARY, b"abc")
    assert asking.store(b"romeo", SINGLE, b"defg") == place
    asking.now += 10  # its lifetime shrinks
    specifiers = (
        StoredDataSpecifier(DICTIONARY, generation, keys),
        StoredDataSpecifier(SINGLE, generation, None),
    )
    (fetched,) = asking.ask(Code.FETCH_REQ, FetchReq(place, specifiers), resource(place))
    (told,) = asking.ask(Code.STAT_REQ, StatReq(place, specifiers), resource(place))
    assert isinstance(fetched.body, FetchAns)
    assert isinstance(told.body, StatAns)
    assert told.security.certificates == asking.node.identity.certificates  # none but the answerer's
    assert len(told.body.kind_responses) == len(fetched.body.kind_responses) == 2
    for stat, fetch in zip(told.body.kind_responses, fetched.body.kind_responses, strict=True):
        assert (stat.kind, stat.generation, len(stat.values)) == (fetch.kind, fetch.generation, len(fetch.values))
        for meta, data in zip(stat.values, fetch.values, strict=True):
            assert (meta.storage_time, meta.lifetime) == (data.storage_time, data.lifetime)
            value = data.value
            if isinstance(value, DictionaryEntry):
                assert isinstance(meta.metadata, DictionaryEntryMeta)
                assert meta.metadata.key == value.key
                pair = (meta.metadata.value, value.value)
            else:
                assert isinstance(meta.metadata, MetaData)
                assert isinstance(value, DataValue)
                pair = (meta.metadata, value)
            vector = len(pair[1].value).to_bytes(4, "big") + pair[1].value
            assert pair[0] == MetaData(pair[1].exists, len(pair[1].value), 4, hashlib.sha256(vector).digest())


def test_stat_of_a_kind_nobody_knows(asking: Asking) -> None:
    place = asking.place(b"romeo")
    body = StatReq(place, (StoredDataSpecifier(UNKNOWN, 0, b""),))
    error = asking.error(Code.STAT_REQ, body, resource(place))
    assert error.error_code == ErrorCode.UNKNOWN_KIND
    assert codec.decode_struct(UnknownKinds, error.error_info).kinds == (UNKNOWN,)


def test_stat_is_refused_before_it_grows_too_large(asking: Asking) -> None:
    place = asking.place(b"romeo")
    keys = tuple(number.to_bytes(16, "big") for number in range(300))  # 300 times 55 bytes and a key of 16
    error = asking.error(Code.STAT_REQ, StatReq(place, (StoredDataSpecifier(DICTIONARY, 0, keys),)), resource(place))
    assert error.error_code == ErrorCode.RESPONSE_TOO_LARGE
    assert error.error_info == b"ask for fewer values at a time"  # noticed before the answer was built


@pytest.mark.req("fetch.find-result", "fetch.find-none")
def test_find_tells_the_next_place_of_each_kind(asking: Asking) -> None:
    places = {user: asking.store(user, DICTIONARY, user) for user in (b"a", b"b", b"c", b"d")}
    single = asking.store(b"e", SINGLE, b"e")
    around = sorted(places.values())
    for start in [NOWHERE, b"\xff" * 16, *around, *map(ids.successor_id, around)]:
        following = [place for place in around if place >= start] or around  # clockwise, itself included
        assert asking.find(start, DICTIONARY, SINGLE, UNKNOWN) == (
            FindKindData(DICTIONARY, following[0]),
            FindKindData(SINGLE, single),
            FindKindData(UNKNOWN, NOWHERE),
        )


@pytest.mark.req("fetch.find-none")
def test_find_knows_no_place_of_what_was_removed_or_is_over(asking: Asking) -> None:
    assert asking.find(NOWHERE, SINGLE) == (FindKindData(SINGLE, NOWHERE),)
    place = asking.store(b"e", SINGLE, b"e")
    assert asking.find(NOWHERE, SINGLE) == (FindKindData(SINGLE, place),)
    asking.store(b"e", SINGLE, b"", exists=False, time=NOW_MS + 1)
    assert asking.find(NOWHERE, SINGLE) == (FindKindData(SINGLE, NOWHERE),)
    asking.store(b"e", SINGLE, b"again", time=NOW_MS + 2)
    assert asking.find(NOWHERE, SINGLE) == (FindKindData(SINGLE, place),)
    asking.now += 101  # nobody has swept yet
    assert asking.find(NOWHERE, SINGLE) == (FindKindData(SINGLE, NOWHERE),)
    asking.wait(2 * 86400)  # the generation counter is forgotten too, and its place with it
    assert len(asking.node.storage.shelves) == 0
    assert list(asking.node.storage.shelves.of_kind_from(NOWHERE, SINGLE)) == []
    assert asking.find(NOWHERE, SINGLE) == (FindKindData(SINGLE, NOWHERE),)


@pytest.mark.req("fetch.find-walk")
def test_a_walk_by_one_more_than_the_last_result(asking: Asking) -> None:
    seed = Random().randrange(1 << 32)
    print("seed", seed)
    random = Random(seed)
    places = {asking.store(random.randbytes(8).hex().encode(), SINGLE, b"x") for _ in range(50)}
    start, seen = NOWHERE, []
    while True:
        ((_, closest),) = [(r.kind, r.closest) for r in asking.find(start, SINGLE)]
        if closest in seen:
            break
        seen.append(closest)
        start = ids.successor_id(closest)
    assert len(seen) == 50
    assert set(seen) == places


@pytest.mark.req("fetch.find-kind-once")
def test_find_with_a_kind_twice(asking: Asking) -> None:
    error = asking.error(Code.FIND_REQ, FindReq(NOWHERE, (SINGLE, DICTIONARY, SINGLE)), resource(NOWHERE))
    assert error.error_code == ErrorCode.INVALID_MESSAGE


@pytest.mark.req("fetch.find-not-responsible")
def test_find_at_a_peer_that_is_not_responsible(asking: Asking) -> None:
    asking.node.ring.add(THEIRS)  # the range up to our id is ours now
    error = asking.error(Code.FIND_REQ, FindReq(THEIRS, (SINGLE,)), node(OURS))
    assert error.error_code == ErrorCode.NOT_FOUND


@pytest.mark.req("fetch.find-forbidden-kind")
def test_a_kind_that_find_may_not_tell_of_is_left_out() -> None:
    kinds = (*OVERLAY.kinds, KindDefinition(0xF0000004, "HIDDEN", DataModel.SINGLE, "USER-MATCH", 1, 9, 0, False))
    asking = Asking(overlay=msgspec.structs.replace(OVERLAY, kinds=kinds))
    place = asking.store(b"e", SINGLE, b"e")
    asking.store(b"e", 0xF0000004, b"secret")
    assert asking.find(NOWHERE, 0xF0000004, SINGLE) == (FindKindData(SINGLE, place),)


def test_a_resource_id_has_16_bytes(asking: Asking) -> None:
    assert asking.error(Code.FIND_REQ, FindReq(b"", ()), node(OURS)).error_code == ErrorCode.INVALID_MESSAGE
