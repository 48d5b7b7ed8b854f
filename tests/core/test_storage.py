"""Values, lifetimes, counters and bounds of one storing peer, seen from a link (RFC 6940 7.4)."""

import random

import msgspec
import pytest

from tests.core.outside import OURS, OVERLAY, THEIRS, Outside, node, resource
from xor_fast import limits
from xor_fast.cext import codec, ids
from xor_fast.core.node import NewValue, Node
from xor_fast.errors import ErrorCode, StateError
from xor_fast.messages import (
    UNSIGNED,
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
    StoreReq,
)
from xor_fast.sim.disk import VirtualDisk
from xor_fast.sim.fakes import FakeIdentity

KIND = 0xF0000001
PLACE = ids.resource_id(b"us@outside.example")
NOW_MS = 1_800_000_000_000


class Storing(Outside):
    def __init__(self, disk: VirtualDisk | None = None, wall_ms: int = NOW_MS) -> None:
        super().__init__(disk=disk or VirtualDisk(), wall_ms=wall_ms)
        self.generation = 0
        self.time = NOW_MS

    def value(
        self,
        value: bytes,
        *,
        lifetime: int = 100,
        exists: bool = True,
        time: int | None = None,
        signer: FakeIdentity | None = None,
    ) -> StoredData:
        signer = signer or self.us
        self.time = self.time + 1 if time is None else time
        entry = DictionaryEntry(signer.node_id, DataValue(exists, value))
        signed = codec.value_signature_input(PLACE, KIND, self.time, entry, signer.signer)
        return StoredData(self.time, lifetime, entry, signer.sign(signed))

    def store(self, *values: StoredData, generation: int = 0, signer: FakeIdentity | None = None) -> int:
        """The error code, or 0 and the counter is in `generation`."""
        body = StoreReq(PLACE, 0, (StoreKindData(KIND, generation, values),))
        (answer,) = [
            m
            for m in self.ask(Code.STORE_REQ, body, resource(PLACE), signer=signer)
            if m.code in (Code.STORE_ANS, Code.ERROR)
        ]
        if isinstance(answer.body, ErrorResponse):
            return answer.body.error_code
        assert isinstance(answer.body, StoreAns)
        self.generation = answer.body.kind_responses[0].generation_counter
        return 0

    def fetch(self, *keys: bytes, generation: int = 0) -> FetchKindResponse:
        body = FetchReq(PLACE, (StoredDataSpecifier(KIND, generation, keys),))
        (answer,) = self.ask(Code.FETCH_REQ, body, resource(PLACE))
        assert isinstance(answer.body, FetchAns)
        self.bucket = {c.certificate for c in answer.security.certificates}
        return answer.body.kind_responses[0]


@pytest.fixture
def storing() -> Storing:
    return Storing()


def device(number: int) -> FakeIdentity:
    """Another device of the same user."""
    return FakeIdentity(bytes([0x30 + number]) + bytes(15), b"us@outside.example")


def test_what_was_stored_is_served_as_it_was_signed(storing: Storing) -> None:
    data = storing.value(b"v")
    assert storing.store(data) == 0
    (served,) = storing.fetch().values
    assert (served.storage_time, served.value, served.signature) == (data.storage_time, data.value, data.signature)


@pytest.mark.req("storage.retain-certs")
def test_the_writers_certificate_is_kept_and_served(storing: Storing) -> None:
    other = device(1)
    assert storing.store(storing.value(b"v", signer=other), signer=other) == 0
    storing.fetch()
    assert other.certificate.der in storing.bucket


@pytest.mark.req("storage.lifetime", "fetch.expired-not-returned")
def test_a_value_lives_as_long_as_its_lifetime(storing: Storing) -> None:
    storing.store(storing.value(b"v", lifetime=30))
    storing.wait(29.5)
    assert len(storing.fetch().values) == 1
    storing.wait(1)
    assert storing.fetch().values == ()


def test_the_lifetime_served_is_what_is_left_of_it(storing: Storing) -> None:
    storing.store(storing.value(b"v", lifetime=100))
    storing.wait(40)
    assert storing.fetch().values[0].lifetime == 60


