"""RELOAD structures in plain Python, transcribed from the text of RFC 6940: the oracle of `xor_fast.cext.codec`.

Every structure of the RFC is written down once, as data: its members in the order of the text, each with its type. A
type is a pair of functions, bytes -> (value, rest) and value -> bytes. Slow, and simple enough to be checked by eye.
`Invalid` where the text, or a reading of the notes, refuses the input.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xor_fast import messages as m
from xor_fast.messages import DataModel


class Invalid(Exception):
    """Not what the RFC describes."""


@dataclass
class Overlay:
    """What stands in the configuration document instead of the message."""

    node_id_length: int = 16
    kinds: Mapping[int, DataModel] = field(default_factory=dict)


@dataclass
class Type:
    parse: Callable[[bytes, Overlay], tuple[Any, bytes]]
    build: Callable[[Any], bytes]


def cut(data: bytes, count: int) -> tuple[bytes, bytes]:
    if len(data) < count:
        raise Invalid("cut short")
    return data[:count], data[count:]


def need(condition: object, text: str) -> None:
    if not condition:
        raise Invalid(text)


def whole(type_: Type, data: bytes, overlay: Overlay) -> Any:
    """A value that takes all of the data."""
    value, rest = type_.parse(data, overlay)
    need(rest == b"", "bytes left over")
    return value


# --- presentation language (6.3.1) ------------------------------------------------------------------


def uint(width: int) -> Type:
    def parse(data: bytes, overlay: Overlay) -> tuple[int, bytes]:
        need(len(data) >= width, "cut short")
        return int.from_bytes(data[:width], "big"), data[width:]

    def build(value: int) -> bytes:
        need(0 <= value < 256**width, "out of range")
        return value.to_bytes(width, "big")

    return Type(parse, build)


def undamaged(inside: bytes) -> bytes:
    return inside


# What passes by here stands inside a vector, and its length is not written yet. `mutants` damages it here, however deep
# inside other vectors it is: every length stays true.
inside_of_a_vector = undamaged


def vector(width: int) -> Type:
    """opaque<0..2^(8 width)-1>"""
    size = uint(width)

    def parse(data: bytes, overlay: Overlay) -> tuple[bytes, bytes]:
        count, rest = size.parse(data, overlay)
        return cut(rest, count)

    def build(value: bytes) -> bytes:
        value = inside_of_a_vector(value)
        return size.build(len(value)) + value

    return Type(parse, build)


def listing(width: int, item: Type) -> Type:
    """Item<0..2^(8 width)-1>, the length in bytes"""
    outer = vector(width)

    def parse(data: bytes, overlay: Overlay) -> tuple[tuple[Any, ...], bytes]:
        inside, rest = outer.parse(data, overlay)
        found = []
        while inside:
            value, inside = item.parse(inside, overlay)
            found.append(value)
        return tuple(found), rest

    return Type(parse, lambda values: outer.build(b"".join(map(item.build, values))))


def struct(cls: Callable[..., Any], **members: Type) -> Type:
    """The members in the order they are sent; they are the fields of cls."""

    def parse(data: bytes, overlay: Overlay) -> tuple[Any, bytes]:
        values = {}
        for name, type_ in members.items():
            values[name], data = type_.parse(data, overlay)
        return cls(**values), data

    return Type(parse, lambda value: b"".join(t.build(getattr(value, name)) for name, t in members.items()))


def refusing(type_: Type, *values: int) -> Type:
    """The type without some of its values."""
    refused = frozenset(values)

    def parse(data: bytes, overlay: Overlay) -> tuple[Any, bytes]:
        value, rest = type_.parse(data, overlay)
        need(value not in refused, "an invalid code point")
        return value, rest

    def build(value: Any) -> bytes:
        need(value not in refused, "an invalid code point")
        return type_.build(value)

    return Type(parse, build)


u8, u16, u32, u64 = uint(1), uint(2), uint(4), uint(8)
valid_type = refusing(u8, 0)  # zero stands for "invalid" in nearly every enumeration
v8, v16, v24, v32 = vector(1), vector(2), vector(3), vector(4)
rest_of_it = Type(lambda data, overlay: (data, b""), lambda value: value)


def parse_boolean(data: bytes, overlay: Overlay) -> tuple[bool, bytes]:
    head, rest = cut(data, 1)
    need(head in (b"\0", b"\1"), "neither true nor false")
    return head == b"\1", rest


boolean = Type(parse_boolean, lambda value: b"\1" if value else b"\0")


# --- 6.3.1.1 ----------------------------------------------------------------------------------------


def build_node_id(value: bytes) -> bytes:
    need(16 <= len(value) <= 20, "a Node-ID of 16 to 20 bytes")
    return value


node_id = Type(lambda data, overlay: cut(data, overlay.node_id_length), build_node_id)


def parse_resource_id(data: bytes, overlay: Overlay) -> tuple[bytes, bytes]:
    value, rest = v8.parse(data, overlay)
    need(len(value) <= 254, "up to 254 bytes")
    return value, rest


def build_resource_id(value: bytes) -> bytes:
    need(len(value) <= 254, "up to 254 bytes")
    return v8.build(value)


resource_id = Type(parse_resource_id, build_resource_id)


def parse_address(data: bytes, overlay: Overlay) -> tuple[m.IpAddressPort, bytes]:
    type_, data = valid_type.parse(data, overlay)
    inside, rest = v8.parse(data, overlay)
    if type_ not in (1, 2):
        return m.IpAddressPort(type_, inside, 0), rest
    need(len(inside) == {1: 6, 2: 18}[type_], "length of the type")
    return m.IpAddressPort(type_, inside[:-2], int.from_bytes(inside[-2:], "big")), rest


def build_address(value: m.IpAddressPort) -> bytes:
    inside = value.address
    if value.type in (1, 2):
        inside += u16.build(value.port)
        need(len(inside) == {1: 6, 2: 18}[value.type], "length of the type")
    else:
        need(value.port == 0, "no port")
    return valid_type.build(value.type) + v8.build(inside)


ip_address_port = Type(parse_address, build_address)


# --- 6.3.2 ------------------------------------------------------------------------------------------

destination_data = {1: node_id, 2: resource_id, 3: v8}


def parse_destination(data: bytes, overlay: Overlay) -> tuple[m.Destination, bytes]:
    if data and data[0] >= 0x80:
        value, rest = cut(data, 2)
        return m.Destination(3, value, True), rest
    type_, data = valid_type.parse(data, overlay)
    inside, rest = v8.parse(data, overlay)
    return m.Destination(type_, whole(destination_data.get(type_, rest_of_it), inside, overlay)), rest


def build_destination(value: m.Destination) -> bytes:
    if value.compact:
        need(value.type == 3 and len(value.value) == 2 and value.value[0] >= 0x80, "not of the 16-bit form")
        return value.value
    need(0 < value.type < 0x80, "type")
    return u8.build(value.type) + v8.build(destination_data.get(value.type, rest_of_it).build(value.value))


destination = Type(parse_destination, build_destination)
forwarding_option = struct(m.ForwardingOption, type=valid_type, flags=u8, option=v16)

HEADER = {
    "relo_token": u32,
    "overlay": u32,
    "configuration_sequence": u16,
    "version": u8,
    "ttl": u8,
    "fragment": u32,
    "length": u32,
    "transaction_id": u64,
    "max_response_length": u32,
    "via_list_length": u16,
    "destination_list_length": u16,
    "options_length": u16,
}
HEADER_LISTS = {"via_list": destination, "destination_list": destination, "options": forwarding_option}


def parse_header(data: bytes, overlay: Overlay) -> tuple[m.ForwardingHeader, bytes]:
    """data is one message; that it ends where `length` says is part of the rule."""
    size = len(data)
    h: dict[str, Any] = {}
    for name, type_ in HEADER.items():
        h[name], data = type_.parse(data, overlay)
    need(h.pop("relo_token") == 0xD2454C4F, "token")
    need(h["version"] == 10, "version")
    need(h.pop("length") == size, "length")
    need(h["fragment"] >> 31, "high bit of fragment")
    for name, item in HEADER_LISTS.items():
        inside, data = cut(data, h.pop(f"{name}_length"))
        found = []
        while inside:
            value, inside = item.parse(inside, overlay)
            found.append(value)
        h[name] = tuple(found)
    return m.ForwardingHeader(**h), data


def build_header(value: m.ForwardingHeader, after: bytes = b"") -> bytes:
    need(value.version == 10, "version")
    need(value.fragment >> 31, "high bit of fragment")
    lists = {name: b"".join(map(item.build, getattr(value, name))) for name, item in HEADER_LISTS.items()}
    body = b"".join(lists.values()) + after
    computed = {f"{name}_length": len(encoded) for name, encoded in lists.items()}
    computed |= {"relo_token": 0xD2454C4F, "length": 38 + len(body)}
    return b"".join(t.build(computed.get(n, getattr(value, n, None))) for n, t in HEADER.items()) + body


def is_whole(header: m.ForwardingHeader) -> bool:
    """The last fragment, at offset 0. The six reserved bits between are not looked at."""
    return header.fragment & 0x40FFFFFF == 0x40000000


forwarding_header = Type(parse_header, build_header)

# --- 6.3.3, 6.3.4 -----------------------------------------------------------------------------------

message_extension = struct(m.MessageExtension, type=refusing(u16, 0), critical=boolean, extension_contents=v32)
error_response = struct(m.ErrorResponse, error_code=u16, error_info=v16)
generic_certificate = struct(m.GenericCertificate, type=u8, certificate=v16)
identity_value = struct(dict, hash_alg=u8, certificate_hash=v8)


def parse_identity(data: bytes, overlay: Overlay) -> tuple[m.SignerIdentity, bytes]:
    type_, data = u8.parse(data, overlay)
    inside, rest = v16.parse(data, overlay)
    need(type_ in (1, 2, 3), "identity type")
    if type_ == 3:
        need(inside == b"", "none is empty")
        return m.SignerIdentity(3), rest
    return m.SignerIdentity(type_, **whole(identity_value, inside, overlay)), rest


def build_identity(value: m.SignerIdentity) -> bytes:
    need(value.identity_type in (1, 2, 3), "identity type")
    if value.identity_type == 3:
        need(value == m.SignerIdentity(3), "none is empty")
        return b"\3\0\0"
    return u8.build(value.identity_type) + v16.build(identity_value.build(value))


signer_identity = Type(parse_identity, build_identity)
signature = struct(
    m.Signature, hash_algorithm=u8, signature_algorithm=u8, identity=signer_identity, signature_value=v16
)
security_block = struct(m.SecurityBlock, certificates=listing(2, generic_certificate), signature=signature)

# --- 6.4.2, 6.5 -------------------------------------------------------------------------------------

join_req = struct(m.JoinReq, joining_peer_id=node_id, overlay_specific_data=v16)
join_ans = struct(m.JoinAns, overlay_specific_data=v16)
leave_req = struct(m.LeaveReq, leaving_peer_id=node_id, overlay_specific_data=v16)
route_query_req = struct(m.RouteQueryReq, send_update=boolean, destination=destination, overlay_specific_data=v16)
probe_req = struct(m.ProbeReq, requested_info=listing(1, valid_type))
probe_data = {1: u32, 2: u32, 3: u32}


def parse_probe_information(data: bytes, overlay: Overlay) -> tuple[m.ProbeInformation, bytes]:
    type_, data = valid_type.parse(data, overlay)
    inside, rest = v8.parse(data, overlay)
    return m.ProbeInformation(type_, whole(probe_data.get(type_, rest_of_it), inside, overlay)), rest


def build_probe_information(value: m.ProbeInformation) -> bytes:
    return valid_type.build(value.type) + v8.build(probe_data.get(value.type, rest_of_it).build(value.value))


probe_information = Type(parse_probe_information, build_probe_information)
probe_ans = struct(m.ProbeAns, probe_info=listing(2, probe_information))
ice_extension = struct(m.IceExtension, name=v16, value=v16)

candidate_before_select = struct(
    dict,
    addr_port=ip_address_port,
    overlay_link=valid_type,
    foundation=v8,
    priority=u32,
    type=u8,
)
ice_extensions = listing(2, ice_extension)


def parse_candidate(data: bytes, overlay: Overlay) -> tuple[m.IceCandidate, bytes]:
    values, data = candidate_before_select.parse(data, overlay)
    need(values["type"] in (1, 2, 4), "candidate type")
    related = None
    if values["type"] != 1:
        related, data = ip_address_port.parse(data, overlay)
    extensions, data = ice_extensions.parse(data, overlay)
    return m.IceCandidate(**values, rel_addr_port=related, extensions=extensions), data


def build_candidate(value: m.IceCandidate) -> bytes:
    need(value.type in (1, 2, 4), "candidate type")
    need((value.rel_addr_port is None) == (value.type == 1), "rel_addr_port")
    related = b"" if value.rel_addr_port is None else build_address(value.rel_addr_port)
    return candidate_before_select.build(value) + related + ice_extensions.build(value.extensions)


ice_candidate = Type(parse_candidate, build_candidate)
candidates = listing(2, ice_candidate)
attach = struct(m.AttachReqAns, ufrag=v8, password=v8, role=v8, candidates=candidates, send_update=boolean)
app_attach = struct(
    m.AppAttachReqAns, ufrag=v8, password=v8, application=refusing(u16, 0), role=v8, candidates=candidates
)
ping_req = struct(m.PingReq, padding=v16)
ping_ans = struct(m.PingAns, response_id=u64, time=u64)
config_update_data = {1: ("config_data", v24), 2: ("kinds", listing(3, v16))}


def parse_config_update(data: bytes, overlay: Overlay) -> tuple[m.ConfigUpdateReq, bytes]:
    type_, data = valid_type.parse(data, overlay)
    inside, rest = v32.parse(data, overlay)
    name, form = config_update_data.get(type_, ("config_data", rest_of_it))
    return m.ConfigUpdateReq(type_, **{name: whole(form, inside, overlay)}), rest


def build_config_update(value: m.ConfigUpdateReq) -> bytes:
    name, form = config_update_data.get(value.type, ("config_data", rest_of_it))
    need(not (value.kinds if name == "config_data" else value.config_data), "a field that is not sent")
    return valid_type.build(value.type) + v32.build(form.build(getattr(value, name)))


config_update_req = Type(parse_config_update, build_config_update)

# --- 7 ----------------------------------------------------------------------------------------------

data_value = struct(m.DataValue, exists=boolean, value=v32)
array_entry = struct(m.ArrayEntry, index=u32, value=data_value)
dictionary_entry = struct(m.DictionaryEntry, key=v16, value=data_value)
VALUES = {DataModel.SINGLE: data_value, DataModel.ARRAY: array_entry, DataModel.DICTIONARY: dictionary_entry}
VALUE_TYPES: dict[Any, Type] = {m.DataValue: data_value, m.ArrayEntry: array_entry, m.DictionaryEntry: dictionary_entry}


def stored_data_of(model: DataModel | None) -> Type:
    def parse(data: bytes, overlay: Overlay) -> tuple[m.StoredData, bytes]:
        inside, rest = v32.parse(data, overlay)
        storage_time, inside = u64.parse(inside, overlay)
        lifetime, inside = u32.parse(inside, overlay)
        if model is None:
            return m.StoredData(storage_time, lifetime, inside), rest
        value, inside = VALUES[model].parse(inside, overlay)
        return m.StoredData(storage_time, lifetime, value, whole(signature, inside, overlay)), rest

    return Type(parse, build_stored_data)


def build_stored_data(value: m.StoredData) -> bytes:
    if isinstance(value.value, bytes):
        need(value.signature == m.UNSIGNED, "the signature is in the value")
        inside = value.value
    else:
        inside = VALUE_TYPES[type(value.value)].build(value.value) + signature.build(value.signature)
    return v32.build(u64.build(value.storage_time) + u32.build(value.lifetime) + inside)


def values_of_a_kind(cls: type, counter: str, stored: Callable[[DataModel | None], Type] = stored_data_of) -> Type:
    """kind, counter and StoredData<0..2^32-1> (or StoredMetaData), the data model of which comes from the kind"""

    def parse(data: bytes, overlay: Overlay) -> tuple[Any, bytes]:
        kind, data = u32.parse(data, overlay)
        number, data = u64.parse(data, overlay)
        values, data = listing(4, stored(overlay.kinds.get(kind))).parse(data, overlay)
        return cls(kind, number, values), data

    def build(value: Any) -> bytes:
        values = listing(4, stored(None)).build(value.values)
        return u32.build(value.kind) + u64.build(getattr(value, counter)) + values

    return Type(parse, build)


store_kind_data = values_of_a_kind(m.StoreKindData, "generation_counter")
store_req = struct(m.StoreReq, resource=resource_id, replica_number=u8, kind_data=listing(4, store_kind_data))
store_kind_response = struct(m.StoreKindResponse, kind=u32, generation_counter=u64, replicas=listing(2, node_id))
store_ans = struct(m.StoreAns, kind_responses=listing(2, store_kind_response))
kind_ids = listing(1, u32)
unknown_kinds = struct(m.UnknownKinds, kinds=kind_ids)
array_range = struct(m.ArrayRange, first=u32, last=u32)
SPECIFIERS = {DataModel.ARRAY: listing(2, array_range), DataModel.DICTIONARY: listing(2, v16)}


def parse_specifier(data: bytes, overlay: Overlay) -> tuple[m.StoredDataSpecifier, bytes]:
    kind, data = u32.parse(data, overlay)
    generation, data = u64.parse(data, overlay)
    inside, rest = v16.parse(data, overlay)
    model = overlay.kinds.get(kind)
    if model is None:
        return m.StoredDataSpecifier(kind, generation, inside), rest
    if model == DataModel.SINGLE:
        need(inside == b"", "empty")
        return m.StoredDataSpecifier(kind, generation, None), rest
    return m.StoredDataSpecifier(kind, generation, whole(SPECIFIERS[model], inside, overlay)), rest


def build_specifier(value: m.StoredDataSpecifier) -> bytes:
    specifier = value.model_specifier
    if specifier is None:
        inside = b""
    elif isinstance(specifier, bytes):
        inside = specifier
    elif any(isinstance(item, m.ArrayRange) for item in specifier):
        inside = SPECIFIERS[DataModel.ARRAY].build(specifier)
    else:
        inside = SPECIFIERS[DataModel.DICTIONARY].build(specifier)
    return u32.build(value.kind) + u64.build(value.generation) + v16.build(inside)


stored_data_specifier = Type(parse_specifier, build_specifier)
fetch_req = struct(m.FetchReq, resource=resource_id, specifiers=listing(2, stored_data_specifier))
fetch_kind_response = values_of_a_kind(m.FetchKindResponse, "generation")
fetch_ans = struct(m.FetchAns, kind_responses=listing(4, fetch_kind_response))
stat_req = struct(m.StatReq, resource=resource_id, specifiers=listing(2, stored_data_specifier))
meta_data = struct(m.MetaData, exists=boolean, value_length=u32, hash_algorithm=u8, hash_value=v8)
array_entry_meta = struct(m.ArrayEntryMeta, index=u32, value=meta_data)
dictionary_entry_meta = struct(m.DictionaryEntryMeta, key=v16, value=meta_data)
METADATA = {DataModel.SINGLE: meta_data, DataModel.ARRAY: array_entry_meta, DataModel.DICTIONARY: dictionary_entry_meta}
METADATA_TYPES: dict[Any, Type] = {
    bytes: rest_of_it,
    m.MetaData: meta_data,
    m.ArrayEntryMeta: array_entry_meta,
    m.DictionaryEntryMeta: dictionary_entry_meta,
}


def stored_meta_data_of(model: DataModel | None) -> Type:
    form = rest_of_it if model is None else METADATA[model]

    def parse(data: bytes, overlay: Overlay) -> tuple[m.StoredMetaData, bytes]:
        inside, rest = v32.parse(data, overlay)
        storage_time, inside = u64.parse(inside, overlay)
        lifetime, inside = u32.parse(inside, overlay)
        return m.StoredMetaData(storage_time, lifetime, whole(form, inside, overlay)), rest

    return Type(parse, build_stored_meta_data)


def build_stored_meta_data(value: m.StoredMetaData) -> bytes:
    inside = METADATA_TYPES[type(value.metadata)].build(value.metadata)
    return v32.build(u64.build(value.storage_time) + u32.build(value.lifetime) + inside)


stat_kind_response = values_of_a_kind(m.StatKindResponse, "generation", stored_meta_data_of)
stat_ans = struct(m.StatAns, kind_responses=listing(4, stat_kind_response))
find_req = struct(m.FindReq, resource=resource_id, kinds=kind_ids)
find_kind_data = struct(m.FindKindData, kind=u32, closest=resource_id)
find_ans = struct(m.FindAns, results=listing(2, find_kind_data))

# --- 9, 10, XEP-0415 -----------------------------------------------------------------------------------

turn_server = struct(m.TurnServer, iteration=u8, server_address=ip_address_port)
node_ids = listing(2, node_id)
CHORD_LISTS = {1: (), 2: ("predecessors", "successors"), 3: ("predecessors", "successors", "fingers")}


def parse_update(data: bytes, overlay: Overlay) -> tuple[m.UpdateReq, bytes]:
    uptime, data = u32.parse(data, overlay)
    type_, data = u8.parse(data, overlay)
    need(type_ in CHORD_LISTS, "update type")
    lists = {}
    for name in CHORD_LISTS[type_]:
        lists[name], data = node_ids.parse(data, overlay)
    return m.UpdateReq(uptime, type_, **lists), data


def build_update(value: m.UpdateReq) -> bytes:
    need(value.type in CHORD_LISTS, "update type")
    absent = set(CHORD_LISTS[3]) - set(CHORD_LISTS[value.type])
    need(not any(getattr(value, name) for name in absent), "a list that is not sent")
    lists = b"".join(node_ids.build(getattr(value, name)) for name in CHORD_LISTS[value.type])
    return u32.build(value.uptime) + u8.build(value.type) + lists


chord_update = Type(parse_update, build_update)
route_query_ans = struct(m.RouteQueryAns, next_peer=node_id)
chord_leave_data = struct(m.ChordLeaveData, type=refusing(u8, 0, *range(3, 256)), peers=node_ids)
route = struct(dict, priority=u8, destination_list=listing(2, destination))


def parse_location(data: bytes, overlay: Overlay) -> tuple[m.XmppLocation, bytes]:
    type_, data = valid_type.parse(data, overlay)
    inside, rest = v16.parse(data, overlay)
    if type_ == 1:
        return m.XmppLocation(1, address=whole(v16, inside, overlay)), rest
    if type_ == 2:
        return m.XmppLocation(2, **whole(route, inside, overlay)), rest
    return m.XmppLocation(type_, address=inside), rest


def build_location(value: m.XmppLocation) -> bytes:
    if value.type == 2:
        need(not value.address, "an address in a route")
        inside = route.build(value)
    else:
        need(not value.priority and not value.destination_list, "a route in an address")
        inside = v16.build(value.address) if value.type == 1 else value.address
    return valid_type.build(value.type) + v16.build(inside)


xmpp_location = Type(parse_location, build_location)

# --- whole messages ---------------------------------------------------------------------------------

BODIES = {
    0x1: probe_req,
    0x2: probe_ans,
    0x3: attach,
    0x4: attach,
    0x7: store_req,
    0x8: store_ans,
    0x9: fetch_req,
    0xA: fetch_ans,
    0xD: find_req,
    0xE: find_ans,
    0xF: join_req,
    0x10: join_ans,
    0x11: leave_req,
    0x12: struct(m.LeaveAns),
    0x13: chord_update,
    0x14: struct(m.UpdateAns),
    0x15: route_query_req,
    0x16: route_query_ans,
    0x17: ping_req,
    0x18: ping_ans,
    0x19: stat_req,
    0x1A: stat_ans,
    0x1D: app_attach,
    0x1E: app_attach,
    0x21: config_update_req,
    0x22: struct(m.ConfigUpdateAns),
    0xFFFF: error_response,
}
RESERVED_CODES = frozenset((0, *range(0x8000, 0xFFFF)))
message_code = refusing(u16, *RESERVED_CODES)
extensions_type = listing(4, message_extension)


def build_contents(code: int, body: Any, extensions: tuple[m.MessageExtension, ...] = ()) -> bytes:
    return message_code.build(code) + v32.build(encode_body(code, body)) + extensions_type.build(extensions)


def parse_message(data: bytes, overlay: Overlay) -> tuple[m.Message, bytes]:
    header, data = parse_header(data, overlay)
    need(is_whole(header), "a fragment")
    code, data = message_code.parse(data, overlay)
    body, data = v32.parse(data, overlay)
    extensions, data = extensions_type.parse(data, overlay)
    security, data = security_block.parse(data, overlay)
    return m.Message(header, code, whole(BODIES.get(code, rest_of_it), body, overlay), extensions, security), data


def build_message(value: m.Message) -> bytes:
    need(is_whole(value.header), "a fragment")
    contents = build_contents(value.code, value.body, value.extensions)
    return build_header(value.header, contents + security_block.build(value.security))


STRUCTS: dict[Any, Type] = {
    m.Destination: destination,
    m.ForwardingOption: forwarding_option,
    m.ForwardingHeader: forwarding_header,
    m.MessageExtension: message_extension,
    m.ErrorResponse: error_response,
    m.UnknownKinds: unknown_kinds,
    m.GenericCertificate: generic_certificate,
    m.SignerIdentity: signer_identity,
    m.Signature: signature,
    m.SecurityBlock: security_block,
    m.JoinReq: join_req,
    m.JoinAns: join_ans,
    m.LeaveReq: leave_req,
    m.LeaveAns: struct(m.LeaveAns),
    m.UpdateReq: chord_update,
    m.UpdateAns: struct(m.UpdateAns),
    m.RouteQueryReq: route_query_req,
    m.RouteQueryAns: route_query_ans,
    m.ProbeReq: probe_req,
    m.ProbeInformation: probe_information,
    m.ProbeAns: probe_ans,
    m.IpAddressPort: ip_address_port,
    m.IceExtension: ice_extension,
    m.IceCandidate: ice_candidate,
    m.AttachReqAns: attach,
    m.AppAttachReqAns: app_attach,
    m.PingReq: ping_req,
    m.PingAns: ping_ans,
    m.ConfigUpdateReq: config_update_req,
    m.ConfigUpdateAns: struct(m.ConfigUpdateAns),
    m.DataValue: data_value,
    m.ArrayEntry: array_entry,
    m.DictionaryEntry: dictionary_entry,
    m.StoredData: stored_data_of(None),
    m.StoreKindData: store_kind_data,
    m.StoreReq: store_req,
    m.StoreKindResponse: store_kind_response,
    m.StoreAns: store_ans,
    m.ArrayRange: array_range,
    m.StoredDataSpecifier: stored_data_specifier,
    m.FetchReq: fetch_req,
    m.FetchKindResponse: fetch_kind_response,
    m.FetchAns: fetch_ans,
    m.StatReq: stat_req,
    m.MetaData: meta_data,
    m.ArrayEntryMeta: array_entry_meta,
    m.DictionaryEntryMeta: dictionary_entry_meta,
    m.StoredMetaData: stored_meta_data_of(None),
    m.StatKindResponse: stat_kind_response,
    m.StatAns: stat_ans,
    m.FindReq: find_req,
    m.FindKindData: find_kind_data,
    m.FindAns: find_ans,
    m.TurnServer: turn_server,
    m.ChordLeaveData: chord_leave_data,
    m.XmppLocation: xmpp_location,
    m.Message: Type(parse_message, build_message),
}

# --- the same doors as the codec --------------------------------------------------------------------


def decode_struct(
    cls: type, data: bytes, node_id_length: int = 16, kinds: Mapping[int, DataModel] | None = None
) -> Any:
    return whole(STRUCTS[cls], data, Overlay(node_id_length, kinds or {}))


def encode_struct(value: Any) -> bytes:
    return STRUCTS[type(value)].build(value)


def decode_body(code: int, data: bytes, node_id_length: int = 16, kinds: Mapping[int, DataModel] | None = None) -> Any:
    need(code not in RESERVED_CODES, "a reserved code")
    return whole(BODIES.get(code, rest_of_it), data, Overlay(node_id_length, kinds or {}))


def encode_body(code: int, body: Any) -> bytes:
    return body if isinstance(body, bytes) else BODIES[code].build(body)


def signature_input(data: bytes, node_id_length: int = 16) -> bytes:
    """overlay || transaction_id || MessageContents || SignerIdentity (6.3.4). All before contents and after them is
    found by the length of its encoding; bodies stay bytes."""
    overlay = Overlay(node_id_length)
    header, after = parse_header(data, overlay)
    need(is_whole(header), "a fragment")
    _, rest = message_code.parse(after, overlay)
    _, rest = v32.parse(rest, overlay)
    _, rest = v32.parse(rest, overlay)
    contents = after[: len(after) - len(rest)]
    security = security_block.parse(rest, overlay)[0]
    return (
        u32.build(header.overlay)
        + u64.build(header.transaction_id)
        + contents
        + build_identity(security.signature.identity)
    )


def value_signature_input(
    resource: bytes, kind: int, storage_time: int, value: Any, identity: m.SignerIdentity
) -> bytes:
    """resource_id || kind || storage_time || StoredDataValue || SignerIdentity (7.1); an index is zero (7.4.2.2)."""
    if isinstance(value, m.ArrayEntry):
        value = m.ArrayEntry(0, value.value)
    encoded = VALUE_TYPES[type(value)].build(value)
    return build_resource_id(resource) + u32.build(kind) + u64.build(storage_time) + encoded + build_identity(identity)
