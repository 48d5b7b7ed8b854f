"""A tree of fields as lines for a person, and as JSON for a program."""

import shutil
import sys
from collections.abc import Iterator

from xor_fast.cli.dump.checks import Check
from xor_fast.cli.dump.layout import LAYOUTS
from xor_fast.cli.dump.walk import Node
from xor_fast.errors import WireError

_AROUND = 8  # bytes of an excerpt on either side of the mistake
_NAMES = 44  # columns of the tree, up to the values
Checks = dict[int, Check]
"""By id() of the Signature's node."""


def lines(top: Node, checks: Checks, *, is_full: bool = False) -> Iterator[str]:
    """Offset in hex, size, name, value: one line a field. is_full: bytes are not cut to the width of the terminal."""
    width = 0 if is_full else max(100, shutil.get_terminal_size((120, 0)).columns if sys.stdout.isatty() else 120)
    yield "offset   size  field"
    digits = max(4, len(f"{top.end:x}"))
    for depth, node in _visible(top):
        head = f"{node.offset:0{digits}x} {node.size:>7}  " + "  " * depth + (node.name or node.form)
        yield f"{head:<{_NAMES + digits}} {_said(node, checks, width - _NAMES - digits if width else 0)}".rstrip()
        for name, detail in node.details.items():
            if detail:
                text = ", ".join(map(str, detail)) if isinstance(detail, list) else str(detail)
                yield f"{'':<{digits + 10}}{'  ' * depth}  {name.replace('_', '-'):<9} {text}"


def _visible(node: Node, depth: int = 0) -> Iterator[tuple[int, Node]]:
    yield depth, node
    for child in node.children:
        yield from _visible(child, depth + 1)


def _said(node: Node, checks: Checks, width: int) -> str:
    if id(node) in checks:
        return f"{node.form}  {checks[id(node)]}"
    if node.is_list:
        return "none" if not node.children else f"{len(node.children)}"
    if node.form in LAYOUTS:
        return node.form if node.name else ""
    if isinstance(node.value, bytes):
        return _bytes(node, width)
    if isinstance(node.value, bool):
        return str(node.value).lower()
    if node.meaning and node.meaning.startswith("0x"):
        return node.meaning
    return f"{node.value}  {node.meaning}" if node.meaning else f"{node.value}"


def _bytes(node: Node, width: int) -> str:
    assert isinstance(node.value, bytes)
    if node.details:
        return f"{len(node.value)} bytes"
    if not node.value:
        return "empty"
    digits = node.value.hex()
    room = max(32, width - len(node.meaning) - 2 if node.meaning else width)
    if width and len(digits) > room:
        digits = f"{digits[: (room - 16) // 2 * 2]}... ({len(node.value)} bytes)"
    return f"{digits}  {node.meaning}" if node.meaning else digits


def as_json(node: Node, checks: Checks) -> dict[str, object]:
    """Offsets and sizes in bytes from the start of the input or frame; bytes as hex."""
    found: dict[str, object] = {"type": node.form, "offset": node.offset, "size": node.size}
    if node.prefix:
        found["length_size"] = node.prefix  # bytes of its own length, which stand first and are counted in size
    if node.value is not None:
        found["value"] = node.value.hex() if isinstance(node.value, bytes) else node.value
    if node.meaning:
        found["meaning"] = node.meaning
    if node.details:
        found["certificate"] = node.details
    if node.is_list:
        found["items"] = [as_json(child, checks) for child in node.children if child.name != "unread"]
        if unread := node.child("unread"):
            found["unread"] = as_json(unread, checks)
    elif node.form in LAYOUTS:
        found["fields"] = {child.name: as_json(child, checks) for child in node.children}
    if id(node) in checks:
        found["check"] = checks[id(node)].fields()
    return found


# --- mistakes -----------------------------------------------------------------------------------------


def complaint(data: bytes, problem: WireError) -> str:
    """One line: where, in what, which rule, and the bytes around it with the first one in question marked."""
    where = f"byte {problem.offset} ({problem.offset:#x})"
    return f"malformed at {where}, {problem.structure}: {problem.rule}: {excerpt(data, problem.offset)}"


def excerpt(data: bytes, at: int) -> str:
    """Such as `... 01 10 >5e< 5e 5e ...`; at the end of the data `>end<`."""
    before, after = data[max(0, at - _AROUND) : at], data[at + 1 : at + 1 + _AROUND]
    marked = f">{data[at]:02x}<" if at < len(data) else ">end<"
    parts = ["..." if at > _AROUND else "", before.hex(" "), marked, after.hex(" ")]
    parts.append("..." if at + 1 + _AROUND < len(data) else "")
    return " ".join(part for part in parts if part)