@pytest.mark.req("storage.generation-increment", "storage.generation-ignore")
def test_the_counter_grows_with_each_change_and_never_restarts_soon(storing: Storing) -> None:
    for expected in (1, 2, 3):
        storing.store(storing.value(b"%d" % expected, lifetime=10))
        assert storing.generation == expected
    storing.wait(20)
    assert storing.fetch().values == ()
    storing.store(storing.value(b"again"))
    assert storing.generation == 4


@pytest.mark.req("storage.generation-match")
def test_an_expected_counter_must_be_the_present_one(storing: Storing) -> None:
    storing.store(storing.value(b"1"))
    assert storing.store(storing.value(b"2"), generation=1) == 0
    for wrong in (1, 3):
        assert storing.store(storing.value(b"3"), generation=wrong) == ErrorCode.GENERATION_COUNTER_TOO_LOW
    assert storing.generation == 2


@pytest.mark.req("fetch.generation-match")
def test_a_fetcher_that_has_this_generation_gets_no_values(storing: Storing) -> None:
    storing.store(storing.value(b"v"))
    assert storing.fetch(generation=1).values == ()
    assert len(storing.fetch(generation=2).values) == 1
    assert len(storing.fetch(generation=0).values) == 1


@pytest.mark.req("fetch.synthetic", "fetch.dictionary-keys")
def test_a_key_that_is_not_there_is_answered_by_an_unsigned_nonexistent_value(storing: Storing) -> None:
    storing.store(storing.value(b"v"))
    storing.store(storing.value(b"not asked for", signer=device(1)), signer=device(1))
    there, missing = storing.fetch(THEIRS, b"\x01" * 16).values
    assert there.value == DictionaryEntry(THEIRS, DataValue(True, b"v"))
    assert missing == StoredData(0, 0, DictionaryEntry(b"\x01" * 16, DataValue(False, b"")), UNSIGNED)


@pytest.mark.req("fetch.synthetic-vs-tombstone", "storage.remove", "storage.tombstone")
def test_a_removed_value_stays_as_a_signed_tombstone(storing: Storing) -> None:
    storing.store(storing.value(b"v"))
    storing.store(storing.value(b"", exists=False))
    (tombstone,) = storing.fetch().values
    assert tombstone.value == DictionaryEntry(THEIRS, DataValue(False, b""))
    assert tombstone.signature.signature_value
    assert storing.store(storing.value(b"old", time=NOW_MS)) == ErrorCode.DATA_TOO_OLD


@pytest.mark.req("storage.atomic")
def test_a_store_is_all_or_nothing(storing: Storing) -> None:
    storing.store(storing.value(b"first"))
    before = storing.fetch()
    bad = StoredData(storing.time + 9, 100, DictionaryEntry(THEIRS, DataValue(True, b"bad")), UNSIGNED)
    assert storing.store(storing.value(b"good"), bad) == ErrorCode.FORBIDDEN
    assert storing.fetch() == before


@pytest.mark.req("storage.limits", "fetch.all-values")
def test_values_above_the_kinds_limits(storing: Storing) -> None:
    assert storing.store(storing.value(b"x" * 101)) == ErrorCode.DATA_TOO_LARGE
    assert storing.store(storing.value(b"x" * 100)) == 0
    for number in range(3):
        assert storing.store(storing.value(b"v", signer=device(number)), signer=device(number)) == 0
    assert storing.store(storing.value(b"v", signer=device(9)), signer=device(9)) == ErrorCode.DATA_TOO_LARGE
    assert len(storing.fetch().values) == 4


@pytest.mark.req("storage.kind-once")
def test_a_kind_twice_in_one_store(storing: Storing) -> None:
    kind_data = StoreKindData(KIND, 0, (storing.value(b"v"),))
    (answer,) = storing.ask(Code.STORE_REQ, StoreReq(PLACE, 0, (kind_data, kind_data)), resource(PLACE))
    assert isinstance(answer.body, ErrorResponse)
    assert storing.fetch().values == ()


@pytest.mark.req("fetch.unknown-kind")
def test_an_unknown_kind_is_named_in_the_error(storing: Storing) -> None:
    (answer,) = storing.ask(Code.FETCH_REQ, FetchReq(PLACE, (StoredDataSpecifier(9, 0, b""),)), resource(PLACE))
    assert answer.body == ErrorResponse(ErrorCode.UNKNOWN_KIND, bytes.fromhex("0400000009"))


