"""Who may write what where, with real certificates and signatures, several Node-IDs in one certificate among them
(RFC 6940 7.3). Resource-IDs are hashed here by hashlib."""

import hashlib
from random import Random
from typing import Any

import pytest

from tests.core.outside import resource
from tests.pki import NOT_AFTER_MS, NOT_BEFORE_MS, WALL_MS, Pki
from xor_fast.cext import codec, wire
from xor_fast.config import KindDefinition
from xor_fast.core.kinds import KindRegistry
from xor_fast.core.node import Node
from xor_fast.errors import ConfigError, ErrorCode
from xor_fast.messages import (
    UNSIGNED,
    Code,
    DataModel,
    DataValue,
    DictionaryEntry,
    ErrorResponse,
    ForwardingHeader,
    SecurityBlock,
    StoreAns,
    StoredData,
    StoredDataValue,
    StoreKindData,
    StoreReq,
    UnknownKinds,
)
from xor_fast.trust.authority import new_key
from xor_fast.trust.certificates import parse_certificate
from xor_fast.trust.signatures import Identity

USER, NODE, BOTH, MULTIPLE, CUSTOM = range(0xF0000001, 0xF0000006)
PKI = Pki(
    7,
    kinds=(
        KindDefinition(USER, "U", DataModel.SINGLE, "USER-MATCH", 1, 100),
        KindDefinition(NODE, "N", DataModel.SINGLE, "NODE-MATCH", 1, 100),
        KindDefinition(BOTH, "B", DataModel.DICTIONARY, "USER-NODE-MATCH", 8, 100),
        KindDefinition(MULTIPLE, "M", DataModel.SINGLE, "NODE-MULTIPLE", 1, 100, 3),
        KindDefinition(CUSTOM, "C", DataModel.SINGLE, "EXP-VALUE-MATCH", 1, 100),
    ),
)
US, OTHER = PKI.identity(1, "us@overlay.example"), PKI.identity(2, "other@overlay.example")
DEVICE = PKI.identity(3, "us@overlay.example")


def several(number: int, user: str, count: int) -> list[Identity]:
    """One certificate with several Node-IDs, and an identity for each."""
    key = new_key(1000 + number)
    node_ids = [hashlib.sha256(b"%d/%d" % (number, i)).digest()[:16] for i in range(count)]
    dates = {"serial": 77 + number, "not_before_ms": NOT_BEFORE_MS, "not_after_ms": NOT_AFTER_MS}
    der = PKI.authority.issue_user(user, node_ids, key.public_key(), **dates)
    certificate = parse_certificate(der, PKI.overlay.instance_name)
    return [Identity(certificate, key, node_id=node_id, deterministic=True) for node_id in node_ids]


def place(name: bytes) -> bytes:
    return hashlib.sha1(name).digest()[:16]


class Storer:
    """One node that stores for all, asked over a link of OTHER, whoever signs."""

    def __init__(self) -> None:
        self.now = 50.0
        self.node = Node(PKI.overlay, PKI.identity(0), PKI.verifier(), Random(1))
        self.node.set_wall(self.now, WALL_MS)
        self.node.start_overlay(self.now)
        self.link = self.node.link_up(self.now, [OTHER.certificate.der], None)
        self.node.sends()
        self._transaction = 0

    def store(
        self,
        kind: int,
        where: bytes,
        signer: Identity,
        *,
        sender: Identity | None = None,
        key: bytes | None = None,
        signature: Any = None,
        replica: int = 0,
        value: bytes = b"v",
        seen: int | None = None,
    ) -> int:
        """The error code, or 0. sender: who signs the request, by default the signer of the value."""
        plain = DataValue(True, value)
        entry: StoredDataValue = plain if key is None else DictionaryEntry(key, plain)
        self._transaction += 1
        time = WALL_MS + self._transaction if seen is None else seen
        signed = codec.value_signature_input(where, kind, time, entry, signer.signer)
        data = StoredData(time, 100, entry, signature or signer.sign(signed))
        counter = 1 if replica else 0
        body = StoreReq(where, replica, (StoreKindData(kind, counter, (data,)),))
        return self._ask(body, sender or signer, (*signer.certificates, *(sender or signer).certificates))

    def _ask(self, body: StoreReq, sender: Identity, certificates: tuple[Any, ...]) -> int:
        overlay = PKI.overlay
        contents = codec.encode_contents(Code.STORE_REQ, body)
        head = overlay.overlay_hash.to_bytes(4, "big") + self._transaction.to_bytes(8, "big")
        signature = sender.sign(head + contents + codec.encode_struct(sender.signer))
        header = ForwardingHeader(
            overlay=overlay.overlay_hash,
            configuration_sequence=overlay.sequence,
            ttl=100,
            transaction_id=self._transaction,
            destination_list=(resource(body.resource),),
        )
        message = codec.assemble(header, contents, SecurityBlock(tuple(dict.fromkeys(certificates)), signature))
        assert self.node.receive(self.now, self.link, wire.data_frame(0, message))
        for _, data in self.node.sends():
            for kind, _, content in wire.split_frames(data)[0]:
                if kind == 128 and isinstance(content, bytes):
                    self.answer = codec.decode_message(content).body
        if isinstance(self.answer, ErrorResponse):
            return self.answer.error_code
        assert isinstance(self.answer, StoreAns)
        self.counter = self.answer.kind_responses[0].generation_counter
        return 0


