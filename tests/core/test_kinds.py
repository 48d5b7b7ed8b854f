"""Which name is hashed to tell whether a signer may write at a resource (RFC 6940 7.3); hashlib is the oracle."""

import hashlib

import pytest

from xor_fast.config import KindDefinition
from xor_fast.core.kinds import KindRegistry
from xor_fast.messages import UNSIGNED, DataModel, DataValue, StoredData
from xor_fast.trust.certificates import Certificate
from xor_fast.trust.signatures import Signer

VALUE = StoredData(1_800_000_000_000, 60, DataValue(True, b"v"), UNSIGNED)


def permits(policy: str, name: bytes, user: bytes = b"us@outside.example", node_id: bytes = b"\xa1" * 16) -> bool:
    """May this signer write at the resource of that name?"""
    kind = KindDefinition(0xF0000001, "", DataModel.SINGLE, policy, 1, 100, 3 if policy == "NODE-MULTIPLE" else 0)
    certificate = Certificate(b"", b"", (node_id,), user, 0, 0, None)  # type: ignore[arg-type]  # the key is not asked
    resource = hashlib.sha1(name).digest()[:16]
    return KindRegistry().permits(resource, kind, VALUE, Signer(certificate, node_id))


@pytest.mark.req("hash.user-name")
@pytest.mark.parametrize("user", ["alice@example.org", "alice@dht.example.com", "\u044e\u043b\u0438\u044f@capulet.lit"])
def test_a_user_name_is_hashed_as_its_utf8_alone(user: str) -> None:
    name = user.encode()
    assert permits("USER-MATCH", name, name)
    for other in (name + b"\0", b"xmpp:" + name, b"mailto:" + name, b"sip:" + name, user.encode("utf-16-be")):
        assert not permits("USER-MATCH", other, name)


@pytest.mark.req("hash.node-id-resource")
@pytest.mark.parametrize("node_id", [b"\xa1" * 16, bytes(range(20))])
def test_a_node_id_is_hashed_as_its_bytes_alone(node_id: bytes) -> None:
    assert permits("NODE-MATCH", node_id, node_id=node_id)
    for other in (node_id.hex().encode(), bytes([len(node_id)]) + node_id, node_id + b"\0", node_id[:-1]):
        assert not permits("NODE-MATCH", other, node_id=node_id)


@pytest.mark.req("hash.node-id-resource")
def test_of_many_resources_each_has_its_number_in_one_byte_behind_the_node_id() -> None:
    node_id = b"\xa1" * 16
    assert permits("NODE-MULTIPLE", node_id + b"\x03", node_id=node_id)
    for other in (
        node_id,
        node_id + b"\x04",
        node_id + b"3",
        node_id + b"\0\0\0\x03",
        node_id.hex().encode() + b"\x03",
    ):
        assert not permits("NODE-MULTIPLE", other, node_id=node_id)
