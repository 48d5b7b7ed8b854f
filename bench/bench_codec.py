"""Whole messages, decoded into structs and encoded, beside msgspec.msgpack and beside the codec of tests/reference.

msgpack gets structs with the same fields, of the same nesting and with the same byte strings, gc=False as ours, and a
Decoder that knows the type of each body, so that it need not choose. What is asked is asked of what msgspec makes of
such structs, maps; its fastest form, arrays (field names are neither written nor read), stands beside it.
"""

from typing import Any, get_type_hints

import msgspec

from bench.in_turn import Pair, Run, calls
from tests.reference import codec as reference
from xor_fast import messages as m
from xor_fast.cext import codec
from xor_fast.messages import Body, Code, DataModel

KINDS = {5: DataModel.DICTIONARY}
DECODED = 1 / 0.7  # at most 0.7 times the time of msgpack
ENCODED = 1.0
REFERENCE = 30.0
CERTIFICATE = m.GenericCertificate(0, bytes(1070))
SIGNATURE = m.Signature(4, 3, m.SignerIdentity(1, 4, bytes(range(32))), bytes(range(71)))


def stored(number: int) -> m.StoredData:
    """An XMPP location as it is stored: a Node-ID as key, a route of one Node-ID, an ECDSA signature."""
    route = codec.encode_struct(m.XmppLocation(2, b"", 0, (m.Destination(1, bytes([number] * 16)),)))
    entry = m.DictionaryEntry(bytes([number] * 16), m.DataValue(True, route))
    return m.StoredData(1700000000000 + number, 3600, entry, SIGNATURE)


def message(to: m.Destination, code: Code, body: Body, certificates: int = 1) -> m.Message:
    """As a peer gets it from two hops away."""
    via = tuple(m.Destination(1, bytes([number] * 16)) for number in (1, 2))
    header = m.ForwardingHeader(0x9AA32B8D, 2, 98, 0x0123456789ABCDEF, (to,), via)
    return m.Message(header, code, body, (), m.SecurityBlock((CERTIFICATE,) * certificates, SIGNATURE))


RESOURCE, NODE = m.Destination(2, b"r" * 16), m.Destination(1, b"n" * 16)
MESSAGES = {
    "StoreReq of one value": message(
        RESOURCE, Code.STORE_REQ, m.StoreReq(b"r" * 16, 0, (m.StoreKindData(5, 1, (stored(1),)),))
    ),
    # With the certificate that the values are signed with (7.4.2.2).
    "FetchAns of two values": message(
        NODE, Code.FETCH_ANS, m.FetchAns((m.FetchKindResponse(5, 9, (stored(1), stored(2))),)), certificates=2
    ),
    "PingReq": message(RESOURCE, Code.PING_REQ, m.PingReq()),
}


class Packed:
    """The structures of one message as msgpack can read them; `body` stands where a message may have any body."""

    def __init__(self, body: type[Body], array_like: bool) -> None:
        self.body = body
        self.array_like = array_like
        self.made: dict[type, type] = {}

    def struct(self, cls: type) -> type:
        if cls not in self.made:
            fields = [(name, self.field(hint)) for name, hint in get_type_hints(cls).items()]
            options = {"frozen": True, "gc": False, "array_like": self.array_like}
            self.made[cls] = msgspec.defstruct(cls.__name__, fields, **options)
        return self.made[cls]

    def field(self, hint: Any) -> Any:
        if hint == m.StoredDataValue:
            hint = m.DictionaryEntry  # only the Kind tells the models apart, and msgpack knows no Kinds
        elif hint == Body | bytes:
            hint = self.body
        if getattr(hint, "__origin__", None) is tuple:
            return tuple[self.field(hint.__args__[0]), ...]  # type: ignore[misc]
        return self.struct(hint) if isinstance(hint, type) and issubclass(hint, Body) else hint


def beside_msgpack(name: str, value: m.Message, decoded: Run, encoded: Run, array_like: bool) -> list[Pair]:
    cls = Packed(type(value.body), array_like).struct(m.Message)
    same = msgspec.convert(value, cls, from_attributes=True)
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(cls).decode
    data = encode(same)
    assert decode(data) == same
    form = f"msgspec.msgpack, {'arrays' if array_like else 'maps'}"
    return [
        Pair(f"{name}, decoded", form, decoded, calls(decode, data), None if array_like else DECODED),
        Pair(f"{name}, encoded", form, encoded, calls(encode, same), None if array_like else ENCODED),
    ]


def pairs() -> list[Pair]:
    rows = []
    for what, value in MESSAGES.items():
        data = codec.encode_message(value)
        assert data == reference.encode_struct(value)
        assert codec.decode_message(data, 16, KINDS) == value == reference.decode_struct(m.Message, data, 16, KINDS)
        name = f"{what}, {len(data):,} bytes"
        decoded, encoded = calls(codec.decode_message, data, 16, KINDS), calls(codec.encode_message, value)
        slow_decoded = calls(reference.decode_struct, m.Message, data, 16, KINDS)
        slow_encoded = calls(reference.encode_struct, value)
        for array_like in (True, False):
            rows += beside_msgpack(name, value, decoded, encoded, array_like)
        rows.append(Pair(f"{name}, decoded", "tests/reference", decoded, slow_decoded, REFERENCE))
        rows.append(Pair(f"{name}, encoded", "tests/reference", encoded, slow_encoded, REFERENCE))
    return rows
