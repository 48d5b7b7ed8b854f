"""The codec against a slow codec written from the RFC alone, and against bytes written by hand."""

import gc
import random
import sys
import tracemalloc
from array import array
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import codec as reference
from tests.reference.mutants import Mutants
from tests.reference.random_messages import RandomMessages
from tests.reference.structures import BODIES, KINDS, strategies
from xor_fast import messages as m
from xor_fast.cext import codec, wire
from xor_fast.errors import ConfigError, WireError
from xor_fast.messages import DataModel

STRATEGIES = {length: strategies(length) for length in (16, 20)}
STRUCTURES = list(STRATEGIES[16])
NONE = m.SignerIdentity(3)
CERT_HASH = m.SignerIdentity(1, 4, b"\xc4" * 32)
HEADER = m.ForwardingHeader(0x01020304, 5, 100, 6, (m.Destination(1, b"\xaa" * 16),))
SECURITY = m.SecurityBlock((m.GenericCertificate(0, b"certificate"),), m.Signature(4, 3, CERT_HASH, b"signature"))
PING = m.Message(HEADER, m.Code.PING_REQ, m.PingReq(b"pad"), (), SECURITY)


def mutations(data: bytes) -> st.SearchStrategy[bytes]:
    """The data with one byte changed, left out or put in, or cut."""
    place = st.integers(0, max(0, len(data) - 1))
    byte = st.binary(min_size=1, max_size=1)
    step = st.sampled_from((1, 255, 128))
    return st.one_of(
        st.builds(lambda at, b: data[:at] + b + data[at + 1 :], place, byte),
        st.builds(
            lambda at, s: data[:at] + bytes((v + s) % 256 for v in data[at : at + 1]) + data[at + 1 :], place, step
        ),
        st.builds(lambda at: data[:at] + data[at + 1 :], place),
        st.builds(lambda at, b: data[:at] + b + data[at:], place, byte),
        st.builds(lambda at: data[:at], place),
    )


def answer(
    refusal: type[Exception] | tuple[type[Exception], ...], decode: Callable[..., Any], *arguments: object
) -> Any:
    try:
        return decode(*arguments)
    except refusal:
        return "refused"


@pytest.mark.parametrize("cls", STRUCTURES, ids=lambda cls: cls.__name__)
@settings(max_examples=25)
@given(data=st.data())
def test_random_structures_are_the_bytes_of_the_reference(cls: type[m.Body], data: st.DataObject) -> None:
    length = data.draw(st.sampled_from((16, 20)))
    value = data.draw(STRATEGIES[length][cls])
    encoded = codec.encode_struct(value)
    assert encoded == reference.encode_struct(value)
    assert codec.decode_struct(cls, encoded, length, KINDS) == value


@pytest.mark.parametrize("cls", STRUCTURES, ids=lambda cls: cls.__name__)
@settings(max_examples=40)
@given(data=st.data())
def test_damaged_bytes_get_the_answer_of_the_reference(cls: type[m.Body], data: st.DataObject) -> None:
    value = data.draw(STRATEGIES[16][cls])
    damaged = data.draw(mutations(codec.encode_struct(value)))
    found = answer(WireError, codec.decode_struct, cls, damaged, 16, KINDS)
    assert found == answer(reference.Invalid, reference.decode_struct, cls, damaged, 16, KINDS)
    if found != "refused":
        assert codec.encode_struct(found) == damaged


@given(st.sampled_from(STRUCTURES), st.binary(max_size=200))
def test_random_bytes_get_the_answer_of_the_reference(cls: type[m.Body], data: bytes) -> None:
    found = answer(WireError, codec.decode_struct, cls, data, 16, KINDS)
    assert found == answer(reference.Invalid, reference.decode_struct, cls, data, 16, KINDS)


