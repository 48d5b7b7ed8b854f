"""Replicas and our own Stores and Fetches, read from the links of one peer with neighbours (RFC 6940 7.4.1, 7.4.2)."""

from typing import Any

import pytest

from tests.core.neighbours import ARRAY, BEFORE_OURS, DICTIONARY, NOW_MS, PLACE, Neighbours, error_code, store, value
from tests.core.outside import OURS, resource
from xor_fast.cext import codec, ids
from xor_fast.core.node import Fetched, NewValue, Stored
from xor_fast.errors import ErrorCode, RequestFailed
from xor_fast.messages import (
    UNSIGNED,
    ArrayEntry,
    Code,
    DataValue,
    DictionaryEntry,
    ErrorResponse,
    FetchAns,
    FetchKindResponse,
    FetchReq,
    Message,
    StoreAns,
    StoredData,
    StoredDataSpecifier,
    StoreKindData,
    StoreKindResponse,
    StoreReq,
)
from xor_fast.sim.fakes import FakeIdentity

LATEST = 2**64 - 1


@pytest.fixture
def around() -> Neighbours:
    return Neighbours()


def fetched(around: Neighbours, member: FakeIdentity) -> FetchKindResponse:
    body = FetchReq(PLACE, (StoredDataSpecifier(DICTIONARY, 0, ()),))
    (answer,) = around.put(member, Code.FETCH_REQ, body, resource(PLACE))
    assert isinstance(answer.body, FetchAns)
    return answer.body.kind_responses[0]


def the_store(around: Neighbours, member: FakeIdentity) -> StoreReq:
    (request,) = around.asked_of(member, Code.STORE_REQ)
    assert isinstance(request.body, StoreReq)
    return request.body


@pytest.mark.req("storage.replica-zero-own", "storage.ans-content", "storage.generation-replica-nonzero")
def test_replicas_are_numbered_and_the_answer_names_who_has_them(around: Neighbours) -> None:
    writer, near, far = around.members[0], around.members[3], around.members[4]
    around.enter(near, far)
    around.put(writer, Code.STORE_REQ, store(value(writer, b"v")), resource(PLACE))
    for number, member in enumerate((near, far), 1):
        body = the_store(around, member)
        assert (body.replica_number, body.kind_data[0].generation_counter) == (number, 1)
    (request,) = around.asked_of(near, Code.STORE_REQ)
    around.answer_to(near, request, Code.STORE_ANS, StoreAns((StoreKindResponse(DICTIONARY, 1),)))
    (answer,) = around.asked_of(writer, Code.STORE_ANS)
    expected = StoreKindResponse(DICTIONARY, 1, (near.node_id, far.node_id))
    assert answer.body == StoreAns((expected,))


@pytest.mark.req("storage.lifetime-adjust", "storage.lifetime-adjust-clock")
def test_what_is_passed_on_has_lived_here(around: Neighbours) -> None:
    """By our own clock: the wall clock may say what it likes."""
    writer, near = around.members[0], around.members[3]
    around.put(writer, Code.STORE_REQ, store(value(writer, b"v", lifetime=1000)), resource(PLACE))
    around.wait(40)
    around.node.set_wall(around.now, NOW_MS + 10**9)
    around.enter(near)
    around.wait(0.1)
    (data,) = the_store(around, near).kind_data[0].values
    assert data.lifetime in (959, 960)


@pytest.mark.req("storage.gap-not-replicated")
def test_what_is_over_is_not_replicated_and_neither_is_the_gap_it_leaves(around: Neighbours) -> None:
    writer, near, far = around.members[0], around.members[3], around.members[4]
    around.enter(writer)

    def entry(index: int, lifetime: int) -> StoredData:
        plain = ArrayEntry(index, DataValue(True, b"%d" % index))
        signed = codec.value_signature_input(PLACE, ARRAY, NOW_MS, plain, writer.signer)
        return StoredData(NOW_MS, lifetime, plain, writer.sign(signed))

    entries = tuple(entry(index, lifetime) for index, lifetime in enumerate((1000, 5, 1000, 31)))
    around.put(writer, Code.STORE_REQ, StoreReq(PLACE, 0, (StoreKindData(ARRAY, 0, entries),)), resource(PLACE))
    around.wait(30.5)  # one is long over, and another has no whole second left
    around.enter(near, far)
    around.wait(0.1)
    for member in (near, far):
        stores = [request.body for request in around.asked_of(member, Code.STORE_REQ)]
        sent = [data for body in stores for data in body.kind_data[0].values]  # type: ignore[union-attr]
        assert [data.value for data in sent] == [entries[0].value, entries[2].value]
        assert all(data.lifetime > 0 and data.signature.signature_value for data in sent)


