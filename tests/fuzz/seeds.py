"""What a fuzz target starts from: the published vectors, whole messages and frames around them, and long lists.

Every seed is offered to every target: which of them teach it anything is the fuzzer's to find out.
"""

import json
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.reference.wire import ack_frame, data_frame, message, node, opaque, resource
from xor_fast import messages as m
from xor_fast.cext import codec
from xor_fast.errors import WireError

VECTORS = Path(__file__).parent.parent / "vectors"
TOKEN = re.compile(r"([0-9a-f]+)(?:\*(\d+))?")
SECURITY = bytes.fromhex("0000 0403 030000 0000")  # no certificate, signed by nobody
KINDS_WITH_MODEL = dict(zip((1, 2, 3), m.DataModel, strict=True))
LONG = 60_000


def hexadecimal(found: Any) -> Iterator[bytes]:
    """Every text under the name `hex`, wherever it stands; `aa*16` is a byte sixteen times."""
    if isinstance(found, dict):
        if isinstance(found.get("hex"), str):
            text = found["hex"].replace("#", "")
            yield b"".join(bytes.fromhex(digits) * int(times or 1) for digits, times in TOKEN.findall(text))
        found = list(found.values())
    if isinstance(found, list):
        for member in found:
            yield from hexadecimal(member)


def vectors() -> list[bytes]:
    files = sorted(VECTORS.glob("*.json"))
    return sorted({data for file in files for data in hexadecimal(json.loads(file.read_text()))})


def messages_around(bodies: list[bytes]) -> list[bytes]:
    """Whole messages: each body under each code that takes it."""
    found = []
    for code in m.Code:
        for body in bodies:
            try:
                if isinstance(codec.decode_body(code, body, kinds=KINDS_WITH_MODEL), bytes) and body:
                    continue
            except WireError:
                continue
            found.append(message([node(b"\x50" * 16)], code=code, body=body, rest=SECURITY))
    return found


def transit() -> list[bytes]:
    """Messages for every rule of the data plane, to the desk of parsers.py and past it."""
    own, before, behind, foreign = (bytes([n]) * 16 for n in (0x50, 0x20, 0x80, 0x4F))
    lists = [
        [node(own)], [node(b"\xff" * 16)], [node(behind)], [node(foreign)], [resource(own)], [resource(behind)],
        [node(own), node(behind)], [node(own), resource(foreign)], [resource(own), node(own)], [opaque(b"id")],
        [b"\x81\x02", node(own)], [bytes([9, 2, 0, 0])], [bytes([0, 0])], [],
    ]  # fmt: skip
    found = [message(entries, [node(before)], rest=SECURITY) for entries in lists]
    option = struct.pack(">BBH", 7, 1, 2) + b"ab"
    found += [message([node(behind)], ttl=ttl, option_list=option, rest=SECURITY) for ttl in (0, 1, 101)]
    found += [
        message([node(behind)], code=0x18, rest=SECURITY),
        message([node(behind)], overlay=2),
        message([], token=1),
    ]
    found += [message([node(own)], fragment=f) for f in (0x80000000, 0xC0000010, 0x40000000)]
    found.append(message([node(behind)], body=bytes(400)))
    return found


def frames(messages: list[bytes]) -> list[bytes]:
    one = [data_frame(5, x) for x in messages]
    return [*one, ack_frame(5, 7), ack_frame(5, 7) + one[0] + one[1], one[2][:50], b"\x82" + one[0], one[0] + b"\x00"]


def all_seeds() -> list[bytes]:
    bodies = vectors()
    whole = messages_around(bodies) + transit()
    return sorted({b"", *bodies, *whole, *frames(transit()), *(encode(value) for value in smallest_items())}, key=len)


# --- long lists, for the limits on memory -----------------------------------------------------------


def encode(value: m.Body) -> bytes:
    """b"" where the codec does not know the structure."""
    try:
        return codec.encode_struct(value)
    except TypeError:
        return b""


