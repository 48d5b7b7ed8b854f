"""The CA of a private overlay: makes its root and issues node and user certificates (RFC 6940 11.3; notes 8.4).

Pure: keys, serial numbers, Node-IDs and dates are drawn and read by the caller. Node-IDs must be random and must not be
chosen by the one who asks for the certificate (11.3), and a JID must be prepared by RFC 7622 before it gets here.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from xor_fast.config import check_certificate
from xor_fast.errors import ConfigError
from xor_fast.trust.certificates import XMPP_ADDR, certificates_from_pem, utf8_string
from xor_fast.trust.keys import PrivateKey, PublicKey, any_key_from_pem
from xor_fast.uri import node_uri

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_EPOCH = datetime.fromtimestamp(0, UTC)


def new_key(secret: int) -> PrivateKey:
    """A P-256 key from a random number of at least 256 bits; the same number gives the same key."""
    return ec.derive_private_key(1 + secret % (_P256_ORDER - 1), ec.SECP256R1())


def key_to_pem(key: PrivateKey) -> bytes:
    """PKCS #8 without password: the caller writes it to a file of mode 0600."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key_from_pem(data: bytes) -> PrivateKey:
    """Raises ConfigError when `data` is not a P-256 key in PEM without password."""
    return _p256(any_key_from_pem(data))


def certificate_to_pem(der: bytes) -> bytes:
    """One certificate in PEM."""
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def certificate_from_pem(data: bytes) -> bytes:
    """The DER of the first certificate in `data`. Raises ConfigError."""
    return certificates_from_pem(data)[0]


class Authority:
    """The CA of one overlay.

    overlay_name   goes into the RELOAD URI of every certificate
    certificate    DER of the CA's own certificate: a root-cert of the configuration
    deterministic  sign by RFC 6979, so that a simulation repeats to the byte

    Dates are milliseconds since 1970 (certificates hold whole seconds), serial numbers positive and below 2^159.
    """

    def __init__(self, overlay_name: str, certificate: bytes, key: PrivateKey, *, deterministic: bool = False) -> None:
        self.overlay_name = overlay_name
        self.certificate = certificate
        self.key: PrivateKey = key
        self._key = _p256(key)
        try:
            check_certificate(certificate)
        except ValueError as e:
            raise ConfigError(f"the CA's certificate cannot be read ({e}); restore it") from None
        self._loaded = x509.load_der_x509_certificate(certificate)
        self._deterministic = deterministic
        if self._loaded.public_key() != key.public_key():
            raise ConfigError("the CA's private key does not belong to its certificate; restore the pair")

    @classmethod
    def create(
        cls,
        overlay_name: str,
        key: PrivateKey,
        *,
        serial: int,
        not_before_ms: int,
        not_after_ms: int,
        deterministic: bool = False,
    ) -> "Authority":
        """A new root, self-signed."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA of {overlay_name}"[:64])])
        private = _p256(key)
        public = private.public_key()
        builder = (
            _builder(name, name, public, serial, not_before_ms, not_after_ms)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        )
        root = builder.sign(private, hashes.SHA256(), ecdsa_deterministic=deterministic or None)
        return cls(overlay_name, root.public_bytes(Encoding.DER), key, deterministic=deterministic)

    def issue_node(
        self, node_id: bytes, key: PublicKey, *, serial: int, not_before_ms: int, not_after_ms: int
    ) -> bytes:
        """DER of a node's certificate, plain RFC profile: one Node-ID, user name node-<hex id>@<overlay>."""
        user_name = f"node-{node_id.hex()}@{self.overlay_name}"
        return self._issue([node_id], [x509.RFC822Name(user_name)], key, serial, not_before_ms, not_after_ms)

    def issue_user(
        self, jid: str, node_ids: Sequence[bytes], key: PublicKey, *, serial: int, not_before_ms: int, not_after_ms: int
    ) -> bytes:
        """DER of a user's certificate, XMPP profile: id-on-xmppAddr, and an equal rfc822Name where that is ASCII.

        jid  bare, already prepared by RFC 7622. Raises ConfigError when it cannot stand in a certificate.
        """
        if not jid or not jid.isprintable() or len(jid.encode()) > 2047:
            raise ConfigError(f"user name {jid!r}: empty, too long, or has characters that cannot be shown")
        if not node_ids:
            raise ConfigError(f"certificate for {jid}: needs at least one Node-ID")
        names: list[x509.GeneralName] = [x509.OtherName(XMPP_ADDR, utf8_string(jid.encode()))]
        if jid.isascii():
            # Peers that know nothing of XMPP read this one; a JID beyond ASCII they cannot serve (notes 8.4).
            try:
                names.insert(0, x509.RFC822Name(jid))
            except ValueError as e:
                raise ConfigError(f"user name {jid!r}: cannot stand in a certificate: {e}") from None
        return self._issue(node_ids, names, key, serial, not_before_ms, not_after_ms)

    def _issue(
        self,
        node_ids: Sequence[bytes],
        names: Sequence[x509.GeneralName],
        key: PublicKey,
        serial: int,
        not_before_ms: int,
        not_after_ms: int,
    ) -> bytes:
        if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise ConfigError(f"certificate: {type(key).__name__} is no key for it; needed is ECDSA P-256 or RSA")
        ca_end = self._loaded.not_valid_after_utc
        if _time(not_after_ms) > ca_end:
            raise ConfigError(
                f"certificate: would outlive the CA, whose own ends {ca_end:%Y-%m-%d}; choose a shorter life"
            )
        uris = [x509.UniformResourceIdentifier(str(node_uri(n, self.overlay_name))) for n in node_ids]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]  # every node is both ends of links
        builder = (
            _builder(self._loaded.subject, x509.Name([]), key, serial, not_before_ms, not_after_ms)
            # The subject is empty (11.3), and then RFC 5280 4.1.2.6 wants this one critical.
            .add_extension(x509.SubjectAlternativeName([*uris, *names]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        issued = builder.sign(self._key, hashes.SHA256(), ecdsa_deterministic=self._deterministic or None)
        return issued.public_bytes(Encoding.DER)


def _p256(key: object) -> ec.EllipticCurvePrivateKey:
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError("private key: is not ECDSA P-256")
    return key


def _builder(
    issuer: x509.Name,
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    serial: int,
    not_before_ms: int,
    not_after_ms: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(_time(not_before_ms))
        .not_valid_after(_time(not_after_ms))
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _time(ms: int) -> datetime:
    return _EPOCH + timedelta(seconds=ms // 1000)