@given(STRATEGIES[16][m.Message])
def test_parts_of_a_message(message: m.Message) -> None:
    whole = codec.encode_message(message)
    contents = codec.encode_contents(message.code, message.body, message.extensions)
    assert codec.assemble(message.header, contents, message.security) == whole
    assert codec.decode_message(whole, 16, KINDS) == message
    body = codec.encode_body(message.code, message.body)
    assert contents[6 : 6 + len(body)] == body
    assert codec.decode_body(message.code, body, 16, KINDS) == message.body
    assert codec.signature_input(whole) == reference.signature_input(whole)


@given(STRATEGIES[16][m.Message], st.data())
def test_signature_input_of_damaged_bytes(message: m.Message, data: st.DataObject) -> None:
    """It is cut out without reading every structure, so it may answer where the reference refuses; else they agree."""
    damaged = data.draw(mutations(codec.encode_message(message)))
    expected = answer(reference.Invalid, reference.signature_input, damaged)
    found = answer(WireError, codec.signature_input, damaged)
    assert found == expected or expected == "refused"


@pytest.mark.req("codec.length-prefix")
@pytest.mark.parametrize("size", [0, 1, 254, 255, 256, 65534, 65535, 65536, (1 << 24) - 2])
@pytest.mark.parametrize(
    ("width", "before", "encode", "decode"),
    [
        (
            1,
            2,
            lambda v: codec.encode_struct(m.Destination(3, v)),
            lambda data: codec.decode_struct(m.Destination, data).value,
        ),
        (2, 0, lambda v: codec.encode_struct(m.PingReq(v)), lambda data: codec.decode_struct(m.PingReq, data).padding),
        (3, 5, lambda v: wire.data_frame(0, v), lambda data: wire.split_frames(data)[0][0][2]),
        (
            4,
            1,
            lambda v: codec.encode_struct(m.DataValue(True, v)),
            lambda data: codec.decode_struct(m.DataValue, data).value,
        ),
    ],
)
def test_width_of_a_length(
    width: int, before: int, encode: Callable[[bytes], bytes], decode: Callable[[bytes], bytes], size: int
) -> None:
    value = b"x" * size
    # An opaque id shares its container of 255 bytes with its own length byte.
    if size >= 256**width or (width == 1 and size > 254):
        with pytest.raises(WireError):
            encode(value)
    else:
        data = encode(value)
        assert data[before:] == size.to_bytes(width, "big") + value
        assert decode(data) == value


@pytest.mark.req("codec.relo-token")
def test_every_bit_of_the_token_counts() -> None:
    whole = codec.encode_message(PING)
    for bit in range(32):
        token = int.from_bytes(whole[:4], "big") ^ 1 << bit
        with pytest.raises(WireError, match="not a RELOAD message"):
            codec.decode_message(token.to_bytes(4, "big") + whole[4:])


@pytest.mark.req("codec.version")
def test_version_is_ten() -> None:
    whole = codec.encode_message(PING)
    assert whole[10] == 0x0A
    for version in set(range(256)) - {0x0A}:
        with pytest.raises(WireError, match="version"):
            codec.decode_message(whole[:10] + bytes([version]) + whole[11:])


@pytest.mark.req("codec.fragment-high-bit", "codec.fragment-last-bit")
def test_fragment_field() -> None:
    assert codec.encode_message(PING)[12:16].hex() == "c0000000"
    without = m.ForwardingHeader(1, 2, 3, 4, (), fragment=0x40000000)
    with pytest.raises(WireError, match="high bit"):
        codec.assemble(without, b"", SECURITY)


@pytest.mark.req("codec.forwarding-option-flags")
@pytest.mark.parametrize(
    ("flag", "byte"),
    [(m.OptionFlags.FORWARD_CRITICAL, 1), (m.OptionFlags.DESTINATION_CRITICAL, 2), (m.OptionFlags.RESPONSE_COPY, 4)],
)
def test_option_flags(flag: int, byte: int) -> None:
    assert codec.encode_struct(m.ForwardingOption(42, flag, b"")) == bytes([42, byte, 0, 0])


