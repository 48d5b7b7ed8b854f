"""Worlds that begin with a ring that has settled already: growing thousands of nodes one by one would take hours.

Only what the nodes would have told each other is skipped: links are opened through the core's own call with each
other's certificates, the routing tables are written by the topology, and from then on everything is as ever.
"""

from bisect import bisect_left
from collections.abc import Sequence
from random import Random

from xor_fast import limits
from xor_fast.sim.world import Host, World

BOOTSTRAPS = 3  # addresses each host knows, as it would from the overlay's document


def settle_at_once(world: World, hosts: Sequence[Host], each_side: int, *, fingers: int = limits.FINGERS) -> None:
    """Link each host with `each_side` neighbours on each side and with a random peer in the range of each finger."""
    inside = sorted(hosts, key=lambda host: host.node.node_id)
    random = world.random("settled")
    for one, other in sorted(_pairs(inside, each_side, fingers, random)):
        world.link(inside[one], inside[other])
    for host in inside:
        for link in host.links:
            node_id = host.node.switch.node_of(link)
            assert node_id is not None
            host.node.topology.enter(world.now, node_id)
    for host in inside:
        others = random.sample(inside, min(BOOTSTRAPS + 1, len(inside)))
        host.node.topology.partition.bootstrap = tuple(other.address for other in others if other is not host)
        host.node.topology.claim(world.now, is_known=True)
        world.drain(host)


def _pairs(ring: list[Host], each_side: int, fingers: int, random: Random) -> set[tuple[int, int]]:
    """Who is linked with whom, as positions in the ring, the smaller first: links serve both ends."""
    places = [int.from_bytes(host.node.node_id, "big") for host in ring]
    bits = 8 * len(ring[0].node.node_id)
    count = len(ring)
    pairs = set()
    for own, place in enumerate(places):
        for step in range(1, min(each_side, count - 1) + 1):
            pairs.add((own, (own + step) % count))
        for i in range(1, fingers + 1):  # 10.1: somewhere in [own + 2^(bits-i), own + 2^(bits+1-i))
            start = (place + (1 << bits - i)) % (1 << bits)
            first = bisect_left(places, start)
            # Nobody there: then whoever comes next, as an Attach to the start of the range ends with it.
            there = max(1, _count_between(places, first, start, 1 << bits - i, bits))
            pairs.add((own, (first + random.randrange(there)) % count))
    return {(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}


def _count_between(places: list[int], first: int, start: int, size: int, bits: int) -> int:
    """How many lie in [start, start + size) on the ring; `first` is the position of the first at or after start."""
    end = start + size
    if end <= 1 << bits:
        return bisect_left(places, end) - first
    return len(places) - first + bisect_left(places, end - (1 << bits))
