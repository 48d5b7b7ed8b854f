"""The tree of `xor-fast dump`: every field where it stands, judged by the published vectors and their length fields."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.vectors.notation import EXACT, load, overlay_of, unhex
from xor_fast import messages
from xor_fast.cext import codec
from xor_fast.cli.dump.checks import Checker
from xor_fast.cli.dump.content import BODIES, DEFAULT_KINDS, Kind, Reader
from xor_fast.cli.dump.items import Dumper, Item
from xor_fast.cli.dump.layout import LAYOUTS
from xor_fast.cli.dump.show import as_json, complaint, lines
from xor_fast.cli.dump.walk import Node, Walk
from xor_fast.errors import ConfigError, WireError
from xor_fast.messages import RELO_TOKEN

STRUCTURES = [vector for vector in load("structures.json") if hasattr(messages, vector["structure"])]
MESSAGES = load("messages.json")
REFUSED = [vector for vector in load("refused.json") if hasattr(messages, vector["structure"])]
ASIDE = {
    "relo_token",
    "length",
    "via_list_length",
    "destination_list_length",
    "options_length",
}  # not in a vector's `is`


def tree_of(vector: dict[str, Any], data: bytes) -> tuple[Node, Walk]:
    """By the walk alone: nothing but the body of a message is opened."""

    def open_body(walk: Walk, node: Node) -> None:
        code = walk.find("code")
        if node.reading == "body" and code is not None and code.value in BODIES:
            walk.inside(node, BODIES[code.value].__name__)

    walk = Walk(data, *overlay_of(vector), open_body)
    return walk.structure(vector["structure"], 0, len(data)), walk


def meaning_of(node: Node) -> Any:
    """A node as the vectors write it."""
    if node.is_list:
        return [meaning_of(child) for child in node.children]
    if node.form in LAYOUTS:
        found = {child.name: meaning_of(child) for child in node.children if child.name not in ASIDE}
        if node.form == "Destination" and "type" not in found:
            found |= {"type": 3, "compact": True}  # the form of two bytes says neither
        return {"struct": node.form} | found
    if isinstance(node.value, bytes):
        return node.value.hex()
    return f"0x{node.value:016x}" if type(node.value) is int and node.value > EXACT else node.value


def assert_same(found: Any, expected: Any) -> None:
    """What a type does not have is empty in a vector, and not in the tree."""
    if isinstance(expected, dict):
        assert found.keys() <= expected.keys()
        for name, value in expected.items():
            if name in found:
                assert_same(found[name], value)
            elif name == "signature":
                assert value["signature_value"] == ""
            else:
                assert not value, name
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert (found, type(found)) == (expected, type(expected))


def assert_tiles(node: Node) -> None:
    """The children stand one behind the other and, with the node's own length ahead of them, fill it."""
    assert node.offset + node.prefix <= node.end
    if node.children or node.is_list or node.form in LAYOUTS:
        at = node.offset + node.prefix
        for child in node.children:
            assert child.offset == at, (node.name, child.name)
            assert_tiles(child)
            at = child.end
        assert at == node.end, node.name


def length_fields(node: Node) -> Iterator[tuple[int, int]]:
    for found in node.walk():
        if found.prefix:
            yield found.offset, found.prefix
        elif found.name in ASIDE - {"relo_token"} and not found.children:
            yield found.offset, found.size


@pytest.mark.parametrize("vector", [*STRUCTURES, *({"structure": "Message"} | vector for vector in MESSAGES)],
                         ids=lambda vector: vector["from"])  # fmt: skip
def test_every_field_of_every_vector(vector: dict[str, Any]) -> None:
    data = unhex(vector["hex"])
    top, walk = tree_of(vector, data)
    assert not walk.problems
    assert (top.offset, top.size) == (0, len(data))
    assert_same(meaning_of(top), vector["is"])
    assert_tiles(top)
    opened = set(length_fields(read(vector, data).top))
    assert opened | set(length_fields(top)) >= {tuple(place) for place in vector.get("lengths", [])}
    for node in top.walk():
        if isinstance(node.value, bytes):
            assert data[node.offset + node.prefix : node.end] == node.value
        elif node.value is not None:
            assert int.from_bytes(data[node.offset : node.end], "big") == node.value


