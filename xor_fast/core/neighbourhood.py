"""The Neighbor Table (RFC 6940 10.7): the nearest entries of the routing table on each side, and how many those are.

It is no list of its own, so a failed neighbour is replaced by the best other entry at the moment it goes (10.7.1).
Sets of log2 N on each side are asked for in large rings (10.7): the more neighbours, the more of them may fail at once.
"""

from itertools import chain
from math import log2
from typing import NamedTuple

from xor_fast import limits
from xor_fast.cext import ids
from xor_fast.cext.ring import Ring


class Sides(NamedTuple):
    """Nearest first; in a small ring the same peers stand on both sides."""

    successors: list[bytes]
    predecessors: list[bytes]

    def both(self) -> list[bytes]:
        """Each once, nearest successor first."""
        return list(dict.fromkeys(chain(*self)))

    def has(self, node_id: bytes) -> bool:
        return node_id in self.successors or node_id in self.predecessors

    def nearest(self, count: int) -> tuple[list[bytes], list[bytes]]:
        return self.successors[:count], self.predecessors[:count]


class Neighbourhood:
    def __init__(self, ring: Ring, each_side: int | None) -> None:
        self._ring = ring
        self._is_fixed = each_side is not None
        self.each_side: int = each_side or limits.NEIGHBOURS_EACH_SIDE

    def sides(self) -> Sides:
        return Sides(self._ring.successors(self.each_side), self._ring.predecessors(self.each_side))

    def belongs(self, sides: Sides, node_id: bytes) -> bool:
        """Is it, or would it be, among our nearest on one side?"""
        own = self._ring.node_id
        return (
            len(sides.successors) < self.each_side
            or ids.distance(own, node_id) <= ids.distance(own, sides.successors[-1])
            or ids.distance(node_id, own) <= ids.distance(sides.predecessors[-1], own)
        )

    def resize(self) -> bool:
        """After a change of the routing table: more or fewer on each side? True if more."""
        if self._is_fixed:
            return False
        # Rounding alone would flap between two numbers, for the estimate moves with every peer that comes or goes.
        wanted, before = self.log2_size(), self.each_side
        if abs(wanted - before) > limits.NEIGHBOURS_HYSTERESIS:
            self.each_side = min(max(round(wanted), limits.NEIGHBOURS_EACH_SIDE), limits.MAX_ESTIMATED_NEIGHBOURS)
        return self.each_side > before

    def log2_size(self) -> float:
        """About log2 of the number of peers: Node-IDs are spread evenly, so the share of the ring that our neighbours
        take up tells how many there are. 2k of them make a standard error of about 1.4 / sqrt(2k)."""
        own, count = self._ring.node_id, 2 * self.each_side
        if len(self._ring) < count:
            return log2(len(self._ring) + 1)  # the two sides meet: these are all
        sides = self.sides()
        before, behind = ids.distance(sides.predecessors[-1], own), ids.distance(own, sides.successors[-1])
        return log2(count) + 8 * len(own) - log2(int.from_bytes(before) + int.from_bytes(behind))
