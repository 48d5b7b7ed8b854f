"""The places where Wireshark's RELOAD dissector fell into endless loops, each with messages that aim at it.

CVE-2013-2486 names dissect_diagnosticrequest, CVE-2013-2487 twelve more functions ("incorrect integer data types",
"infinite loop", "crafted integer values"), CVE-2018-7332 is dissect_statans (Wireshark bug 14445). The messages hold
what such loops stumble over: a length near the end of its type, which makes an offset of 16 or 32 bits turn over; items
that take no bytes; a length that says more than its container has. Every one has to end at once, in a refusal at the
place meant or in a value no larger than its bytes. All are whole messages, sound but for the one thing.
"""

import struct
import tracemalloc

import pytest

from xor_fast.cext import codec, wire
from xor_fast.cext.ring import Ring
from xor_fast.cext.switch import Switch
from xor_fast.errors import WireError
from xor_fast.messages import Code, DataModel, Message

KINDS = {1: DataModel.SINGLE, 2: DataModel.ARRAY, 3: DataModel.DICTIONARY}
OWN, PEER = b"\x50" * 16, b"\x20" * 16
SECURITY = bytes.fromhex("0000 0403 030000 0000")  # no certificate, hash, algorithm, identity none, no signature
PING, PATH_TRACK_REQ, PATH_TRACK_ANS = 0x17, 0x27, 0x28  # the last two: RFC 7851
DIAGNOSTIC_PING = 0x0002  # message extension of RFC 7851; the dissector knows it as 3
FULL16, FULL32 = b"\xff\xff", b"\xff\xff\xff\xff"
TURN16, TURN32 = b"\xff\xf0", b"\xff\xff\xff\xf0"  # added to an offset behind the header they turn its type over


def u32(n: int) -> bytes:
    return n.to_bytes(4, "big")


def header(size: int, via: bytes = b"", destinations: bytes = b"\x01\x10" + OWN, options: bytes = b"") -> bytes:
    """6.3.2.1, with sound lengths of the three lists, for a message that goes on for `size` bytes."""
    lists = via + destinations + options
    fixed = struct.pack(">IIHBBIIQI", 0xD2454C4F, 1, 1, 0x0A, 100, 0xC0000000, 38 + len(lists) + size, 7, 0)
    return fixed + struct.pack(">HHH", len(via), len(destinations), len(options)) + lists


def whole(rest: bytes) -> bytes:
    return header(len(rest)) + rest


def message(code: int, body: bytes, extensions: bytes = b"") -> bytes:
    contents = struct.pack(">HI", code, len(body)) + body + u32(len(extensions)) + extensions
    return whole(contents + SECURITY)


def attach(candidates: bytes) -> bytes:
    """AttachReqAns (6.5.1.1): no ufrag, password, role; `candidates` with its length; send_update false."""
    return message(Code.ATTACH_REQ, b"\0\0\0" + candidates + b"\0")


def diagnostics(extensions: bytes) -> bytes:
    """DiagnosticsRequest (RFC 7851 5.3): expiration, timestamp_initiated, dm_flags, then extensions."""
    return struct.pack(">QQQ", 0, 0, 0xFFFFFFFFFFFFFFFF) + extensions


STORED = u32(12) + bytes(12)  # a StoredData of an unknown Kind: no value
KIND_5 = u32(5) + bytes(8)  # Kind-ID nobody knows, generation counter
KIND_3 = u32(3) + bytes(8)  # a dictionary

