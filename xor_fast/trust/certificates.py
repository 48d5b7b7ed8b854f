"""Certificates of nodes: DER bytes -> `Certificate`, and whether it belongs to this overlay (RFC 6940 11.3, 13.3).

A certificate is good when its Node-IDs and user name are well formed, it chains to a root-cert of the configuration,
every certificate of that chain is within its dates, and none of its Node-IDs is a bad-node. Host names play no part.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification
from cryptography.x509.oid import ObjectIdentifier

from xor_fast import limits
from xor_fast.config import Overlay, check_certificate
from xor_fast.errors import ConfigError, TrustError, WireError
from xor_fast.messages import DestinationType
from xor_fast.trust.keys import PublicKey
from xor_fast.uri import ReloadUri, parse_reload_uri

XMPP_ADDR = ObjectIdentifier("1.3.6.1.5.5.7.8.5")  # id-on-xmppAddr (RFC 6120 13.7.1.4)
_EPOCH = datetime.fromtimestamp(0, UTC)


class Certificate(msgspec.Struct, frozen=True):
    """What RELOAD takes from an X.509 certificate.

    digest     SHA-256 of der
    node_ids   in the order of the certificate, at least one
    user_name  the name USER-MATCH hashes: id-on-xmppAddr in UTF-8 if there, else the rfc822Name (notes 8.4)
    not_before_ms, not_after_ms  milliseconds since 1970, both inclusive; of a certificate from
               `ChainChecker`, the time in which its whole chain is valid
    """

    der: bytes
    digest: bytes
    node_ids: tuple[bytes, ...]
    user_name: bytes
    not_before_ms: int
    not_after_ms: int
    public_key: PublicKey
    chain: tuple[bytes, ...] = ()

    @property
    def node_id(self) -> bytes:
        """The only Node-ID. Raises TrustError when there are several."""
        if len(self.node_ids) != 1:
            raise TrustError(f"{self}: has {len(self.node_ids)} Node-IDs where one is needed")
        return self.node_ids[0]

    def __str__(self) -> str:
        return f"certificate of node {self.node_ids[0].hex()}"


def parse_certificate(der: bytes, overlay_name: str, node_id_length: int = 16) -> Certificate:
    """Read a node's or user's certificate of overlay `overlay_name`. Raises TrustError; nothing is verified here."""
    return _describe(_load(der), der, overlay_name, node_id_length)


def certificates_from_pem(data: bytes) -> list[bytes]:
    """The DER of all certificates in `data`, at least one. Raises ConfigError."""
    try:
        return [loaded.public_bytes(Encoding.DER) for loaded in x509.load_pem_x509_certificates(data)]
    except Exception as e:  # as in `check_certificate`
        raise ConfigError(f"certificate: not readable as PEM: {_line(e)}") from None


def _load(der: bytes) -> x509.Certificate:
    if len(der) > limits.MAX_CERTIFICATE_SIZE:
        raise TrustError(f"certificate: {len(der)} bytes, at most {limits.MAX_CERTIFICATE_SIZE} are read")
    try:
        check_certificate(der)
    except ValueError as e:
        raise TrustError(f"certificate: not X.509 in DER: {_line(e)}") from None
    return x509.load_der_x509_certificate(der)


def _describe(loaded: x509.Certificate, der: bytes, overlay_name: str, node_id_length: int) -> Certificate:
    try:
        names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise TrustError("certificate: has no subjectAltName, so no Node-ID") from None
    node_ids = _node_ids(names, overlay_name, node_id_length)
    who = f"certificate of node {node_ids[0].hex()}"
    certificate = Certificate(
        der=der,
        digest=sha256(der).digest(),
        node_ids=node_ids,
        user_name=_user_name(names, who),
        not_before_ms=_ms(loaded.not_valid_before_utc),
        not_after_ms=_ms(loaded.not_valid_after_utc),
        public_key=_check_key(loaded.public_key(), who),
    )
    _check_usage(certificate, loaded.extensions)
    return certificate


def _node_ids(names: x509.SubjectAlternativeName, overlay_name: str, node_id_length: int) -> tuple[bytes, ...]:
    """Node-IDs of the RELOAD URIs. Each is a whole Destination, type and length included (notes 3.8)."""
    node_ids: list[bytes] = []
    for text in names.get_values_for_type(x509.UniformResourceIdentifier):
        uri = _uri_of_a_node(text, node_id_length)
        if uri.overlay_name.lower() != overlay_name.lower():
            raise TrustError(f"certificate: for overlay {_short(uri.overlay_name)}, not for this one, {overlay_name}")
        node_ids.append(uri.destination_list[0].value)
    if not node_ids:
        raise TrustError("certificate: has no RELOAD URI, so no Node-ID")
    if len(set(node_ids)) != len(node_ids):
        raise TrustError(f"certificate of node {node_ids[0].hex()}: names a Node-ID twice")
    for node_id in node_ids:
        if node_id in (bytes(node_id_length), b"\xff" * node_id_length):
            # All zeros is the invalid id, all ones the wildcard (6.3.1.1): neither may be anybody's.
            raise TrustError(f"certificate: Node-ID {node_id.hex()} is reserved")
    return tuple(node_ids)


def _uri_of_a_node(text: str, node_id_length: int) -> ReloadUri:
    """A Destination List of a single node and nothing of its data (11.3)."""
    try:
        uri = parse_reload_uri(text, node_id_length)
    except WireError as e:
        reason = str(e)
    else:
        if uri.specifier is None and [d.type for d in uri.destination_list] == [DestinationType.NODE]:
            return uri
        reason = "other destinations, or data"
    raise TrustError(f"certificate: {_short(text)} is not the RELOAD URI of one node (RFC 6940 11.3): {reason}")


def _user_name(names: x509.SubjectAlternativeName, who: str) -> bytes:
    """One name, whatever its form: rfc822Name (11.3), id-on-xmppAddr, or both and equal (notes 8.4)."""
    mails = [n.encode() for n in names.get_values_for_type(x509.RFC822Name)]
    addresses = [
        _xmpp_address(n.value, who) for n in names.get_values_for_type(x509.OtherName) if n.type_id == XMPP_ADDR
    ]
    if len(mails) > 1 or len(addresses) > 1:
        raise TrustError(f"{who}: has more than one user name (RFC 6940 11.3)")
    if mails and addresses and mails != addresses:
        raise TrustError(f"{who}: id-on-xmppAddr {addresses[0]!r} and rfc822Name {mails[0]!r} differ")
    for name in addresses + mails:
        if not name or b"\0" in name:
            raise TrustError(f"{who}: the user name is empty or has a NUL")
        return name
    raise TrustError(f"{who}: has no user name (rfc822Name or id-on-xmppAddr)")


def utf8_string(content: bytes) -> bytes:
    """DER of an ASN.1 UTF8String below 64 KiB, which `cryptography` wants ready made in an otherName."""
    size = len(content)
    if size < 0x80:
        return bytes([0x0C, size]) + content
    length = size.to_bytes(1 if size < 0x100 else 2)
    return bytes([0x0C, 0x80 | len(length)]) + length + content


def utf8_content(der: bytes) -> bytes:
    """The content of what `utf8_string` gives; b"" when this is no such DER."""
    for header in (2, 3, 4):
        content = der[header:]
        try:
            if utf8_string(content) == der and content.decode("utf-8"):
                return content
        except (UnicodeDecodeError, OverflowError):  # the latter for 64 KiB and above
            break
    return b""


def _xmpp_address(der: bytes, who: str) -> bytes:
    name = utf8_content(der)
    if not name:
        raise TrustError(f"{who}: id-on-xmppAddr is not a UTF8String with a name in it")
    return name


def _check_key(key: object, who: str) -> PublicKey:
    """ECDSA on P-256, or RSA that every implementation must verify (6.3.4)."""
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    if isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= limits.MAX_RSA_BITS:
        return key
    raise TrustError(f"{who}: its key is neither ECDSA P-256 nor RSA of 2048 to {limits.MAX_RSA_BITS} bits")


def _check_usage(certificate: Certificate, extensions: x509.Extensions) -> None:
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints) and value.ca:
            raise TrustError(f"{certificate}: a CA certificate cannot be a node")
        if isinstance(value, x509.KeyUsage) and not value.digital_signature:
            raise TrustError(f"{certificate}: its key may not sign (keyUsage without digitalSignature)")


class ChainChecker:
    """Parses certificates and verifies them against the root-certs of one configuration. Remembers nothing."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        try:
            for der in overlay.root_certs:
                check_certificate(der)
        except ValueError as e:
            raise ConfigError(f"root-cert: not an X.509 certificate in DER: {_line(e)}") from None
        self._roots = [x509.load_der_x509_certificate(der) for der in overlay.root_certs]
        if not self._roots:
            raise ConfigError("the overlay has no root-cert, so no certificate could be trusted")
        # RELOAD certificates name no host, so the client verifier serves for both ends of a link. It does not look
        # at the leaf (our own checks do: SAN, CA:TRUE, keyUsage); unknown critical extensions it refuses by itself.
        self._policy = (
            verification.PolicyBuilder()
            .store(verification.Store(self._roots))
            .max_chain_depth(limits.MAX_INTERMEDIATES)
            .extension_policies(
                ee_policy=verification.ExtensionPolicy.permit_all(),
                ca_policy=verification.ExtensionPolicy.webpki_defaults_ca(),
            )
        )

    def check(self, der: bytes, bucket: Sequence[bytes], wall_ms: int) -> Certificate:
        """`der` as a certificate valid in this overlay at `wall_ms`; `bucket` may hold its intermediates.

        The dates of the outcome are those in which the whole chain is valid. Raises TrustError.
        """
        loaded = _load(der)
        certificate = _describe(loaded, der, self._overlay.instance_name, self._overlay.node_id_length)
        for node_id in certificate.node_ids:
            if node_id in self._overlay.bad_nodes:
                raise TrustError(f"{certificate}: node {node_id.hex()} is a bad-node of the configuration")
        check_dates(certificate, wall_ms)
        chain = self._chain(loaded, certificate, bucket, wall_ms)
        return msgspec.structs.replace(
            certificate,
            not_before_ms=max(_ms(c.not_valid_before_utc) for c in chain),
            not_after_ms=min(_ms(c.not_valid_after_utc) for c in chain),
            chain=tuple(c.public_bytes(Encoding.DER) for c in chain[1:-1]),
        )

    def _chain(
        self, loaded: x509.Certificate, certificate: Certificate, bucket: Sequence[bytes], wall_ms: int
    ) -> list[x509.Certificate]:
        verifier = self._policy.time(_EPOCH + timedelta(milliseconds=wall_ms)).build_client_verifier()
        intermediates = self._intermediates(loaded, bucket)
        try:
            return verifier.verify(loaded, intermediates).chain
        except Exception as e:  # VerificationError, or ValueError for algorithms the library cannot read
            reason = _line(e) if self._is_ours(loaded) else "issued by another CA"
            raise TrustError(f"{certificate}: {reason}") from None

    def _intermediates(self, leaf: x509.Certificate, bucket: Sequence[bytes]) -> list[x509.Certificate]:
        """One certificate for each step up to a root. All others stay out: a bucket of CAs that issued each other
        would give a path search that grows with the power of its depth."""
        roots = {root.subject for root in self._roots}
        candidates = [] if leaf.issuer in roots else _readable(bucket)
        path: list[x509.Certificate] = []
        below = leaf
        while below.issuer not in roots and len(path) < limits.MAX_INTERMEDIATES:
            named = [c for c in candidates if c.subject == below.issuer][: limits.MAX_ISSUER_TRIES]
            issuer = next((c for c in named if _issued(c, below)), None)
            if issuer is None:
                break
            path.append(issuer)
            below = issuer
        return path

    def _is_ours(self, loaded: x509.Certificate) -> bool:
        return any(_issued(root, loaded) for root in self._roots)


