"""Nobody stores what they may not: attempts from outside, by members with good certificates and real signatures.

A liar is a node whose owner makes any request he likes; what the others hold must not change by it.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.pki import Pki
from tests.sim.overlays import LOCATION, Overlay
from xor_fast.cext import codec, ids
from xor_fast.core.node import Stored
from xor_fast.core.transactions import Answer
from xor_fast.errors import ErrorCode, RequestFailed
from xor_fast.messages import (
    UNSIGNED,
    Code,
    DataModel,
    DataValue,
    Destination,
    DestinationType,
    DictionaryEntry,
    GenericCertificate,
    StoreAns,
    StoredData,
    StoreKindData,
    StoreKindResponse,
    StoreReq,
)
from xor_fast.sim.world import Host
from xor_fast.trust.signatures import Identity

ROMEO, MALLORY = "romeo@montague.lit", "mallory@capulet.lit"


class Stage:
    """A ring of 8; host 1 is Romeo's device and has stored, host 2 is Mallory's, host 3 another device of Romeo's."""

    def __init__(self, seed: int) -> None:
        self.pki = Pki(seed)
        self.overlay = Overlay(8, seed, pki=self.pki, users={1: ROMEO, 2: MALLORY, 3: ROMEO})
        self.romeo, self.mallory, self.second = self.overlay.hosts[1:4]
        self.resource = ids.resource_id(ROMEO.encode())
        assert isinstance(self.overlay.store(self.romeo, b"old"), Stored)
        self.old = self.held()
        self.overlay.world.run(1)
        assert isinstance(self.overlay.store(self.romeo, b"true"), Stored)
        self.overlay.world.run(2)
        self.before = self.state()
        assert len(self.before) == 3

    def state(self) -> list[tuple[Any, ...]]:
        """Every copy with its counter, wherever it lies. The lifetime runs, so it is left out."""
        found = []
        for host in self.overlay.world.hosts:
            shelf = host.node.storage.shelf(self.resource, LOCATION)
            for key, held in (shelf.values if shelf else {}).items():
                found.append((host.name, shelf.generation if shelf else 0, key, held.signed, held.storage_time))
        return found

    def held(self) -> StoredData:
        shelf = self.overlay.owner(self.romeo).node.storage.shelf(self.resource, LOCATION)
        assert shelf is not None
        held = shelf.values[self.romeo.node.node_id]
        kind_data = StoreKindData(LOCATION, 0, (StoredData(held.storage_time, 3600, held.signed),))
        models = {LOCATION: DataModel.DICTIONARY}
        return codec.decode_struct(StoreKindData, codec.encode_struct(kind_data), 16, models).values[0]

    def value(self, signer: Identity, key: bytes, value: bytes = b"false") -> StoredData:
        """A value that `signer` has properly signed."""
        entry = DictionaryEntry(key, DataValue(True, value))
        time = self.overlay.world.wall_ms + 1
        signed = codec.value_signature_input(self.resource, LOCATION, time, entry, signer.signer)
        return StoredData(time, 3600, entry, signer.sign(signed))

    def send(
        self,
        sender: Host,
        data: StoredData,
        certificates: Sequence[GenericCertificate] = (),
        replica_number: int = 0,
        to: bytes | None = None,
        generation: int = 0,
    ) -> Answer | RequestFailed:
        body = StoreReq(self.resource, replica_number, (StoreKindData(LOCATION, generation, (data,)),))
        target = Destination(DestinationType.RESOURCE, self.resource)
        if to is not None:
            target = Destination(DestinationType.NODE, to)
        outcome: Answer | RequestFailed = self.overlay.ask(
            sender,
            lambda now, done: sender.node.request(
                now, (target,), Code.STORE_REQ, body, done, certificates=certificates
            ),
        )
        return outcome

    def refused(self, outcome: Answer | RequestFailed, code: ErrorCode = ErrorCode.FORBIDDEN) -> None:
        assert isinstance(outcome, RequestFailed), "it was stored"
        assert outcome.code == code, outcome
        self.overlay.world.run(5)
        assert self.state() == self.before
        assert self.overlay.found(self.overlay.hosts[6], self.romeo) == [b"true"]


