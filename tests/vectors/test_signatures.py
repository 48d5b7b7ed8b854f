"""Signatures, hashes and Node-IDs: what this package computes, against the vectors. The judge of the vectors
themselves is the openssl program, in test_openssl.py."""

import base64
from typing import Any

import pytest

from tests.vectors.notation import cases, load, meaning, overlay_of, params, unhex
from xor_fast import messages as m
from xor_fast.cext import codec, ids
from xor_fast.config import Overlay
from xor_fast.errors import TrustError
from xor_fast.messages import GenericCertificate, HashAlgorithm
from xor_fast.trust import digests
from xor_fast.trust.certificates import parse_certificate
from xor_fast.trust.signatures import Identity, Verifier, signer_identity

WALL_MS = 1763834400000  # within the certificates' dates
IDENTITIES = {vector["name"]: vector for vector in load("identities.json")}
OVERLAY = Overlay(instance_name=IDENTITIES["ca"]["overlay"], root_certs=(unhex(IDENTITIES["ca"]["certificate"]),))


def bucket(vector: dict[str, Any]) -> list[GenericCertificate]:
    return [GenericCertificate(0, unhex(IDENTITIES[vector["signer"]]["certificate"]))]


@pytest.mark.req("sec.message-signature-input")
@pytest.mark.parametrize("vector", cases("messages.json"))
def test_the_signature_of_a_message(vector: dict[str, Any]) -> None:
    data, value = unhex(vector["hex"]), meaning(vector["is"])
    covered = codec.signature_input(data)
    assert covered.hex() == vector["signature_input"]
    signer = Verifier(OVERLAY).verify(value.security.signature, covered, value.security.certificates, WALL_MS)
    assert signer.node_id.hex() == vector["node_id"]


@pytest.mark.req("sec.stored-signature-input", "sec.array-index-zero")
@pytest.mark.parametrize("vector", cases("signatures.json"))
def test_the_signature_of_a_stored_value(vector: dict[str, Any]) -> None:
    stored = meaning(vector["is"])
    covered = codec.value_signature_input(
        unhex(vector["resource"]), vector["kind"], stored.storage_time, stored.value, stored.signature.identity
    )
    assert covered.hex() == vector["signature_input"]
    verifier = Verifier(OVERLAY)
    if vector["holds"]:
        assert verifier.verify(stored.signature, covered, bucket(vector), WALL_MS).node_id.hex() == vector["node_id"]
    else:
        with pytest.raises(TrustError, match=r"does not fit|did not come"):
            verifier.verify(stored.signature, covered, bucket(vector), WALL_MS)


@pytest.mark.req("codec.stored-data")
@pytest.mark.parametrize("vector", cases("signatures.json"))
def test_a_stored_value_in_its_store_request(vector: dict[str, Any]) -> None:
    stored, model = meaning(vector["is"]), vector["is"]["value"]["struct"]
    data = m.StoreKindData(vector["kind"], 0, (stored,))
    encoded = codec.encode_struct(data)
    assert encoded[16:].hex() == vector["stored_data"]
    kinds = {
        vector["kind"]: {"DataValue": m.DataModel.SINGLE, "ArrayEntry": m.DataModel.ARRAY}.get(
            model, m.DataModel.DICTIONARY
        )
    }
    assert codec.decode_struct(m.StoreKindData, encoded, 16, kinds) == data


def computed(vector: dict[str, Any]) -> bytes:
    """`result` of a vector of hashes.json, by the functions of this package."""
    what, algorithm = vector["what"], HashAlgorithm[vector["algorithm"].upper()]
    if what == "resource_id":
        return ids.resource_id(unhex(vector["input"]))
    if what == "overlay":
        overlay = Overlay(instance_name=vector["name"])
        return overlay.overlay_hash.to_bytes(4, "big")
    if what == "self_signed_node_id":
        public = unhex(vector["public_key"])
        return digests.self_signed_node_id(algorithm, public, vector["node_id_length"], vector["index"])
    if what == "value":
        return digests.value_digest(vector["hash_algorithm"], unhex(vector["value"]))
    certificate = parse_certificate(unhex(IDENTITIES[vector["owner"]]["certificate"]), OVERLAY.instance_name)
    identity = signer_identity(certificate, unhex(vector["node_id"]))
    assert identity.identity_type == {"cert_hash": 1, "cert_hash_node_id": 2}[what]
    return identity.certificate_hash