@pytest.mark.req("codec.destination-top-bit", "codec.destination-types")
def test_what_a_destination_cannot_be() -> None:
    refused = [
        m.Destination(3, b"\x7f\xff", True),
        m.Destination(3, b"\x80", True),
        m.Destination(3, b"\x80\x00\x00", True),
        m.Destination(1, b"\x80\x01", True),
        m.Destination(0, b""),
        *(m.Destination(type_, b"") for type_ in range(128, 256)),
    ]
    for value in refused:
        with pytest.raises(WireError):
            codec.encode_struct(value)
    assert [t.value for t in m.DestinationType] == [1, 2, 3]
    for type_ in (1, 2, 3):  # b"\x80\x01" as a TLV keeps the top bit of its first byte clear
        assert codec.encode_struct(m.Destination(type_, b"\x80" * 16))[0] == type_


@pytest.mark.req("codec.resource-id")
def test_a_resource_id_has_254_bytes_at_most() -> None:
    longest = m.FetchReq(b"r" * 254, ())
    assert codec.encode_struct(longest) == b"\xfe" + b"r" * 254 + b"\0\0"
    with pytest.raises(WireError, match="254"):
        codec.encode_struct(m.FetchReq(b"r" * 255, ()))


@pytest.mark.req("codec.code-parity")
def test_every_message_code() -> None:
    for code in range(0x10000):
        usable = 0 < code < 0x8000 or code == 0xFFFF
        if not usable:
            with pytest.raises(WireError, match="reserved message code"):
                codec.decode_body(code, b"")
            with pytest.raises(WireError, match="reserved message code"):
                codec.encode_contents(code, b"")
        elif code not in BODIES:
            assert codec.decode_body(code, b"anything") == b"anything"
            assert codec.encode_contents(code, b"anything")[:2] == code.to_bytes(2, "big")
    for code in set(m.Code) - {m.Code.ERROR}:
        pair = code.name.rsplit("_", 1)
        assert pair[1] == ("REQ" if code % 2 else "ANS")
        assert (m.Code[f"{pair[0]}_REQ"], m.Code[f"{pair[0]}_ANS"]) == ((code - 1) | 1, ((code - 1) | 1) + 1)


requirement = pytest.mark.req  # the id stands in a table, not in the call

KIND = "00000001" + "00" * 8
CODES = [
    (0x01, 0x02, "probe", "03 010203", "0006 03 04 00000e10", m.ProbeReq, m.ProbeAns),
    (0x03, 0x04, "attach", "00 00 00 0000 00", "00 00 00 0000 01", m.AttachReqAns, m.AttachReqAns),
    (0x07, 0x08, "store", "00 00 00000000", "0000", m.StoreReq, m.StoreAns),
    (0x09, 0x0A, "fetch", "00 0000", "00000000", m.FetchReq, m.FetchAns),
    (0x0D, 0x0E, "find", "00 04 00000001", "0005 00000001 00", m.FindReq, m.FindAns),
    (0x0F, 0x10, "join", "a1" * 16 + "0000", "0000", m.JoinReq, m.JoinAns),
    (0x11, 0x12, "leave", "a1" * 16 + "0000", "", m.LeaveReq, m.LeaveAns),
    (0x13, 0x14, "update", "00000000 01", "", m.UpdateReq, m.UpdateAns),
    (0x15, 0x16, "route-query", "00 8001 0000", "a1" * 16, m.RouteQueryReq, m.RouteQueryAns),
    (0x17, 0x18, "ping", "0000", "00" * 16, m.PingReq, m.PingAns),
    (0x19, 0x1A, "stat", "00 0010" + KIND + "0002 0000", "00000010" + KIND + "00000000", m.StatReq, m.StatAns),
    (0x1D, 0x1E, "app-attach", "00 00 1466 00 0000", "00 00 1466 00 0000", m.AppAttachReqAns, m.AppAttachReqAns),
    (0x21, 0x22, "config-update", "01 00000004 000001 3c", "", m.ConfigUpdateReq, m.ConfigUpdateAns),
]


