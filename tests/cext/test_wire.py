"""Frames and the forwarding header against bytes written by hand and against the reference."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import wire as reference
from tests.reference.wire import node, opaque, resource
from xor_fast.cext import wire
from xor_fast.errors import WireError

A, B, C = (bytes([letter]) * 16 for letter in b"ABC")

# Field by field as printed in RFC 6940 6.3.2.
MESSAGE = bytes.fromhex(
    "d2454c4f"  # relo_token
    "9aa32b8d"  # overlay
    "0001"  # configuration_sequence
    "0a"  # version
    "63"  # ttl
    "c0000000"  # fragment
    "00000087"  # length
    "0123456789abcdef"  # transaction_id
    "00001388"  # max_response_length
    "0012"  # via_list_length
    "0027"  # destination_list_length
    "0005"  # options_length
    "0110" + "41" * 16 +  # via_list: node A
    "8001" + "0110" + "42" * 16 +  # destination_list: compact, node B,
    "0211" + "10" + "43" * 16 +  # resource C
    "c8" "02" "0001" "ff"  # options: type 200, DESTINATION_CRITICAL
    "0017" "00000002" "0000" "00000000"  # PingReq without padding, no extensions
    "5345435552495459" + "00" * 15  # what follows is none of a forwarder's business
)  # fmt: skip


def test_the_sample_is_as_long_as_it_says() -> None:
    assert len(MESSAGE) == 0x87


@pytest.mark.req("codec.byte-order")
def test_peek_reads_every_field_of_the_sample() -> None:
    header = wire.peek(MESSAGE)
    assert header.overlay == 0x9AA32B8D
    assert header.configuration_sequence == 1
    assert header.version == 10
    assert header.ttl == 99
    assert header.fragment == 0xC0000000
    assert header.length == 0x87
    assert header.transaction_id == 0x0123456789ABCDEF
    assert header.max_response_length == 5000
    assert header.via_list == MESSAGE[38:56]
    assert header.destination_list == MESSAGE[56:95]
    assert header.options == MESSAGE[95:100]
    assert header.header_size == 100


def test_peek_needs_the_whole_header_and_nothing_more() -> None:
    assert wire.peek(MESSAGE[:100]).header_size == 100
    for size in range(100):
        with pytest.raises(WireError, match="ForwardingHeader"):
            wire.peek(MESSAGE[:size])


def test_peek_refuses_another_token() -> None:
    with pytest.raises(WireError, match="relo_token"):
        wire.peek(b"\x52" + MESSAGE[1:])


@pytest.mark.req("codec.header-length-field")
def test_rewrite_changes_what_a_forwarder_changes() -> None:
    out = wire.rewrite(MESSAGE, 98, C, 1)
    assert len(out) == len(MESSAGE) + 18 - 2
    assert out == (
        MESSAGE[:11]
        + b"\x62"
        + MESSAGE[12:16]
        + len(out).to_bytes(4, "big")
        + MESSAGE[20:32]
        + b"\x00\x24\x00\x25"
        + MESSAGE[36:56]
        + b"\x01\x10"
        + C
        + MESSAGE[58:]
    )


def test_rewrite_refuses_to_strip_more_than_there_is() -> None:
    assert wire.peek(wire.rewrite(MESSAGE, 1, None, 3)).destination_list == b""
    with pytest.raises(WireError, match="fewer than 4"):
        wire.rewrite(MESSAGE, 1, None, 4)
    with pytest.raises(WireError, match="ForwardingHeader"):
        wire.rewrite(MESSAGE[:99], 1, None)


def test_rewrite_keeps_the_via_list_below_64_kib() -> None:
    full = reference.message([node(B)], via=[b"\x07\xff" + bytes(255)] * 255)
    with pytest.raises(WireError, match="via_list_length"):
        wire.rewrite(full, 1, A)


entry = (
    st.binary(min_size=16, max_size=20).map(node)
    | st.binary(max_size=254).map(resource)
    | st.binary(max_size=254).map(opaque)
    | st.integers(0x8000, 0xFFFF).map(lambda n: n.to_bytes(2, "big"))
    | st.binary(max_size=255).map(lambda value: b"\x07" + bytes([len(value)]) + value)
)
messages = st.builds(
    reference.message,
    st.lists(entry, max_size=4),
    st.lists(entry, max_size=4),
    code=st.integers(0, 0xFFFF),
    body=st.binary(max_size=50),
    ttl=st.integers(0, 255),
    overlay=st.integers(0, 2**32 - 1),
    fragment=st.integers(0, 2**32 - 1),
    transaction_id=st.integers(0, 2**64 - 1),
    option_list=st.binary(max_size=20),
)


@given(messages)
def test_peek_is_the_reference_s(message: bytes) -> None:
    header, expected = wire.peek(message), reference.peek(message)
    for field in dataclasses.fields(expected):
        if field.name != "token":
            assert getattr(header, field.name) == getattr(expected, field.name), field.name
    assert header.header_size == expected.size


@given(messages, st.integers(0, 255), st.none() | st.binary(min_size=16, max_size=20), st.data())
def test_rewrite_is_the_reference_s(message: bytes, ttl: int, via: bytes | None, data: st.DataObject) -> None:
    strip = data.draw(st.integers(0, len(reference.entries(reference.peek(message).destination_list))))
    assert wire.rewrite(message, ttl, via, strip) == reference.rewrite(message, ttl, via, strip)


@given(st.binary(max_size=120), st.booleans())
def test_peek_and_split_frames_end_on_any_bytes(data: bytes, is_marked: bool) -> None:
    try:
        assert wire.peek(b"\xd2ELO" + data if is_marked else data).header_size <= len(data) + 4
    except WireError:
        pass
    try:
        assert wire.split_frames(b"\x80" + data if is_marked else data)[1] <= len(data) + 1
    except WireError:
        pass


# --- frames (6.6.2) ---------------------------------------------------------------------------------

DATA = bytes.fromhex("80" "00000102" "000003" "616263")  # fmt: skip
ACK = bytes.fromhex("81" "fffffffe" "0000000e")  # fmt: skip


@pytest.mark.req("codec.framed-data")
def test_a_data_frame_is_the_vector() -> None:
    assert wire.data_frame(0x102, b"abc") == DATA
    assert wire.split_frames(DATA) == ([(128, 0x102, b"abc")], 11)


@pytest.mark.req("codec.framed-ack")
def test_an_ack_frame_is_the_vector() -> None:
    assert wire.ack_frame(0xFFFFFFFE, 0xE) == ACK
    assert wire.split_frames(ACK) == ([(129, 0xFFFFFFFE, 0xE)], 9)


@pytest.mark.req("codec.framed-data", "codec.framed-ack")
def test_a_frame_cut_at_any_byte_is_left_for_later() -> None:
    whole = DATA + ACK
    for size in range(len(whole)):
        frames, used = wire.split_frames(whole[:size])
        assert (len(frames), used) == ((1, 11) if size >= 11 else (0, 0))


@pytest.mark.req("codec.framed-types")
@pytest.mark.parametrize("type_", [0, 1, 127, 130, 255])
def test_another_frame_type_is_refused(type_: int) -> None:
    with pytest.raises(WireError) as caught:
        wire.split_frames(DATA + bytes([type_]) + DATA[1:])
    assert (caught.value.offset, caught.value.structure) == (11, "FramedMessage")


def test_what_does_not_fit_a_frame_is_refused() -> None:
    assert wire.split_frames(wire.data_frame(0, bytes(2**24 - 1)))[1] == 2**24 + 7
    with pytest.raises(ValueError, match="24-bit"):
        wire.data_frame(0, bytes(2**24))
    with pytest.raises(OverflowError):
        wire.data_frame(2**32, b"")
    with pytest.raises(OverflowError):
        wire.ack_frame(-1, 0)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=40) | st.integers(0, 2**32 - 1))))
def test_frames_come_apart_as_they_were_put_together(items: list[tuple[int, bytes | int]]) -> None:
    data, expected = b"", []
    for sequence, content in items:
        if isinstance(content, bytes):
            data += wire.data_frame(sequence, content)
            assert data.endswith(reference.data_frame(sequence, content))
            expected.append((128, sequence, content))
        else:
            data += wire.ack_frame(sequence, content)
            assert data.endswith(reference.ack_frame(sequence, content))
            expected.append((129, sequence, content))
    assert wire.split_frames(data + b"\x80") == (expected, len(data))
