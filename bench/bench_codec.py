"""Bodies beside msgspec.msgpack on the same fields, whole messages beside the plain-Python codec of tests/reference.

The aim is a StoreReq decoded in at most 0.7 of the time of msgspec.msgpack: a ratio of 1.43 in the table.
"""

from typing import Any

import msgspec
import pytest

from bench.inputs import measure
from tests.reference import codec as reference
from xor_fast import messages as m
from xor_fast.cext import codec
from xor_fast.messages import Code, DataModel

TIMES = range(1000)
KINDS = {5: DataModel.DICTIONARY}
SIGNATURE = m.Signature(4, 3, m.SignerIdentity(1, 4, bytes(range(32))), bytes(range(71)))


def stored(number: int) -> m.StoredData:
    """An XMPP location as it is stored: a Node-ID as key, a route of one Node-ID, an ECDSA signature."""
    route = codec.encode_struct(m.XmppLocation(2, b"", 0, (m.Destination(1, bytes([number] * 16)),)))
    entry = m.DictionaryEntry(bytes([number] * 16), m.DataValue(True, route))
    return m.StoredData(1700000000000 + number, 3600, entry, SIGNATURE)


STORE = m.StoreReq(b"r" * 16, 0, (m.StoreKindData(5, 1, (stored(1),)),))
FETCHED = m.FetchAns((m.FetchKindResponse(5, 9, tuple(map(stored, range(8)))),))
VIA = tuple(m.Destination(1, bytes([number] * 16)) for number in (1, 2))
HEADER = m.ForwardingHeader(1, 2, 98, 3, (m.Destination(2, b"r" * 16),), VIA)
MESSAGE = m.Message(
    HEADER, Code.STORE_REQ, STORE, (), m.SecurityBlock((m.GenericCertificate(0, bytes(451)),), SIGNATURE)
)


class OneModel(msgspec.Struct, frozen=True, gc=False):
    """StoredData without the union that only the Kind tells apart: msgpack has no Kinds."""

    storage_time: int
    lifetime: int
    value: m.DictionaryEntry
    signature: m.Signature


class StoreKindData(msgspec.Struct, frozen=True, gc=False):
    kind: int
    generation_counter: int
    values: tuple[OneModel, ...]


class StoreReq(msgspec.Struct, frozen=True, gc=False):
    resource: bytes
    replica_number: int
    kind_data: tuple[StoreKindData, ...]


class FetchKindResponse(msgspec.Struct, frozen=True, gc=False):
    kind: int
    generation: int
    values: tuple[OneModel, ...]


class FetchAns(msgspec.Struct, frozen=True, gc=False):
    kind_responses: tuple[FetchKindResponse, ...]


PACKED = {"StoreReq": (STORE, StoreReq, Code.STORE_REQ), "FetchAns of 8 values": (FETCHED, FetchAns, Code.FETCH_ANS)}
BODIES = [
    pytest.param(*row, id=name, marks=pytest.mark.benchmark(group=f"{name} decoded")) for name, row in PACKED.items()
]


@pytest.mark.parametrize(("value", "cls", "code"), BODIES)
def test_msgpack(benchmark: Any, value: m.Body, cls: type, code: Code) -> None:
    data, decode = msgspec.msgpack.encode(value), msgspec.msgpack.Decoder[Any](cls).decode
    assert msgspec.to_builtins(decode(data)) == msgspec.to_builtins(value)
    measure(benchmark, lambda: [decode(data) for _ in TIMES], len(TIMES), is_reference=True)


@pytest.mark.parametrize(("value", "cls", "code"), BODIES)
def test_decode_body(benchmark: Any, value: m.Body, cls: type, code: Code) -> None:
    data, decode = codec.encode_body(code, value), codec.decode_body
    assert decode(code, data, 16, KINDS) == value
    measure(benchmark, lambda: [decode(code, data, 16, KINDS) for _ in TIMES], len(TIMES))


@pytest.mark.benchmark(group="StoreReq encoded")
def test_msgpack_encoder(benchmark: Any) -> None:
    encode = msgspec.msgpack.Encoder().encode
    measure(benchmark, lambda: [encode(STORE) for _ in TIMES], len(TIMES), is_reference=True)


@pytest.mark.benchmark(group="StoreReq encoded")
def test_encode_body(benchmark: Any) -> None:
    encode = codec.encode_body
    measure(benchmark, lambda: [encode(Code.STORE_REQ, STORE) for _ in TIMES], len(TIMES))


@pytest.mark.benchmark(group="whole Store message decoded")
def test_plain_python_decoder(benchmark: Any) -> None:
    data = codec.encode_message(MESSAGE)
    measure(benchmark, lambda: reference.decode_struct(m.Message, data, 16, KINDS), 1, is_reference=True)


@pytest.mark.benchmark(group="whole Store message decoded")
def test_decode_message(benchmark: Any) -> None:
    data, decode = codec.encode_message(MESSAGE), codec.decode_message
    assert decode(data, 16, KINDS) == MESSAGE
    measure(benchmark, lambda: [decode(data, 16, KINDS) for _ in TIMES], len(TIMES))


@pytest.mark.benchmark(group="whole Store message encoded")
def test_plain_python_encoder(benchmark: Any) -> None:
    measure(benchmark, lambda: reference.encode_struct(MESSAGE), 1, is_reference=True)


@pytest.mark.benchmark(group="whole Store message encoded")
def test_encode_message(benchmark: Any) -> None:
    encode = codec.encode_message
    assert encode(MESSAGE) == reference.encode_struct(MESSAGE)
    measure(benchmark, lambda: [encode(MESSAGE) for _ in TIMES], len(TIMES))