@pytest.fixture
def storer() -> Storer:
    return Storer()


FORBIDDEN = ErrorCode.FORBIDDEN


@pytest.mark.req("access.user-match")
def test_user_match(storer: Storer) -> None:
    ours = place(b"us@overlay.example")
    assert storer.store(USER, ours, US) == 0
    assert storer.store(USER, ours, DEVICE) == 0  # any device of the user
    assert storer.store(USER, ours, OTHER) == FORBIDDEN
    for elsewhere in (place(b"US@overlay.example"), place(US.node_id), bytes(16)):
        assert storer.store(USER, elsewhere, US) == FORBIDDEN


@pytest.mark.req("access.node-match")
def test_node_match(storer: Storer) -> None:
    assert storer.store(NODE, place(US.node_id), US) == 0
    assert storer.store(NODE, place(US.node_id), DEVICE) == FORBIDDEN
    assert storer.store(NODE, US.node_id, US) == FORBIDDEN  # the hash of it, not the Node-ID itself


@pytest.mark.req("access.node-match")
def test_of_several_node_ids_the_one_that_signed_counts(storer: Storer) -> None:
    first, second = several(1, "many@overlay.example", 2)
    assert storer.store(NODE, place(first.node_id), first) == 0
    assert storer.store(NODE, place(second.node_id), first) == FORBIDDEN
    assert storer.store(NODE, place(second.node_id), second) == 0


@pytest.mark.req("access.user-node-match")
def test_user_node_match(storer: Storer) -> None:
    ours = place(b"us@overlay.example")
    assert storer.store(BOTH, ours, US, key=US.node_id) == 0
    assert storer.store(BOTH, ours, DEVICE, key=DEVICE.node_id) == 0
    assert storer.store(BOTH, ours, DEVICE, key=US.node_id) == FORBIDDEN  # another device's entry
    assert storer.store(BOTH, ours, OTHER, key=OTHER.node_id) == FORBIDDEN
    assert storer.store(BOTH, place(b"other@overlay.example"), US, key=US.node_id) == FORBIDDEN
    first, second = several(2, "us@overlay.example", 2)
    assert storer.store(BOTH, ours, first, key=second.node_id) == FORBIDDEN  # in its certificate, but it did not sign
    assert storer.store(BOTH, ours, second, key=second.node_id) == 0


@pytest.mark.req("access.node-multiple", "access.node-multiple-iterate")
def test_node_multiple(storer: Storer) -> None:
    for number in (1, 2, 3):
        assert storer.store(MULTIPLE, place(US.node_id + bytes([number])), US) == 0
    for number in (0, 4, 255):
        assert storer.store(MULTIPLE, place(US.node_id + bytes([number])), US) == FORBIDDEN
    assert storer.store(MULTIPLE, place(US.node_id + b"\1"), DEVICE) == FORBIDDEN
    first, second = several(3, "many@overlay.example", 2)
    assert storer.store(MULTIPLE, place(second.node_id + b"\2"), second) == 0
    assert storer.store(MULTIPLE, place(second.node_id + b"\2"), first) == FORBIDDEN


@pytest.mark.req("access.both-signers", "storage.check-request-authorised", "storage.check-value-authorised")
def test_an_original_store_needs_the_right_of_both_signers(storer: Storer) -> None:
    ours = place(b"us@overlay.example")
    assert storer.store(USER, ours, US, sender=OTHER) == FORBIDDEN  # a value of ours, brought by somebody
    assert storer.store(USER, ours, OTHER, sender=US) == FORBIDDEN
    assert storer.store(USER, ours, US, sender=DEVICE) == 0


@pytest.mark.req("access.replica-signer")
def test_a_replica_needs_a_plausible_sender(storer: Storer) -> None:
    ours = place(b"us@overlay.example")
    assert storer.store(USER, ours, US, replica=1) == FORBIDDEN  # nobody of the ring has sent it
    assert "no part" in _said(storer)