@pytest.mark.req("storage.replica-expected", "storage.check-replica-source")
def test_a_replica_is_taken_from_who_may_have_been_responsible_for_what_is_ours_to_keep(around: Neighbours) -> None:
    """Between 0x7e.. and us lies PLACE; 0x7e.. is our predecessor."""
    around.enter()
    far_behind, before, near = around.members[1], around.members[2], around.members[3]
    replica = store(value(near, b"v"), replica=1, counter=3)
    owner = around.members[4]
    elsewhere = StoreReq(b"\x85" + bytes(15), 1, replica.kind_data)  # of its range: we are no replica of that
    answers = around.put(owner, Code.STORE_REQ, elsewhere)
    assert "no part" in answers[-1].body.error_info.decode()  # type: ignore[union-attr]
    assert len(around.node.storage) == 0
    stranger = around.member(b"\x10" * 16)  # no peer
    assert error_code(around.put(stranger, Code.STORE_REQ, replica)) == ErrorCode.FORBIDDEN
    assert error_code(around.put(far_behind, Code.STORE_REQ, replica)) == ErrorCode.FORBIDDEN
    assert around.put(near, Code.STORE_REQ, replica)[-1].code == Code.STORE_ANS
    assert before.node_id < PLACE < OURS


@pytest.mark.req("storage.generation-replica")
def test_a_replica_brings_its_counter(around: Neighbours) -> None:
    around.enter()
    near = around.members[3]
    for counter, time in ((7, 1), (9, 2)):
        body = store(value(near, b"v", NOW_MS + time), replica=1, counter=counter)
        assert around.put(near, Code.STORE_REQ, body)[-1].code == Code.STORE_ANS
        assert fetched(around, near).generation == counter


@pytest.mark.req("storage.quota-reject", "access.replica-signer")
def test_a_replica_is_judged_like_an_original(around: Neighbours) -> None:
    around.enter()
    near = around.members[3]
    large = store(value(near, b"x" * 101), replica=1, counter=1)
    assert error_code(around.put(near, Code.STORE_REQ, large)) == ErrorCode.DATA_TOO_LARGE
    thief = FakeIdentity(b"\x55" * 16, b"thief@outside.example")
    stolen = store(value(thief, b"v"), replica=1, counter=1)
    bucket = (*near.certificates, *thief.certificates)
    header, contents = {"signer": near}, Code.STORE_REQ
    answers = put_with(around, near, contents, stolen, bucket, **header)
    assert error_code(answers) == ErrorCode.FORBIDDEN
    assert len(around.node.storage) == 0


def put_with(
    around: Neighbours, member: FakeIdentity, code: int, body: Any, bucket: Any, **fields: Any
) -> list[Message]:
    """With these certificates in the bucket."""
    real, member.certificates = member.certificates, bucket
    try:
        return around.put(member, code, body, **fields)
    finally:
        member.certificates = real


@pytest.mark.req("storage.dictionary-replace")
def test_a_store_of_one_key_leaves_the_others(around: Neighbours) -> None:
    one, other = around.members[0], around.members[1]
    for writer, data, time in ((one, b"1", 0), (other, b"2", 1), (one, b"3", 2)):
        around.put(writer, Code.STORE_REQ, store(value(writer, data, NOW_MS + time)), resource(PLACE))
    values = {data.value.key: data.value.value.value for data in fetched(around, one).values}  # type: ignore[union-attr]
    assert values == {one.node_id: b"3", other.node_id: b"2"}


@pytest.mark.req("storage.merge-order")
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_sides_of_a_partition_the_newer_value_stays(around: Neighbours, order: tuple[int, ...]) -> None:
    around.enter()
    near, writer = around.members[3], around.members[0]
    sides = [store(value(writer, b"%d" % n, NOW_MS + n), replica=1, counter=9 - n) for n in (0, 1)]
    for side in order:
        put_with(around, near, Code.STORE_REQ, sides[side], (*near.certificates, *writer.certificates))
    (data,) = fetched(around, near).values
    assert data.value == DictionaryEntry(writer.node_id, DataValue(True, b"1"))


@pytest.mark.req("storage.resync")
@pytest.mark.parametrize("refusal", [ErrorCode.DATA_TOO_OLD, ErrorCode.GENERATION_COUNTER_TOO_LOW])
def test_who_has_something_newer_is_asked_for_it(around: Neighbours, refusal: ErrorCode) -> None:
    writer, near = around.members[0], around.members[3]
    around.enter(near)
    around.put(writer, Code.STORE_REQ, store(value(writer, b"old")), resource(PLACE))
    (request,) = around.asked_of(near, Code.STORE_REQ)
    around.answer_to(near, request, Code.ERROR, ErrorResponse(refusal))
    (asked,) = around.asked_of(near, Code.FETCH_REQ)
    newer = value(writer, b"newer", NOW_MS + 5)
    around.answer_to(near, asked, Code.FETCH_ANS, FetchAns((FetchKindResponse(DICTIONARY, 4, (newer,)),)))
    response = fetched(around, writer)
    assert response.generation == 4
    assert response.values[0].value == newer.value


