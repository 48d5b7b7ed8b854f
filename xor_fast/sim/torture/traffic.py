"""What travels between hosts, looked at frame by frame: no message may be copied or carried around without bound."""

from collections import Counter

from xor_fast import limits
from xor_fast.cext import wire
from xor_fast.core.node import Node
from xor_fast.sim.hostile import DATA
from xor_fast.sim.world import Host

# Frames that one transaction may cause: five sendings and their answers, eight peers each; while tables are wrong, each
# of these lets the same message pass so often.
MAX_COPIES = 5 * 2 * 8 * limits.MAX_VISITS


class Traffic:
    """sent(host, data): each write of a host to a link, whole frames."""

    def __init__(self, initial_ttl: int) -> None:
        self.messages: int = 0
        self.loops: int = 0  # messages that a node forwarded for the second time
        self.longest: int = 0  # most hops of one message
        self.copies: Counter[int] = Counter()  # transaction -> frames
        self.problems: list[str] = []
        self._initial_ttl = initial_ttl

    def sent(self, host: Host, data: bytes) -> None:
        frames, _ = wire.split_frames(data)
        for kind, _, message in frames:
            if kind != DATA or not message:
                continue
            assert isinstance(message, bytes)
            header = wire.peek(message)
            self.messages += 1
            self.longest = max(self.longest, self._initial_ttl - header.ttl)
            self.copies[header.transaction_id] += 1
            if self.copies[header.transaction_id] == MAX_COPIES:
                self.problems.append(f"{host.name}: {MAX_COPIES} frames for transaction {header.transaction_id:016x}")
            times = _times_forwarded(host.node, header.via_list)
            self.loops += times > 0
            if times >= limits.MAX_VISITS:
                self.problems.append(f"{host.name} forwarded transaction {header.transaction_id:016x} again and again")


def _times_forwarded(node: Node, via_list: bytes) -> int:
    """How often it came through this node before. The first entry is who made it."""
    entry = b"\x01" + bytes([len(node.node_id)]) + node.node_id
    return via_list[len(entry) :].count(entry)
