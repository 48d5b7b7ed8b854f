"""Frames, Destinations and the forwarding header as objects: taken apart whole, put together whole
(RFC 6940 6.3.2, 6.6.2). Also builds the messages of tests and benchmarks."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace

FIXED = struct.Struct(">IIHBBIIQIHHH")
TOKEN = 0xD2454C4F


class Malformed(Exception):
    pass


@dataclass(frozen=True)
class Entry:
    """One Destination; `encoded` is how it came."""

    type: int
    value: bytes
    encoded: bytes


def node(node_id: bytes) -> bytes:
    return bytes([1, len(node_id)]) + node_id


def resource(resource_id: bytes) -> bytes:
    return bytes([2, len(resource_id) + 1, len(resource_id)]) + resource_id


def opaque(opaque_id: bytes) -> bytes:
    return bytes([3, len(opaque_id) + 1, len(opaque_id)]) + opaque_id


def first_entry(data: bytes) -> Entry:
    if len(data) < 2:
        raise Malformed("cut short")
    if data[0] >= 0x80:
        return Entry(3, data[:2], data[:2])
    type_, length = data[0], data[1]
    value = data[2 : 2 + length]
    if type_ == 0 or len(value) < length:
        raise Malformed("type 0 or cut short")
    if type_ in (2, 3):
        if not value or value[0] != length - 1:
            raise Malformed("lengths disagree")
        return Entry(type_, value[1:], data[: 2 + length])
    return Entry(type_, value, data[: 2 + length])


def entries(data: bytes) -> list[Entry]:
    found = []
    while data:
        found.append(first_entry(data))
        data = data[len(found[-1].encoded) :]
    return found


def options(data: bytes) -> list[tuple[int, int, bytes]]:
    """(type, flags, value) of each forwarding option."""
    found = []
    while data:
        if len(data) < 4:
            raise Malformed("cut short")
        type_, flags, length = struct.unpack_from(">BBH", data)
        if len(data) < 4 + length:
            raise Malformed("cut short")
        found.append((type_, flags, data[4 : 4 + length]))
        data = data[4 + length :]
    return found


@dataclass(frozen=True)
class Header:
    token: int
    overlay: int
    configuration_sequence: int
    version: int
    ttl: int
    fragment: int
    length: int
    transaction_id: int
    max_response_length: int
    via_list: bytes
    destination_list: bytes
    options: bytes

    @property
    def size(self) -> int:
        return FIXED.size + len(self.via_list) + len(self.destination_list) + len(self.options)

    def encode(self) -> bytes:
        fixed = FIXED.pack(
            self.token,
            self.overlay,
            self.configuration_sequence,
            self.version,
            self.ttl,
            self.fragment,
            self.length,
            self.transaction_id,
            self.max_response_length,
            len(self.via_list),
            len(self.destination_list),
            len(self.options),
        )
        return fixed + self.via_list + self.destination_list + self.options


def peek(data: bytes) -> Header:
    if len(data) < FIXED.size:
        raise Malformed("cut short")
    *fields, via, destination, option = FIXED.unpack_from(data)
    lists, at = [], FIXED.size
    for size in (via, destination, option):
        lists.append(data[at : at + size])
        at += size
    if len(data) < at:
        raise Malformed("lists do not fit")
    return Header(*fields, *lists)


def rewrite(message: bytes, ttl: int, via_node_id: bytes | None, strip: int = 0) -> bytes:
    header = peek(message)
    via_list = header.via_list + (node(via_node_id) if via_node_id else b"")
    left = b"".join(e.encoded for e in entries(header.destination_list)[strip:])
    return with_lists(message, ttl, via_list, left)


def with_lists(message: bytes, ttl: int, via_list: bytes, destination_list: bytes) -> bytes:
    header = peek(message)
    contents = message[header.size :]
    changed = replace(header, ttl=ttl, via_list=via_list, destination_list=destination_list)
    return replace(changed, length=changed.size + len(contents)).encode() + contents


def message(
    destinations: Iterable[bytes],
    via: Iterable[bytes] = (),
    *,
    code: int = 0x17,
    body: bytes = b"\0\0",
    rest: bytes = b"security block",
    overlay: int = 1,
    ttl: int = 100,
    fragment: int = 0xC0000000,
    version: int = 10,
    transaction_id: int = 7,
    option_list: bytes = b"",
    token: int = TOKEN,
) -> bytes:
    """A message as its originator sends it: header, contents, and `rest` in the place of the security block."""
    contents = struct.pack(">HI", code, len(body)) + body + bytes(4) + rest
    header = Header(
        token,
        overlay,
        1,
        version,
        ttl,
        fragment,
        0,
        transaction_id,
        0,
        b"".join(via),
        b"".join(destinations),
        option_list,
    )
    return replace(header, length=header.size + len(contents)).encode() + contents


def data_frame(sequence: int, message_: bytes) -> bytes:
    return struct.pack(">BI", 128, sequence) + len(message_).to_bytes(3, "big") + message_


def ack_frame(sequence: int, received: int) -> bytes:
    return struct.pack(">BII", 129, sequence, received)
