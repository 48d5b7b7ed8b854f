"""Every structure: its bytes and their meaning, and bytes that are none. What is in the files stands in README.md."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.reference import codec as reference
from tests.vectors.notation import cases, meaning, overlay_of, params, struct_named, unhex
from xor_fast import messages as m
from xor_fast.cext import codec
from xor_fast.errors import WireError


@pytest.mark.parametrize("vector", params("structures.json"))
def test_bytes_and_meaning(vector: dict[str, Any]) -> None:
    data, value = unhex(vector["hex"]), meaning(vector["is"])
    assert codec.decode_struct(type(value), data, *overlay_of(vector)) == value
    assert codec.encode_struct(value).hex() == data.hex()
    assert reference.decode_struct(type(value), data, *overlay_of(vector)) == value
    assert reference.encode_struct(value) == data


@pytest.mark.parametrize("vector", cases("structures.json"))
def test_cut_or_longer_is_refused(vector: dict[str, Any]) -> None:
    data, cls = unhex(vector["hex"]), struct_named(vector["structure"])
    step = max(1, len(data) // 200)
    for cut in [data[:size] for size in range(0, len(data), step)] + [data + b"\0"]:
        with pytest.raises(WireError):
            codec.decode_struct(cls, cut, *overlay_of(vector))


BOUNDED = [case for case in cases("structures.json") if case.values[0]["lengths"] and not case.values[0].get("alone")]


@pytest.mark.req("codec.no-trailing")
@pytest.mark.parametrize("vector", BOUNDED)
def test_a_length_field_off_by_one_is_refused(vector: dict[str, Any]) -> None:
    data, cls = unhex(vector["hex"]), struct_named(vector["structure"])
    for at, width in vector["lengths"]:
        for step in (-1, 1):
            wrong = (int.from_bytes(data[at : at + width], "big") + step) % 256**width
            damaged = data[:at] + wrong.to_bytes(width, "big") + data[at + width :]
            with pytest.raises(WireError):
                codec.decode_struct(cls, damaged, *overlay_of(vector))


@pytest.mark.parametrize("vector", params("refused.json"))
def test_refused(vector: dict[str, Any]) -> None:
    data, cls = unhex(vector["hex"]), struct_named(vector["structure"])
    with pytest.raises(WireError) as error:
        codec.decode_struct(cls, data, *overlay_of(vector))
    assert error.value.rule == vector["rule"]
    with pytest.raises(reference.Invalid):
        reference.decode_struct(cls, data, *overlay_of(vector))


@pytest.mark.parametrize("vector", cases("refused.json"))
def test_the_offset_of_a_refusal_lies_in_the_data(vector: dict[str, Any]) -> None:
    data, cls = unhex(vector["hex"]), struct_named(vector["structure"])
    with pytest.raises(WireError) as error:
        codec.decode_struct(cls, data, *overlay_of(vector))
    assert error.value.offset <= len(data)


@pytest.mark.parametrize("vector", params("messages.json"))
def test_a_message_and_its_meaning(vector: dict[str, Any]) -> None:
    data, value = unhex(vector["hex"]), meaning(vector["is"])
    found = codec.decode_message(data, *overlay_of(vector))
    assert found == value
    assert (found.code, type(found)) == (vector["message_code"], m.Message)
    assert codec.encode_message(value).hex() == data.hex()
    assert reference.decode_struct(m.Message, data, *overlay_of(vector)) == value


@pytest.mark.parametrize("vector", params("messages.json"))
def test_the_body_of_a_message_alone(vector: dict[str, Any]) -> None:
    code, data, value = vector["message_code"], unhex(vector["body"]), meaning(vector["is"]).body
    assert codec.decode_body(code, data, *overlay_of(vector)) == value
    assert codec.encode_body(code, value).hex() == data.hex()


@pytest.mark.req("codec.message-parts", "codec.message-contents")
@pytest.mark.parametrize("vector", cases("messages.json"))
def test_the_parts_of_a_message_stand_back_to_back(vector: dict[str, Any]) -> None:
    """Put together here by the text of 6.3 and 6.3.3."""
    value, body = meaning(vector["is"]), unhex(vector["body"])
    contents = vector["message_code"].to_bytes(2, "big") + len(body).to_bytes(4, "big") + body + bytes(4)
    header, security = codec.encode_struct(value.header), codec.encode_struct(value.security)
    size = len(header) + len(contents) + len(security)
    assert codec.encode_message(value) == header[:16] + size.to_bytes(4, "big") + header[20:] + contents + security


@pytest.mark.parametrize("vector", cases("messages.json"))
def test_a_message_cut_or_longer_is_refused(vector: dict[str, Any]) -> None:
    data = unhex(vector["hex"])
    for damaged in [data[:size] for size in range(0, len(data), 7)] + [data[:-1], data + b"\0"]:
        with pytest.raises(WireError):
            codec.decode_message(damaged, *overlay_of(vector))


LONGEST: list[tuple[str, Callable[[int], m.Body], int]] = [  # a list of n items, and the n that its length can just say
    ("codec.unknown-kinds", lambda n: m.UnknownKinds((9,) * n), 63),
    ("codec.find-req", lambda n: m.FindReq(b"", (9,) * n), 63),
    ("codec.find-ans", lambda n: m.FindAns((m.FindKindData(9, b""),) * n), 13107),
    ("codec.probe-req", lambda n: m.ProbeReq((9,) * n), 255),
    ("codec.probe-ans", lambda n: m.ProbeAns((m.ProbeInformation(1, 0),) * n), 10922),
    ("codec.store-ans", lambda n: m.StoreAns((m.StoreKindResponse(9, 9),) * n), 4681),
    ("codec.store-kind-response", lambda n: m.StoreKindResponse(9, 9, (b"\xa1" * 16,) * n), 4095),
    ("codec.chord-leave", lambda n: m.ChordLeaveData(1, (b"\xa1" * 16,) * n), 4095),
    ("codec.config-update-req", lambda n: m.ConfigUpdateReq(2, b"", (b"x" * 65533,) * n), 256),
]


@pytest.mark.parametrize(
    ("value", "most"), [pytest.param(*case, marks=pytest.mark.req(req), id=req) for req, *case in LONGEST]
)
def test_a_list_is_as_long_as_its_length_can_say(value: Callable[[int], m.Body], most: int) -> None:
    longest = value(most)
    assert codec.decode_struct(type(longest), codec.encode_struct(longest)) == longest
    with pytest.raises(WireError):
        codec.encode_struct(value(most + 1))
