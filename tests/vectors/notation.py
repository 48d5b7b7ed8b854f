"""How vectors are written down: bytes and their meaning as JSON, for people (`source/`) and for programs.

People write `aa*16` for a byte sixteen times, blanks between fields, and # ahead of a length field. Programs get plain
hexadecimal; what holds for them stands in README.md.
"""

import json
import re
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from xor_fast import messages, uri
from xor_fast.messages import DataModel

mark_requirements = pytest.mark.req  # the ids stand in the vectors
HERE = Path(__file__).parent
TOKEN = re.compile(r"(#?)([0-9a-f]+)(?:\*(\d+))?")


def read(text: str) -> tuple[bytes, list[tuple[int, int]]]:
    """The bytes, and where the length fields are: (offset, width)."""
    data, lengths = b"", []
    for mark, digits, times in TOKEN.findall(text):
        if mark:
            lengths.append((len(data), len(digits) // 2))
        data += bytes.fromhex(digits) * int(times or 1)
    return data, lengths


def unhex(text: str) -> bytes:
    return read(text)[0]


def struct_named(name: str) -> Any:
    return uri.ReloadUri if name == "ReloadUri" else getattr(messages, name)


TEXT = {"overlay_name"}  # members that are text and not bytes
EXACT = 2**53 - 1  # above it many JSON readers give another number, or none


def meaning(value: Any) -> Any:
    """JSON -> structs: an object names its struct, a string is bytes or (0x...) a large number, a list is a tuple."""
    if isinstance(value, dict):
        fields = {
            name: member if name in TEXT else meaning(member) for name, member in value.items() if name != "struct"
        }
        return struct_named(value["struct"])(**fields)
    if isinstance(value, str):
        return int(value, 16) if value.startswith("0x") else unhex(value)
    if isinstance(value, list):
        return tuple(map(meaning, value))
    return value


def plain(value: Any) -> Any:
    """Structs -> JSON with every member, the way `meaning` reads it."""
    if isinstance(value, msgspec.Struct):
        members = {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        return {"struct": type(value).__name__} | members
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if type(value) is int and value > EXACT:
        return f"0x{value:016x}"
    return int(value) if isinstance(value, IntEnum) else value


def kinds_of(vector: dict[str, Any]) -> dict[int, DataModel]:
    return {int(kind): DataModel[model] for kind, model in vector.get("kinds", {}).items()}


def overlay_of(vector: dict[str, Any]) -> tuple[int, dict[int, DataModel]]:
    """What the configuration document says: node_id_length and kinds, the last arguments of the decoders."""
    return vector.get("node_id_length", 16), kinds_of(vector)


def load(name: str) -> Any:
    return json.loads((HERE / name).read_text())


def lines(vectors: list[dict[str, Any]]) -> str:
    """A JSON array with one vector a line, so that a change is seen in the diff."""
    return "[\n" + ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in vectors) + "\n]\n"


def cases(name: str) -> list[Any]:
    """The vectors of a published file as test cases."""
    return [pytest.param(vector, id=vector.get("from", vector.get("name"))) for vector in load(name)]


def params(name: str) -> list[Any]:
    """The same, each with the requirements that a test of its bytes shows."""
    return [
        pytest.param(*case.values, id=case.id, marks=mark_requirements(*case.values[0]["req"]))
        if case.values[0]["req"]
        else case
        for case in cases(name)
    ]
