"""Where each field of each RELOAD structure stands: one table, and what it says as data.

The language of the table:

    u16                 an unsigned integer; boolean, bytes4, NodeId, ResourceId: what they say; rest: to the end
    opaque<2>           bytes behind a length of 2 bytes; Item<2>: items, likewise
    Item<list_length>   items whose length in bytes stands in an earlier field
    <2: fields>         fields behind a length of 2 bytes, which they fill
    type{A: fields | B C: fields | else: fields}   by the value of an earlier field; without else others are mistakes.
                        first_bit is the next bit; model the data model of the Kind one stands in
A word behind a form says how its value is to be understood: an enum, or a reading of `content`.
"""

import re
from enum import IntEnum
from typing import NamedTuple

from xor_fast import messages
from xor_fast.errors import ErrorCode

TABLE = """
FramedMessage: type u8 FramedMessageType,
    type{DATA: sequence u32, message opaque<3> message | ACK: ack_sequence u32, received u32 received}
Message: header ForwardingHeader, code u16 Code, body opaque<4> body, extensions MessageExtension<4>,
    security SecurityBlock
Fragment: header ForwardingHeader, payload rest

ForwardingHeader: relo_token u32 hex, overlay u32 overlay, configuration_sequence u16, version u8 version, ttl u8,
    fragment u32 fragment, length u32 message_length, transaction_id u64 hex, max_response_length u32,
    via_list_length u16, destination_list_length u16, options_length u16,
    via_list Destination<via_list_length>, destination_list Destination<destination_list_length>,
    options ForwardingOption<options_length>
Destination: first_bit{1: value bytes2 | 0: type u8 DestinationType,
    <1: type{NODE: value NodeId | RESOURCE: value ResourceId | OPAQUE_ID: value opaque<1> | else: value rest}>}
ForwardingOption: type u8 ForwardingOptionType, flags u8 flags, option opaque<2>
MessageExtension: type u16 MessageExtensionType, critical boolean, extension_contents opaque<4>
SecurityBlock: certificates GenericCertificate<2>, signature Signature
GenericCertificate: type u8 CertificateType, certificate opaque<2> certificate
Signature: hash_algorithm u8 HashAlgorithm, signature_algorithm u8 SignatureAlgorithm, identity SignerIdentity,
    signature_value opaque<2>
SignerIdentity: identity_type u8 SignerIdentityType,
    <2: identity_type{CERT_HASH CERT_HASH_NODE_ID: hash_alg u8 HashAlgorithm, certificate_hash opaque<1> | NONE: }>

ErrorResponse: error_code u16 ErrorCode, error_info opaque<2> error_info
UnknownKinds: kinds u32<1> kind
ProbeReq: requested_info u8<1> ProbeInformationType
ProbeInformation: type u8 ProbeInformationType,
    <1: type{RESPONSIBLE_SET: value u32 ppb | NUM_RESOURCES: value u32 | UPTIME: value u32 seconds | else: value rest}>
ProbeAns: probe_info ProbeInformation<2>
JoinReq: joining_peer_id NodeId, overlay_specific_data opaque<2>
JoinAns: overlay_specific_data opaque<2>
LeaveReq: leaving_peer_id NodeId, overlay_specific_data opaque<2> leave
LeaveAns:
ChordLeaveData: type u8 ChordLeaveType, type{FROM_SUCC FROM_PRED: peers NodeId<2>}
UpdateReq: uptime u32 seconds, type u8 ChordUpdateType,
    type{PEER_READY: | NEIGHBORS: predecessors NodeId<2>, successors NodeId<2>
    | FULL: predecessors NodeId<2>, successors NodeId<2>, fingers NodeId<2>}
UpdateAns:
RouteQueryReq: send_update boolean, destination Destination, overlay_specific_data opaque<2>
RouteQueryAns: next_peer NodeId
PingReq: padding opaque<2>
PingAns: response_id u64 hex, time u64 milliseconds
ConfigUpdateReq: type u8 ConfigUpdateType,
    <4: type{CONFIG: config_data opaque<3> text | KIND: kinds opaque<2><3> text | else: config_data rest}>
ConfigUpdateAns:

AttachReqAns: ufrag opaque<1> text, password opaque<1> text, role opaque<1> text, candidates IceCandidate<2>,
    send_update boolean
AppAttachReqAns: ufrag opaque<1> text, password opaque<1> text, application u16 application, role opaque<1> text,
    candidates IceCandidate<2>
IceCandidate: addr_port IpAddressPort, overlay_link u8 OverlayLinkType, foundation opaque<1> text, priority u32,
    type u8 CandidateType, type{HOST: | SRFLX RELAY: rel_addr_port IpAddressPort}, extensions IceExtension<2>
IceExtension: name opaque<2> text, value opaque<2> text
IpAddressPort: type u8 AddressType,
    <1: type{IPV4: address bytes4 ip, port u16 | IPV6: address bytes16 ip, port u16 | else: address rest}>

StoreReq: resource ResourceId, replica_number u8, kind_data StoreKindData<4>
StoreKindData: kind u32 kind, generation_counter u64, values StoredData<4>
StoredData: <4: storage_time u64 milliseconds, lifetime u32 seconds,
    model{SINGLE: value DataValue, signature Signature | ARRAY: value ArrayEntry, signature Signature
    | DICTIONARY: value DictionaryEntry, signature Signature | else: value rest}>
DataValue: exists boolean, value opaque<4> value
ArrayEntry: index u32, value DataValue
DictionaryEntry: key opaque<2>, value DataValue
StoreAns: kind_responses StoreKindResponse<2>
StoreKindResponse: kind u32 kind, generation_counter u64, replicas NodeId<2>
FetchReq: resource ResourceId, specifiers StoredDataSpecifier<2>
StoredDataSpecifier: kind u32 kind, generation u64,
    <2: model{SINGLE: | ARRAY: model_specifier ArrayRange<2> | DICTIONARY: model_specifier opaque<2><2>
    | else: model_specifier rest}>
ArrayRange: first u32, last u32
FetchAns: kind_responses FetchKindResponse<4>
FetchKindResponse: kind u32 kind, generation u64, values StoredData<4>
StatReq: resource ResourceId, specifiers StoredDataSpecifier<2>
StatAns: kind_responses StatKindResponse<4>
StatKindResponse: kind u32 kind, generation u64, values StoredMetaData<4>
StoredMetaData: <4: storage_time u64 milliseconds, lifetime u32 seconds,
    model{SINGLE: metadata MetaData | ARRAY: metadata ArrayEntryMeta | DICTIONARY: metadata DictionaryEntryMeta
    | else: metadata rest}>
MetaData: exists boolean, value_length u32, hash_algorithm u8 HashAlgorithm, hash_value opaque<1>
ArrayEntryMeta: index u32, value MetaData
DictionaryEntryMeta: key opaque<2>, value MetaData
FindReq: resource ResourceId, kinds u32<1> kind
FindAns: results FindKindData<2>
FindKindData: kind u32 kind, closest ResourceId

TurnServer: iteration u8, server_address IpAddressPort
XmppLocation: type u8 XmppLocationType,
    <2: type{ADDRESS: address opaque<2> text | ROUTE: priority u8, destination_list Destination<2>
    | else: address rest}>
"""


