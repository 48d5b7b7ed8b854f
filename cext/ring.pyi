"""The routing table of one peer: who is where on the ring, next hop, responsibility, replica set (RFC 6940 10).

It holds the ready peers (neighbours and fingers, 10.3) and the own Node-ID, sorted. Neighbours are not kept apart:
the three nearest entries on each side are the Neighbor Table. Only `core/topology.py` changes it.
"""

from collections.abc import Iterator
from typing import final

@final
class Ring:
    node_id: bytes
    joined: bool
    """The node is part of the ring and claims its range; while False it is responsible for nothing (10.5 step 7)."""

    def __init__(self, node_id: bytes) -> None: ...
    def add(self, node_id: bytes) -> bool:
        """Enter a ready peer; False if it is there already. The own Node-ID raises ValueError (10.7.3)."""
    def remove(self, node_id: bytes) -> bool:
        """False if it is not there."""
    def __contains__(self, node_id: object) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]:
        """Ascending, without the own Node-ID."""
    def next_hop(self, target: bytes) -> bytes | None:
        """The peer to route to (10.3): the entry equal to target; else the largest in (self, target); else the
        smallest after target. None when the table is empty. Does not ask whether we are responsible."""
    def next_hops(self, target: bytes, count: int) -> list[bytes]:
        """Up to count peers to try in this order when messages over the first bring no answer: the one of `next_hop`,
        then those that still bring it nearer, the nearest to target first, then the others, nearest after target first.
        """
    def is_responsible(self, target: bytes) -> bool:
        """joined, and target in (predecessor, self]; alone in the ring: everything (10.1)."""
    def owner(self, target: bytes) -> bytes:
        """The first Node-ID at or after target among the table and ourselves: the responsible peer as we see it."""
    def successors(self, count: int) -> list[bytes]:
        """Up to count entries clockwise from here, nearest first; never the own Node-ID."""
    def predecessors(self, count: int) -> list[bytes]:
        """Up to count entries anticlockwise from here, nearest first; in a small ring the same peer may be both."""
    def replica_set(self, target: bytes, count: int) -> list[bytes]:
        """The responsible peer and the next `count` entries after it, ourselves included, without repetition (10.4)."""
