"""The whole way of a message through a node, bytes of one link to bytes of another, against the plain-Python reference.

64 links, each to a peer in the table; ACKs, header rules, ring lookup, counters and outboxes at work. The reference is
written to be read and not to be fast: it searches its table from end to end.
"""

from typing import Any

import pytest

from bench.inputs import OVERLAY, measure, node_ids, reads, requests
from tests.reference.ring import ReferenceRing
from tests.reference.switch import ReferenceSwitch
from xor_fast.cext.ring import Ring
from xor_fast.cext.switch import Switch

OWN, *PEERS = node_ids(65)
MESSAGES = requests(416)


def fast() -> tuple[Switch, list[int]]:
    ring = Ring(OWN)
    switch = Switch(ring, OVERLAY)
    for peer in PEERS:
        ring.add(peer)
    return switch, [switch.open_link(0.0, peer) for peer in PEERS]


def slow() -> tuple[ReferenceSwitch, list[int]]:
    ring = ReferenceRing(OWN)
    switch = ReferenceSwitch(ring, OVERLAY)
    for number, peer in enumerate(PEERS):
        ring.add(peer)
        switch.open_link(number, peer)
    return switch, list(range(len(PEERS)))


def test_both_forward_the_same_bytes() -> None:
    (fast_switch, fast_links), (slow_switch, slow_links) = fast(), slow()
    for i, read in enumerate(reads(MESSAGES, 8)):
        assert fast_switch.receive(0.0, fast_links[i % 64], read)
        assert slow_switch.receive(slow_links[i % 64], read)
    expected = {fast_links[number]: data for number, data in slow_switch.sends().items()}
    assert dict(fast_switch.sends()) == expected
    assert fast_switch.counters["forwarded"] == len(MESSAGES)


@pytest.mark.benchmark(group="forward decision, 300-byte message")
def test_reference(benchmark: Any) -> None:
    switch, links = slow()
    work = [(links[i % 64], read) for i, read in enumerate(reads(MESSAGES, 8))]

    def run() -> None:
        for link, read in work:
            switch.receive(link, read)
        switch.sends()
        for link_state in switch.links.values():
            del link_state.received[:-32]

    measure(benchmark, run, len(MESSAGES), is_reference=True)


@pytest.mark.benchmark(group="forward decision, 300-byte message")
@pytest.mark.parametrize("each", [1, 8, 52])
def test_switch_with_messages_in_a_read(benchmark: Any, each: int) -> None:
    switch, links = fast()
    work = [(links[i % 64], read) for i, read in enumerate(reads(MESSAGES, each))]

    def run() -> None:
        receive = switch.receive
        for link, read in work:
            receive(0.0, link, read)
        switch.sends()

    measure(benchmark, run, len(MESSAGES))
    assert switch.counters["forwarded"] == switch.counters["received"]