def test_every_structure_and_every_body_has_a_layout() -> None:
    structs = {name for name, value in vars(messages).items() if isinstance(value, type(messages.Body))}
    assert set(LAYOUTS) - {"FramedMessage", "Fragment"} == structs - {"Body"}
    for vector in MESSAGES:
        if vector["is"]["body"] != unhex(vector["body"]).hex():
            assert BODIES[vector["message_code"]].__name__ == vector["is"]["body"]["struct"]
        else:
            assert vector["message_code"] not in BODIES


# --- what is wrong ------------------------------------------------------------------------------------


def dumper_of(vector: dict[str, Any]) -> Dumper:
    length, models = overlay_of(vector)
    kinds = DEFAULT_KINDS if not vector else {number: Kind(model) for number, model in models.items()}
    return Dumper(length, kinds, None, Checker(None, [], 0))


def read(vector: dict[str, Any], data: bytes) -> Item:
    (item,) = dumper_of(vector).one(data, vector["structure"])
    return item


@pytest.mark.parametrize("vector", REFUSED, ids=lambda vector: vector["from"])
def test_what_must_be_refused_is_told_by_its_rule(vector: dict[str, Any]) -> None:
    data = unhex(vector["hex"])
    item = read(vector, data)
    assert item.problem is not None
    assert item.problem.rule == vector["rule"]
    assert vector["rule"] in complaint(data, item.problem)
    assert item.top.size == len(data), "what could not be read is shown as bytes"


def test_after_a_broken_body_the_rest_of_the_message_is_read() -> None:
    vector = next(vector for vector in MESSAGES if vector["message_code"] == 7)
    data = bytearray(unhex(vector["hex"]))
    body = data.index(bytes.fromhex(vector["body"]))
    data[body] = 255  # the length of the Resource-ID
    item = read({"structure": "Message"} | vector, bytes(data))
    assert item.problem is not None
    assert item.problem.structure == "ResourceId"
    assert item.problem.offset == body
    security = item.top.child("security")
    assert security is not None
    assert meaning_of(security) | {"struct": "SecurityBlock"} == vector["is"]["security"]


