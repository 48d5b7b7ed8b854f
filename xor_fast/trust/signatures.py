"""Signatures over messages and stored values: `Identity` signs, `Verifier` checks (RFC 6940 6.3.4, 7.1).

Both take the complete input of the signature, which already ends with the encoded SignerIdentity.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from xor_fast import limits
from xor_fast.config import Overlay
from xor_fast.errors import ConfigError, TrustError
from xor_fast.messages import (
    CertificateType,
    GenericCertificate,
    HashAlgorithm,
    Signature,
    SignatureAlgorithm,
    SignerIdentity,
    SignerIdentityType,
)
from xor_fast.trust.certificates import (
    Certificate,
    ChainChecker,
    certificates_from_pem,
    check_dates,
    parse_certificate,
)
from xor_fast.trust.keys import PrivateKey, any_key_from_pem

_HASH = HashAlgorithm.SHA256
_SHA256 = hashes.SHA256()
_RSA: tuple[object, ...] = (padding.PKCS1v15(), _SHA256)
_ECDSA: tuple[object, ...] = (ec.ECDSA(_SHA256),)


def _signing_key(key: object) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ConfigError(f"private key: {type(key).__name__} cannot be used; needed is ECDSA P-256 or RSA")
    return key


class Signer(NamedTuple):
    """Who signed: a verified certificate and which of its Node-IDs."""

    certificate: Certificate
    node_id: bytes


def signer_identity(certificate: Certificate, node_id: bytes) -> SignerIdentity:
    """How signatures name this signer: the kind of hash follows from the number of Node-IDs (RFC 6940 6.3.4)."""
    if len(certificate.node_ids) == 1:
        return SignerIdentity(SignerIdentityType.CERT_HASH, HashAlgorithm.SHA256, certificate.digest)
    digest = sha256(node_id + certificate.der).digest()  # no framing: Node-IDs of an overlay have one length
    return SignerIdentity(SignerIdentityType.CERT_HASH_NODE_ID, HashAlgorithm.SHA256, digest)


class _Known(NamedTuple):
    """A signer whose certificate was verified, and how its key verifies: found out once, used for each message."""

    signer: Signer
    algorithm: tuple[int, int]
    verify: Callable[..., None]
    scheme: tuple[object, ...]

    @classmethod
    def by(cls, signer: Signer) -> "_Known":
        key = signer.certificate.public_key
        if isinstance(key, ec.EllipticCurvePublicKey):
            return cls(signer, (HashAlgorithm.SHA256, SignatureAlgorithm.ECDSA), key.verify, _ECDSA)
        assert isinstance(key, rsa.RSAPublicKey)  # no other gets into a Certificate
        return cls(signer, (HashAlgorithm.SHA256, SignatureAlgorithm.RSA), key.verify, _RSA)


class Identity:
    """A node's certificate and private key: what it signs with, and proves itself with on a link.

    node_id        which of the certificate's Node-IDs; may be left out when there is one
    intermediates  DER, the certificates between ours and a root-cert, in that order
    deterministic  ECDSA by RFC 6979, so that a simulation repeats to the byte

    Raises ConfigError when key, certificate and Node-ID do not belong together.
    """

    def __init__(
        self,
        certificate: Certificate,
        key: PrivateKey,
        *,
        node_id: bytes | None = None,
        intermediates: Sequence[bytes] = (),
        deterministic: bool = False,
    ) -> None:
        if key.public_key() != certificate.public_key:
            raise ConfigError(f"the private key does not belong to the {certificate}; take the pair issued together")
        if node_id is None and len(certificate.node_ids) > 1:
            raise ConfigError(
                f"the {certificate} has {len(certificate.node_ids)} Node-IDs; say which one is to be used"
            )
        if node_id is not None and node_id not in certificate.node_ids:
            raise ConfigError(f"the {certificate} does not give Node-ID {node_id.hex()}")
        self.certificate = certificate
        self.key: PrivateKey = key
        signing = _signing_key(key)
        self._make: Callable[..., bytes] = signing.sign
        self._algorithm, self._scheme = SignatureAlgorithm.RSA, _RSA
        if isinstance(signing, ec.EllipticCurvePrivateKey):
            self._algorithm = SignatureAlgorithm.ECDSA
            self._scheme = (ec.ECDSA(_SHA256, deterministic_signing=True),) if deterministic else _ECDSA
        self.node_id: bytes = certificate.node_ids[0] if node_id is None else node_id
        self.user_name: bytes = certificate.user_name
        self.certificates: tuple[GenericCertificate, ...] = tuple(
            GenericCertificate(CertificateType.X509, der) for der in (certificate.der, *intermediates)
        )
        self.signer: SignerIdentity = signer_identity(certificate, self.node_id)

    @classmethod
    def from_pem(cls, certificates: bytes, key: bytes, overlay: Overlay, *, node_id: bytes | None = None) -> "Identity":
        """From PEM: the own certificate first, then intermediates; the key in PKCS #8 without password.

        Raises ConfigError when one cannot be read, or TrustError when the certificate is not for this overlay.
        """
        chain = certificates_from_pem(certificates)
        private = _signing_key(any_key_from_pem(key))
        leaf = parse_certificate(chain[0], overlay.instance_name, overlay.node_id_length)
        return cls(leaf, private, node_id=node_id, intermediates=chain[1:])

    def sign(self, data: bytes) -> Signature:
        """The Signature over `data`, which ends with the encoded `self.signer`."""
        return Signature(_HASH, self._algorithm, self.signer, self._make(data, *self._scheme))


class Verifier:
    """Checks certificates and signatures by one configuration; made anew for each.

    A certificate's chain is verified once and remembered by SHA-256 of its DER; its dates are compared on each use
    (RFC 6940 7.1). Raises ConfigError when the overlay has no usable root-cert.
    """

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        self._chains = ChainChecker(overlay)
        self._certificates: OrderedDict[bytes, Certificate] = OrderedDict()  # by digest, latest used last
        self._signers: dict[SignerIdentity, _Known] = {}  # of these certificates, by how signatures name them

    def certificate(self, der: bytes, bucket: Sequence[bytes], wall_ms: int) -> Certificate:
        """`der` as a certificate valid in this overlay at `wall_ms` (milliseconds since 1970).

        bucket  certificates that came with it, among them the intermediates. Raises TrustError.
        """
        digest = sha256(der).digest()
        if digest in self._certificates:
            return self._recall(self._certificates[digest], wall_ms)
        certificate = self._chains.check(der, bucket, wall_ms)
        self._certificates[digest] = certificate
        for node_id in certificate.node_ids:
            self._signers[signer_identity(certificate, node_id)] = _Known.by(Signer(certificate, node_id))
        if len(self._certificates) > limits.CERTIFICATE_CACHE:
            _, oldest = self._certificates.popitem(last=False)
            for node_id in oldest.node_ids:
                del self._signers[signer_identity(oldest, node_id)]
        return certificate

    def _recall(self, certificate: Certificate, wall_ms: int) -> Certificate:
        self._certificates.move_to_end(certificate.digest)
        check_dates(certificate, wall_ms)
        return certificate

    def link(self, certificates: Sequence[bytes], wall_ms: int) -> Certificate:
        """The certificate of the other end of a TLS connection, leaf first. Raises TrustError."""
        if not certificates:
            raise TrustError("the other end of the connection showed no certificate")
        return self.certificate(certificates[0], certificates[1:], wall_ms)

    def verify(self, signature: Signature, data: bytes, bucket: Sequence[GenericCertificate], wall_ms: int) -> Signer:
        """Who made `signature` over `data`, which ends with the encoded signature.identity.

        bucket  certificates of the message; the signer's may be missing if it was seen before. Raises TrustError.
        """
        known = self._known(signature.identity, bucket, wall_ms)
        signer = known.signer
        algorithm = (signature.hash_algorithm, signature.signature_algorithm)
        if algorithm != known.algorithm:
            raise TrustError(f"signature of node {signer.node_id.hex()}: algorithm {algorithm} is not accepted")
        try:
            known.verify(signature.signature_value, data, *known.scheme)
        except InvalidSignature:
            raise TrustError(f"signature of node {signer.node_id.hex()}: does not fit the data") from None
        return signer

    def _known(self, identity: SignerIdentity, bucket: Sequence[GenericCertificate], wall_ms: int) -> _Known:
        known = self._signers.get(identity)
        if known is not None:
            self._recall(known.signer.certificate, wall_ms)
            return known
        if identity.identity_type not in (SignerIdentityType.CERT_HASH, SignerIdentityType.CERT_HASH_NODE_ID):
            # NONE is for synthetic values only (7.4.2.2), which nobody asks us to verify.
            raise TrustError(f"signature: names no signer (identity type {identity.identity_type})")
        if identity.hash_alg != HashAlgorithm.SHA256:
            # With SHA-1 two certificates with one hash can be made, so that a signature would name two signers.
            raise TrustError(f"signature: names its signer by hash {identity.hash_alg}, only SHA-256 is accepted")
        ders = [c.certificate for c in bucket if c.type == CertificateType.X509]
        for der in ders:
            if self._is_named(der, identity):
                self.certificate(der, ders, wall_ms)
        try:
            return self._signers[identity]
        except KeyError:
            raise TrustError("signature: the certificate it names did not come with it") from None

    def _is_named(self, der: bytes, identity: SignerIdentity) -> bool:
        """A certificate with one Node-ID is named by cert_hash only, one with several by cert_hash_node_id only."""
        if identity.identity_type == SignerIdentityType.CERT_HASH:
            return sha256(der).digest() == identity.certificate_hash
        try:
            certificate = parse_certificate(der, self._overlay.instance_name, self._overlay.node_id_length)
        except TrustError:
            return False
        return any(signer_identity(certificate, node_id) == identity for node_id in certificate.node_ids)
