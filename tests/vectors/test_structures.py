"""Hand-made vectors: bytes and their meaning, written from the text of the RFC.

In `hex` a token `aa*16` is a byte sixteen times, and # marks a length field: one more or one less is an error.
`alone` marks a vector whose length fields bound bytes nobody interprets, so that another length may be right as well.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.reference import codec as reference
from xor_fast import messages
from xor_fast.cext import codec
from xor_fast.errors import WireError
from xor_fast.messages import DataModel

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


def meaning(value: Any) -> Any:
    """JSON -> structs: an object names its struct, a string is bytes, a list is a tuple."""
    if isinstance(value, dict):
        fields = {name: meaning(member) for name, member in value.items() if name != "struct"}
        return getattr(messages, value["struct"])(**fields)
    if isinstance(value, str):
        return read(value)[0]
    if isinstance(value, list):
        return tuple(map(meaning, value))
    return value


requirement = pytest.mark.req  # the ids stand in the vectors


def vectors(name: str) -> list[Any]:
    found = json.loads((HERE / name).read_text())
    return [pytest.param(v, id=v["from"], marks=requirement(*v["req"]) if v["req"] else ()) for v in found]


def overlay(vector: dict[str, Any]) -> tuple[int, dict[int, DataModel]]:
    kinds = {int(kind): DataModel(model) for kind, model in vector.get("kinds", {}).items()}
    return vector.get("node_id_length", 16), kinds


@pytest.mark.parametrize("vector", vectors("structures.json"))
def test_bytes_and_meaning(vector: dict[str, Any]) -> None:
    data, value = read(vector["hex"])[0], meaning(vector["is"])
    assert codec.decode_struct(type(value), data, *overlay(vector)) == value
    assert codec.encode_struct(value).hex() == data.hex()
    assert reference.decode_struct(type(value), data, *overlay(vector)) == value
    assert reference.encode_struct(value) == data


@pytest.mark.parametrize("vector", vectors("structures.json"))
def test_cut_or_longer_is_refused(vector: dict[str, Any]) -> None:
    data, cls = read(vector["hex"])[0], getattr(messages, vector["is"]["struct"])
    step = max(1, len(data) // 200)
    for cut in [data[:size] for size in range(0, len(data), step)] + [data + b"\0"]:
        with pytest.raises(WireError):
            codec.decode_struct(cls, cut, *overlay(vector))


@pytest.mark.req("codec.no-trailing")
@pytest.mark.parametrize("vector", [v for v in vectors("structures.json") if not v.values[0].get("alone")])
def test_a_length_field_off_by_one_is_refused(vector: dict[str, Any]) -> None:
    data, lengths = read(vector["hex"])
    cls = getattr(messages, vector["is"]["struct"])
    for at, width in lengths:
        for step in (-1, 1):
            wrong = (int.from_bytes(data[at : at + width], "big") + step) % 256**width
            with pytest.raises(WireError):
                codec.decode_struct(
                    cls, data[:at] + wrong.to_bytes(width, "big") + data[at + width :], *overlay(vector)
                )


@pytest.mark.parametrize("vector", vectors("refused.json"))
def test_refused(vector: dict[str, Any]) -> None:
    data, cls = read(vector["hex"])[0], getattr(messages, vector["struct"])
    with pytest.raises(WireError) as error:
        codec.decode_struct(cls, data, *overlay(vector))
    assert error.value.rule == vector["rule"]
    assert error.value.offset <= len(data)
    with pytest.raises(reference.Invalid):
        reference.decode_struct(cls, data, *overlay(vector))
