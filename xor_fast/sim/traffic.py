"""What travels between hosts, looked at frame by frame: no message may be copied or carried around without bound."""

from collections import Counter

from xor_fast.cext import wire
from xor_fast.core.node import Node
from xor_fast.sim.hostile import DATA
from xor_fast.sim.world import Host

MAX_COPIES = 200  # frames that one transaction may cause: five sendings and their answers


class Traffic:
    """sent(host, data): each write of a host to a link, whole frames."""

    def __init__(self, initial_ttl: int) -> None:
        self.messages = 0
        self.loops = 0  # messages that a node forwarded for the second time
        self.longest = 0  # most hops of one message
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
            if self._is_loop(host.node, header.via_list):
                self.loops += 1

    def _is_loop(self, node: Node, via_list: bytes) -> bool:
        """It came through this node before. Its own message may come back to it once: an Attach goes by way of the
        informer, a partition's Ping by way of a bootstrap node (10.6, 10.7.4.4)."""
        entry = b"\x01" + bytes([len(node.node_id)]) + node.node_id
        return via_list.find(entry, 1) > 0