@pytest.mark.parametrize(
    ("request_code", "answer_code", "name", "request_body", "answer_body", "request_struct", "answer_struct"),
    [pytest.param(*row, id=row[2], marks=requirement(f"codec.msg.{row[2]}")) for row in CODES],
)
def test_message_codes(
    request_code: int,
    answer_code: int,
    name: str,
    request_body: str,
    answer_body: str,
    request_struct: type,
    answer_struct: type,
) -> None:
    """Numbers of 14.8 written by hand; what they carry in a message tells the structure."""
    for code, hexed, cls, suffix in (
        (request_code, request_body, request_struct, "REQ"),
        (answer_code, answer_body, answer_struct, "ANS"),
    ):
        assert m.Code[f"{name.replace('-', '_').upper()}_{suffix}"] == code
        body = bytes.fromhex(hexed)
        decoded = codec.decode_body(code, body)
        assert type(decoded) is cls
        contents = code.to_bytes(2, "big") + len(body).to_bytes(4, "big") + body + bytes(4)
        assert codec.encode_contents(code, decoded) == contents


@pytest.mark.req("codec.msg.error")
def test_message_code_of_an_error() -> None:
    assert m.Code.ERROR == 0xFFFF
    assert codec.decode_body(0xFFFF, b"\0\x0c\0\x01x") == m.ErrorResponse(0xC, b"x")


@pytest.mark.req("codec.msg.unassigned")
def test_unassigned_message_codes_have_no_name() -> None:
    assert {0x5, 0x6, 0xB, 0xC, 0x1B, 0x1C, 0x1F, 0x20}.isdisjoint(set(m.Code))


@pytest.mark.req("codec.stat-req")
@given(STRATEGIES[16][m.FetchReq])
def test_a_stat_request_is_a_fetch_request_of_another_code(fetch: m.FetchReq) -> None:
    stat = m.StatReq(fetch.resource, fetch.specifiers)
    encoded = codec.encode_body(m.Code.FETCH_REQ, fetch)
    assert codec.encode_body(m.Code.STAT_REQ, stat) == encoded
    assert codec.decode_body(m.Code.STAT_REQ, encoded, 16, KINDS) == stat


@pytest.mark.req("codec.fragment-last-bit", "codec.fragment-reserved")
@pytest.mark.parametrize("fragment", [0x80000000, 0xC0000001, 0x80FFFFFF, 0xBF123456, 0xC0FFFFFF])
def test_a_fragment_is_no_message_but_has_a_header(fragment: int) -> None:
    whole = codec.encode_message(PING)
    cut = whole[:12] + fragment.to_bytes(4, "big") + whole[16:]
    for decode in (codec.decode_message, codec.signature_input):
        with pytest.raises(WireError, match="a fragment"):
            decode(cut)
    header = cut[: len(codec.encode_struct(HEADER))]
    header = header[:16] + len(header).to_bytes(4, "big") + header[20:]
    decoded = codec.decode_struct(m.ForwardingHeader, header)
    assert decoded.fragment == fragment  # reserved bits and offset as they came
    assert codec.encode_struct(decoded) == header
    with pytest.raises(WireError, match="a fragment"):
        codec.encode_message(m.Message(decoded, PING.code, PING.body, (), SECURITY))


@pytest.mark.req("codec.overlay-link-types")
def test_overlay_link_types() -> None:
    names = {t.name: t.value for t in m.OverlayLinkType}
    assert names == {"DTLS_UDP_SR": 1, "DTLS_UDP_SR_NO_ICE": 3, "TLS_TCP_FH_NO_ICE": 4, "EXP_LINK": 5}
    address = m.IpAddressPort(1, b"\x0a\0\0\x01", 1)
    for type_ in (1, 3, 4, 5, 99, 255):  # what nobody knows stays, for the receiver to step over that candidate
        candidate = m.IceCandidate(address, type_, b"", 0)
        encoded = codec.encode_struct(candidate)
        assert encoded[8] == type_
        assert codec.decode_struct(m.IceCandidate, encoded) == candidate
    with pytest.raises(WireError, match="type 0 is invalid"):
        codec.encode_struct(m.IceCandidate(address, 0, b"", 0))


