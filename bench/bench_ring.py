"""Next hop among 1,000 peers: the routing table against bisect on a sorted list of Python ints."""

from bisect import bisect_left
from typing import Any

import pytest

from bench.inputs import measure, node_ids
from tests.reference.ring import ReferenceRing
from xor_fast.cext.ring import Ring

OWN, *PEERS = node_ids(2001)
TARGETS = PEERS[1000:]
del PEERS[1000:]


@pytest.mark.benchmark(group="next hop among 1,000 peers")
def test_bisect(benchmark: Any) -> None:
    """As far as a list of ints goes: the entry before the target, without the questions that 10.3 asks besides."""
    keys = sorted(int.from_bytes(p, "big") for p in PEERS)
    targets = [int.from_bytes(t, "big") for t in TARGETS]
    measure(benchmark, lambda: [keys[bisect_left(keys, t) - 1] for t in targets], len(targets), is_reference=True)


@pytest.mark.benchmark(group="next hop among 1,000 peers")
def test_ring(benchmark: Any) -> None:
    ring, reference = Ring(OWN), ReferenceRing(OWN)
    for peer in PEERS:
        ring.add(peer)
        reference.add(peer)
    assert [ring.next_hop(t) for t in TARGETS[:50]] == [reference.next_hop(t) for t in TARGETS[:50]]
    next_hop = ring.next_hop
    measure(benchmark, lambda: [next_hop(t) for t in TARGETS], len(TARGETS))
