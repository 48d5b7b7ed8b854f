"""The people of the vectors: keys, certificates and what RELOAD derives from them (RFC 6940 6.3.4, 11.3, 11.3.1).

Made with the `cryptography` package alone, not with `xor_fast.trust`, and the same each time: the keys stand in
`source/keys/`, ECDSA signs by RFC 6979, RSA by PKCS #1 v1.5.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from tests.vectors.notation import HERE

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
OVERLAY = "overlay.example"
NOT_BEFORE, NOT_AFTER = datetime(2020, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC)
CA_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA of the test vectors")])


@cache
def key(name: str) -> Key:
    loaded = load_pem_private_key((HERE / "source" / "keys" / f"{name}.pem").read_bytes(), None)
    assert isinstance(loaded, Key)
    return loaded


def public_der(private: Key) -> bytes:
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def private_pem(private: Key) -> str:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def signature(private: Key, data: bytes) -> bytes:
    """With SHA-256."""
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return private.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def uri(node_id: bytes) -> str:
    return f"reload://01{len(node_id):02x}{node_id.hex()}@{OVERLAY}/"


def certificate(
    subject: Key, issuer: Key, number: int, names: Sequence[x509.GeneralName], issuer_name: x509.Name = CA_NAME
) -> bytes:
    """DER, with an empty subject and so a critical subjectAltName (11.3; RFC 5280 4.1.2.6); without names, the CA's."""
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer_name)
        .subject_name(x509.Name([]) if names else issuer_name)
        .public_key(subject.public_key())
        .serial_number(number)
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    else:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
    deterministic = True if isinstance(issuer, ec.EllipticCurvePrivateKey) else None
    return builder.sign(issuer, hashes.SHA256(), ecdsa_deterministic=deterministic).public_bytes(Encoding.DER)


class Identity:
    """A key, its certificate, and the Node-IDs in it; issued by the CA, or by itself where the Node-IDs follow from
    the key."""

    def __init__(
        self, name: str, key_name: str, number: int, node_ids: Sequence[bytes], user: str, digest: str = ""
    ) -> None:
        self.name, self.key, self.node_ids, self.user, self.digest = name, key(key_name), tuple(node_ids), user, digest
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri(node_id)) for node_id in node_ids]
        if user:
            names.append(x509.RFC822Name(user))
        self.is_self_signed = bool(digest) or not names
        issuer_name = x509.Name([]) if digest else CA_NAME
        self.certificate = certificate(
            self.key, self.key if self.is_self_signed else key("ca"), number, names, issuer_name
        )

    def identity_value(self, node_id: bytes) -> tuple[int, bytes]:
        """identity_type and the input of its hash: one Node-ID by certificate, several by Node-ID and certificate."""
        return (1, self.certificate) if len(self.node_ids) == 1 else (2, node_id + self.certificate)


def self_signed(public: bytes, index: int | None) -> bytes:
    """What 11.3.1 hashes."""
    return (b"" if index is None else index.to_bytes(4, "big")) + public


def self_signed_identity(name: str, key_name: str, number: int, digest: str, indices: Sequence[int | None]) -> Identity:
    public = public_der(key(key_name))
    node_ids = [hashlib.new(digest, self_signed(public, index)).digest()[:16] for index in indices]
    return Identity(name, key_name, number, node_ids, "self@alone.lit", digest)


@cache
def everybody() -> dict[str, Identity]:
    found = [
        Identity("ca", "ca", 1, (), ""),
        Identity("one_node", "one_node", 2, (b"\xa1" * 16,), "juliet@capulet.lit"),
        Identity("two_nodes", "two_nodes", 3, (b"\xb1" * 16, b"\xb2" * 16), "romeo@montague.lit"),
        Identity("rsa", "rsa", 4, (b"\xc1" * 16,), "nurse@capulet.lit"),
        self_signed_identity("self_signed", "one_node", 5, "sha256", [None]),
        self_signed_identity("self_signed_rsa", "rsa", 6, "sha1", [None]),
        self_signed_identity("self_signed_three", "two_nodes", 7, "sha256", [1, 2, 3]),
    ]
    return {identity.name: identity for identity in found}
