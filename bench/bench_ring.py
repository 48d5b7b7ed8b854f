"""Next hop among 100, 1,000 and 10,000 peers: the routing table against bisect on a sorted list of Python ints."""

from bisect import bisect_left
from typing import Any

import pytest

from bench.inputs import measure, node_ids
from tests.reference.ring import ReferenceRing
from xor_fast.cext.ring import Ring

SIZES = (100, 1_000, 10_000)
OWN, *IDS = node_ids(11_001)
TARGETS = IDS[10_000:]


def group(size: int) -> Any:
    return pytest.param(size, marks=pytest.mark.benchmark(group=f"next hop among {size:,} peers"))


@pytest.mark.parametrize("size", [group(size) for size in SIZES])
def test_bisect(benchmark: Any, size: int) -> None:
    """As far as a list of ints goes: the entry before the target, without the questions that 10.3 asks besides."""
    keys = sorted(int.from_bytes(p, "big") for p in IDS[:size])
    targets = [int.from_bytes(t, "big") for t in TARGETS]
    measure(benchmark, lambda: [keys[bisect_left(keys, t) - 1] for t in targets], len(targets), is_reference=True)


@pytest.mark.parametrize("size", [group(size) for size in SIZES])
def test_ring(benchmark: Any, size: int) -> None:
    ring, reference = Ring(OWN), ReferenceRing(OWN)
    for peer in IDS[:size]:
        ring.add(peer)
        reference.add(peer)
    assert [ring.next_hop(t) for t in TARGETS[:50]] == [reference.next_hop(t) for t in TARGETS[:50]]
    next_hop = ring.next_hop
    measure(benchmark, lambda: [next_hop(t) for t in TARGETS], len(TARGETS))
