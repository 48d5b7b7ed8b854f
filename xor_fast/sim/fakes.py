"""Cheap identities for large worlds: the same interface as `xor_fast.trust`, hashes in place of signatures.

A fake signature is a hash over signer and data: enough to notice a changed message, of no use against a liar. Both are
as long as real ones, so that what a simulated overlay sends is what a real one would.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import cast

from xor_fast.errors import TrustError
from xor_fast.messages import (
    CertificateType,
    GenericCertificate,
    HashAlgorithm,
    Signature,
    SignatureAlgorithm,
    SignerIdentity,
    SignerIdentityType,
)
from xor_fast.trust.certificates import Certificate
from xor_fast.trust.keys import PublicKey
from xor_fast.trust.signatures import Signer

_FOREVER_MS = 1 << 62
CERTIFICATE_SIZE = 558  # of one that trust.authority makes for a user with one Node-ID: 554 to 565 bytes
SIGNATURE_SIZE = 71  # of ECDSA with P-256: 70 to 72 bytes


def fake_certificate(node_id: bytes, user_name: bytes) -> Certificate:
    der = (b"fake:" + node_id + user_name).ljust(CERTIFICATE_SIZE, b"\0")
    return Certificate(der, sha256(der).digest(), (node_id,), user_name, 0, _FOREVER_MS, cast(PublicKey, None))


def _signature_value(certificate_digest: bytes, data: bytes) -> bytes:
    return sha256(certificate_digest + data).digest().ljust(SIGNATURE_SIZE, b"\0")


class FakeIdentity:
    """Stands in for `trust.signatures.Identity`."""

    def __init__(self, node_id: bytes, user_name: bytes) -> None:
        self.certificate: Certificate = fake_certificate(node_id, user_name)
        self.node_id = node_id
        self.user_name = user_name
        der, digest = self.certificate.der, self.certificate.digest
        self.certificates: tuple[GenericCertificate, ...] = (GenericCertificate(CertificateType.X509, der),)
        self.signer: SignerIdentity = SignerIdentity(SignerIdentityType.CERT_HASH, HashAlgorithm.SHA256, digest)

    def sign(self, data: bytes) -> Signature:
        value = _signature_value(self.certificate.digest, data)
        return Signature(HashAlgorithm.SHA256, SignatureAlgorithm.ECDSA, self.signer, value)


class FakeVerifier:
    """Stands in for `trust.signatures.Verifier`."""

    def __init__(self, node_id_length: int = 16) -> None:
        self._node_id_length = node_id_length
        self._signers: dict[bytes, Signer] = {}

    def certificate(self, der: bytes, bucket: Sequence[bytes], wall_ms: int) -> Certificate:
        digest = sha256(der).digest()
        if digest not in self._signers:
            prefix, _, names = der.partition(b":")
            if prefix != b"fake" or len(names) < self._node_id_length:
                raise TrustError("this is not a certificate of the simulator")
            node_id, user_name = names[: self._node_id_length], names[self._node_id_length :].rstrip(b"\0")
            self._signers[digest] = Signer(fake_certificate(node_id, user_name), node_id)
        return self._signers[digest].certificate

    def link(self, certificates: Sequence[bytes], wall_ms: int) -> Certificate:
        return self.certificate(certificates[0], certificates[1:], wall_ms)

    def verify(self, signature: Signature, data: bytes, bucket: Sequence[GenericCertificate], wall_ms: int) -> Signer:
        digest = signature.identity.certificate_hash
        for certificate in bucket:
            if digest not in self._signers:
                self.certificate(certificate.certificate, (), wall_ms)
        signer = self._signers.get(digest)
        if signer is None:
            raise TrustError("the signer's certificate is not there")
        if signature.signature_value != _signature_value(digest, data):
            raise TrustError("the signature does not hold")
        return signer
