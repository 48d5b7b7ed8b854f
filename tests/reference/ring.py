"""The routing table as a set, searched from end to end (RFC 6940 10.1, 10.3, 10.4)."""

from tests.reference.ids import between, clockwise, ring_size


class ReferenceRing:
    def __init__(self, node_id: bytes) -> None:
        self.node_id = node_id
        self.joined = False
        self.peers: set[bytes] = set()

    def add(self, node_id: bytes) -> bool:
        is_new = node_id not in self.peers
        self.peers.add(node_id)
        return is_new

    def remove(self, node_id: bytes) -> bool:
        was_there = node_id in self.peers
        self.peers.discard(node_id)
        return was_there

    def next_hop(self, target: bytes, source: bytes | None = None) -> bytes | None:
        """source: the peer whose next hop towards the target we are."""
        if target in self.peers:
            return target
        # Strictly between ourselves and the target; a target equal to ourselves lies a whole turn away.
        turn = clockwise(self.node_id, target) or ring_size(target)
        before = [p for p in self.peers if clockwise(self.node_id, p) < turn]
        largest = max(before, key=lambda p: clockwise(self.node_id, p), default=None)
        if largest is not None and largest != source:
            return largest
        # "If no such node is found" (10.3). The source is none: were anybody known to it between itself and the target,
        # it would have asked those and not us. The others ahead of the target lie before it, and lead to it.
        others = self.peers - {largest}
        return min(others, key=lambda p: clockwise(target, p), default=None)

    def next_hops(self, target: bytes, count: int) -> list[bytes]:
        """Each is where the next hop would lead if those ahead of it were not there."""
        left, hops = ReferenceRing(self.node_id), []
        left.peers = set(self.peers)
        while (hop := left.next_hop(target)) is not None and len(hops) < count:
            hops.append(hop)
            left.remove(hop)
        return hops

    def is_responsible(self, target: bytes) -> bool:
        predecessor = max(self.peers, key=lambda p: clockwise(self.node_id, p), default=self.node_id)
        return self.joined and between(predecessor, target, self.node_id)

    def in_order(self, target: bytes) -> list[bytes]:
        """Everybody, ourselves included, clockwise from the target."""
        return sorted(self.peers | {self.node_id}, key=lambda p: clockwise(target, p))

    def owner(self, target: bytes) -> bytes:
        return self.in_order(target)[0]

    def replica_set(self, target: bytes, count: int) -> list[bytes]:
        return self.in_order(target)[: count + 1]

    def successors(self, count: int) -> list[bytes]:
        return self.in_order(self.node_id)[1 : count + 1]

    def predecessors(self, count: int) -> list[bytes]:
        return self.in_order(self.node_id)[:0:-1][:count]