def test_a_replica_from_nowhere(storing: Storing) -> None:
    """It is refused (7.4.1.1); but while the overlay was split, its sender may have been responsible: it is asked for
    what it has, and told that we have it once we do."""
    body = StoreReq(PLACE, 1, (StoreKindData(KIND, 1, (storing.value(b"v"),)),))
    fetches: list[Message] = []
    for _ in range(3):
        *asked, answer = sorted(storing.ask(Code.STORE_REQ, body, resource(PLACE)), key=lambda m: m.code == Code.ERROR)
        assert isinstance(answer.body, ErrorResponse)
        assert answer.body.error_code == ErrorCode.FORBIDDEN
        fetches += [message for message in asked if message.code == Code.FETCH_REQ]
    (fetch,) = fetches  # once at a time
    assert isinstance(fetch.body, FetchReq)
    assert fetch.body.resource == PLACE
    assert not storing.fetch().values
    found = FetchAns((FetchKindResponse(KIND, 1, body.kind_data[0].values),))
    storing.ask(Code.FETCH_ANS, found, node(storing.node.node_id), transaction_id=fetch.header.transaction_id)
    assert len(storing.fetch().values) == 1
    (answer,) = storing.ask(Code.STORE_REQ, body, resource(PLACE))
    assert isinstance(answer.body, StoreAns)


def test_a_copy_of_what_we_have_from_nowhere_changes_nothing(storing: Storing) -> None:
    """Its sender may let go of it; our counter is not its affair."""
    data = storing.value(b"v")
    storing.store(data)
    for counter in (9, 0xFFFFFFFFFFFFFFFF):
        body = StoreReq(PLACE, 1, (StoreKindData(KIND, counter, (data,)),))
        (answer,) = storing.ask(Code.STORE_REQ, body, resource(PLACE))
        assert isinstance(answer.body, StoreAns)
        assert storing.fetch().generation == 1
    storing.wait(99.5)
    storing.now += 1  # over, and nobody has looked yet
    *_, answer = storing.ask(Code.STORE_REQ, body, resource(PLACE))
    assert isinstance(answer.body, ErrorResponse)
    assert storing.fetch().values == ()


@pytest.mark.parametrize(("room", "taken"), [(4000, 3), (limits.MAX_USER_BYTES, 4)])
def test_what_another_has_is_held_to_our_bounds(
    storing: Storing, monkeypatch: pytest.MonkeyPatch, room: int, taken: int
) -> None:
    """Values fetched to catch up with, as those of a Store: their size and number, and the room of their user."""
    monkeypatch.setattr("xor_fast.limits.MAX_USER_BYTES", room)
    devices = [device(number) for number in range(6)]
    large, *good = (storing.value(b"x" * 101), *(storing.value(b"v", signer=signer) for signer in devices))
    body = StoreReq(PLACE, 1, (StoreKindData(KIND, 1, (large,)),))
    asked = storing.ask(Code.STORE_REQ, body, resource(PLACE))
    (fetch,) = (message for message in asked if message.code == Code.FETCH_REQ)
    storing.us.certificates = (*storing.us.certificates, *(signer.certificates[0] for signer in devices))
    found = FetchAns((FetchKindResponse(KIND, 1, (large, *good)),))
    storing.ask(Code.FETCH_ANS, found, node(storing.node.node_id), transaction_id=fetch.header.transaction_id)
    assert len(storing.fetch().values) == taken
    assert storing.node.counters["values_not_taken_over"] == 7 - taken