def mutants(rng: random.Random, data: bytes) -> Iterator[bytes]:
    for _ in range(6):
        wrong = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8))):
            if wrong:
                wrong[rng.randrange(len(wrong))] = rng.choice((0, 1, 2, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        if rng.random() < 0.3:
            del wrong[rng.randrange(len(wrong) + 1) :]
        if rng.random() < 0.2:
            wrong += rng.randbytes(rng.randrange(1, 9))
        yield bytes(wrong)


def test_mutants_are_shown_and_judged_as_the_codec_judges(rng: random.Random) -> None:
    """The walk and the codec know the same structures: what one can read, the other can."""
    counts = {True: 0, False: 0}
    for vector in [*STRUCTURES, *REFUSED, *({"structure": "Message"} | vector for vector in MESSAGES)]:
        cls = getattr(messages, vector["structure"])
        for data in mutants(rng, unhex(vector["hex"])):
            item = read(vector, data)
            try:
                codec.decode_struct(cls, data, *overlay_of(vector))
            except WireError:
                assert item.problem is not None
            else:
                assert item.problem is None, (vector["from"], data.hex(), item.problem)
            counts[item.problem is None] += 1
            assert item.top.size == len(data)
            assert_tiles(item.top)
            assert all(line.isprintable() for line in lines(item.top, item.checks))
            assert as_json(item.top, item.checks)
            if item.problem is not None:
                assert 0 <= item.problem.offset <= len(data)
                assert complaint(data, item.problem).count("\n") == 0
    assert min(counts.values()) > 100


def test_any_bytes_are_shown_or_refused_in_one_line(rng: random.Random) -> None:
    starts = [
        b"\x80",
        b"\x81",
        RELO_TOKEN.to_bytes(4, "big"),
        b"\x80\0\0\0\1\0\1\0" + RELO_TOKEN.to_bytes(4, "big"),
        b"",
    ]
    frames = [unhex(frame) for vector in load("frames.json") for frame in vector["frames"] + vector["acks"]]
    for _ in range(300):
        inputs = [rng.choice(starts) + rng.randbytes(rng.randrange(200)), *mutants(rng, rng.choice(frames))]
        for data in inputs:
            if not data:
                continue
            try:
                items = list(dumper_of({}).all_of(data))
            except ConfigError:
                assert data[0] not in (0x80, 0x81)
                assert not data.startswith(RELO_TOKEN.to_bytes(4, "big"))
                continue
            own = [item for item in items if item.data is data]
            assert sum(item.top.size for item in own) == len(data)
            assert [item.top.offset for item in own] == [sum(i.top.size for i in own[:n]) for n in range(len(own))]


# --- what lies within ---------------------------------------------------------------------------------


def shown(value: messages.Body) -> Item:
    (item,) = dumper_of({}).one(codec.encode_struct(value), type(value).__name__)
    return item


def test_within_values_and_errors_and_leave_data_is_shown_what_they_hold() -> None:
    location = bytes.fromhex("02 0015 00 0012 0110") + b"\xa1" * 16
    leave = messages.LeaveReq(b"\xb0" * 16, bytes.fromhex("01 0010") + b"\xa1" * 16)
    unknown_kind = messages.ErrorResponse(0xC, bytes.fromhex("04 00000099"))
    too_low = messages.ErrorResponse(0x5, bytes.fromhex("000e 00000005 0000000000000009 0000"))
    for outer, value, inner in [
        (leave, "overlay_specific_data", "ChordLeaveData"),
        (unknown_kind, "error_info", "UnknownKinds"),
        (too_low, "error_info", "StoreAns"),
    ]:
        item = shown(outer)
        assert item.problem is None
        found = item.top.child(value)
        assert found is not None
        assert found.form == inner
        assert_tiles(item.top)
    stored = messages.StoredData(0, 0, messages.DictionaryEntry(b"k", messages.DataValue(True, location)))
    for kind, form in ((5, "XmppLocation"), (1, "opaque<4>")):
        request = messages.StoreReq(b"r", 0, (messages.StoreKindData(kind, 0, (stored,)),))
        item = shown(request)
        values = [node for node in item.top.walk() if node.name == "value" and node.size == 4 + len(location)]
        assert [node.form for node in values] == [form]


def test_a_value_that_is_no_location_is_told_and_the_message_stays_good() -> None:
    stored = messages.StoredData(0, 0, messages.DictionaryEntry(b"k", messages.DataValue(True, b"\x02\x00\x01\x00")))
    request = messages.StoreReq(b"r", 0, (messages.StoreKindData(5, 0, (stored,)),))
    item = shown(request)
    assert item.problem is None
    said = [node.meaning for node in item.top.walk() if node.value == b"\x02\x00\x01\x00"]
    assert len(said) == 1
    assert said[0].startswith("no XmppLocation: XmppLocation at byte ")


def test_names_are_those_of_the_rfc() -> None:
    """Each code point of the registries, in the place it stands; the names come from the published registries."""
    registries = {registry["enumeration"]: registry["values"] for registry in load("registries.json")}
    reader = Reader(16, DEFAULT_KINDS, None)
    for enumeration, values in registries.items():
        for name, number in values.items():
            node = Node("x", "u16", 0, reading=enumeration, value=number)
            if enumeration in ("OptionFlags", "DataModel"):
                continue
            reader(Walk(b""), node)
            said = node.meaning.lower().replace("-", "_")
            assert name in said or said in {"opaque_id_type", "x.509"}, (enumeration, name, said)