def _readable(bucket: Sequence[bytes]) -> list[x509.Certificate]:
    found = []
    for der in bucket:
        try:
            found.append(_load(der))
        except TrustError:
            continue  # of no use for this chain; if a signature names it, it is refused there
    return found


def _issued(issuer: x509.Certificate, subject: x509.Certificate) -> bool:
    try:
        subject.verify_directly_issued_by(issuer)
    except Exception:  # a wrong signature, other names, a key or algorithm the library does not take
        return False
    return True


def check_dates(certificate: Certificate, wall_ms: int) -> None:
    """Raises TrustError outside the validity of the certificate (RFC 6940 7.1)."""
    if wall_ms > certificate.not_after_ms:
        raise TrustError(f"{certificate}: expired {_date(certificate.not_after_ms)}")
    if wall_ms < certificate.not_before_ms:
        raise TrustError(f"{certificate}: not valid before {_date(certificate.not_before_ms)}; is the clock right?")


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _date(ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%d %H:%M:%S UTC")


def _line(error: BaseException) -> str:
    """What a library said, as one line of bounded length."""
    return _short(str(error)) or type(error).__name__


def _short(text: str) -> str:
    """Foreign text for a log: one line, no control characters, bounded."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return clean if len(clean) <= 160 else clean[:157] + "..."
