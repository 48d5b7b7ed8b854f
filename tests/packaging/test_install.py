"""What a stranger gets who builds and installs the package: with a compiler alone, and with OpenSSL's headers too."""

import os
import re
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.builds import (
    ROOT,
    Builder,
    answer,
    codec_tests,
    hide_openssl,
    make_sdist,
    requirements,
    run,
    unpack,
)
from tests.reference import codec as reference
from xor_fast import messages as m

pytestmark = [pytest.mark.part("packaging"), pytest.mark.timeout(600)]  # a compiler runs, on a machine that may be busy
THIS = Builder(Path(sys.executable))
HEADER = m.ForwardingHeader(0x01020304, 5, 17, 99, (m.Destination(1, b"\xaa" * 16),))
PING = m.Message(HEADER, m.Code.PING_REQ, m.PingReq(), (), m.SecurityBlock((), m.UNSIGNED))
MYPY = (sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--python-executable")
USER = """
from xor_fast import WireError
from xor_fast.cext import codec, ids, wire
from xor_fast.messages import Message, PingReq, StoreReq

def padding(data: bytes) -> bytes:
    message: Message = codec.decode_message(data, kinds={})
    return message.body.padding if isinstance(message.body, PingReq) else b""

request: StoreReq = codec.decode_struct(StoreReq, bytes(16))
where: bytes = ids.resource_id(b"juliet@capulet.lit")
try:
    ttl: int = wire.peek("text").ttl
except WireError as error:
    offset: int = error.offset
"""
# In `make test` a short form; `make wheels` runs every test of the codec, for every Python.
SHORT = ("tests/vectors/test_structures.py", "tests/cext/test_wire.py")


@dataclass
class Installed:
    wheel: Path
    log: str  # of the build
    python: Path  # of an environment with the wheel and what it requires, and nothing else


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(make_sdist(tmp_path_factory.mktemp("sdist")), tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def without_openssl(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("without")
    wheel, log = THIS.wheel(source, folder / "wheels", **hide_openssl(folder / "hidden"))
    return Installed(wheel, log, THIS.clean(folder / "clean", wheel))


@pytest.fixture(scope="module")
def complete(without_openssl: Installed, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Built where the other was, with the Cython that runs us: only what was left out is compiled now."""
    folder = tmp_path_factory.mktemp("complete")
    wheel, log = THIS.wheel(source, folder / "wheels", "--no-build-isolation")
    other = without_openssl.python
    return Installed(wheel, log, THIS.copy(other, folder / "clean", "--force-reinstall", "--no-deps", wheel))


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def compiled(wheel: Path) -> set[str]:
    return {name.split(".")[0] for name in names(wheel) if name.endswith(".so")}


def test_the_sdist_builds_with_only_a_compiler(without_openssl: Installed) -> None:
    assert {f"xor_fast/cext/{path.stem}" for path in (ROOT / "cext").glob("*.pyx")} <= compiled(without_openssl.wheel)
    assert "xor_fast/net/openssl" not in compiled(without_openssl.wheel)
    (line,) = (line for line in without_openssl.log.splitlines() if "built without TLS" in line)
    assert "libssl-dev" in line


def test_the_codec_passes_its_tests_without_openssl(without_openssl: Installed, tmp_path: Path) -> None:
    more = requirements("hypothesis", "pytest", "pytest-timeout")
    python = THIS.copy(without_openssl.python, tmp_path / "clean", *more)
    assert " passed" in codec_tests(python, tmp_path / "tests", *SHORT)


@pytest.mark.parametrize(
    "arguments",
    ["quickstart", "node --data new", "lookup juliet@capulet.lit", "status", "demo"],
)
def test_a_command_without_openssl_says_what_to_install(
    arguments: str, without_openssl: Installed, tmp_path: Path
) -> None:
    done = answer(without_openssl.python.parent / "xor-fast", *arguments.split(), cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stdout.splitlines()
    assert "libssl-dev" in line
    assert "pip install" in line


@pytest.mark.parametrize(
    "statement", ["from xor_fast import Peer", "import xor_fast.net.links", "import xor_fast.net.pcap"]
)
def test_the_driver_without_openssl_raises_a_named_error(
    statement: str, without_openssl: Installed, tmp_path: Path
) -> None:
    program = f"from xor_fast import NotBuilt\ntry:\n    {statement}\nexcept NotBuilt as error:\n    print(error)"
    assert "libssl-dev" in run(without_openssl.python, "-c", program, cwd=tmp_path).stdout


@pytest.mark.parametrize("arguments", ["sim --nodes 4", f"dump {reference.encode_struct(PING).hex()}"])
def test_what_uses_no_link_needs_no_openssl(arguments: str, without_openssl: Installed, tmp_path: Path) -> None:
    run(without_openssl.python.parent / "xor-fast", *arguments.split(), cwd=tmp_path)


def test_the_wheel_holds_what_a_type_checker_and_cython_need(complete: Installed) -> None:
    sources = {path for path in (ROOT / "cext").iterdir() if path.suffix in {".pxd", ".pyi", ".h"}}
    wanted = {f"xor_fast/cext/{path.name}" for path in sources} | {"xor_fast/py.typed", "xor_fast/net/openssl.pyi"}
    package = {f"xor_fast/{path.relative_to(ROOT / 'xor_fast')}" for path in (ROOT / "xor_fast").rglob("*.py")}
    assert wanted | package <= names(complete.wheel)
    assert {name.split("/")[0] for name in names(complete.wheel)} == {
        "xor_fast",
        complete.wheel.name.split("-cp")[0] + ".dist-info",
    }
    assert "built without" not in complete.log


def test_ten_lines_of_cython_use_the_installed_codec(complete: Installed, tmp_path: Path) -> None:
    (program,) = re.findall("```cython\n(.*?)```", (ROOT / "docs" / "codec.md").read_text(), re.DOTALL)
    assert len(program.splitlines()) == 10
    (setup,) = re.findall("```python\n# setup.py\n(.*?)```", (ROOT / "docs" / "codec.md").read_text(), re.DOTALL)
    (tmp_path / "look.pyx").write_text(program)
    (tmp_path / "setup.py").write_text(setup)
    python = THIS.copy(complete.python, tmp_path / "clean", "Cython>=3.1", "setuptools>=77")
    run(python, "setup.py", "-q", "build_ext", "--inplace", cwd=tmp_path)
    message = reference.encode_struct(PING)
    call = f"import look; print(look.look(bytes.fromhex({message.hex()!r})))"
    assert run(python, "-c", call, cwd=tmp_path).stdout.strip() == f"(17, 99, {message!r})"


def test_a_program_that_uses_the_codec_passes_mypy(complete: Installed, tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(USER)
    said = answer(*MYPY, complete.python, "user.py", cwd=tmp_path).stdout
    assert said.splitlines() == [
        'user.py:13: error: Argument 1 to "peek" has incompatible type "str"; expected "bytes"  [arg-type]',
        "Found 1 error in 1 file (checked 1 source file)",
    ]


def test_pyright_finds_every_public_symbol_typed(complete: Installed, tmp_path: Path) -> None:
    path = f"{complete.python.parent}{os.pathsep}{os.environ['PATH']}"  # pyright asks the first python on PATH
    said = answer(sys.executable, "-m", "pyright", "--verifytypes", "xor_fast", cwd=tmp_path, PATH=path).stdout
    assert "Type completeness score: 100%" in said, "\n".join(line for line in said.splitlines() if "error" in line)
    assert f"{complete.python.parents[1]}" in said