@pytest.mark.req("access.authorize-before-store")
def test_what_is_refused_has_touched_nothing(storer: Storer) -> None:
    """Neither an empty place, nor a value that is there and its counter."""
    ours = place(b"us@overlay.example")
    shelves = storer.node.storage.shelves
    for _ in range(5):
        assert storer.store(USER, ours, OTHER) == FORBIDDEN
        assert storer.store(USER, ours, US, signature=UNSIGNED) == FORBIDDEN
    assert len(storer.node.storage) == len(shelves) == shelves.bytes == 0
    assert storer.store(USER, ours, US) == 0
    before = storer.node.storage.shelf(ours, USER), shelves.bytes
    assert before[0] is not None
    held = dict(before[0].values)
    for _ in range(5):
        assert storer.store(USER, ours, OTHER) == FORBIDDEN
        assert storer.store(USER, ours, US, sender=OTHER) == FORBIDDEN
    assert (storer.node.storage.shelf(ours, USER), shelves.bytes) == before
    assert before[0].values == held
    assert storer.store(USER, ours, US) == 0
    assert storer.counter == 2


@pytest.mark.req("storage.refuse-unsigned", "storage.check-value-signature")
def test_a_value_without_a_right_signature(storer: Storer) -> None:
    ours = place(b"us@overlay.example")
    assert storer.store(USER, ours, US, signature=UNSIGNED) == FORBIDDEN
    assert storer.store(USER, ours, US, signature=US.sign(b"something else")) == FORBIDDEN


@pytest.mark.req("access.every-kind")
def test_a_kind_whose_policy_nobody_brings_is_not_stored(storer: Storer) -> None:
    anywhere = place(b"anywhere")
    assert storer.store(CUSTOM, anywhere, US) == ErrorCode.UNKNOWN_KIND
    assert isinstance(storer.answer, ErrorResponse)
    assert codec.decode_struct(UnknownKinds, storer.answer.error_info) == UnknownKinds((CUSTOM,))


def test_a_usage_brings_a_policy_for_a_kind_of_the_document(storer: Storer) -> None:
    def permits(where: bytes, kind: KindDefinition, data: StoredData, signer: Any) -> bool:
        assert isinstance(data.value, DataValue)
        return place(data.value.value) == where

    storer.node.kinds.add_policy("EXP-VALUE-MATCH", permits)
    assert storer.store(CUSTOM, place(b"hello"), US, value=b"hello") == 0
    assert storer.store(CUSTOM, place(b"hello"), US, value=b"goodbye") == FORBIDDEN


@pytest.mark.req("access.policy-names")
def test_the_policies_of_the_rfc_and_no_others(storer: Storer) -> None:
    for name in ("USER-MATCH", "NODE-MATCH", "USER-NODE-MATCH", "NODE-MULTIPLE"):
        model = DataModel.DICTIONARY if name == "USER-NODE-MATCH" else DataModel.SINGLE
        KindRegistry().add(KindDefinition(1, "", model, name, 1, 1, 3))
        with pytest.raises(ConfigError):
            KindRegistry().add_policy(name, lambda *args: True)
    for name in ("EXP-MATCH", "user-match", "", "NODE-ID-MATCH"):
        with pytest.raises(ConfigError):
            KindRegistry().add(KindDefinition(1, "", DataModel.SINGLE, name, 1, 1))


@pytest.mark.req("access.user-node-dictionary")
@pytest.mark.parametrize("model", [DataModel.SINGLE, DataModel.ARRAY])
def test_user_node_match_is_for_dictionaries(model: DataModel) -> None:
    with pytest.raises(ConfigError, match="dictionary"):
        KindRegistry().add(KindDefinition(1, "", model, "USER-NODE-MATCH", 1, 1))


@pytest.mark.req("storage.time-no-sync")
@pytest.mark.parametrize("time", [1, WALL_MS - 10**12, WALL_MS + 10**12])
def test_the_storers_clock_is_no_measure_of_a_writers_time(storer: Storer, time: int) -> None:
    ours = place(b"us@overlay.example")
    assert storer.store(USER, ours, US, seen=time) == 0
    assert storer.store(USER, ours, US, seen=time - 1) == ErrorCode.DATA_TOO_OLD
    assert storer.store(USER, ours, US, seen=time + 1) == 0


@pytest.mark.req("xor.access-ca")
def test_a_certificate_of_another_ca_writes_nothing(storer: Storer) -> None:
    stranger = Pki(8, kinds=PKI.overlay.kinds).identity(1, "us@overlay.example")
    assert storer.store(USER, place(b"us@overlay.example"), stranger, sender=US) == FORBIDDEN


@pytest.mark.req("xor.access-no-precis", "xor.cert-address")
def test_user_names_are_compared_as_bytes(storer: Storer) -> None:
    """Nothing is folded or prepared, and an address beyond ASCII is the id-on-xmppAddr of the certificate."""
    loud = PKI.identity(9, "Us@overlay.example")
    assert storer.store(USER, place(b"Us@overlay.example"), loud) == 0
    assert storer.store(USER, place(b"us@overlay.example"), loud) == FORBIDDEN
    name = "\u044e\u043b\u0438\u044f@overlay.example"
    beyond = PKI.identity(10, name)
    assert storer.store(USER, place(name.encode()), beyond) == 0


def _said(storer: Storer) -> str:
    assert isinstance(storer.answer, ErrorResponse)
    return storer.answer.error_info.decode()
