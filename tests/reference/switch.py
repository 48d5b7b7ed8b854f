"""The forwarder, one object and one rule at a time (RFC 6940 6.1, 6.3.2, 6.6.2)."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from tests.reference import wire
from tests.reference.ring import ReferenceRing
from xor_fast import limits

SELF = -2
WITH_ANSWER = {
    "ttl_zero": "TTL_EXCEEDED",
    "loop": "TTL_EXCEEDED",
    "ttl_too_large": "TTL_EXCEEDED",
    "forward_critical": "UNSUPPORTED_OPTION",
    "overlay": "INCOMPATIBLE",
    "version": "INCOMPATIBLE",
    "too_large": "TOO_LARGE",
    "duplicate_destination": "INVALID",
}


class Drop(Exception):
    """Its text is the kind of drop."""


class Broken(Exception):
    """The framing; its text is the kind of drop."""


def received_mask(sequence: int, earlier: list[int]) -> int:
    """6.6.2, word by word: `earlier` are the sequence numbers received before on this connection."""
    mask = 0
    for m in earlier[-32:]:
        behind = (sequence - m) % 2**32
        if 0 < behind < 32:
            mask |= 1 << behind
    return mask


@dataclass
class ReferenceLink:
    node_id: bytes | None  # None: it has not told yet which of its certificate's it is
    is_attached: bool = True
    is_full: bool = False
    is_broken: bool = False
    unread: bytes = b""
    outbox: bytes = b""
    next_sequence: int = 0
    received: list[int] = field(default_factory=list)


class ReferenceSwitch:
    def __init__(
        self,
        ring: ReferenceRing,
        overlay: int,
        initial_ttl: int = 100,
        max_message_size: int = 5000,
        via_lists: int = 0,
        secret: bytes = b"",
    ) -> None:
        self.via_lists = via_lists  # 0: whole, 1: the link's number, 2: kept here
        self.secret = secret
        self.ways: dict[bytes, tuple[float, list[wire.Entry]]] = {}  # opaque id: when it was issued, the way back
        self.issued = 0
        self.now = 0.0
        self.ring = ring
        self.overlay = overlay
        self.initial_ttl = initial_ttl
        self.max_message_size = max_message_size
        self.links: dict[int, ReferenceLink] = {}
        self.inbox: list[tuple[int, str, bytes]] = []
        self.counters: Counter[str] = Counter()

    def open_link(self, number: int, node_id: bytes | None) -> None:
        self.links[number] = ReferenceLink(node_id, is_attached=node_id is not None)

    def bind_link(self, number: int, node_id: bytes, is_attached: bool) -> bool:
        link = self.links[number]
        others = [other for other in self.links.values() if other is not link and other.node_id == node_id]
        if len(others) >= limits.MAX_LINKS_PER_NODE:
            return False
        link.node_id, link.is_attached = node_id, is_attached
        return True

    def close_link(self, number: int) -> None:
        self.links.pop(number, None)

    def newest_link(self, node_id: bytes | None) -> ReferenceLink | None:
        return next((link for link in reversed(self.links.values()) if node_id and link.node_id == node_id), None)

    def sends(self) -> dict[int, bytes]:
        out = {number: link.outbox for number, link in self.links.items() if link.outbox}
        for link in self.links.values():
            self.counters["bytes_out"] += len(link.outbox)
            link.outbox = b""
        return out

    # --- frames -------------------------------------------------------------------------------------

    def receive(self, number: int, data: bytes) -> bool:
        link = self.links.get(number)
        if link is None:
            self.counters["drop_stale_link"] += 1
            return False
        if link.is_broken:
            return False
        self.counters["bytes_in"] += len(data)
        link.unread += data
        try:
            while frame := self.whole_frame(link.unread):
                link.unread = link.unread[len(frame) :]
                self.take_frame(number, link, frame)
        except Broken as broken:
            self.counters[f"drop_{broken}"] += 1
            link.is_broken = True
            return False
        return True

    def whole_frame(self, data: bytes) -> bytes | None:
        if not data:
            return None
        if data[0] == 129:
            return data[:9] if len(data) >= 9 else None
        if data[0] != 128:
            raise Broken("frame_type")
        if len(data) < 8:
            return None
        size = int.from_bytes(data[5:8], "big")
        if size > self.max_message_size + limits.MAX_HEADER_GROWTH:
            raise Broken("frame_size")
        return data[: 8 + size] if len(data) >= 8 + size else None

    def take_frame(self, number: int, link: ReferenceLink, frame: bytes) -> None:
        sequence = int.from_bytes(frame[1:5], "big")
        if frame[0] == 129:
            return  # measured only; see test_switch for the round-trip time
        self.counters["received"] += 1
        mask = received_mask(sequence, link.received)
        link.received.append(sequence)
        if link.is_full or len(link.outbox) > limits.OUTBOX_SIZE:
            self.counters["drop_ack"] += 1
        else:
            link.outbox += wire.ack_frame(sequence, mask)
        self.pass_on(number, link, frame[8:], is_held=not link.is_attached)

    # --- one message --------------------------------------------------------------------------------

    def pass_held(self, number: int, message: bytes) -> None:
        self.pass_on(number, self.links[number], message, is_held=False)

    def pass_on(self, number: int, source: ReferenceLink, message: bytes, is_held: bool) -> None:
        try:
            header = self.check(message)
            if is_held:
                self.keep(number, "UNATTACHED", message)
                self.counters["held_back"] += 1
                return
            outcome, target, left = self.route(header, source.node_id)
            if outcome == "FORWARDED":
                assert target is not None
                self.forward(header, message, number, source, target, left)
                self.counters["forwarded"] += 1
                return
            self.keep(number, "DELIVER", message)
            self.counters["delivered"] += 1
        except Drop as drop:
            verdict = WITH_ANSWER.get(str(drop))
            try:
                if verdict and self.is_request(message):
                    self.keep(number, verdict, message)
            except Drop as full:
                drop = full
            self.counters[f"drop_{drop}"] += 1

    def originate(self, message: bytes, number: int = -1) -> str:
        header = wire.peek(message)
        if header.ttl > self.initial_ttl:
            return "TTL_EXCEEDED"
        if len(message) > self.max_message_size:
            return "TOO_LARGE"
        try:
            left = wire.entries(header.destination_list)
            if number >= 0:
                outcome, target = "FORWARDED", self.links.get(number)
                if target is None:
                    raise Drop("stale_link")
            else:
                outcome, target, left = self.route(header)
            if outcome == "DELIVER":
                self.keep(SELF, "DELIVER", message)
            else:
                assert target is not None
                self.put(message, target, header.ttl, header.via_list, left)
        except Drop as drop:
            self.counters[f"drop_{drop}"] += 1
            return "DROPPED"
        self.counters["originated"] += 1
        return outcome

    def keep(self, number: int, verdict: str, message: bytes) -> None:
        if len(self.inbox) == limits.INBOX_MESSAGES:
            raise Drop("inbox_full")
        self.inbox.append((number, verdict, message))

    @staticmethod
    def is_request(message: bytes) -> bool:
        header = wire.peek(message)
        code = int.from_bytes(message[header.size : header.size + 2], "big")
        return header.fragment & 0xFFFFFF == 0 and code % 2 == 1 and code != 0xFFFF

    def check(self, message: bytes) -> wire.Header:
        if len(message) >= 4 and message[:4] != b"\xd2ELO":
            raise Drop("token")
        try:
            header = wire.peek(message)
        except wire.Malformed:
            raise Drop("header") from None
        if header.length != len(message):
            raise Drop("length")
        if header.fragment & 0xFFFFFF == 0 and len(message) < header.size + 2:
            raise Drop("header")
        if header.overlay != self.overlay:
            raise Drop("overlay")
        if header.version != 10:
            raise Drop("version")
        if header.fragment < 0x80000000:
            raise Drop("fragment_bit")
        if header.ttl > self.initial_ttl:
            raise Drop("ttl_too_large")
        if len(message) > self.max_message_size:
            raise Drop("too_large")
        self.check_list(header.via_list, is_via=True, is_unique=False)
        if self.check_list(header.destination_list, is_via=False, is_unique=self.is_request(message)) == 0:
            raise Drop("no_destination")
        try:
            wire.options(header.options)
        except wire.Malformed:
            raise Drop("bad_option") from None
        return header

    def check_list(self, data: bytes, is_via: bool, is_unique: bool) -> int:
        seen: list[bytes] = []
        while data:
            if len(seen) == limits.MAX_DESTINATIONS:
                raise Drop("long_list")
            try:
                entry = wire.first_entry(data)
            except wire.Malformed:
                raise Drop("bad_list") from None
            data = data[len(entry.encoded) :]
            if entry.type == 1 and len(entry.value) != len(self.ring.node_id):
                raise Drop("bad_list")
            if entry.type == 2 and (is_via or data):
                raise Drop("resource_place")
            if is_unique and entry.encoded in seen:
                raise Drop("duplicate_destination")
            seen.append(entry.encoded)
        return len(seen)

    def route(
        self, header: wire.Header, source: bytes | None = None
    ) -> tuple[str, ReferenceLink | None, list[wire.Entry]]:
        """DELIVER, or FORWARDED with the link; and what is left of the destination list."""
        own = self.ring.node_id
        left = wire.entries(header.destination_list)
        while len(left) > 1 and left[0].type == 1 and left[0].value == own:
            left = left[1:]
            source = None  # which knew of ourselves, not of what is behind
        if not left:
            raise Drop("no_destination")
        first = left[0]
        if first.type == 3:
            left = [*self.way_back(first), *left[1:]]
            first = left[0]
            source = None  # likewise
        if first.type not in (1, 2):
            raise Drop("destination_type")
        if len(first.value) != len(own):
            raise Drop("bad_list")
        if first.type == 1:
            if first.value in (own, b"\xff" * len(own)):
                return "DELIVER", None, left
            direct = self.newest_link(first.value)
            if direct:
                return "FORWARDED", direct, left
            if self.ring.is_responsible(first.value):
                raise Drop("foreign_node")
        elif self.ring.is_responsible(first.value):
            if len(left) > 1:
                raise Drop("resource_place")
            return "DELIVER", None, left
        hop = self.newest_link(self.ring.next_hop(first.value, source))
        if hop is None:
            raise Drop("no_route")
        return "FORWARDED", hop, left

    def way_back(self, entry: wire.Entry) -> list[wire.Entry]:
        """6.1.3: in the place of an opaque id the list that it stands for."""
        if self.via_lists == 1 and len(entry.encoded) == 2:
            link = self.links.get(int.from_bytes(entry.encoded, "big") - 0x8000)
            if link is not None:
                return wire.entries(wire.node(link.node_id))
        if self.via_lists == 2 and len(entry.encoded) != 2 and entry.value in self.ways:
            since, way = self.ways[entry.value]
            if self.now < since + 15:
                return way
        raise Drop("opaque_id")

    def shorten(self, number: int, source: ReferenceLink, via_list: bytes) -> bytes:
        """The via list as it leaves (6.1.2)."""
        if self.via_lists == 1:
            self.counters["via_shortened"] += 1
            return via_list + (0x8000 + number).to_bytes(2, "big")
        if self.via_lists == 2 and via_list:
            living = [since for since, _ in self.ways.values() if self.now < since + 15]
            whole = via_list + wire.node(source.node_id)
            if len(living) < limits.RETURN_STATES and len(whole) <= limits.RETURN_STATE_SIZE:
                code = hashlib.sha1(self.secret + self.issued.to_bytes(8, "big")).digest()[:12]
                opaque_id = (self.issued % 2**32).to_bytes(4, "big") + code
                self.ways[opaque_id] = self.now, wire.entries(whole)[::-1]
                self.issued += 1
                self.counters["via_shortened"] += 1
                return wire.opaque(opaque_id)
            self.counters["via_not_shortened"] += 1
        return via_list + wire.node(source.node_id)

    def forward(
        self,
        header: wire.Header,
        message: bytes,
        number: int,
        source: ReferenceLink,
        target: ReferenceLink,
        left: list[wire.Entry],
    ) -> None:
        if header.ttl == 0:
            raise Drop("ttl_zero")
        if self.is_request(message) and any(flags & 1 for _, flags, _ in wire.options(header.options)):
            raise Drop("forward_critical")
        via_list = header.via_list
        if self.is_request(message) or header.fragment & 0xFFFFFF:
            if len(wire.entries(header.via_list)) == limits.MAX_DESTINATIONS:
                raise Drop("long_list")
            forwarders = [entry for entry in wire.entries(header.via_list)[1:] if entry.type == 1]
            if sum(entry.value == self.ring.node_id for entry in forwarders) >= limits.MAX_VISITS:
                raise Drop("loop")
            via_list = self.shorten(number, source, via_list)
        self.put(message, target, header.ttl - 1, via_list, left)

    def put(
        self, message: bytes, target: ReferenceLink, ttl: int, via_list: bytes, destinations: list[wire.Entry]
    ) -> None:
        out = wire.with_lists(message, ttl, via_list, b"".join(entry.encoded for entry in destinations))
        if len(out) > self.max_message_size:
            raise Drop("too_large")
        if target.is_full:
            raise Drop("link_full")
        if len(target.outbox) + 8 + len(out) > limits.OUTBOX_SIZE:
            raise Drop("outbox_full")
        target.outbox += wire.data_frame(target.next_sequence, out)
        target.next_sequence += 1