# place in the dissector: [(what is hostile, message, structure that is refused or None: taken)]
PLACES: dict[str, list[tuple[str, bytes, str | None]]] = {
    "dissect_icecandidates": [
        ("a list of 65,535 bytes that are not there", attach(FULL16), "AttachReqAns"),
        ("a length that turns over", attach(TURN16 + b"\x01\x06" + bytes(20)), "AttachReqAns"),
        ("an address of no bytes", attach(b"\x00\x02\x01\x00"), "IpAddressPort"),
        # type 9 and no address, foundation, extensions: the least a candidate takes
        ("the shortest candidates", attach(b"\x00\x2c" + bytes.fromhex("0900 01 00 00000000 01 0000") * 4), None),
        (
            "extensions past the list",
            attach(b"\x00\x0b" + bytes.fromhex("0900 01 00 00000000 01") + FULL16),
            "IceCandidate",
        ),
    ],
    "dissect_kinddata": [
        ("values of 4 GB", message(Code.STORE_REQ, b"\0\0" + u32(16) + KIND_5 + FULL32), "StoreKindData"),
        ("a length that turns over", message(Code.STORE_REQ, b"\0\0" + u32(16) + KIND_5 + TURN32), "StoreKindData"),
        (
            "a StoredData of length 0",
            message(Code.STORE_REQ, b"\0\0" + u32(20) + KIND_5 + u32(4) + u32(0)),
            "StoredData",
        ),
        ("values of no bytes", message(Code.STORE_REQ, b"\0\0" + u32(32) + 2 * (KIND_5 + u32(0))), None),
        (
            "a key past its value",
            message(Code.STORE_REQ, b"\0\0" + u32(34) + KIND_3 + u32(18) + u32(14) + bytes(12) + FULL16),
            "DictionaryEntry",
        ),
    ],
    "dissect_nodeid_list": [
        ("65,535 bytes that are not there", message(Code.UPDATE_REQ, bytes(4) + b"\x02" + FULL16), "ChordUpdate"),
        ("a length that turns over", message(Code.UPDATE_REQ, bytes(4) + b"\x03" + TURN16 + bytes(40)), "ChordUpdate"),
        ("less than one Node-ID", message(Code.UPDATE_REQ, bytes(4) + b"\x02" + b"\x00\x01\x00" + b"\0\0"), "NodeId"),
        ("three lists of nothing", message(Code.UPDATE_REQ, bytes(4) + b"\x03" + bytes(6)), None),
    ],
    "dissect_storeans": [
        ("65,535 bytes that are not there", message(Code.STORE_ANS, FULL16), "StoreAns"),
        ("a length that turns over", message(Code.STORE_ANS, TURN16 + KIND_5), "StoreAns"),
        ("replicas past the list", message(Code.STORE_ANS, b"\x00\x0e" + KIND_5 + FULL16), "StoreKindResponse"),
        ("responses without a replica", message(Code.STORE_ANS, b"\x00\x1c" + 2 * (KIND_5 + b"\0\0")), None),
    ],
    "dissect_storereq": [
        ("4 GB that are not there", message(Code.STORE_REQ, b"\0\0" + FULL32), "StoreReq"),
        ("a length that turns over", message(Code.STORE_REQ, b"\0\0" + TURN32 + KIND_5), "StoreReq"),
        ("a Resource-ID past the body", message(Code.STORE_REQ, b"\xfe\0\0"), "ResourceId"),
        ("no data", message(Code.STORE_REQ, b"\0\0" + u32(0)), None),
    ],
    "dissect_storeddataspecifier": [
        (
            "65,535 bytes that are not there",
            message(Code.FETCH_REQ, b"\0\x00\x0e" + KIND_5 + FULL16),
            "StoredDataSpecifier",
        ),
        (
            "keys past the specifier",
            message(Code.FETCH_REQ, b"\0\x00\x10" + KIND_3 + b"\x00\x02" + FULL16),
            "StoredDataSpecifier",
        ),
        (
            "a length that turns over",
            message(Code.STAT_REQ, b"\0\x00\x10" + KIND_3 + b"\x00\x02" + TURN16),
            "StoredDataSpecifier",
        ),
        ("keys of no bytes", message(Code.FETCH_REQ, b"\0\x00\x16" + KIND_3 + b"\x00\x08\x00\x06" + bytes(6)), None),
        (
            "half a range",
            message(Code.FETCH_REQ, b"\0\x00\x11" + u32(2) + bytes(8) + b"\x00\x03\x00\x01\x00"),
            "ArrayRange",
        ),
    ],
    "dissect_fetchreq": [
        ("65,535 bytes that are not there", message(Code.FETCH_REQ, b"\0" + FULL16), "FetchReq"),
        ("a length that turns over", message(Code.FETCH_REQ, b"\0" + TURN16 + KIND_5), "FetchReq"),
        ("no specifier", message(Code.FETCH_REQ, b"\0\0\0"), None),
        ("one byte of a specifier", message(Code.FETCH_REQ, b"\0\x00\x01\x00"), "StoredDataSpecifier"),
    ],
    "dissect_findans": [
        ("65,535 bytes that are not there", message(Code.FIND_ANS, FULL16), "FindAns"),
        ("a length that turns over", message(Code.FIND_ANS, TURN16 + bytes(5)), "FindAns"),
        ("a Resource-ID past the list", message(Code.FIND_ANS, b"\x00\x05" + u32(5) + b"\xfe"), "ResourceId"),
        ("Resource-IDs of no bytes", message(Code.FIND_ANS, b"\x00\x0a" + 2 * (u32(5) + b"\0")), None),
    ],
    # Structures of RFC 7851 are bytes to us: bounded by the body or by the extension that holds them.
    "dissect_diagnosticinfo": [
        ("a DiagnosticInfo of length 0", message(PATH_TRACK_ANS, bytes(21) + b"\x00\x04" + bytes(4)), None),
        ("a DiagnosticInfo of length 65,535", message(PATH_TRACK_ANS, bytes(21) + b"\x00\x04\x00\x05" + FULL16), None),
    ],
    "dissect_diagnosticresponse": [
        ("a list of 4 GB", message(PATH_TRACK_ANS, bytes(17) + FULL32), None),
        ("a list that turns over", message(PATH_TRACK_ANS, bytes(17) + TURN32 + bytes(8)), None),
        (
            "a body past the message",
            whole(struct.pack(">HI", PATH_TRACK_ANS, 0xFFFFFFFF) + bytes(21)),
            "MessageContents",
        ),
    ],
    "dissect_diagnosticrequest": [
        ("extensions of 4 GB", message(PATH_TRACK_REQ, diagnostics(FULL32)), None),
        (
            "in the extension of a Ping",
            message(PING, b"\0\0", struct.pack(">HBI", DIAGNOSTIC_PING, 0, 28) + diagnostics(TURN32)),
            None,
        ),
        (
            "the extension itself past the message",
            message(PING, b"\0\0", struct.pack(">HBI", DIAGNOSTIC_PING, 0, 0xFFFFFFF0) + diagnostics(TURN32)),
            "MessageExtension",
        ),
    ],
    "dissect_reload_messagecontents": [
        ("a body of 4 GB", whole(struct.pack(">HI", PING, 0xFFFFFFFF) + b"\0\0"), "MessageContents"),
        (
            "a body that turns over",
            whole(struct.pack(">HI", PING, 0xFFFFFFC0) + b"\0\0" + u32(0) + SECURITY),
            "MessageContents",
        ),
        ("extensions of 4 GB", whole(struct.pack(">HI", PING, 2) + b"\0\0" + FULL32 + SECURITY), "MessageContents"),
        ("extensions of no bytes", message(PING, b"\0\0", b"\x00\x03\x00\0\0\0\0" * 3), None),
        ("an extension cut short", message(PING, b"\0\0", b"\x00\x03\x00"), "MessageExtension"),
    ],
    "dissect_reload_message": [
        ("a via list of 65,535 bytes", whole(b"")[:32] + FULL16 + whole(b"")[34:], "ForwardingHeader"),
        ("all three lists of 65,535 bytes", whole(b"")[:32] + 3 * FULL16 + bytes(60), "ForwardingHeader"),
        ("a length of 4 GB", whole(b"")[:16] + FULL32 + message(PING, b"\0\0")[20:], "ForwardingHeader"),
        ("a length of 0", whole(b"")[:16] + u32(0) + message(PING, b"\0\0")[20:], "ForwardingHeader"),
        (
            "destinations of no bytes",
            header(16 + len(SECURITY) - 4, destinations=b"\x09\x00" * 3)
            + struct.pack(">HI", PING, 2)
            + bytes(6)
            + SECURITY,
            None,
        ),
        (
            "certificates past the message",
            message(PING, b"\0\0")[: -len(SECURITY)] + FULL16 + SECURITY[2:],
            "SecurityBlock",
        ),
        ("a signature past the message", message(PING, b"\0\0")[:-2] + FULL16, "Signature"),
    ],
    "dissect_statans": [
        ("4 GB that are not there", message(Code.STAT_ANS, FULL32), "StatAns"),
        ("a length that turns over", message(Code.STAT_ANS, TURN32 + KIND_5), "StatAns"),
        ("values of 4 GB", message(Code.STAT_ANS, u32(16) + KIND_5 + FULL32), "StatKindResponse"),
        ("a StoredMetaData of length 0", message(Code.STAT_ANS, u32(20) + KIND_5 + u32(4) + u32(0)), "StoredMetaData"),
        ("responses of no values", message(Code.STAT_ANS, u32(32) + 2 * (KIND_5 + u32(0))), None),
    ],
}
CASES = [
    pytest.param(data, refused, id=f"{place}: {what}")
    for place, messages in PLACES.items()
    for what, data, refused in messages
]