@pytest.fixture
def stage(seed: int) -> Stage:
    return Stage(seed)


@pytest.mark.req("xor.access-user", "xor.access-forbidden", "xor.access-policy")
@pytest.mark.req("storage.check-value-authorised")
def test_under_another_users_resource(stage: Stage) -> None:
    mallory = stage.mallory.node.identity
    stage.refused(stage.send(stage.mallory, stage.value(mallory, mallory.node_id)))


@pytest.mark.req("xor.access-node", "xor.access-forbidden", "xor.own-key-only")
def test_under_another_devices_key(stage: Stage) -> None:
    """Even another device of the same user may not write under this device's Node-ID."""
    stage.refused(stage.send(stage.second, stage.value(stage.second.node.identity, stage.romeo.node.node_id)))


def test_the_other_device_under_its_own_key_may(stage: Stage) -> None:
    """So that the refusal above is for the key, and for nothing else."""
    second = stage.second.node.identity
    assert isinstance(stage.send(stage.second, stage.value(second, second.node_id)), Answer)
    stage.overlay.world.run(2)
    assert len(stage.state()) == 6


def test_a_good_signature_of_the_wrong_user(stage: Stage) -> None:
    """Mallory signs a value for Romeo's key and sends it herself."""
    stage.refused(stage.send(stage.mallory, stage.value(stage.mallory.node.identity, stage.romeo.node.node_id)))


@pytest.mark.req("storage.check-request-authorised")
def test_another_member_sends_the_owners_newer_value_as_an_original(stage: Stage) -> None:
    romeo = stage.romeo.node.identity
    data = stage.value(romeo, romeo.node_id)
    stage.refused(stage.send(stage.mallory, data, romeo.certificates))


def test_another_member_sends_the_owners_value_again(stage: Stage) -> None:
    stage.refused(stage.send(stage.mallory, stage.held(), stage.romeo.node.identity.certificates))


@pytest.mark.req("storage.data-too-old")
def test_the_owners_older_value_again(stage: Stage) -> None:
    stage.refused(stage.send(stage.romeo, stage.old), ErrorCode.DATA_TOO_OLD)


@pytest.mark.req("storage.time-strict")
def test_the_same_storage_time_with_another_value(stage: Stage) -> None:
    romeo = stage.romeo.node.identity
    entry = DictionaryEntry(romeo.node_id, DataValue(True, b"other"))
    time = stage.held().storage_time
    signed = codec.value_signature_input(stage.resource, LOCATION, time, entry, romeo.signer)
    data = StoredData(time, 3600, entry, romeo.sign(signed))
    stage.refused(stage.send(stage.romeo, data), ErrorCode.DATA_TOO_OLD)


@pytest.mark.req("storage.check-value-signature")
def test_a_changed_value_under_the_owners_signature(stage: Stage) -> None:
    true = stage.held()
    entry = DictionaryEntry(stage.romeo.node.node_id, DataValue(True, b"forged"))
    forged = StoredData(true.storage_time + 1, 3600, entry, true.signature)
    stage.refused(stage.send(stage.romeo, forged))


@pytest.mark.req("storage.refuse-unsigned")
def test_an_unsigned_value(stage: Stage) -> None:
    entry = DictionaryEntry(stage.romeo.node.node_id, DataValue(True, b"unsigned"))
    stage.refused(stage.send(stage.romeo, StoredData(stage.overlay.world.wall_ms + 5, 3600, entry, UNSIGNED)))


@pytest.mark.req("topo.replica-check")
@pytest.mark.req("storage.check-replica-source")
def test_a_replica_from_a_node_that_has_no_part_in_it(stage: Stage) -> None:
    """A true value of Romeo's, newer than what is there, handed round as a replica by a stranger to that range."""
    romeo = stage.romeo.node.identity
    owner = stage.overlay.owner(stage.romeo)
    near = {owner.node.node_id, *owner.node.ring.successors(3), *owner.node.ring.predecessors(1)}
    stranger = next(host for host in stage.overlay.hosts if host.node.node_id not in near)
    data = stage.value(romeo, romeo.node_id)
    outcome = stage.send(stranger, data, romeo.certificates, replica_number=1, to=owner.node.node_id, generation=9)
    stage.refused(outcome)


