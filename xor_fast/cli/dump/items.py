"""Bytes -> what is to be shown: frames, messages, fragments and what they make together, or one structure by name."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from xor_fast import messages
from xor_fast.cext import codec
from xor_fast.cli.dump.checks import Check, Checker
from xor_fast.cli.dump.content import BODIES, Kind, Reader, message_form, rfc_name
from xor_fast.cli.dump.layout import LAYOUTS
from xor_fast.cli.dump.walk import Node, Walk
from xor_fast.errors import ConfigError, WireError
from xor_fast.messages import FRAGMENT_WHOLE, RELO_TOKEN, Body

_TOKEN = RELO_TOKEN.to_bytes(4, "big")
_FRAME_TYPES = (0x80, 0x81)
_OTHER_NAMES = {  # as the RFC or a person calls them, in small letters
    "frame": "FramedMessage",
    "chordupdate": "UpdateReq",
    "chordroutequeryans": "RouteQueryAns",
    "attachreq": "AttachReqAns",
    "attachans": "AttachReqAns",
    "appattachreq": "AppAttachReqAns",
    "appattachans": "AppAttachReqAns",
}


class Item(NamedTuple):
    """One thing that was read from `data`, whose tree is `top`.

    problem  the first mistake, as the codec calls it; None when there is none
    checks   of signatures, by id() of their nodes
    """

    data: bytes
    top: Node
    problem: WireError | None
    checks: dict[int, Check]

    @property
    def is_good(self) -> bool:
        return self.problem is None and not any(check.is_bad for check in self.checks.values())

    @property
    def message(self) -> Node | None:
        """The message in it, whole or a fragment."""
        return next((node for node in self.top.walk() if node.form in ("Message", "Fragment")), None)

    def summary(self) -> str:
        """One line without offsets: what it is, and what the signatures are worth."""
        top, message = self.top, self.message
        parts = [] if message is top else [f"{top.form}, {top.size} bytes"]
        if top.form == "FramedMessage":
            number = _said(top, "sequence") or _said(top, "ack_sequence")
            parts = [f"{_said(top, 'type')} {number}".strip() + (f", {_said(top, 'received')}" if not message else "")]
        if message is not None:
            parts.append(_message_line(message))
        if self.problem is not None:
            parts.append("MALFORMED")
        own = message.child("security") if message else None
        for check_id, check in self.checks.items():
            is_own = own is not None and check_id == id(own.child("signature"))
            parts.append(f"{'signature' if is_own else 'value'} {check}")
        return "; ".join(parts)


def _said(node: Node, name: str) -> str:
    child = node.child(name)
    return "" if child is None else child.meaning or str(child.value)


def _message_line(message: Node) -> str:
    header = message.child("header")
    if header is None or header.child("transaction_id") is None:
        return f"{message.form.lower()}, cut short"
    what = f"fragment {_said(header, 'fragment')}" if message.form == "Fragment" else _said(message, "code")
    size = message.size - message.prefix
    return f"{what or 'message, cut short'}, transaction {_said(header, 'transaction_id')}, {size} bytes"


class Dumper:
    """Reads bytes into items. One for a whole input, for it joins fragments and remembers certificates and requests."""

    def __init__(
        self, node_id_length: int, kinds: Mapping[int, Kind], overlay_name: str | None, checker: Checker
    ) -> None:
        self._node_id_length = node_id_length
        self._read = Reader(node_id_length, kinds, overlay_name)
        self._checker = checker
        self._fragments: defaultdict[tuple[int, int], _Fragments] = defaultdict(_Fragments)

    def all_of(self, data: bytes) -> Iterator[Item]:
        """Frames or messages, one behind the other, told by their first bytes. ConfigError if the first are of none."""
        at = 0
        while at < len(data):
            form, end = self._form(data, at)
            if form is None:
                if not at:
                    raise ConfigError(_what_else(data))
                rest = Node("", "unread", at, len(data) - at, value=data[at:])
                yield Item(data, rest, WireError(at, "input", "neither a frame nor a message begins here"), {})
                return
            item = self._item(data, form, at, end)
            yield item
            at = max(item.top.end, at + 1)
            yield from self._joined(item)

    def one(self, data: bytes, form: str) -> Iterator[Item]:
        """All of `data` as one structure, by its name in the table."""
        yield self._item(data, form, 0, len(data))

    @staticmethod
    def _form(data: bytes, at: int) -> tuple[str | None, int]:
        """What begins at `at`, and where it ends at the latest."""
        if data[at] in _FRAME_TYPES:
            return "FramedMessage", len(data)
        if data[at : at + 4] != _TOKEN:
            return None, at
        length = int.from_bytes(data[at + 16 : at + 20], "big")
        is_followed = data[at + length : at + length + 4] == _TOKEN
        return message_form(data, at), at + length if length >= 38 and is_followed else len(data)

    def _item(self, data: bytes, form: str, start: int, end: int) -> Item:
        walk = Walk(data, self._node_id_length, self._read.models, self._read)
        top = walk.structure(form, start, end)
        if form != "FramedMessage" and top.end < end:
            walk.problems.append(WireError(top.end, form, "bytes left over"))
            rest = Node("unread", "rest", top.end, end - top.end, value=data[top.end : end])
            top.children.append(rest)
            top.size = end - start
        problem = self._refusal(data, top) or (walk.problems[0] if walk.problems else None)
        return Item(data, top, problem, self._checks(data, top))

    def _refusal(self, data: bytes, top: Node) -> WireError | None:
        """What the codec says, at the offset in `data`."""
        for node in top.walk():
            start = node.offset + node.prefix
            try:
                if node.form == "Message":
                    codec.decode_message(data[start : node.end], self._node_id_length, self._read.models)
                elif node is top and node.form not in ("FramedMessage", "Fragment", "unread"):
                    cls = getattr(messages, node.form)
                    codec.decode_struct(cls, data[start : node.end], self._node_id_length, self._read.models)
            except WireError as problem:
                return WireError(problem.offset + start, problem.structure, problem.rule)
        return None

    def _checks(self, data: bytes, top: Node) -> dict[int, Check]:
        found: dict[int, Check] = {}
        whole = [node for node in top.walk() if node.form == "Message"]
        for message in whole:
            found |= {id(node): check for node, check in self._checker.message(data, message)}
        if not whole:
            found = {id(node): check for node, check in self._checker.structure(data, top)}
        return found

    def _joined(self, item: Item) -> Iterator[Item]:
        """The message that its fragments make, once the last one has come (RFC 6940 6.7)."""
        fragment = item.message
        header = fragment.child("header") if fragment else None
        payload = fragment.child("payload") if fragment else None
        if fragment is None or fragment.form != "Fragment" or header is None or payload is None:
            return
        key = _number(header, "overlay"), _number(header, "transaction_id")
        fragment_field, parts = _number(header, "fragment"), self._fragments[key]
        offset = fragment_field & 0xFFFFFF
        parts.add(offset, item.data[payload.offset : payload.end])
        if not offset:
            parts.header = item.data[header.offset : header.end]
        if fragment_field & 0x40000000:
            parts.size = offset + payload.size
        whole = parts.whole()
        if whole:
            del self._fragments[key]
            yield self._item(whole, "Message", 0, len(whole))


@dataclass
class _Fragments:
    """Of one message. header: that of the first; size: bytes behind it in the whole message, -1 until the last came."""

    header: bytes = b""
    size: int = -1
    _payloads: dict[int, bytes] = field(default_factory=dict)
    _count: int = 0  # bytes in all of them

    def add(self, offset: int, payload: bytes) -> None:
        self._count += len(payload) - len(self._payloads.get(offset, b""))
        self._payloads[offset] = payload

    def whole(self) -> bytes:
        """The message before it was fragmented, b"" while something is missing."""
        if not self.header or not 0 <= self.size <= self._count:
            return b""
        joined = bytearray()
        for offset, payload in sorted(self._payloads.items()):
            if offset > len(joined):
                return b""
            joined[offset : offset + len(payload)] = payload  # they may overlap: whoever is on the way may cut anew
        if len(joined) != self.size:
            return b""
        length = len(self.header) + self.size
        fixed = self.header[:12] + FRAGMENT_WHOLE.to_bytes(4, "big") + length.to_bytes(4, "big")
        return fixed + self.header[20:] + bytes(joined)


def _what_else(data: bytes) -> str:
    found = re.search(rb"(?:\x80.{7})?\xd2ELO", data, re.DOTALL)
    way = (
        f"but there is one at byte {found.start()}: --skip {found.start()}"
        if found
        else "say what it is with --as STRUCTURE or --code CODE"
    )
    begin = data[:8].hex(" ")
    return f"the input begins with {begin}, which is neither a frame (80, 81) nor a message (d2 45 4c 4f); {way}"


def _number(node: Node, name: str) -> int:
    child = node.child(name)
    return child.value if child is not None and isinstance(child.value, int) else 0


# --- names a person gives -----------------------------------------------------------------------------


def form_of(name: str) -> str:
    """The structure a person means with --as. ConfigError with those there are."""
    wanted = name.replace("_", "").replace("-", "").lower()
    wanted = _OTHER_NAMES.get(wanted, wanted).lower()
    for form in LAYOUTS:
        if form.lower() == wanted:
            return form
    raise ConfigError(f"--as {name}: no such structure; there are: {', '.join(sorted(LAYOUTS))}")


def body_of(code: str) -> str:
    """The structure of the body of a message code, a number or the RFC's name. ConfigError."""
    known: dict[str, type[Body]] = {rfc_name("Code", number).lower(): cls for number, cls in BODIES.items()}
    if code.lower() in known:
        return known[code.lower()].__name__
    try:
        number = int(code, 0)
    except ValueError:
        raise ConfigError(f"--code {code}: neither a number nor one of {', '.join(known)}") from None
    if number not in BODIES:
        raise ConfigError(f"--code {code}: the body of this code is not known, so it would be shown as bytes")
    return BODIES[number].__name__
