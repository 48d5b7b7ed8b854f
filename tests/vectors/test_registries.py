"""Every code point that has a name (RFC 6940 14, and where its tables stand)."""

import ast
import re
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from tests.vectors.notation import load, meaning, params, unhex
from xor_fast import errors, messages
from xor_fast.cext import codec
from xor_fast.errors import ErrorCode
from xor_fast.messages import Code

PACKAGE = Path(messages.__file__).parent
STRUCTURES = load("structures.json")


@pytest.mark.parametrize("registry", params("registries.json"))
def test_names_and_numbers(registry: dict[str, Any]) -> None:
    enumeration: type[IntEnum] = getattr(messages, registry["enumeration"], None) or errors.ErrorCode
    assert {member.name.lower(): int(member) for member in enumeration} == registry["values"]


def test_every_enumeration_is_in_a_registry() -> None:
    enumerations = {name for name in vars(messages) if isinstance(vars(messages)[name], type(IntEnum))}
    in_registries = {registry["enumeration"] for registry in load("registries.json")}
    assert enumerations - {"IntEnum", "IntFlag"} == in_registries - {"ErrorCode"} | {"DataModel"}  # never on the wire


def test_every_message_code_has_a_message() -> None:
    assert {vector["message_code"] for vector in load("messages.json")} >= set(Code)


def test_every_error_code_has_a_response() -> None:
    responses = [v["is"]["error_code"] for v in STRUCTURES if v["structure"] == "ErrorResponse"]
    assert set(responses) >= set(ErrorCode)


def test_every_structure_has_a_vector() -> None:
    structs = {name for name, value in vars(messages).items() if isinstance(value, type(messages.Body))}
    assert {vector["structure"] for vector in STRUCTURES} == structs - {"Body"}


@pytest.mark.req("codec.err.generation-too-low", "codec.err.unknown-kind", "codec.unknown-kinds")
def test_the_error_info_of_two_errors_is_a_structure() -> None:
    found = {
        v["is"]["error_code"]: unhex(v["is"]["error_info"]) for v in STRUCTURES if v["structure"] == "ErrorResponse"
    }
    answer = codec.decode_struct(messages.StoreAns, found[ErrorCode.GENERATION_COUNTER_TOO_LOW])
    assert answer == messages.StoreAns((messages.StoreKindResponse(5, 9),))
    kinds = codec.decode_struct(messages.UnknownKinds, found[ErrorCode.UNKNOWN_KIND])
    assert kinds == messages.UnknownKinds((0xF0000001, 0x99))


@pytest.mark.req("codec.stat-req")
def test_fetch_and_stat_ask_with_the_same_bytes() -> None:
    by_code = {vector["message_code"]: vector for vector in load("messages.json")}
    assert by_code[Code.FETCH_REQ]["body"] == by_code[Code.STAT_REQ]["body"]
    asked = meaning(by_code[Code.FETCH_REQ]["is"]).body
    stat = messages.StatReq(asked.resource, asked.specifiers)
    assert codec.encode_struct(stat) == codec.encode_struct(asked)


def names_used(path: Path) -> set[str]:
    return {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}


@pytest.mark.req(
    "codec.msg.experimental",
    "codec.err.experimental",
    "codec.forwarding-option-codes",
    "codec.extension-codes",
    "codec.probe-info-types",
    "codec.overlay-link-types",
)
def test_nothing_uses_the_code_points_for_experiments() -> None:
    used = set().union(*(names_used(path) for path in PACKAGE.rglob("*.py")))
    assert "NOT_FOUND" in used, "the search finds names at all"
    compiled = " ".join(path.read_text() for part in ("cext", "net") for path in (PACKAGE / part).glob("*.p[yx][xid]"))
    assert "RELO_TOKEN" in compiled, "the search reads the compiled modules' sources too"
    used.update(re.findall(r"\bEXP_[A-Z]\w*", compiled))
    assert {name for name in used if name.startswith("EXP_")} == set()