def smallest_items() -> list[m.Body]:
    """Every list with an item of the fewest bytes: what costs most memory for what it takes on the wire."""
    compact = (m.Destination(3, b"\x80\x00", True),)
    option, nothing = (m.ForwardingOption(1, 0, b""),), (m.Destination(4, b""),)
    address = m.IpAddressPort(3, b"", 0)
    candidate = m.IceCandidate(address, 1, b"", 0, extensions=(m.IceExtension(b"", b""),))
    node_id, unsigned = b"\x50" * 16, m.Signature(4, 3, m.SignerIdentity(3), b"")
    value = m.DataValue(False, b"")
    models: list[tuple[int, m.StoredDataValue]] = [
        (1, value), (2, m.ArrayEntry(0, value)), (3, m.DictionaryEntry(b"", value)), (4, b""),
    ]  # fmt: skip
    stored = [(kind, (m.StoredData(0, 0, x, m.UNSIGNED if x == b"" else unsigned),)) for kind, x in models]
    digest = m.MetaData(False, 0, 0, b"")
    meta: list[tuple[int, m.MetaDataValue]] = [
        (1, digest), (2, m.ArrayEntryMeta(0, digest)), (3, m.DictionaryEntryMeta(b"", digest)), (4, b""),
    ]  # fmt: skip
    specifiers: list[tuple[int, Any]] = [(1, None), (2, (m.ArrayRange(0, 0),)), (3, (b"",)), (4, b"")]
    asked = tuple(m.StoredDataSpecifier(kind, 0, x) for kind, x in specifiers)
    header = m.ForwardingHeader(1, 2, 3, 4, compact, compact, option)
    header_of_tlv = m.ForwardingHeader(1, 2, 3, 4, nothing, nothing)
    return [
        header,
        header_of_tlv,
        m.Message(
            header,
            m.Code.PING_REQ,
            m.PingReq(),
            (m.MessageExtension(1, False, b""),),
            m.SecurityBlock((m.GenericCertificate(0, b""),), unsigned),
        ),
        m.SecurityBlock((m.GenericCertificate(0, b""),), unsigned),
        m.AttachReqAns(b"", b"", b"", (candidate,), False),
        m.AppAttachReqAns(b"", b"", 1, b"", (candidate,)),
        candidate,
        m.UpdateReq(0, 3, (node_id,), (node_id,), (node_id,)),
        m.ChordLeaveData(1, (node_id,)),
        m.ProbeReq((1, 4, 255)),
        m.ProbeAns((m.ProbeInformation(4, b""), m.ProbeInformation(1, 1))),
        m.ConfigUpdateReq(2, kinds=(b"",)),
        m.StoreReq(b"", 0, (m.StoreKindData(4, 0, ()),)),
        *(m.StoreReq(b"", 0, (m.StoreKindData(kind, 0, values),)) for kind, values in stored),
        m.StoreAns((m.StoreKindResponse(0, 0, ()),)),
        m.StoreAns((m.StoreKindResponse(0, 0, (node_id,)),)),
        m.FetchReq(b"", asked),
        m.FetchAns((m.FetchKindResponse(4, 0, ()),)),
        *(m.FetchAns((m.FetchKindResponse(kind, 0, values),)) for kind, values in stored),
        m.StatReq(b"", asked),
        *(m.StatAns((m.StatKindResponse(kind, 0, (m.StoredMetaData(0, 0, x),)),)) for kind, x in meta),
        m.FindReq(b"", (0,)),
        m.FindAns((m.FindKindData(0, b""),)),
        m.UnknownKinds((0,)),
        m.XmppLocation(2, b"", 0, compact),
        m.XmppLocation(2, b"", 0, nothing),
    ]


def longer(value: Any, times: int) -> Iterator[Any]:
    """The value with one item of one of its lists repeated, wherever that list stands."""
    for name in value.__struct_fields__ if isinstance(value, m.Body) else ():
        member = getattr(value, name)
        if isinstance(member, m.Body):
            for replaced in longer(member, times):
                yield msgspec.structs.replace(value, **{name: replaced})
        elif isinstance(member, tuple):
            for i, item in enumerate(member):
                yield msgspec.structs.replace(value, **{name: member[:i] + (item,) * times + member[i + 1 :]})
                for replaced in longer(item, times):
                    yield msgspec.structs.replace(value, **{name: (*member[:i], replaced, *member[i + 1 :])})


def long_lists() -> Iterator[tuple[m.Body, bytes]]:
    """Structures with one list made as long as its length field and LONG allow, and their bytes."""
    write: Callable[[m.Body], bytes] = codec.encode_struct
    for value in smallest_items():
        if not encode(value):
            continue
        taken = set()
        for times in (30_000, 15_000, 12_000, 7_500, 3_700, 2_000, 1_000, 250):
            for place, grown in enumerate(longer(value, times)):
                try:
                    data = write(grown) if place not in taken else b""
                except WireError:
                    continue
                if data and len(data) <= LONG + 6_000:
                    taken.add(place)
                    yield grown, data