@pytest.mark.req("codec.cand-types")
def test_candidate_types() -> None:
    assert {t.name: t.value for t in m.CandidateType} == {"HOST": 1, "SRFLX": 2, "RELAY": 4}
    address = m.IpAddressPort(1, b"\x0a\0\0\x01", 1)
    for type_ in (0, 3, 5, 255):
        for related in (None, address):
            with pytest.raises(WireError, match="candidate type"):
                codec.encode_struct(m.IceCandidate(address, 1, b"", 0, type_, related))


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (m.IceCandidate(m.IpAddressPort(1, b"\0" * 4, 1), 1, b"", 0, 1, m.IpAddressPort(1, b"\0" * 4, 1)), "rel_addr"),
        (m.IceCandidate(m.IpAddressPort(1, b"\0" * 4, 1), 1, b"", 0, 2), "rel_addr"),
        (m.IpAddressPort(0, b"", 0), "type 0"),
        (m.IpAddressPort(1, b"\0" * 16, 1), "length of its type"),
        (m.IpAddressPort(9, b"", 1), "no port"),
        (m.SignerIdentity(3, 4, b""), "no hash"),
        (m.SignerIdentity(0), "unknown type"),
        (m.UpdateReq(0, 1, (b"a" * 16,)), "peer_ready"),
        (m.UpdateReq(0, 2, (), (), (b"a" * 16,)), "fingers"),
        (m.UpdateReq(0, 4), "unknown type"),
        (m.ChordLeaveData(0, ()), "unknown type"),
        (m.UpdateReq(0, 2, (b"a" * 16,), (b"a" * 20,)), "two lengths"),
        (m.JoinReq(b"a" * 15), "16 to 20"),
        (m.JoinReq(b"a" * 21), "16 to 20"),
        (m.StoredData(0, 0, b"raw", m.Signature(4, 3, NONE, b"s")), "its own signature"),
        (m.XmppLocation(0), "type 0"),
        (m.XmppLocation(1, b"a@b.c", 1), "only a route"),
        (m.XmppLocation(2, b"a@b.c"), "no address"),
        (m.PingAns(-1, 0), "negative or too large"),
        (m.PingAns(0, 1 << 64), "negative or too large"),
        (m.ErrorResponse(0x10000), "negative or too large"),
        (m.MessageExtension(0, False, b""), "type 0"),
        (m.ProbeReq((1, 0)), "type 0"),
        (m.ProbeInformation(0, b""), "type 0"),
        (m.ProbeInformation(3, 1 << 32), "negative or too large"),
        (m.ProbeInformation(4, b"x" * 256), "8 bits"),
        (m.ConfigUpdateReq(0), "type 0"),
        (m.ConfigUpdateReq(2, b"<overlay/>"), "no config_data"),
        (m.ConfigUpdateReq(1, b"", (b"<kind/>",)), "only type kind"),
        (m.ConfigUpdateReq(1, b"x" * (1 << 24)), "24 bits"),
        (m.ConfigUpdateReq(2, b"", (b"x" * 65536,)), "16 bits"),
        (m.AppAttachReqAns(b"", b"", 0, b"", ()), "application 0"),
        (m.AppAttachReqAns(b"", b"", 65536, b"", ()), "negative or too large"),
        (m.UnknownKinds((1,) * 64), "8 bits"),
        (m.FindReq(b"", (1,) * 64), "8 bits"),
        (m.FindAns((m.FindKindData(1, b"r" * 255),)), "254"),
        (m.MetaData(True, 3, 4, b"x" * 256), "8 bits"),
        (m.MetaData(True, 1 << 32, 4, b""), "negative or too large"),
        (m.StatKindResponse(1, -1, ()), "negative or too large"),
        (m.TurnServer(256, m.IpAddressPort(1, b"\0" * 4, 1)), "negative or too large"),
        (m.ForwardingOption(0, 0, b""), "type 0"),
        (m.ForwardingHeader(0, 0, 0, 0, (), version=1), "version"),
        (m.ForwardingHeader(0, 0, 0, 0, (m.Destination(3, b"x" * 254),) * 256), "65,535"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, m.Body) else value,
)
def test_what_would_not_come_back_is_not_written(value: m.Body, rule: str) -> None:
    with pytest.raises(WireError, match=rule):
        codec.encode_struct(value)


