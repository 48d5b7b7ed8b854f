"""What the values of fields mean to a person, and what lies within those that are bytes to the layer they stand in."""

import ipaddress
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from xor_fast import messages
from xor_fast.cext import codec, ids
from xor_fast.cli.dump._certificates import clean, node_ids_of, user_of
from xor_fast.cli.dump.layout import ENUMS, name_of
from xor_fast.cli.dump.walk import Node, Walk
from xor_fast.config import NAMED_KINDS
from xor_fast.errors import ErrorCode, WireError
from xor_fast.messages import Body, Code, DataModel, OptionFlags

BODIES: dict[int, type[Body]] = {
    Code.PROBE_REQ: messages.ProbeReq,
    Code.PROBE_ANS: messages.ProbeAns,
    Code.ATTACH_REQ: messages.AttachReqAns,
    Code.ATTACH_ANS: messages.AttachReqAns,
    Code.STORE_REQ: messages.StoreReq,
    Code.STORE_ANS: messages.StoreAns,
    Code.FETCH_REQ: messages.FetchReq,
    Code.FETCH_ANS: messages.FetchAns,
    Code.FIND_REQ: messages.FindReq,
    Code.FIND_ANS: messages.FindAns,
    Code.JOIN_REQ: messages.JoinReq,
    Code.JOIN_ANS: messages.JoinAns,
    Code.LEAVE_REQ: messages.LeaveReq,
    Code.LEAVE_ANS: messages.LeaveAns,
    Code.UPDATE_REQ: messages.UpdateReq,
    Code.UPDATE_ANS: messages.UpdateAns,
    Code.ROUTE_QUERY_REQ: messages.RouteQueryReq,
    Code.ROUTE_QUERY_ANS: messages.RouteQueryAns,
    Code.PING_REQ: messages.PingReq,
    Code.PING_ANS: messages.PingAns,
    Code.STAT_REQ: messages.StatReq,
    Code.STAT_ANS: messages.StatAns,
    Code.APP_ATTACH_REQ: messages.AppAttachReqAns,
    Code.APP_ATTACH_ANS: messages.AppAttachReqAns,
    Code.CONFIG_UPDATE_REQ: messages.ConfigUpdateReq,
    Code.CONFIG_UPDATE_ANS: messages.ConfigUpdateAns,
    Code.ERROR: messages.ErrorResponse,
}
_LENGTH_AT = 16  # in the forwarding header
VALUES: dict[str, type[Body]] = {"XMPP-LOCATION": messages.XmppLocation, "TURN-SERVICE": messages.TurnServer}
CERTIFICATE_KINDS = ("CERTIFICATE_BY_NODE", "CERTIFICATE_BY_USER")
ERROR_INFOS: dict[int, type[Body]] = {
    ErrorCode.UNKNOWN_KIND: messages.UnknownKinds,  # RFC 6940 7.4.1.2
    ErrorCode.GENERATION_COUNTER_TOO_LOW: messages.StoreAns,
}
_OTHER_NAMES = {  # where the RFC's name is not the enum's in small letters
    ("DestinationType", "OPAQUE_ID"): "opaque_id_type",
    ("AddressType", "IPV4"): "ipv4_address",
    ("AddressType", "IPV6"): "ipv6_address",
    ("XmppLocationType", "ADDRESS"): "xmpp_location_address",
    ("XmppLocationType", "ROUTE"): "xmpp_location_route",
    ("CertificateType", "X509"): "X.509",
    ("CertificateType", "OPENPGP"): "OpenPGP",
    ("Code", "ERROR"): "Error",
    ("ErrorCode", "INCOMPATIBLE_WITH_OVERLAY"): "Error_Incompatible_with_Overlay",
    ("ErrorCode", "TTL_EXCEEDED"): "Error_TTL_Exceeded",
}