@pytest.mark.req("storage.handoff")
def test_what_belongs_to_another_now_is_stored_there_unless_it_has_it(around: Neighbours) -> None:
    writer, owner = around.members[0], around.member(BEFORE_OURS)
    around.put(writer, Code.STORE_REQ, store(value(writer, b"v")), resource(PLACE))
    around.enter(owner)
    around.wait(0.1)
    (request,) = around.asked_of(owner, Code.STORE_REQ)
    around.answer_to(owner, request, Code.STORE_ANS, StoreAns((StoreKindResponse(DICTIONARY, 1),)))
    around.received.clear()
    around.wait(60)
    assert around.asked_of(owner, Code.STORE_REQ) == []


# --- as the one who writes and reads ------------------------------------------------------------------------


class Wishing(Neighbours):
    """Our node's own wishes: about a place in the range of our predecessor, 0x7e..."""

    def __init__(self) -> None:
        super().__init__()
        self.enter()
        self.owner = self.members[2]
        names = (b"user%d@outside.example" % n for n in range(9999))
        self.user = next(n for n in names if 0x41 <= ids.resource_id(n)[0] < 0x7E)
        self.place = ids.resource_id(self.user)
        self.node.identity = FakeIdentity(OURS, self.user)  # type: ignore[assignment]
        self.outcomes: list[Any] = []
        self.received.clear()

    def done(self, now: float, outcome: Any) -> None:
        self.outcomes.append(outcome)

    def store(self, new: NewValue, **fields: Any) -> StoredData:
        self.received.clear()
        self.node.store(self.now, self.place, DICTIONARY, [new], self.done, **fields)
        self.drain()
        (self.request,) = [message for _, message in self.received if message.code == Code.STORE_REQ]
        assert isinstance(self.request.body, StoreReq)
        assert self.request.body.replica_number == 0
        return self.request.body.kind_data[0].values[0]

    def fetch(self, *values: StoredData) -> Fetched:
        """Whoever is asked answers with these."""
        self.received.clear()
        self.node.fetch(self.now, self.place, DICTIONARY, self.done)
        answer = FetchAns((FetchKindResponse(DICTIONARY, 3, values),))
        for _ in range(40):
            for member in self.members:
                for request in self.asked_of(member, Code.FETCH_REQ):
                    self.answer_to(member, request, Code.FETCH_ANS, answer)
            self.received.clear()
            if self.outcomes:
                break
            self.wait(1)
        outcome = self.outcomes.pop()
        assert isinstance(outcome, Fetched), outcome
        return outcome

    def written(self, data: bytes, exists: bool = True, who: bytes | None = None) -> StoredData:
        signer = FakeIdentity(self.owner.node_id, who or self.user)
        self.owner.certificates = (*self.owner.certificates[:1], *signer.certificates)
        entry = DictionaryEntry(signer.node_id, DataValue(exists, data))
        signed = codec.value_signature_input(self.place, DICTIONARY, NOW_MS, entry, signer.signer)
        return StoredData(NOW_MS, 100, entry, signer.sign(signed))


@pytest.fixture
def wishing() -> Wishing:
    return Wishing()


@pytest.mark.req("storage.time-unit", "storage.time-best-effort", "storage.sign-before-store")
def test_what_we_write_is_signed_by_us_and_bears_the_wall_clock(wishing: Wishing) -> None:
    wishing.node.set_wall(wishing.now, NOW_MS + 123)
    data = wishing.store(NewValue(OURS, b"v", 60))
    assert data.storage_time == NOW_MS + 123
    us = wishing.node.identity
    signed = codec.value_signature_input(wishing.place, DICTIONARY, data.storage_time, data.value, us.signer)  # type: ignore[arg-type]
    assert data.signature == us.sign(signed)


@pytest.mark.req("storage.remove-lifetime")
def test_a_removal_outlives_what_it_removes(wishing: Wishing) -> None:
    wishing.store(NewValue(OURS, b"v", 1000))
    wishing.wait(100)
    removal = wishing.store(NewValue(OURS, b"", 10, exists=False))
    assert removal.value == DictionaryEntry(OURS, DataValue(False, b""))
    assert removal.lifetime >= 900


