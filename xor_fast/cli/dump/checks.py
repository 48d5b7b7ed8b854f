"""Whether the signatures of a message and of the values in it hold, and who made them (RFC 6940 6.3.4, 7.1).

Unlike `trust.Verifier`, which gives a node yes or no, this says as much as can be said: a signature may fit though its
maker is not trusted, or fit a hash that our nodes refuse, or come without its certificate.
"""

import hashlib
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from xor_fast.cext import codec, ids
from xor_fast.cli.dump._certificates import clean, node_ids_of, user_of
from xor_fast.cli.dump.content import rfc_name
from xor_fast.cli.dump.walk import Node
from xor_fast.config import Overlay
from xor_fast.errors import TrustError, WireError
from xor_fast.messages import (
    ArrayEntry,
    DataValue,
    DictionaryEntry,
    HashAlgorithm,
    Signature,
    SignatureAlgorithm,
    SignerIdentity,
    SignerIdentityType,
)
from xor_fast.trust.certificates import ChainChecker

_HASHES: dict[int, hashes.HashAlgorithm] = {
    HashAlgorithm.SHA1: hashes.SHA1(),
    HashAlgorithm.SHA224: hashes.SHA224(),
    HashAlgorithm.SHA256: hashes.SHA256(),
    HashAlgorithm.SHA384: hashes.SHA384(),
    HashAlgorithm.SHA512: hashes.SHA512(),
}
_VALUES: dict[str, type[DataValue | ArrayEntry | DictionaryEntry]] = {
    "DataValue": DataValue,
    "ArrayEntry": ArrayEntry,
    "DictionaryEntry": DictionaryEntry,
}


class Status(StrEnum):
    """What can be said of a signature."""

    VALID = "valid"
    INVALID = "invalid"
    NOT_TRUSTED = "not trusted"  # it fits, but the overlay would not accept its maker
    MISSING = "certificate missing"
    UNSIGNED = "unsigned"
    UNCHECKED = "not checked"


class Check(NamedTuple):
    """node_id, user: of the maker, "" when not known. is_trusted: None when no overlay said whom to trust."""

    status: Status
    reason: str = ""
    node_id: str = ""
    user: str = ""
    is_trusted: bool | None = None

    @property
    def is_bad(self) -> bool:
        return self.status in (Status.INVALID, Status.NOT_TRUSTED)

    def __str__(self) -> str:
        trusted = " and trusted" if self.is_trusted else ""
        who = f" by {clean(self.user) + ', ' if self.user else ''}node {self.node_id}" if self.node_id else ""
        return f"{self.status.upper()}{trusted}{who}{': ' + self.reason if self.reason else ''}"

    def fields(self) -> dict[str, object]:
        return {
            "status": str(self.status), "reason": self.reason, "node_id": self.node_id, "user": self.user,
            "trusted": self.is_trusted,
        }  # fmt: skip


class _Signer(NamedTuple):
    """A Node-ID of a certificate; nothing of it is verified."""

    der: bytes
    key: object
    node_id: bytes
    user: str


