"""The files are what the slow reference makes of their sources now, and any JSON reader can use them."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest

from tests.vectors import make
from tests.vectors.notation import EXACT, HERE, kinds_of, meaning, plain, struct_named, unhex
from xor_fast.cext import codec


@pytest.mark.parametrize("name", make.published())
def test_the_published_file_is_made_of_the_sources(name: str) -> None:
    made = make.published()[name]
    assert (HERE / name).read_text() == made, "run: python -m tests.vectors.make"


def test_no_other_file_is_published() -> None:
    assert {path.name for path in HERE.glob("*.json")} == set(make.published())


def test_names_of_structures_vectors_are_unique() -> None:
    names = [vector["from"] for vector in json.loads((HERE / "structures.json").read_text())]
    assert len(set(names)) == len(names)


def atoms(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        for key, member in value.items():
            yield from atoms(member, key)
    elif isinstance(value, list):
        for member in value:
            yield from atoms(member, name)
    else:
        yield name, value


@pytest.mark.parametrize("name", ["structures.json", "refused.json", "messages.json", "signatures.json", "frames.json"])
def test_bytes_are_plain_hexadecimal_and_numbers_fit_a_double(name: str) -> None:
    words = {"from", "structure", "struct", "req", "rule", "kinds", "signer"} | {str(kind) for kind in range(10)}
    for vector in json.loads((HERE / name).read_text()):
        for key, value in atoms(vector):
            if isinstance(value, str) and key not in words and not key.isdigit():
                assert re.fullmatch(r"([0-9a-f]{2})*|0x[0-9a-f]{16}", value), (vector["from"], key)
            if isinstance(value, int):
                assert value <= EXACT


def test_lengths_are_where_they_are_said_to_be() -> None:
    """A length field stands for as many bytes, or more, as there are after it; its place is inside."""
    for vector in json.loads((HERE / "structures.json").read_text()):
        data = unhex(vector["hex"])
        for at, width in vector["lengths"]:
            assert at + width <= len(data)
            # `length` of the forwarding header counts from its start, and lists stand behind all three lengths.
            assert int.from_bytes(data[at : at + width], "big") <= len(data)


def test_the_loop_of_the_readme_runs_as_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    (loop,) = re.findall(r"```python\n(.*?)```", (HERE / "README.md").read_text(), re.DOTALL)
    seen = set()

    def decode(structure: str, data: bytes, node_id_length: int, kinds: dict[str, str]) -> Any:
        seen.add(structure)
        models = kinds_of({"kinds": kinds})
        return plain(codec.decode_struct(struct_named(structure), data, node_id_length, models))

    def encode(structure: str, value: Any) -> bytes:
        return codec.encode_struct(meaning(value))

    monkeypatch.chdir(HERE)
    exec(loop, {"json": json, "decode": decode, "encode": encode})
    assert len(seen) > 40


@pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")
def test_a_stranger_reads_the_same() -> None:
    """jq keeps numbers as doubles, like JavaScript."""
    for name in make.published():
        said = subprocess.run(["jq", "-c", ".", HERE / name], capture_output=True, check=True).stdout
        assert json.loads(said) == json.loads((HERE / name).read_text())
    (script,) = re.findall(r"```sh\n(jq .*?) > structures.tsv$", (HERE / "README.md").read_text(), re.MULTILINE)
    rows = subprocess.run(script, shell=True, cwd=HERE, capture_output=True, check=True, text=True).stdout.splitlines()
    vectors = json.loads((HERE / "structures.json").read_text())
    assert rows == [f"{v['structure']}\t{v.get('node_id_length', 16)}\t{v['hex']}" for v in vectors]


def test_every_file_is_described() -> None:
    described = re.findall(r"^\| `(\w+\.json)`", (HERE / "README.md").read_text(), re.MULTILINE)
    assert set(described) == set(make.published())