def test_mistakes_of_the_caller() -> None:
    with pytest.raises(ConfigError, match="16 to 20"):
        codec.decode_message(b"", 15)
    with pytest.raises(TypeError, match="no RELOAD structure"):
        codec.decode_struct(int, b"")  # type: ignore[type-var]
    with pytest.raises(TypeError, match="not the body of message code 0x17"):
        codec.encode_body(m.Code.PING_REQ, m.JoinAns())
    with pytest.raises(TypeError, match="bytes expected"):
        codec.encode_struct(m.PingReq("text"))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        codec.encode_struct(m.PingReq(None))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="data models"):
        codec.encode_struct(m.StoredData(0, 0, m.PingReq()))  # type: ignore[arg-type]


# --- signatures -------------------------------------------------------------------------------------


@pytest.mark.req("sec.message-signature-input")
def test_input_of_a_message_signature() -> None:
    """6.3.4, by hand: overlay, transaction id, contents (code, body, extensions with their lengths), identity."""
    expected = "01020304 0000000000000006 0017 00000005 0003 706164 00000000 01 0022 04 20" + "c4" * 32
    assert codec.signature_input(codec.encode_message(PING)) == bytes.fromhex(expected)


@pytest.mark.req("sec.signature-header-mutable")
def test_what_a_message_signature_covers() -> None:
    def signed(body: bytes = b"pad", **fields: object) -> bytes:
        header = m.ForwardingHeader(**({n: getattr(HEADER, n) for n in HEADER.__struct_fields__} | fields))
        return codec.signature_input(codec.encode_message(m.Message(header, 0x17, m.PingReq(body), (), SECURITY)))

    original, hop = signed(), (m.Destination(1, b"\xbb" * 16),)
    for change in ({"ttl": 1}, {"via_list": hop}, {"destination_list": hop * 2}, {"fragment": 0xC1000000},
                   {"options": (m.ForwardingOption(42, 0, b""),)}, {"configuration_sequence": 9}):  # fmt: skip
        assert signed(**change) == original
    for change in ({"overlay": 7}, {"transaction_id": 7}):
        assert signed(**change) != original
    assert signed(b"pae") != original


VALUE_HEAD = "10" + "5e" * 16 + "00000005 0000018bcfe56800"
IDENTITY_TAIL = "01 0022 04 20" + "c4" * 32


@pytest.mark.req("sec.stored-signature-input")
@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (m.DataValue(True, b"abc"), "01 00000003 616263"),
        (m.DictionaryEntry(b"k", m.DataValue(False, b"")), "0001 6b 00 00000000"),
    ],
)
def test_input_of_a_value_signature(value: m.StoredDataValue, encoded: str) -> None:
    """7.1 and notes 3.2, by hand: all in wire form, the Resource-ID with its length byte; lifetime is not in it."""
    found = codec.value_signature_input(b"\x5e" * 16, 5, 1700000000000, value, CERT_HASH)
    assert found == bytes.fromhex(VALUE_HEAD + encoded + IDENTITY_TAIL)


@pytest.mark.req("sec.array-index-zero")
@pytest.mark.parametrize("index", [0, 1, 0xFFFFFFFF])
def test_input_of_the_signature_of_an_array_entry(index: int) -> None:
    value = m.ArrayEntry(index, m.DataValue(True, b"abc"))
    found = codec.value_signature_input(b"\x5e" * 16, 5, 1700000000000, value, CERT_HASH)
    assert found == bytes.fromhex(VALUE_HEAD + "00000000 01 00000003 616263" + IDENTITY_TAIL)