class Checker:
    """Remembers what it has seen: certificates of earlier messages, and the Resource-IDs their requests asked for.

    overlay       whose roots decide whom to trust; None: nobody does
    certificates  DER, given besides those in the messages
    wall_ms       milliseconds since 1970, when certificates must be valid
    """

    def __init__(self, overlay: Overlay | None, certificates: list[bytes], wall_ms: int) -> None:
        self._chains = None if overlay is None else ChainChecker(overlay)
        self._certificates: set[bytes] = set()
        self._signers: dict[SignerIdentity, _Signer] = {}  # by how signatures name them
        self._distrusted: dict[bytes, str] = {}  # certificate -> why, "" for trusted
        self._wall_ms = wall_ms
        self._asked: dict[int, bytes] = {}  # transaction_id -> Resource-ID
        for der in certificates:
            self._learn(der)

    def message(self, data: bytes, message: Node) -> Iterator[tuple[Node, Check]]:
        """Each Signature node in the tree of a whole message, and what is to be said of it."""
        block = message.child("security")
        for node in message.walk():
            if node.name == "certificate" and isinstance(node.value, bytes):
                self._learn(node.value)
        self._note_resource(message)
        signature = block.child("signature") if block else None
        if signature is not None:
            yield signature, self._of_message(data[message.offset + message.prefix : message.end], data, signature)
        for kind in message.walk():
            if kind.form in ("StoreKindData", "FetchKindResponse"):
                yield from self._of_values(data, message, kind)

    def structure(self, data: bytes, top: Node) -> Iterator[tuple[Node, Check]]:
        """As message, for a structure that came alone, such as a StoreReq."""
        for node in top.walk():
            if node.form in ("StoreKindData", "FetchKindResponse"):
                yield from self._of_values(data, top, node)

    def _learn(self, der: bytes) -> None:
        if der in self._certificates:
            return
        self._certificates.add(der)
        self._distrusted.clear()  # it may be the intermediate that others lacked
        try:
            certificate = x509.load_der_x509_certificate(der)
            key, user, node_ids = certificate.public_key(), user_of(certificate), node_ids_of(certificate)
        except Exception:  # what the library raises over foreign bytes is an open set; it is shown as no certificate
            return
        for number, kind in _HASHES.items():
            # The hash of a certificate with one Node-ID is of the certificate alone (6.3.4)
            alone = SignerIdentity(SignerIdentityType.CERT_HASH, number, hashlib.new(kind.name, der).digest())
            self._signers[alone] = _Signer(der, key, node_ids[0] if node_ids else b"", user)
            for node_id in node_ids:
                digest = hashlib.new(kind.name, node_id + der).digest()
                named = SignerIdentity(SignerIdentityType.CERT_HASH_NODE_ID, number, digest)
                self._signers[named] = _Signer(der, key, node_id, user)

    def _note_resource(self, message: Node) -> None:
        transaction, resource = _value(message, "header", "transaction_id"), _value(message, "body", "resource")
        if isinstance(transaction, int) and isinstance(resource, bytes):
            self._asked[transaction] = resource

    # --- what was signed ---

    def _of_message(self, whole: bytes, data: bytes, node: Node) -> Check:
        try:
            return self._verify(_signature(data, node), codec.signature_input(whole))
        except WireError as problem:
            return Check(Status.UNCHECKED, f"the message cannot be read: {problem}")

    def _of_values(self, data: bytes, message: Node, kind_data: Node) -> Iterator[tuple[Node, Check]]:
        kind, values = kind_data.child("kind"), kind_data.child("values")
        for stored in values.children if values else ():
            value, signature = stored.child("value"), stored.child("signature")
            if value is not None and value.form in _VALUES and signature is not None and kind is not None:
                assert isinstance(kind.value, int)
                try:
                    yield signature, self._of_value(data, message, kind.value, stored, value, signature)
                except WireError as problem:
                    yield signature, Check(Status.UNCHECKED, f"the value cannot be read: {problem}")

    def _of_value(
        self, data: bytes, message: Node, kind: int, stored: Node, value_node: Node, signature_node: Node
    ) -> Check:
        value = codec.decode_struct(_VALUES[value_node.form], data[value_node.offset : value_node.end])
        signature = _signature(data, signature_node)
        time = _value(stored, "storage_time")
        assert isinstance(time, int)
        known, likely = self._resources(message, signature)
        for resource in known or likely:
            signed = codec.value_signature_input(resource, kind, time, value, signature.identity)
            check = self._verify(signature, signed)
            if known or check.status is not Status.INVALID:
                return check
        unsure = self._verify(signature, b"")
        if unsure.status is not Status.INVALID:
            return unsure
        return Check(Status.UNCHECKED, "the Resource-ID it was signed for is not known: it stands in the request")

    def _resources(self, message: Node, signature: Signature) -> tuple[list[bytes], list[bytes]]:
        """The Resource-ID a value stands at: of a Store known; of an answer known from its request, or else likely by
        USER-MATCH, USER-NODE-MATCH and NODE-MATCH (7.3), for it is not in the answer."""
        body = message if message.form != "Message" else message.child("body")
        resource = _value(body, "resource") if body else None
        transaction = _value(message, "header", "transaction_id")
        asked = self._asked.get(transaction) if isinstance(transaction, int) else None
        known = resource if isinstance(resource, bytes) else asked
        if known is not None:
            return [known], []
        signer = self._signers.get(signature.identity)
        return [], [] if signer is None else [ids.resource_id(signer.user.encode()), ids.resource_id(signer.node_id)]

    # --- whether it fits ---

    def _verify(self, signature: Signature, signed: bytes) -> Check:
        identity = signature.identity
        if identity.identity_type == SignerIdentityType.NONE:
            return Check(Status.UNSIGNED, "right for synthetic values only (RFC 6940 7.4.2.2)")
        signer = self._signers.get(identity)
        if signer is None:
            return Check(Status.MISSING, f"none here has the hash {identity.certificate_hash.hex()}")
        who = signer.node_id.hex(), signer.user
        misfit = _misfit(signer.key, signature, signed)
        if misfit:
            return Check(Status.INVALID, misfit, *who)
        if self._chains is None:
            return Check(Status.VALID, "", *who)
        distrusted = self._why_distrusted(self._chains, signer.der)
        status = Status.NOT_TRUSTED if distrusted else Status.VALID
        return Check(status, distrusted, *who, is_trusted=not distrusted)

    def _why_distrusted(self, chains: ChainChecker, der: bytes) -> str:
        if der not in self._distrusted:
            try:
                chains.check(der, list(self._certificates), self._wall_ms)
                self._distrusted[der] = ""
            except TrustError as error:
                self._distrusted[der] = str(error)
        return self._distrusted[der]


def _misfit(key: object, signature: Signature, signed: bytes) -> str:
    """Why the signature is not one of `key` over `signed`; "" if it is."""
    kind = _HASHES.get(signature.hash_algorithm)
    algorithm = signature.signature_algorithm
    try:
        if kind is not None and algorithm == SignatureAlgorithm.ECDSA and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature.signature_value, signed, ec.ECDSA(kind))
        elif kind is not None and algorithm == SignatureAlgorithm.RSA and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature.signature_value, signed, padding.PKCS1v15(), kind)
        else:
            names = rfc_name("HashAlgorithm", signature.hash_algorithm), rfc_name("SignatureAlgorithm", algorithm)
            return f"no signature of its certificate's key can be of algorithm {'/'.join(names)}"
    except InvalidSignature:
        return "it does not fit the data"
    except (UnsupportedAlgorithm, ValueError) as error:
        return f"its certificate's key cannot be used: {error}"
    return ""


def _signature(data: bytes, node: Node) -> Signature:
    return codec.decode_struct(Signature, data[node.offset : node.end])


def _value(node: Node, *path: str) -> int | bytes | None:
    found: Node | None = node
    for name in path:
        found = found.child(name) if found else None
    return found.value if found else None