def test_a_peer_with_its_last_place_taken_still_takes_changes(
    storing: Storing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xor_fast.limits.MAX_RESOURCES", 1)
    assert storing.store(storing.value(b"1")) == 0
    assert storing.store(storing.value(b"2")) == 0
    assert [data.value.value.value for data in storing.fetch().values] == [b"2"]  # type: ignore[union-attr]
    other = ids.resource_id(b"other@outside.example")
    body = StoreReq(other, 0, (StoreKindData(KIND, 0, ()),))
    assert [m.code for m in storing.ask(Code.STORE_REQ, body, resource(other))] == [Code.STORE_ANS]  # takes no place


def restarted(storing: Storing, away_ms: int = 0) -> Storing:
    """The next run of the same node, after a crash."""
    again = Storing(storing.disk, storing.node.wall_ms(storing.now) + away_ms)
    again.time = storing.time
    return again


def test_a_restart_brings_everything_back(storing: Storing) -> None:
    storing.store(storing.value(b"1"))
    storing.store(storing.value(b"2"))
    again = restarted(storing)
    assert again.fetch().values == storing.fetch().values
    assert again.bucket == storing.bucket
    assert again.fetch().generation == 2
    again.store(again.value(b"3"))
    assert again.generation == 3


def test_the_time_between_two_runs_counts_as_lifetime(storing: Storing) -> None:
    storing.store(storing.value(b"1", lifetime=100))
    assert restarted(storing, away_ms=40_000).fetch().values[0].lifetime == 60
    assert restarted(storing, away_ms=100_000).fetch().values == ()


def test_a_value_changed_on_disk_is_not_taken_back(storing: Storing) -> None:
    storing.store(storing.value(b"genuine"))
    assert storing.disk is not None
    records = storing.disk.records
    storing.disk.records = {key: record.replace(b"genuine", b"altered") for key, record in records.items()}
    again = restarted(storing)
    assert again.fetch().values == ()
    assert again.node.counters["restore_refused"] == 1


@pytest.mark.parametrize("record", [b"", b"\x00", b"garbage" * 9, b"\x93\x01\x02\x03" * 20])
@pytest.mark.parametrize("tag", [b"", b"c", b"g", b"v", b"w", b"x"])
@pytest.mark.parametrize("size", [0, 1, 20, 30])
def test_records_that_are_none(tag: bytes, record: bytes, size: int) -> None:
    """Whatever lies on the disk, the node starts."""
    disk = VirtualDisk()
    disk.records[tag + bytes(size)] = record
    assert Storing(disk).fetch().values == ()


def test_a_value_at_the_place_of_another_takes_no_place(storing: Storing) -> None:
    """The older one, whose record comes later, would be there; and at the next start, what replaces it would not."""
    storing.store(storing.value(b"old"))
    assert storing.disk is not None
    ((key, old),) = [item for item in storing.disk.records.items() if item[0][:1] == b"v"]
    storing.store(storing.value(b"new"))
    storing.disk.records[key + b"later"] = old
    again = restarted(storing)
    assert [data.value.value.value for data in again.fetch().values] == [b"new"]  # type: ignore[union-attr]
    assert again.node.counters["restore_refused"] == 1


def test_a_value_beyond_the_bounds_of_its_kind_is_not_taken_back(storing: Storing) -> None:
    """The document has narrowed them; or it is the last entry an array can have, behind which none can be appended."""
    storing.store(storing.value(b"x" * 100))
    storing.store(storing.value(b"small", signer=device(1)), signer=device(1))
    narrow = [msgspec.structs.replace(kind, max_size=99) for kind in OVERLAY.kinds]
    again = Outside(disk=storing.disk, overlay=msgspec.structs.replace(OVERLAY, kinds=tuple(narrow)))
    assert again.node.counters["restore_refused"] == len(again.node.storage) == 1
    assert sum("at most 99 bytes" in notice for notice in again.notices) == 1
    assert len(restarted(storing).fetch().values) == 2  # it was left where it is


def test_where_no_peer_can_be_is_not_taken_back(rng: random.Random) -> None:
    good = (bytes(range(16)), [("10.0.0.1", 6084), ("::1", 1)])
    for bad in (
        (b"short", good[1]), (bytes(17), good[1]), (good[0], []), (good[0], [("10.0.0.1", 0)]),
        (good[0], [("10.0.0.1", 65536)]), (good[0], [("host", 1)]), (good[0], [("1" * 10_000, 1)]),
        (good[0], [("::1",)]),
    ):  # fmt: skip
        disk = VirtualDisk()
        disk.records[b"p"] = msgspec.msgpack.encode([bad])
        storing = Storing(disk)
        assert not storing.node.topology.partition.peers
        assert all(len(notice) < 400 for notice in storing.notices)
    many = [(rng.randbytes(16), good[1]) for _ in range(100)]
    disk.records[b"p"] = msgspec.msgpack.encode([*many, good])
    peers = Storing(disk).node.topology.partition.peers
    assert good[0] in peers
    assert len(peers) <= limits.MAX_REMEMBERED


def test_a_removal_lives_as_long_as_it_can(storing: Storing) -> None:
    """What it removes was to live longer than 32 bits of seconds from now: our clock has stepped back since."""
    own = ids.resource_id(b"us")
    for exists in (True, False):
        value = NewValue(None, b"1", limits.LONGEST_LIFETIME, exists)
        storing.node.store(storing.now, own, 0xF0000002, [value], lambda now, outcome: None)
        storing.node.set_wall(storing.now, NOW_MS - 3_600_000)
    for lifetime in (-1, limits.LONGEST_LIFETIME + 1):
        with pytest.raises(StateError, match=str(lifetime)):
            storing.node.store(
                storing.now, own, 0xF0000002, [NewValue(None, b"1", lifetime)], lambda now, outcome: None
            )


def test_records_that_are_bent(rng: random.Random) -> None:
    """With right checksums, for the damage was done before. Values whose own records and certificates are whole are
    back, and nothing that is bent ends the node, then or later."""
    storing = Storing()
    for number in range(3):
        storing.store(storing.value(b"v", signer=device(number), lifetime=1000), signer=device(number))
    node = storing.node
    node.store(storing.now, ids.resource_id(b"us"), 0xF0000002, [NewValue(None, b"1", 900)], lambda now, outcome: None)
    node.topology.partition.remember(storing.now, bytes(range(16)), (("10.0.0.1", 6084),))
    storing.wait(2 * limits.REMEMBER_PAUSE)
    assert storing.disk is not None
    sound = storing.disk.records
    assert {key[:1] for key in sound} == {b"v", b"c", b"w", b"p"}
    for _ in range(200):
        records = dict(sound)
        for _ in range(rng.choice((1, 2, 5))):
            key, record = rng.choice(list(records.items()))
            bent_key, bent = bytearray(key), bytearray(record)
            match rng.randrange(5):
                case 0:
                    bent[rng.randrange(len(bent))] ^= 1 << rng.randrange(8)
                case 1:
                    bent_key[rng.randrange(len(key))] ^= 1 << rng.randrange(8)
                case 2:
                    del bent[rng.randrange(len(bent)) :]
                case 3:
                    del bent_key[1 + rng.randrange(len(key)) :]
                case 4:
                    bent[:] = rng.choice(list(records.values()))
            del records[key]
            records[bytes(bent_key)] = bytes(bent) or b"\0"
        disk = VirtualDisk()
        disk.records = dict(records)
        again = Storing(disk, storing.node.wall_ms(storing.now) + rng.choice((0, 0, -NOW_MS, 10**9)))
        if again.node.wall_ms(again.now) == storing.node.wall_ms(storing.now):
            whole = {key for key in sound if records.get(key) == sound[key]}
            values = [key for key in whole if key[:1] == b"v" and b"c" + sound[key][8:40] in whole]
            kept = again.node.storage.shelf(PLACE, KIND)
            assert {key[21:] for key in values if key[1:17] == PLACE} <= set(kept.values if kept else ())
        own = ids.resource_id(b"us")
        for exists in (True, False):
            value = NewValue(None, b"2", 900, exists)
            again.node.store(again.now, own, 0xF0000002, [value], lambda now, outcome: None)
        again.wait(100)
        again.node.leave(again.now)
        again.wait(20)


def test_an_own_value_never_steps_back_in_time(storing: Storing) -> None:
    """Our clock may: after a restart with the clock an hour back, the next storage_time is still later (notes 5.18)."""
    node: Node = storing.node
    own = ids.resource_id(node.identity.user_name)
    outcomes: list[object] = []
    node.store(storing.now, own, KIND, [NewValue(OURS, b"1", 100)], lambda now, o: outcomes.append(o))
    shelf = node.storage.shelf(own, KIND)
    assert shelf is not None
    storing.persist()
    before = shelf.values[OURS].storage_time
    again = restarted(storing, away_ms=-3_600_000)
    again.node.store(again.now, own, KIND, [NewValue(OURS, b"2", 100)], lambda now, o: outcomes.append(o))
    again.persist()
    shelf = again.node.storage.shelf(own, KIND)
    assert shelf is not None
    assert shelf.values[OURS].signed.startswith(codec.encode_struct(DictionaryEntry(OURS, DataValue(True, b"2"))))
    assert shelf.values[OURS].storage_time == before + 1