@given(st.sampled_from((m.DataValue, m.ArrayEntry, m.DictionaryEntry)), st.data())
def test_input_of_random_value_signatures(cls: type[m.Body], data: st.DataObject) -> None:
    value, identity = data.draw(STRATEGIES[16][cls]), data.draw(STRATEGIES[16][m.SignerIdentity])
    arguments = (data.draw(st.binary(max_size=254)), 5, 6, value, identity)
    assert codec.value_signature_input(*arguments) == reference.value_signature_input(*arguments)


# --- memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "data"),
    [
        (m.DataValue, b"\1\xff\xff\xff\xff"),
        (m.FetchAns, b"\xff\xff\xff\xff"),
        (m.StoredData, b"\xff\xff\xff\xff" + bytes(12)),
        (m.MessageExtension, b"\0\1\0\x7f\xff\xff\xff"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_claimed_length_allocates_nothing(cls: type[m.Body], data: bytes) -> None:
    """A length is checked against what is there before anything is made of it: up to 4 GiB claimed, few bytes sent."""
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            codec.decode_struct(cls, data)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_no_object_is_kept(rng: random.Random) -> None:
    """Of messages of every code, whole and damaged: what was made of them is gone, the half-made too."""
    make, mutants = RandomMessages(rng), Mutants(rng)
    values = [make.message() for _ in range(300)]
    inputs = [data for value in values if (data := answer(WireError, codec.encode_message, value)) != "refused"]
    inputs += [mutants.of_message(data) for data in inputs for _ in range(3)]
    edited = [mutants.of_value(value) for value in values]

    def run() -> int:
        for data in inputs:
            answer(WireError, codec.decode_message, data, 16, KINDS)
            answer(WireError, codec.signature_input, data)
        for value in edited:
            answer((WireError, TypeError), codec.encode_message, value)
        gc.collect()
        return sys.getallocatedblocks()

    rounds = array("q", bytes(8 * 16))  # numbers that are no objects
    for number in range(len(rounds)):
        rounds[number] = run()
    # The least of a few: now and then the interpreter has some objects of its own.
    assert min(rounds[-4:]) - min(rounds[1:5]) < 8  # one object kept in each round would be seen


def test_references_are_given_back() -> None:
    """Refused input and written values leave no reference behind."""
    key, data = b"k" * 40, b"v" * 40
    entry = m.DictionaryEntry(key, m.DataValue(True, data))
    message = m.StoreReq(b"r" * 16, 0, (m.StoreKindData(3, 0, (m.StoredData(1, 2, entry, m.UNSIGNED),)),))
    encoded = codec.encode_struct(message)
    kinds = {3: DataModel.DICTIONARY}
    objects = (key, data, entry, message, encoded, kinds, m.UNSIGNED)

    def run() -> None:
        for size in range(len(encoded) + 1):
            answer(WireError, codec.decode_struct, m.StoreReq, encoded[:size], 16, kinds)
            answer(WireError, codec.decode_struct, m.StoreReq, encoded[:size])
        codec.encode_struct(message)

    run()
    before = [sys.getrefcount(o) for o in objects]
    for _ in range(5):
        run()
    assert [sys.getrefcount(o) for o in objects] == before


@given(STRATEGIES[16][m.Message])
def test_stored_values_as_they_came(message: m.Message) -> None:
    """What is kept of a value is what its sender signed, byte for byte: also where no data model is known."""
    whole = codec.encode_message(message)
    if not isinstance(message.body, m.StoreReq | m.FetchAns):
        with pytest.raises(WireError):
            codec.stored_as_signed(whole)
        return
    kinds = message.body.kind_data if isinstance(message.body, m.StoreReq) else message.body.kind_responses
    stored = [data for kind in kinds for data in kind.values]
    found = codec.stored_as_signed(whole)
    assert [
        codec.encode_struct(m.StoredData(d.storage_time, d.lifetime, f)) for d, f in zip(stored, found, strict=True)
    ] == [codec.encode_struct(data) for data in stored]