@pytest.mark.parametrize("vector", params("hashes.json"))
def test_hashes(vector: dict[str, Any]) -> None:
    assert computed(vector).hex() == vector["result"]
    if "name" in vector:
        assert vector["name"].encode().hex() == vector["input"]


@pytest.mark.parametrize("name", IDENTITIES.keys() - {"ca"})
def test_what_is_read_from_a_certificate(name: str) -> None:
    vector = IDENTITIES[name]
    certificate = parse_certificate(unhex(vector["certificate"]), OVERLAY.instance_name)
    assert [node_id.hex() for node_id in certificate.node_ids] == vector["node_ids"]
    assert certificate.user_name.decode() == vector["user_name"]


@pytest.mark.req("codec.hash-algorithms")
@pytest.mark.parametrize("algorithm", [0, 1, 7, 8, 255])
def test_hashes_that_are_worth_nothing_or_unknown(algorithm: int) -> None:
    with pytest.raises(TrustError, match=f"hash algorithm {algorithm}"):
        digests.digest(algorithm, b"data")


@pytest.mark.req("codec.hash-algorithms", "codec.signature-algorithms")
@pytest.mark.parametrize(
    "pair", [(h, s) for h in (0, 1, 2, 3, 4, 5, 6, 7, 255) for s in (0, 1, 2, 3, 4, 255) if (h, s) != (4, 3)]
)
def test_algorithms_that_verify_nothing(pair: tuple[int, int]) -> None:
    """They are read and written like any other (6.3.4), and refused by who verifies: an ECDSA key signs by (4, 3)."""
    vector = load("signatures.json")[1]
    stored = meaning(vector["is"])
    claimed = m.Signature(*pair, stored.signature.identity, stored.signature.signature_value)
    assert codec.decode_struct(m.Signature, codec.encode_struct(claimed)) == claimed
    with pytest.raises(TrustError, match="is not accepted"):
        Verifier(OVERLAY).verify(claimed, unhex(vector["signature_input"]), bucket(vector), WALL_MS)


@pytest.mark.req("codec.certificate-type")
def test_a_certificate_of_another_type_does_not_spoil_the_rest_of_the_bucket() -> None:
    """Only X.509 is used (6.3.4): an OpenPGP certificate in the bucket is passed over, and so is the same DER under
    its type."""
    vector = load("messages.json")[0]
    value = meaning(vector["is"])
    (ours,) = value.security.certificates
    assert ours.type == m.CertificateType.X509
    disguised = GenericCertificate(m.CertificateType.OPENPGP, ours.certificate)
    data, signature = unhex(vector["signature_input"]), value.security.signature
    others = [GenericCertificate(m.CertificateType.OPENPGP, b"\x99\x01\x0d"), GenericCertificate(200, b"")]
    assert (
        Verifier(OVERLAY).verify(signature, data, [*others, ours, *others], WALL_MS).node_id.hex() == vector["node_id"]
    )
    with pytest.raises(TrustError, match="did not come with it"):
        Verifier(OVERLAY).verify(signature, data, [*others, disguised], WALL_MS)
    again = codec.decode_message(
        codec.encode_message(
            m.Message(value.header, value.code, value.body, (), m.SecurityBlock((*others, ours), signature))
        ),
        *overlay_of(vector),
    )
    assert again.security.certificates == (*others, ours)


@pytest.mark.req("codec.certificate-type")
def test_the_certificates_a_node_sends_are_x509_in_der() -> None:
    vector = IDENTITIES["rsa"]
    lines = base64.encodebytes(unhex(vector["certificate"]))
    pem = b"-----BEGIN CERTIFICATE-----\n" + lines + b"-----END CERTIFICATE-----\n"
    identity = Identity.from_pem(pem, vector["private_key"].encode(), OVERLAY)
    assert [(c.type, c.certificate.hex()) for c in identity.certificates] == [(0, vector["certificate"])]