@pytest.mark.req("storage.generation-refetch")
@pytest.mark.parametrize("refusal", [ErrorCode.GENERATION_COUNTER_TOO_LOW, ErrorCode.DATA_TOO_OLD])
@pytest.mark.parametrize(("time", "next_time"), [(NOW_MS + 10**7, NOW_MS + 10**7 + 1), (LATEST, LATEST)])
def test_who_is_refused_learns_what_is_there_and_writes_something_newer(
    wishing: Wishing, refusal: ErrorCode, time: int, next_time: int
) -> None:
    """As long as there can be something newer."""
    first = wishing.store(NewValue(OURS, b"v", 60), generation=5)
    assert wishing.request.body.kind_data[0].generation_counter == 5  # type: ignore[union-attr]
    theirs = codec.value_signature_input(wishing.place, DICTIONARY, time, first.value, wishing.node.identity.signer)  # type: ignore[arg-type]
    newer = StoredData(time, 60, first.value, wishing.node.identity.sign(theirs))
    wishing.answer_to(wishing.owner, wishing.request, Code.ERROR, ErrorResponse(refusal))
    wishing.drain()
    (asked,) = [message for _, message in wishing.received if message.code == Code.FETCH_REQ]
    answer = FetchAns((FetchKindResponse(DICTIONARY, 9, (newer,)),))
    wishing.owner.certificates = (*wishing.owner.certificates, *wishing.node.identity.certificates)
    wishing.answer_to(wishing.owner, asked, Code.FETCH_ANS, answer)
    outcome = wishing.outcomes.pop()
    assert isinstance(outcome, RequestFailed)
    assert outcome.code == refusal
    assert wishing.store(NewValue(OURS, b"w", 60)).storage_time == next_time


@pytest.mark.req("fetch.verify", "fetch.discard-invalid")
def test_only_what_is_well_signed_is_believed(wishing: Wishing) -> None:
    good = wishing.written(b"good")
    assert [got.value for got in wishing.fetch(good).values] == [b"good"]
    bent = StoredData(NOW_MS, 100, DictionaryEntry(wishing.owner.node_id, DataValue(True, b"bent")), good.signature)
    outcome = wishing.fetch(bent)
    assert (outcome.values, outcome.rejected) == ((), 1)
    outcome = wishing.fetch(good, bent)
    assert ([got.value for got in outcome.values], outcome.partial) == ([b"good"], True)


@pytest.mark.req("fetch.unsigned-only-absent")
def test_without_a_signature_there_can_only_be_nothing(wishing: Wishing) -> None:
    def unsigned(exists: bool) -> StoredData:
        return StoredData(0, 0, DictionaryEntry(wishing.owner.node_id, DataValue(exists, b"")), UNSIGNED)

    outcome = wishing.fetch(unsigned(True))
    assert (outcome.values, outcome.rejected) == ((), 1)
    outcome = wishing.fetch(unsigned(False))
    assert (outcome.values, outcome.rejected) == ((), 0)


@pytest.mark.req("fetch.dictionary-wildcard")
def test_no_key_asks_for_all(around: Neighbours) -> None:
    for number, writer in enumerate(around.members[:3]):
        around.put(writer, Code.STORE_REQ, store(value(writer, b"%d" % number)), resource(PLACE))
    assert (
        {data.value.key for data in fetched(around, around.members[0]).values}
        == {  # type: ignore[union-attr]
            member.node_id for member in around.members[:3]
        }
    )


@pytest.mark.req("fetch.unknown-kind-skip")
def test_a_specifier_of_an_unknown_kind_is_stepped_over(around: Neighbours) -> None:
    """The one behind it is read as it should be, and the error names what is not known."""
    specifiers = (StoredDataSpecifier(0x7777, 0, b"whatever"), StoredDataSpecifier(DICTIONARY, 0, (b"key",)))
    body = FetchReq(PLACE, specifiers)
    decoded = codec.decode_body(Code.FETCH_REQ, codec.encode_body(Code.FETCH_REQ, body), 16, around.node.kinds.models)
    assert decoded == body
    (answer,) = around.put(around.members[0], Code.FETCH_REQ, body, resource(PLACE))
    assert answer.body == ErrorResponse(ErrorCode.UNKNOWN_KIND, bytes.fromhex("0400007777"))


def test_a_wish_that_succeeds(wishing: Wishing) -> None:
    wishing.store(NewValue(OURS, b"v", 60))
    answer = StoreAns((StoreKindResponse(DICTIONARY, 8, (OURS,)),))
    wishing.answer_to(wishing.owner, wishing.request, Code.STORE_ANS, answer)
    outcome = wishing.outcomes.pop()
    assert isinstance(outcome, Stored)
    assert (outcome.generation, outcome.replicas, outcome.owner) == (8, (OURS,), wishing.owner.node_id)
