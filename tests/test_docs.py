"""docs/codec.md: its examples run, its table of structures is complete."""

import contextlib
import doctest
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from xor_fast import messages
from xor_fast.cext import codec
from xor_fast.errors import WireError

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "codec.md").read_text()
LISTED = re.findall(r"^\| `(\w+)` \| (.*?) \|", TEXT.split("## Every structure")[1], re.MULTILINE)


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("structures", ROOT / "tools" / "structures.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_examples_say_what_comes_out() -> None:
    examples = "\n".join(re.findall("```pycon\n(.*?)```", TEXT, re.DOTALL))
    test = doctest.DocTestParser().get_doctest(examples, {}, "docs/codec.md", None, 0)
    assert len(test.examples) >= 20
    report: list[str] = []
    assert doctest.DocTestRunner().run(test, out=report.append).failed == 0, "".join(report)


def test_the_table_is_what_the_tool_writes() -> None:
    assert TEXT.split(tool().MARK)[1].strip() == tool().table().strip(), "python tools/structures.py --write"


def test_every_structure_is_listed() -> None:
    structs = {name for name, cls in vars(messages).items() if isinstance(cls, type) and issubclass(cls, messages.Body)}
    assert {name for name, _ in LISTED} == structs - {"Body"}


@pytest.mark.parametrize("name", [name for name, _ in LISTED])
def test_the_codec_takes_every_listed_structure(name: str) -> None:
    cls = getattr(messages, name)
    with contextlib.suppress(WireError):  # not TypeError, which says that it is no structure
        assert codec.encode_struct(codec.decode_struct(cls, b"")) == b""