def decoded(data: bytes) -> Message | WireError:
    try:
        return codec.decode_message(data, 16, KINDS)
    except WireError as e:
        return e


def test_each_of_the_places_is_there() -> None:
    assert len(PLACES) == 1 + 12 + 1  # of CVE-2013-2486, CVE-2013-2487 and CVE-2018-7332


@pytest.mark.parametrize(("data", "refused"), CASES)
def test_hostile_messages_end_in_a_refusal_or_a_bounded_value(data: bytes, refused: str | None) -> None:
    tracemalloc.start()
    found = decoded(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 65536 + 64 * len(data)
    if refused:
        assert isinstance(found, WireError), found
        assert found.structure == refused
        assert found.offset <= len(data)
    else:
        assert isinstance(found, Message), found
        assert codec.encode_message(found) == data


@pytest.mark.parametrize(("data", "refused"), CASES)
def test_the_data_plane_gives_each_one_fate(data: bytes, refused: str | None) -> None:
    ring = Ring(OWN)
    ring.joined = True
    switch = Switch(ring, 1)
    link = switch.open_link(0.0, PEER)
    assert switch.receive(0.0, link, wire.data_frame(1, data))
    fates = {name: n for name, n in switch.counters.items() if name.startswith("drop_") or name == "delivered"}
    assert sum(fates.values()) == 1
    assert sum(len(received.message) for received in switch.take_inbox()) <= len(data)


@pytest.mark.parametrize("claimed", [0xFFFFFF, 0xFFFFF0, 5000 + 64 * 22 + 1])
def test_a_frame_that_claims_more_than_a_message_may_have_ends_the_link(claimed: int) -> None:
    switch = Switch(Ring(OWN), 1)
    link = switch.open_link(0.0, PEER)
    assert not switch.receive(0.0, link, b"\x80" + bytes(4) + claimed.to_bytes(3, "big"))
    assert switch.counters["drop_frame_size"] == 1