def rfc_name(enum: str, value: int) -> str:
    """What RFC 6940 calls this number; "unknown" if it is not in the registry."""
    name = name_of(enum, value)
    if (enum, name) in _OTHER_NAMES:
        return _OTHER_NAMES[enum, name]
    if enum == "OverlayLinkType":
        return name.replace("_", "-") or "unknown"
    if enum == "ErrorCode" and name:
        return "Error_" + name.title()
    return name.lower() or "unknown"


def message_form(data: bytes, start: int) -> str:
    """Whether the message that begins at `start` is whole or a fragment (RFC 6940 6.7), by its fragment field."""
    fragment = int.from_bytes(data[start + 12 : start + 16], "big")
    is_message = data[start : start + 4] == messages.RELO_TOKEN.to_bytes(4, "big") and fragment >> 31
    return "Fragment" if is_message and (fragment & 0x40FFFFFF) != 0x40000000 else "Message"


class Kind(NamedTuple):
    """name: by which its values are understood, "" for bytes."""

    model: DataModel
    name: str = ""


DEFAULT_KINDS = {number: Kind(model, name) for name, (number, model, _) in NAMED_KINDS.items()}


class Reader:
    """Called by the walk with each field that has a reading; gives it its meaning and opens what is within."""

    def __init__(self, node_id_length: int, kinds: Mapping[int, Kind], overlay_name: str | None) -> None:
        self.node_id_length = node_id_length
        self.kinds = kinds
        self.models: dict[int, DataModel] = {number: kind.model for number, kind in kinds.items()}
        self._overlay_name = overlay_name
        self._readings: dict[str, Callable[[Walk, Node], None]] = {
            "message": self._message,
            "body": self._body,
            "value": self._value,
            "certificate": self._certificate,
            "error_info": self._error_info,
            "leave": lambda walk, node: self._nested(walk, node, messages.ChordLeaveData),
            "kind": self._kind,
            "overlay": self._overlay,
            "received": self._received,
            "message_length": self._message_length,
        }

    def __call__(self, walk: Walk, node: Node) -> None:
        value = node.value
        if node.reading in ENUMS and isinstance(value, int):
            node.meaning = rfc_name(node.reading, value)
        elif node.reading in NUMBERS and isinstance(value, int):
            node.meaning = NUMBERS[node.reading](value)
        elif node.reading in BYTES and isinstance(value, bytes):
            node.meaning = BYTES[node.reading](value)
        else:
            self._readings[node.reading](walk, node)

    # --- what lies within ---

    def _message(self, walk: Walk, node: Node) -> None:
        walk.inside(node, message_form(walk.data, node.offset + node.prefix))

    def _body(self, walk: Walk, node: Node) -> None:
        code = walk.find("code")
        cls = BODIES.get(code.value) if code and isinstance(code.value, int) else None
        if cls is not None:
            walk.inside(node, cls.__name__)

    def _nested(self, walk: Walk, node: Node, cls: type[Body]) -> None:
        """As `cls` if it is one; to the message around it these are bytes, so it stays good if it is not."""
        assert isinstance(node.value, bytes)
        if not node.value:
            return
        try:
            codec.decode_struct(cls, node.value, self.node_id_length, self.models)
        except WireError as problem:
            at = node.offset + node.prefix + problem.offset
            node.meaning = f"no {cls.__name__}: {problem.structure} at byte {at}: {problem.rule}"
        else:
            walk.inside(node, cls.__name__)

    def _value(self, walk: Walk, node: Node) -> None:
        found = walk.find("kind")
        kind = self.kinds.get(found.value) if found and isinstance(found.value, int) else None
        if kind is None:
            return
        if kind.name in VALUES:
            self._nested(walk, node, VALUES[kind.name])
        elif kind.name in CERTIFICATE_KINDS and node.value:
            self._certificate(walk, node)

    def _error_info(self, walk: Walk, node: Node) -> None:
        code = walk.find("error_code")
        cls = ERROR_INFOS.get(code.value) if code and isinstance(code.value, int) else None
        if cls is not None:
            self._nested(walk, node, cls)
        elif isinstance(node.value, bytes):
            node.meaning = text(node.value)

    def _certificate(self, walk: Walk, node: Node) -> None:
        assert isinstance(node.value, bytes)
        node.details = describe_certificate(node.value)
        node.meaning = "" if node.details else "not X.509 in DER"

    # --- meanings ---

    def _kind(self, walk: Walk, node: Node) -> None:
        assert isinstance(node.value, int)
        kind = self.kinds.get(node.value)
        node.meaning = "unknown" if kind is None else kind.name or kind.model.name.lower()

    def _overlay(self, walk: Walk, node: Node) -> None:
        assert isinstance(node.value, int)
        node.meaning = f"{node.value:#010x}"
        if self._overlay_name is not None:
            is_ours = node.value == ids.overlay_hash(self._overlay_name.encode())
            node.meaning += f", {self._overlay_name}" if is_ours else f", not {self._overlay_name}"

    def _message_length(self, walk: Walk, node: Node) -> None:
        here = walk.end - (node.offset - _LENGTH_AT)
        node.meaning = "" if node.value == here else f"but {here} bytes are here"

    def _received(self, walk: Walk, node: Node) -> None:
        """The mask: bit N-M for each M received before N with N-32 < M < N (RFC 6940 6.6.2)."""
        last = walk.find("ack_sequence")
        assert last is not None
        assert isinstance(last.value, int)
        assert isinstance(node.value, int)
        got = [str(last.value - bit) for bit in range(31, 0, -1) if node.value >> bit & 1 and last.value >= bit]
        node.meaning = f"{node.value:#010x}" + (f", {' '.join(got)}" if got else "")


