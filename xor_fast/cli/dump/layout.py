"""Where each field of each RELOAD structure stands: one table, and a walk by it over bytes, which gives a tree.

The codec, which is fast, gives no offsets and stops at the first mistake. The walk gives every field its offset and
size, keeps what it had read when it comes upon a mistake, and goes on behind the length that bounds it. What is right
and what is wrong, the codec says.

The language of the table:

    u16                 an unsigned integer; boolean, bytes4, NodeId, ResourceId: what they say; rest: to the end
    opaque<2>           bytes behind a length of 2 bytes; Item<2>: items, likewise
    Item<list_length>   items whose length in bytes stands in an earlier field
    <2: fields>         fields behind a length of 2 bytes, which they fill
    type{A: fields | B C: fields | else: fields}   by the value of an earlier field; without else others are mistakes.
                        first_bit is the next bit; model the data model of the Kind one stands in
A word behind a form says how its value is to be understood: an enum, or one of `content.READINGS`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from xor_fast import messages
from xor_fast.errors import ErrorCode, WireError
from xor_fast.messages import DataModel

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
            if self._next_is("}"):
                continue
        return Select(selector, cases)


def _read_table(text: str) -> dict[str, tuple[Entry, ...]]:
    lines = re.findall(r"^(\w+):((?:.*\n)(?:[ ].*\n)*)", text, re.MULTILINE)
    return {name: _Parser(rest).entries() for name, rest in lines}


LAYOUTS = _read_table(TABLE)
ENUMS: dict[str, type[IntEnum]] = {
    name: enum for name, enum in vars(messages).items() if isinstance(enum, type) and issubclass(enum, IntEnum)
} | {"FramedMessageType": FramedMessageType, "ErrorCode": ErrorCode}
_WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "boolean": 1, "bytes2": 2, "bytes4": 4, "bytes16": 16}


# --- the tree -----------------------------------------------------------------------------------------

Value = int | bytes | bool | None


@dataclass(slots=True)
class Node:
    """A field, an item of a list, or a whole structure.

    offset, size  bytes from the start of the input; the size counts a length that belongs to it
    prefix        bytes of that length, which stand first
    reading       the word of the table that says how the value is to be understood
    value         of an integer or bytes; None where children say it
    meaning       the value as a person reads it
    details       what is known of it besides, for a certificate say
    """

    name: str
    form: str
    offset: int
    size: int = 0
    prefix: int = 0
    reading: str = ""
    value: Value = None
    meaning: str = ""
    children: "list[Node]" = field(default_factory=list)
    is_list: bool = False
    details: dict[str, object] = field(default_factory=dict)

    @property
    def end(self) -> int:
        return self.offset + self.size

    def child(self, name: str) -> "Node | None":
        return next((child for child in self.children if child.name == name), None)

    def walk(self) -> "Iterator[Node]":
        """Itself and all below it, in the order of the bytes."""
        yield self
        for child in self.children:
            yield from child.walk()


class Walk:
    """One pass over `data`.

    read      called with each field that has a reading, for its meaning and for what lies within it
    problems  what the walk could not read, in order; offsets from the start of data
    """

    def __init__(
        self,
        data: bytes,
        node_id_length: int = 16,
        kinds: Mapping[int, DataModel] | None = None,
        read: "Callable[[Walk, Node], None] | None" = None,
    ) -> None:
        self.data = data
        self.problems: list[WireError] = []
        self._node_id_length = node_id_length
        self._kinds = kinds or {}
        self._read = read
        self._at = 0
        self._end = len(data)
        self._open: list[Node] = []  # from the outermost to the one being read

    def structure(self, name: str, start: int, end: int) -> Node:
        """The structure of this name in data[start:end]; it may end before `end`."""
        self._at, self._end, self._open = start, end, []
        top = Node("", name, start)
        try:
            self._fill(top, name)
        except WireError as problem:
            self.problems.append(problem)
            self._unread(top)
        top.size = self._at - start
        return top

    def inside(self, node: Node, name: str) -> None:
        """What the bytes of `node` hold: the structure `name`, which must fill them."""
        at = self._at, self._end
        self._at, self._end = node.offset + node.prefix, node.end
        with self._bounded(self._end - self._at, node):
            self._fill(node, name)
        self._at, self._end = at
        node.form, node.value = name, None

    @property
    def end(self) -> int:
        """Where what is being read must end."""
        return self._end

    def find(self, name: str) -> Node | None:
        """The nearest field of this name that was read before, outwards."""
        for node in reversed(self._open):
            found = node.child(name)
            if found is not None and found.value is not None:
                return found
        return None

    # --- bytes ---

    def _broken(self, rule: str) -> WireError:
        structure = next((node.form for node in reversed(self._open) if node.form in LAYOUTS), "?")
        return WireError(self._at, structure, rule)

    def _take(self, count: int) -> bytes:
        if count > self._end - self._at:
            raise self._broken("cut short")
        self._at += count
        return self.data[self._at - count : self._at]

    def _number(self, width: int) -> int:
        return int.from_bytes(self._take(width), "big")

    @contextmanager
    def _bounded(self, size: int, node: Node) -> Iterator[None]:
        """`size` bytes that what is read within must fill. A mistake within ends there; they are stepped over."""
        if size > self._end - self._at:
            raise self._broken("a length reaches past its container")
        outer, self._end, depth = self._end, self._at + size, len(self._open)
        try:
            yield
            if self._at < self._end:
                raise self._broken("bytes left over")
        except WireError as problem:
            self.problems.append(problem)
            del self._open[depth:]
            self._unread(node)
        self._at, self._end = self._end, outer

    def _unread(self, node: Node) -> None:
        if self._at < self._end:
            rest = Node("unread", "rest", self._at)
            rest.value = self._take(self._end - self._at)
            rest.size = len(rest.value)
            node.children.append(rest)

    # --- fields ---

    def _fill(self, node: Node, name: str) -> None:
        """The fields of a structure as children of `node`, whose form becomes `name`."""
        node.form = name
        self._open.append(node)
        self._entries(LAYOUTS[name], node)
        self._open.pop()

    def _entries(self, entries: tuple[Entry, ...], node: Node) -> None:
        for entry in entries:
            if isinstance(entry, Field):
                self._field(entry.name, entry.form, entry.reading, node)
            elif isinstance(entry, Part):
                start = self._at
                length = self._number(entry.width)
                node.children.append(Node("length", f"u{8 * entry.width}", start, entry.width, value=length))
                with self._bounded(length, node):
                    self._entries(entry.entries, node)
            else:
                self._entries(self._case(entry), node)

    def _case(self, select: Select) -> tuple[Entry, ...]:
        label = self._label(select.selector)
        if label in select.cases:
            return select.cases[label]
        if "else" not in select.cases:
            raise self._broken(f"an unknown {select.selector}")
        return select.cases["else"]

    def _label(self, selector: str) -> str:
        if selector == "first_bit":
            return str(self.data[self._at] >> 7) if self._at < self._end else "0"
        if selector == "model":
            kind = self.find("kind")
            model = self._kinds.get(kind.value) if kind and isinstance(kind.value, int) else None
            return "else" if model is None else DataModel(model).name
        found = self._open[-1].child(selector)
        assert found is not None
        return name_of(found.reading, found.value)

    def _field(self, name: str, form: Form, reading: str, parent: Node) -> None:
        node = Node(name, _text(form), self._at)
        if isinstance(form, Items):
            self._items(node, form, reading, parent)
        elif isinstance(form, Simple) and form.name in LAYOUTS:
            parent.children.append(node)
            try:
                self._fill(node, form.name)
            finally:
                node.size = self._at - node.offset
        else:
            try:
                self._leaf(node, form)
            except WireError:
                self._at = node.offset  # its length belongs to what is not read
                raise
            parent.children.append(node)
            node.reading = reading
            if self._read is not None and reading:
                self._read(self, node)

    def _items(self, node: Node, form: Items, reading: str, parent: Node) -> None:
        node.is_list = True
        if isinstance(form.length, int):
            length, node.prefix = self._number(form.length), form.length
        else:
            counted = self._open[-1].child(form.length)
            assert counted is not None
            assert isinstance(counted.value, int)
            length = counted.value
        node.size = node.prefix
        parent.children.append(node)
        with self._bounded(length, node):
            while self._at < self._end:
                self._field(f"[{len(node.children)}]", form.item, reading, node)
        node.size = self._at - node.offset

    def _leaf(self, node: Node, form: Simple | Opaque) -> None:
        name = form.name if isinstance(form, Simple) else ""
        if isinstance(form, Opaque) or name == "ResourceId":
            node.prefix = form.width if isinstance(form, Opaque) else 1
            node.value = self._take(self._number(node.prefix))
        elif name == "NodeId":
            node.value = self._take(self._node_id_length)
        elif name == "rest":
            node.value = self._take(self._end - self._at)
        elif name.startswith("bytes"):
            node.value = self._take(_WIDTHS[name])
        else:
            number = self._number(_WIDTHS[name])
            node.value = bool(number) if name == "boolean" and number < 2 else number
        node.size = self._at - node.offset


def name_of(enum: str, value: Value) -> str:
    """The name of a number in an enum of `ENUMS`, or ""."""
    members = ENUMS[enum].__members__.values() if enum in ENUMS else ()
    return next((member.name for member in members if member == value), "")


def _text(form: Form) -> str:
    if isinstance(form, Opaque):
        return f"opaque<{form.width}>"
    if isinstance(form, Items):
        return f"{_text(form.item)}<{form.length}>"
    return form.name
