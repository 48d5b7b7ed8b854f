"""The direction of imports by folder, and the purity of everything below the drivers (ARCHITECTURE.md, "Floors").

Reads the sources, compiled ones included, without importing them. Each check is tried on a planted violation first.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {  # unit -> floor; a unit is a module or folder directly below xor_fast
    "errors": 0, "limits": 0, "messages": 0, "actions": 0,
    "cext": 1,
    "trust": 2, "config": 2, "uri": 2,
    "core": 3,
    "usages": 4,
    "net": 5, "sim": 5,
    "__init__": 6, "__main__": 6, "cli": 6, "messenger": 6,
}  # fmt: skip
EXTRA = {  # narrower than "everything below": what a unit may import of xor_fast besides itself
    "cext": {"errors", "limits", "messages"},
    "net": {"errors", "limits", "messages", "actions", "cext", "trust", "config", "core"},
    "sim": {"errors", "limits", "messages", "actions", "cext", "trust", "config", "core"},
}
SAME_FLOOR = {("limits", "errors"), ("actions", "messages"), ("actions", "errors"), ("messages", "errors"),
              ("trust", "config"), ("trust", "uri")}  # fmt: skip
PURE_FLOORS = range(5)
IMPURE_MODULES = {
    "asyncio", "uvloop", "socket", "ssl", "threading", "time", "secrets", "select", "selectors", "subprocess",
    "multiprocessing", "concurrent", "uuid", "OpenSSL",
}  # fmt: skip
IMPURE_CALLS = re.compile(  # as written in the source, before the opening bracket
    r"(^|\.)(time\.\w+|secrets\.\w+|uuid\.uuid\w+|SystemRandom)$"
    r"|(^|\.)(urandom|getrandom|time_ns|monotonic|perf_counter|random_serial_number|generate_private_key)$"
    r"|(^|\.)(datetime|date)\.(now|utcnow|today)$"
)
# Event loops, TLS and what else OpenSSL does, XML, cryptography.
HEAVY = "asyncio uvloop selectors socket ssl _ssl _hashlib OpenSSL xml lxml pyexpat cryptography precis_i18n typer rich"
RING_WRITERS = {"core/topology.py"}
RING_WRITES = re.compile(r"(^|[._])ring\.(add|remove)$")
CIMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\s+(.+)|c?import\s+([\w.,\s]+))")


class Import(NamedTuple):
    line: int
    target: str  # full dotted name of what is imported, e.g. "xor_fast.core.node.Node" or "asyncio"


class Source(NamedTuple):
    path: str  # below xor_fast/, e.g. "core/node.py"
    text: str

    @property
    def unit(self) -> str:
        return self.path.split("/")[0].split(".")[0]

    @property
    def package(self) -> str:
        return ".".join(["xor_fast", *self.path.split("/")[:-1]])


def absolute(package: str, name: str, level: int) -> str:
    base = package.split(".")[: len(package.split(".")) - level + 1] if level else []
    return ".".join([*base, name]).strip(".")


def python_imports(source: Source) -> Iterator[Import]:
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(source.package, node.module or "", node.level)
            yield from (Import(node.lineno, f"{module}.{alias.name}") for alias in node.names)


def cython_imports(source: Source) -> Iterator[Import]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if match := CIMPORT.match(line.split("#")[0]):
            module, names, plain = match.groups()
            if plain:
                yield from (Import(number, name.split(" as ")[0].strip()) for name in plain.split(","))
            else:
                level = len(module) - len(module.lstrip("."))
                module = absolute(source.package, module.lstrip("."), level)
                for name in names.strip("( )\\").split(",") or [""]:
                    yield Import(number, f"{module}.{name.split(' as ')[0].strip()}")


def imports(source: Source) -> Iterator[Import]:
    return python_imports(source) if source.path.endswith(".py") else cython_imports(source)


def calls(source: Source) -> Iterator[tuple[int, str]]:
    """(line, name as written) of every call."""
    if source.path.endswith(".py"):
        for node in ast.walk(ast.parse(source.text)):
            if isinstance(node, ast.Call):
                yield node.lineno, ast.unparse(node.func)
    else:
        for number, line in enumerate(source.text.splitlines(), 1):
            yield from ((number, name) for name in re.findall(r"([\w.]+)\(", line.split("#")[0]))


def unit_of(target: str) -> str | None:
    """The unit of xor_fast that `target` lies in, or None for something foreign."""
    parts = target.split(".")
    if parts[0] != "xor_fast":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else "__init__"


def may_import(unit: str, other: str) -> bool:
    if unit == other:
        return True
    if FLOORS[unit] == 6:
        return True
    if unit in EXTRA:
        return other in EXTRA[unit]
    return FLOORS[other] < FLOORS[unit] or (unit, other) in SAME_FLOOR


def wrong_directions(source: Source) -> list[str]:
    return [
        f"xor_fast/{source.path}:{line}: floor {FLOORS[source.unit]} ({source.unit}) imports {target}"
        for line, target in imports(source)
        if (other := unit_of(target)) is not None and not may_import(source.unit, other)
    ]


def impurities(source: Source) -> list[str]:
    if FLOORS[source.unit] not in PURE_FLOORS:
        return []
    found = [
        f"xor_fast/{source.path}:{line}: floor {FLOORS[source.unit]} imports {target}"
        for line, target in imports(source)
        if target.split(".")[0] in IMPURE_MODULES
        or target.startswith(("libc.time", "posix.time"))
        or (target.split(".")[0] == "random" and target != "random.Random")  # the type of a generator passed in
    ]
    return found + [
        f"xor_fast/{source.path}:{line}: floor {FLOORS[source.unit]} calls {name}"
        for line, name in calls(source)
        if IMPURE_CALLS.search(name)
    ]


def ring_writes(source: Source) -> list[str]:
    if source.path in RING_WRITERS or not source.path.endswith(".py"):
        return []
    found = [(line, name) for line, name in calls(source) if RING_WRITES.search(name)]
    for node in ast.walk(ast.parse(source.text)):
        targets = node.targets if isinstance(node, ast.Assign) else []
        found += [(node.lineno, name) for t in targets if (name := ast.unparse(t)).endswith("ring.joined")]
    return [f"xor_fast/{source.path}:{line}: {name} belongs to core/topology.py" for line, name in found]


def sources() -> list[Source]:
    found = []
    for folder in (ROOT / "xor_fast", ROOT / "xor_fast" / "cext"):  # rglob does not follow the link to cext/
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".py", ".pyx", ".pxi", ".pxd"}:
                found.append(Source(path.relative_to(ROOT / "xor_fast").as_posix(), path.read_text()))
    return sorted(set(found))


def test_every_unit_has_a_floor() -> None:
    assert {source.unit for source in sources()} <= set(FLOORS)


def test_the_compiled_sources_are_read() -> None:
    read = {source.path for source in sources()}
    compiled = {path for path in (ROOT / "xor_fast" / "cext").iterdir() if path.suffix in {".pyx", ".pxi", ".pxd"}}
    assert {path.suffix for path in compiled} == {".pyx", ".pxi", ".pxd"}
    assert {f"cext/{path.name}" for path in compiled} <= read
    assert "net/openssl.pyx" in read


def test_imports_go_down() -> None:
    assert [line for source in sources() for line in wrong_directions(source)] == []


def test_nothing_below_the_drivers_is_impure() -> None:
    assert [line for source in sources() for line in impurities(source)] == []


def test_only_topology_changes_the_ring() -> None:
    assert [line for source in sources() for line in ring_writes(source)] == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("core/node.py", "from xor_fast.net.peer import Peer"),
        ("core/node.py", "from ..usages.xmpp import kind"),
        ("core/node.py", "from xor_fast import Peer"),
        ("net/peer.py", "import xor_fast.sim.world"),
        ("sim/world.py", "from xor_fast.usages.xmpp.kind import XMPP_LOCATION"),
        ("trust/signatures.py", "import xor_fast.core.node"),
        ("cext/ring.pyx", "from xor_fast.core.node import Node"),
        ("cext/ring.pyx", "from xor_fast.trust cimport x"),
        ("cext/ring.pyx", "import xor_fast.config"),
        ("errors.py", "from xor_fast import limits"),
        ("limits.py", "from .core import node"),
    ],
)
def test_a_planted_import_upwards_is_found(path: str, line: str) -> None:
    (found,) = wrong_directions(Source(path, f'"""Text."""\n{line}\n'))
    assert found.startswith(f"xor_fast/{path}:2: ")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("core/node.py", "import asyncio"),
        ("core/node.py", "from time import monotonic"),
        ("usages/xmpp/contact.py", "from concurrent.futures import Future"),
        ("core/node.py", "x = os.urandom(16)"),
        ("core/node.py", "import random"),
        ("core/node.py", "from random import getrandbits"),
        ("trust/authority.py", "x = datetime.datetime.now(datetime.UTC)"),
        ("trust/authority.py", "x = ec.generate_private_key(ec.SECP256R1())"),
        ("cext/switch.pyx", "from libc.time cimport time"),
        ("cext/switch.pyx", "    x = time.monotonic()"),
        ("cext/switch.pyx", "import threading"),
    ],
)
def test_a_planted_impurity_is_found(path: str, line: str) -> None:
    (found,) = impurities(Source(path, f'"""Text."""\n{line}\n'))
    assert found.startswith(f"xor_fast/{path}:2: ")


@pytest.mark.parametrize("line", ["self.ring.add(x)", "node.ring.remove(x)", "self._ring.add(x)", "ring.joined = True"])
def test_a_planted_ring_write_is_found(line: str) -> None:
    (found,) = ring_writes(Source("core/attach.py", f"\n{line}\n"))
    assert found.startswith("xor_fast/core/attach.py:2: ")


def test_what_is_allowed_is_not_reported() -> None:
    text = (
        "from random import Random\nfrom xor_fast.cext import ids\n"
        "from xor_fast.trust.signatures import Identity\nself.random.random()\n"
    )
    source = Source("core/node.py", text)
    assert wrong_directions(source) + impurities(source) + ring_writes(source) == []


@pytest.mark.part("process")
@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import xor_fast", f"{HEAVY} msgspec"),
        ("from xor_fast.cext import ids, wire", f"{HEAVY} msgspec"),
        ("from xor_fast.cext import codec, ring, switch", HEAVY),
        ("from xor_fast import messages, WireError, get_include", HEAVY),
    ],
)
def test_the_small_doors_load_nothing_heavy(statement: str, absent: str) -> None:
    loaded = "{name.split('.')[0] for name in sys.modules}"
    program = f"{statement}\nimport sys\nprint(*sorted({loaded} & set({absent.split()!r})))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