# --- numbers and bytes --------------------------------------------------------------------------------


def _fragment(value: int) -> str:
    if not value >> 31:
        return f"{value:#010x}, the high bit is not set"
    offset, is_last = value & 0xFFFFFF, bool(value & 0x40000000)
    if is_last and not offset:
        return f"{value:#010x}, whole"
    return f"{value:#010x}, at offset {offset}, {'the last' if is_last else 'more follow'}"


def moment(ms: int) -> str:
    """Milliseconds since 1970 as text."""
    try:
        return (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms)).isoformat(" ", "milliseconds")[
            :23
        ] + " UTC"
    except OverflowError:
        return "beyond the calendar"


def text(value: bytes) -> str:
    """UTF-8 in quotes; "" for what is none or has characters that do not print."""
    try:
        decoded = value.decode()
    except UnicodeDecodeError:
        return ""
    return f'"{decoded}"' if decoded and decoded.isprintable() else ""


NUMBERS: dict[str, Callable[[int], str]] = {
    "hex": lambda value: f"{value:#x}",
    "version": lambda value: f"{value / 10:.1f}",  # 1.0 is sent as 0x0a (RFC 6940 6.3.2)
    "fragment": _fragment,
    "flags": lambda value: " ".join(flag.name for flag in OptionFlags if value & flag and flag.name),
    "ppb": lambda value: f"{value / 1e7:.4g} % of the ring",
    "seconds": lambda value: str(timedelta(seconds=value)),
    "milliseconds": moment,
    "application": lambda value: "XMPP" if value == 5222 else "",
}
BYTES: dict[str, Callable[[bytes], str]] = {"text": text, "ip": lambda value: str(ipaddress.ip_address(value))}


# --- certificates -------------------------------------------------------------------------------------


def describe_certificate(der: bytes) -> dict[str, object]:
    """Who it is of and from when to when; {} if it cannot be read. Nothing is verified here."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        return {
            "subject": clean(certificate.subject.rfc4514_string()),
            "issuer": clean(certificate.issuer.rfc4514_string()),
            "node_ids": [node_id.hex() for node_id in node_ids_of(certificate)],
            "user": clean(user_of(certificate)),
            "valid": f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}",
            "key": _key(key),
        }
    except Exception:  # what the library raises over foreign bytes is an open set
        return {}


def _key(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA {key.curve.name}"
    return f"RSA {key.key_size}" if isinstance(key, rsa.RSAPublicKey) else type(key).__name__
