"""Fingers (RFC 6940 10.7.4.2, 10.7.4.3) of one node with few neighbours: which it looks for, where and how often."""

from collections import Counter
from random import Random

import msgspec
import pytest

from tests.core.neighbours import Neighbours
from tests.core.outside import OURS, OVERLAY
from xor_fast.core.node import Node, Tuning
from xor_fast.messages import Code, DestinationType
from xor_fast.sim.fakes import FakeIdentity, FakeVerifier

OWN = int.from_bytes(OURS, "big")
INTERVAL = 10.0


class Lonely(Neighbours):
    """Three members close by on each side and nobody else: no long finger has anyone in its range."""

    def __init__(self, reactive: bool = False) -> None:
        super().__init__(started=False, tuning=Tuning(neighbours_each_side=3))
        self.node.overlay = msgspec.structs.replace(OVERLAY, ping_interval=INTERVAL, reactive=reactive)
        self.node.link_down(self.now, self.link, "not one of the six")
        for member in list(self.members):
            self.leave(member)
        self.members.clear()
        for step in (-3, -2, -1, 1, 2, 3):
            self.member((OWN + step * 2**100).to_bytes(16, "big"))
        self.node.start_overlay(self.now)
        self.enter()

    def searched(self) -> list[int]:
        """Where Pings for fingers went, as distances from our Node-ID, each once."""
        self.drain()
        found: dict[int, int] = {}
        for _, message in self.received:
            target = message.header.destination_list[-1]
            if message.code == Code.PING_REQ and target.type == DestinationType.RESOURCE:
                place = int.from_bytes(target.value, "big")
                found.setdefault(message.header.transaction_id, (place - OWN) % 2**128)
        self.received.clear()
        return [distance for distance in found.values() if distance != 1]  # own + 1: the probe for a split overlay


def finger_of(distance: int) -> int:
    """i with 2^(128-i) <= distance < 2^(129-i)."""
    return 129 - distance.bit_length()


@pytest.mark.req("topo.finger-ping-rate", "topo.finger-refresh")
def test_one_search_in_an_interval_at_most_whatever_is_missing() -> None:
    desk = Lonely()
    desk.wait(400)
    count = len(desk.searched())
    assert 400 / (1.5 * INTERVAL) - 4 <= count <= 400 / INTERVAL


@pytest.mark.req("topo.finger-weighting", "topo.finger-random-target", "topo.finger-refresh")
def test_earlier_fingers_are_searched_more_often_and_at_random_places() -> None:
    desk = Lonely()
    desk.wait(20_000)
    distances = desk.searched()
    assert len(set(distances)) == len(distances)
    drawn = Counter(map(finger_of, distances))
    total = len(distances)
    assert total > 1000
    assert drawn[1] == 0  # our predecessors lie there
    for i in range(2, 7):  # half of all searches for the first that is missing, a quarter for the second, ...
        expected = total * 0.5 ** (i - 1)
        assert 0.7 * expected <= drawn[i] <= 1.4 * expected
    for i in range(2, 5):  # spread over the whole range
        inside = [(d - 2 ** (128 - i)) / 2 ** (128 - i) for d in distances if finger_of(d) == i]
        assert 0.4 <= sum(inside) / len(inside) <= 0.6
        assert min(inside) < 0.1
        assert max(inside) > 0.9


@pytest.mark.req("topo.finger-lost-search", "topo.finger-lost")
@pytest.mark.parametrize("reactive", [True, False])
def test_a_finger_that_is_lost_is_searched_for_at_once_if_reactive(reactive: bool) -> None:
    desk = Lonely(reactive)
    far = desk.member((OWN + 5 * 2**124).to_bytes(16, "big"))  # finger 2 has 2^126 to 2^127: here 2^126 + 2^124
    desk.enter(far)
    assert desk.node.topology.fingers.table()[2] == far.node_id
    desk.searched()
    desk.leave(far)
    desk.drain()
    assert far.node_id not in desk.node.topology.fingers.table().values()
    assert far.node_id not in desk.node.ring
    desk.wait(5)
    assert [finger_of(distance) for distance in desk.searched()].count(2) == (1 if reactive else 0)


@pytest.mark.req("topo.finger-128", "topo.finger-16")
@pytest.mark.parametrize(("tuning", "fingers"), [(Tuning(3), 16), (Tuning(3, fingers=128), 128)])
def test_sixteen_unless_the_tuning_says_otherwise(tuning: Tuning, fingers: int) -> None:
    """What is missing as far as the neighbours do not cover it; then a peer at the start of each range."""
    identity = FakeIdentity(OURS, b"node@outside.example")
    node = Node(OVERLAY, identity, FakeVerifier(), Random(1), tuning=tuning)  # type: ignore[arg-type]
    for distance in (-3, -2, -1, 1, 2, 3):  # finger 1 is there, and what begins behind 3 is not
        node.ring.add((OWN + distance).to_bytes(16, "big"))
    assert node.topology.fingers.invalid() == list(range(2, min(fingers, 126) + 1))
    for i in range(1, 129):
        node.ring.add(((OWN + 2 ** (128 - i)) % 2**128).to_bytes(16, "big"))
    table = node.topology.fingers.table()
    assert sorted(table) == list(range(1, fingers + 1))
    for i, node_id in table.items():
        assert (int.from_bytes(node_id, "big") - OWN) % 2**128 == 2 ** (128 - i)
    assert node.topology.fingers.invalid() == []