class FramedMessageType(IntEnum):
    """Of the framing layer (RFC 6940 6.6.2)."""

    DATA = 128
    ACK = 129


# --- the table, read ----------------------------------------------------------------------------------


class Simple(NamedTuple):
    """An integer, bytes or a whole structure, by its name in the table."""

    name: str


class Opaque(NamedTuple):
    width: int


class Items(NamedTuple):
    """length: the width of the length before them, or the field it stands in."""

    item: "Simple | Opaque"
    length: int | str


Form = Simple | Opaque | Items


class Field(NamedTuple):
    name: str
    form: Form
    reading: str


class Part(NamedTuple):
    width: int
    entries: "tuple[Entry, ...]"


class Select(NamedTuple):
    selector: str
    cases: "dict[str, tuple[Entry, ...]]"


Entry = Field | Part | Select


class _Parser:
    """Recursive descent over the table."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = re.findall(r"\w+|[<>{}:,|]", text)

    def entries(self) -> tuple[Entry, ...]:
        found: list[Entry] = []
        while self._tokens and self._tokens[0] not in "|}>":
            found.append(self._entry())
            if self._next_is(","):
                self._take()
        return tuple(found)

    def _next_is(self, token: str) -> bool:
        return self._tokens[:1] == [token]

    def _take(self, wanted: str = "") -> str:
        token = self._tokens.pop(0)
        assert not wanted or token == wanted, f"{wanted} expected before {token} {self._tokens[:5]}"
        return token

    def _entry(self) -> Entry:
        if self._next_is("<"):
            return self._part()
        name = self._take()
        if self._next_is("{"):
            return self._select(name)
        form: Form = Simple(self._take())
        while self._next_is("<"):
            self._take()
            length = self._take()
            self._take(">")
            bound = int(length) if length.isdigit() else length
            form = Opaque(int(length)) if form == Simple("opaque") else Items(form, bound)  # type: ignore[arg-type]
        reading = self._take() if self._tokens and self._tokens[0].isidentifier() else ""
        return Field(name, form, reading)

    def _part(self) -> Part:
        self._take("<")
        width = int(self._take())
        self._take(":")
        part = Part(width, self.entries())
        self._take(">")
        return part

    def _select(self, selector: str) -> Select:
        cases: dict[str, tuple[Entry, ...]] = {}
        while self._take() != "}":  # past { and each |
            labels = []
            while not self._next_is(":"):
                labels.append(self._take())
            self._take(":")
            cases |= dict.fromkeys(labels, self.entries())
        return Select(selector, cases)


def _read_table(text: str) -> dict[str, tuple[Entry, ...]]:
    lines = re.findall(r"^(\w+):((?:.*\n)(?:[ ].*\n)*)", text, re.MULTILINE)
    return {name: _Parser(rest).entries() for name, rest in lines}


LAYOUTS = _read_table(TABLE)
ENUMS: dict[str, type[IntEnum]] = {
    name: enum for name, enum in vars(messages).items() if isinstance(enum, type) and issubclass(enum, IntEnum)
} | {"FramedMessageType": FramedMessageType, "ErrorCode": ErrorCode}


def name_of(enum: str, value: object) -> str:
    """The name of a number in an enum of `ENUMS`, or ""."""
    members = ENUMS[enum].__members__.values() if enum in ENUMS else ()
    return next((member.name for member in members if member == value), "")


def text_of(form: Form) -> str:
    """A form as the table writes it."""
    if isinstance(form, Opaque):
        return f"opaque<{form.width}>"
    if isinstance(form, Items):
        return f"{text_of(form.item)}<{form.length}>"
    return form.name
