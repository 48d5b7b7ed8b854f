"""Reading a forwarding header and writing it as a forwarder does, against plain Python; a message through the switch
against plain C (inside/forward.c)."""

from typing import Any

import pytest

from bench.in_turn import Pair, calls, empty_loop
from bench.inputs import OVERLAY, measure, node_ids, requests
from bench.inside import loops
from tests.reference import wire as reference
from tests.reference.ring import ReferenceRing
from xor_fast.cext import wire
from xor_fast.cext.ring import Ring
from xor_fast.cext.switch import Switch

MESSAGES = requests(100)
(VIA,) = node_ids(1)


@pytest.mark.benchmark(group="header peek and rewrite, 300-byte message")
def test_reference(benchmark: Any) -> None:
    peek, rewrite = reference.peek, reference.rewrite
    measure(benchmark, lambda: [rewrite(m, peek(m).ttl - 1, VIA) for m in MESSAGES], len(MESSAGES), is_reference=True)


@pytest.mark.benchmark(group="header peek and rewrite, 300-byte message")
def test_wire(benchmark: Any) -> None:
    peek, rewrite = wire.peek, wire.rewrite
    assert [rewrite(m, 97, VIA) for m in MESSAGES] == [reference.rewrite(m, 97, VIA) for m in MESSAGES]
    measure(benchmark, lambda: [rewrite(m, peek(m).ttl - 1, VIA) for m in MESSAGES], len(MESSAGES))


HEADER_SIZE = 38 + 2 * 18 + 19  # two Node-IDs and a Resource-ID


def both_ways(messages: list[bytes], peer_count: int = 16, joined: bool = False) -> loops.Forwarding:
    """A node that has its peers in its table and a link to each; all messages come from the first."""
    own, *peers = node_ids(1 + peer_count)
    ring = Ring(own)
    switch = Switch(ring, OVERLAY)
    for peer in peers:
        ring.add(peer)
        switch.open_link(0.0, peer)
    ring.joined = joined
    return loops.Forwarding(switch, peers, peers[0], messages)


def by_reference(messages: list[bytes], peer_count: int = 16) -> list[bytes]:
    """What each peer is to get, in the order of the Node-IDs."""
    own, *peers = node_ids(1 + peer_count)
    ring = ReferenceRing(own)
    for peer in peers:
        ring.add(peer)
    frames: dict[bytes, list[bytes]] = {peer: [] for peer in sorted(peers)}
    for sent in messages:
        header = reference.peek(sent)
        hop = ring.next_hop(reference.first_entry(header.destination_list).value, source=peers[0])
        assert hop is not None
        rewritten = reference.rewrite(sent, header.ttl - 1, peers[0])
        frames[hop].append(reference.data_frame(len(frames[hop]), rewritten))
    return [b"".join(of_peer) for of_peer in frames.values()]


def pairs() -> list[Pair]:
    messages = requests(64, HEADER_SIZE + 12)  # the rest is an empty Ping: what counts is the header
    both = both_ways(messages)
    both.ours(len(messages))
    sent = both.ours_sent()
    both.reference(len(messages))
    assert sent == both.reference_sent() == by_reference(messages)
    what = "header with 2 via entries and 1 destination checked, routed among 16 peers and rewritten"
    peek, empty = calls(wire.peek, MESSAGES[0]), calls(loops.empty, MESSAGES[0])
    return [
        Pair(what, "plain C", both.ours, both.reference, 1 / 1.5),
        Pair("peek called from Python", "an empty compiled call", peek, empty, 1 / 3.5, empty_loop),
    ]