@pytest.mark.req("storage.generation-replica-nonzero")
def test_a_replica_without_a_generation_counter(stage: Stage) -> None:
    owner = stage.overlay.owner(stage.romeo)
    replica = owner.node.ring.successors(1)[0]
    romeo = stage.romeo.node.identity
    data = stage.value(romeo, romeo.node_id)
    outcome = stage.send(owner, data, romeo.certificates, replica_number=1, to=replica)
    stage.refused(outcome, ErrorCode.INVALID_MESSAGE)


@pytest.mark.req("storage.generation-too-low")
def test_a_wrong_generation_counter(stage: Stage) -> None:
    """7.4.1.2: refused, and the true counter comes along."""
    outcome = stage.send(stage.romeo, stage.value(stage.romeo.node.identity, stage.romeo.node.node_id), generation=7)
    assert isinstance(outcome, RequestFailed)
    assert codec.decode_struct(StoreAns, outcome.info).kind_responses == (StoreKindResponse(LOCATION, 2, ()),)
    stage.refused(outcome, ErrorCode.GENERATION_COUNTER_TOO_LOW)


@pytest.mark.req("storage.responsible-check")
def test_at_a_peer_that_is_not_responsible(stage: Stage) -> None:
    owner = stage.overlay.owner(stage.romeo)
    other = next(h for h in stage.overlay.hosts if h is not owner and h is not stage.romeo)
    data = stage.value(stage.romeo.node.identity, stage.romeo.node.node_id)
    stage.refused(stage.send(stage.romeo, data, to=other.node.node_id), ErrorCode.NOT_FOUND)


@pytest.mark.req("storage.reject-unknown-kind")
def test_an_unknown_kind(stage: Stage) -> None:
    romeo = stage.romeo.node
    body = StoreReq(stage.resource, 0, (StoreKindData(0xF1234567, 0, ()),))
    target = (Destination(DestinationType.RESOURCE, stage.resource),)
    outcome = stage.overlay.ask(stage.romeo, lambda now, done: romeo.request(now, target, Code.STORE_REQ, body, done))
    assert isinstance(outcome, RequestFailed)
    assert outcome.info == bytes.fromhex("04f1234567")
    stage.refused(outcome, ErrorCode.UNKNOWN_KIND)


def test_too_large_a_value(stage: Stage) -> None:
    romeo = stage.romeo.node.identity
    data = stage.value(romeo, romeo.node_id, b"x" * 2305)
    stage.refused(stage.send(stage.romeo, data), ErrorCode.DATA_TOO_LARGE)


@pytest.mark.parametrize("liars", [1, 3])
@pytest.mark.req("xor.lookup-verify")
@pytest.mark.req("fetch.verify-policy", "fetch.partial-signal")
def test_a_fetcher_believes_no_storing_peer(stage: Stage, liars: int) -> None:
    """The owner of the range lies, or all who hold the value: on its shelf is what nobody may write there (notes 3.12).
    What counts is found as long as one holder is honest; else it is said that something did not count."""
    owner = stage.overlay.owner(stage.romeo)
    holders = sorted(stage.overlay.holders(stage.romeo), key=lambda host: host is not owner)
    for holder in holders[:liars]:
        shelf = holder.node.storage.shelf(stage.resource, LOCATION)
        assert shelf is not None
        held = shelf.values[stage.romeo.node.node_id]
        mallory = stage.mallory.node.identity
        lie = stage.value(mallory, mallory.node_id)  # well signed, by the wrong user
        held.signed, held.storage_time = codec.encode_struct(lie)[16:], lie.storage_time
        held.chain.certificates = mallory.certificates
    asker = next(h for h in stage.overlay.hosts if h not in holders)
    outcome = stage.overlay.fetch(asker, stage.romeo)
    assert not isinstance(outcome, RequestFailed)
    values = [value.value for value in outcome.values]
    assert (values, outcome.partial) == (([b"true"], False) if liars < 3 else ([], True))
    assert asker.node.counters["fetched_values_rejected"] >= 1
